"""Glyphs to words, each with its position, size and font."""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ingestion.parsers.pdf.direction import without_forms
from ingestion.parsers.pdf.font import UNKNOWN_FACE, Face

KERNING = 0.1  # of the font size: a smaller gap never separates glyphs (Poppler's figure)
SCRIPT = 0.86  # of the font size: what is larger is no superscript
OVERLAP = 0.3  # of the font size: what is set back by less goes on with the word

# Accents drawn as separate characters, and the combining characters for them.
ACCENTS = dict(
    zip(
        "`\u00b4\u02c6\u02dc\u00af\u02d8\u02d9\u00a8\u02da\u02c7\u00b8",
        "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030c\u0327",
        strict=True,
    )
)
DOTLESS = {"\u0131": "i", "\u0237": "j"}


@dataclass(slots=True)
class Word:
    """Glyphs shown without a visible gap. `y` is the baseline; `spaced`: after a space.

    The text is as it is seen, from left to right; `mirrored`: from right to left, as `x0` and `x1`.
    """

    text: str
    x0: float
    x1: float
    y: float
    size: float
    face: Face
    order: int
    spaced: bool
    angle: int
    pagination: bool = False
    bold: bool = False
    mirrored: bool = False


def turn(x: float, y: float, angle: int) -> tuple[float, float]:
    """The point in the coordinates of text that runs at `angle` degrees."""
    if angle == 0:
        return x, y
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return x * c + y * s, y * c - x * s


class WordBuilder:
    """Glyphs in, words out: a word ends at a space, a gap, another line, font or size."""

    def __init__(self) -> None:
        self.words: list[Word] = []
        self.pagination = False
        self._parts: list[str] = []
        self._glyphs: list[tuple[float, str]] = []
        self._spaced = False
        self._drawn: dict[str, dict[int, list[tuple[float, float]]]] = {}
        self._x0 = self._x1 = self._last = self._y = self._size = 0.0
        self._face, self._angle, self._bold = UNKNOWN_FACE, 0, False

    def begin(self, y: float, size: float, face: Face, angle: int, bold: bool) -> None:
        """Start a string here, which may continue the open word."""
        same = (
            face is self._face
            and angle == self._angle
            and abs(y - self._y) < 0.05 * size
            and abs(size - self._size) < 0.05 * size
        )
        if not same:
            self.end()
        self._y, self._size, self._face, self._angle, self._bold = y, size, face, angle, bold

    def _joins(self, x: float) -> bool:
        if self._parts[-1] in ACCENTS:
            return True
        return -OVERLAP * self._size < x - self._x1 < KERNING * self._size

    def space(self) -> None:
        self.end()
        self._spaced = True

    def add(self, text: str, x0: float, x1: float) -> None:
        """Add glyphs without a gap between them; an accent that a letter follows comes alone."""
        if self._glyphs or (self._parts and not self._joins(x0)):
            self.end()
        if not self._parts:
            self._x0 = min(x0, x1)
        elif self._parts[-1] in ACCENTS and x0 - self._last < 0.3 * self._size:
            text = self._accented(text)
        self._parts.append(text)
        self._last, self._x1 = x0, max(x0, x1)

    def add_leftward(self, text: str, x0: float, x1: float) -> None:
        """Add a glyph of a script that runs leftward, in whatever order the file draws them."""
        near = KERNING * self._size
        if not self._glyphs or x0 - self._x1 > near or self._x0 - x1 > near:
            self.end()
            self._x0, self._x1 = x0, x1
        self._glyphs.append(((x0 + x1) / 2, without_forms(text)))
        self._x0, self._x1 = min(self._x0, x0), max(self._x1, x1)

    def _accented(self, text: str) -> str:
        """The text with the accent before it on its first letter."""
        if not text[0].isalpha():
            return text
        letter = DOTLESS.get(text[0], text[0])
        return unicodedata.normalize("NFC", letter + ACCENTS[self._parts.pop()]) + text[1:]

    def end(self) -> None:
        if not self._parts and not self._glyphs:
            return
        text = "".join(self._parts) or _from_left(self._glyphs)
        self._parts, self._glyphs = [], []
        if self._is_repeated(text):
            return
        self.words.append(
            Word(
                text, self._x0, self._x1, self._y, self._size, self._face, len(self.words),
                self._spaced, self._angle, self.pagination, self._bold,
            )
        )  # fmt: skip
        self._spaced = False

    def _is_repeated(self, text: str) -> bool:
        """Whether the text is drawn twice, slightly shifted, to look bold."""
        near = 0.12 * self._size
        row = int(self._y / near)
        rows = self._drawn.get(text)
        if rows is None:
            self._drawn[text] = {row: [(self._x0, self._y)]}
            return False
        for close in (row - 1, row, row + 1):
            for x, y in rows.get(close, ()):
                if abs(x - self._x0) < near and abs(y - self._y) < near:
                    return True
        rows.setdefault(row, []).append((self._x0, self._y))
        return False


def _from_left(glyphs: list[tuple[float, str]]) -> str:
    """The text of glyphs (middle and text) as it is seen, from left to right.

    What belongs to one letter is in reverse, so that the whole reads backward.
    """
    letters = sorted(glyph for glyph in glyphs if not unicodedata.combining(glyph[1][0]))
    marks: dict[float, str] = defaultdict(str)
    for middle, text in glyphs:
        if unicodedata.combining(text[0]) and letters:
            marks[_nearest(middle, letters)] += text
    return "".join((text + marks[middle])[::-1] for middle, text in letters)


def _nearest(middle: float, letters: Sequence[tuple[float, str]]) -> float:
    return min((letter[0] for letter in letters), key=lambda other: abs(other - middle))
