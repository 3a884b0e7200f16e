"""Glyphs to words: a word ends at a space, a gap, another line, font or size."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ingestion.parsers.pdf.direction import without_forms
from ingestion.parsers.pdf.font import Face
from ingestion.parsers.pdf.glyphs import ABSENT, Booleans, Glyphs, Pieces, Shown
from ingestion.parsers.pdf.pdfium import Floats
from ingestion.parsers.pdf.words import ACCENTS, KERNING, OVERLAP, Word

DOTLESS = {"\u0131": "i", "\u0237": "j"}
LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
LIGATURE = re.compile("[\ufb00-\ufb06]")
NEAR_ACCENT = 0.3  # of the font size: a letter that begins so near has the accent before it
MOST_ROWS = 1_000_000  # squares beneath each other on a page
REPEATED = 0.12  # of the font size: what is drawn again so near is to look bold


class Style(NamedTuple):
    """How what is drawn together looks."""

    y: float
    size: float
    face: Face
    angle: int
    pagination: bool
    bold: bool


# A word: the index of its first character, its text, where it begins and ends along the line, and
# the number of what draws it.
_Found = tuple[int, str, float, float, int]


def words_of(glyphs: Glyphs, styles: Sequence[Style]) -> list[Word]:
    """The words in the order in which the file draws them; `styles` has one for each thing drawn,
    from index 1 on. What is drawn twice, slightly shifted, is there once."""
    found = _rightward(glyphs)
    if glyphs.leftward:
        found = sorted([*found, *_Leftward(glyphs).read()])
    if not found:
        return []
    firsts, texts, x0, x1, runs = zip(*_once(found, styles), strict=True)
    spaced = (np.diff(glyphs.spaces[list(firsts)], prepend=0) != 0).tolist()
    y, size, face, *others = zip(*[styles[run] for run in runs], strict=True)
    return list(map(Word, texts, x0, x1, y, size, face, itertools.count(), spaced, *others))


def _once(found: list[_Found], styles: Sequence[Style]) -> list[_Found]:
    """The words without those that are drawn again."""
    xs, runs = [word[2] for word in found], [word[4] for word in found]
    ys, nears = [styles[run].y for run in runs], [REPEATED * styles[run].size for run in runs]
    crowded = _crowded(np.array(xs), np.array(ys), max(nears))
    if not crowded.any():
        return found
    drawn = _Drawn()
    columns = zip(found, crowded.tolist(), xs, ys, nears, strict=True)
    return [
        word
        for word, crowd, x, y, near in columns
        if not (crowd and drawn.again(word[1], x, y, near))
    ]


def _crowded(x: Floats, y: Floats, near: float) -> Booleans:
    """Whether other places may be as near as that: each that is shares a square of a grid twice as
    wide, or of one that is shifted."""
    shifts = np.array([[0, 0], [0, near], [near, 0], [near, near]])
    columns, rows = (
        np.floor((of + by[:, None]) / (2 * near)) for of, by in zip((x, y), shifts.T, strict=True)
    )
    squares = columns * MOST_ROWS + rows
    order = np.argsort(squares, axis=1)
    ordered = np.take_along_axis(squares, order, axis=1)
    grid, place = np.nonzero(ordered[:, 1:] == ordered[:, :-1])
    crowded = np.zeros(len(x), np.bool_)
    crowded[order[grid, place]] = crowded[order[grid, place + 1]] = True
    return crowded


class _Drawn:
    """What is drawn where, to find out what is drawn again."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[int, float, float]] = {}
        self._rows: dict[str, dict[int, list[tuple[float, float]]]] = {}

    def again(self, text: str, x: float, y: float, near: float) -> bool:
        """Whether the text is drawn already, as near as that; if not, note it."""
        place = int(y / near), x, y
        first = self._first.setdefault(text, place)
        if first is place:
            return False
        rows = self._rows.get(text)
        if rows is None:
            rows = self._rows[text] = {first[0]: [first[1:]]}
        row = place[0]
        for close in (row - 1, row, row + 1):
            for other_x, other_y in rows.get(close, ()):
                if abs(other_x - x) < near and abs(other_y - y) < near:
                    return True
        rows.setdefault(row, []).append((x, y))
        return False


def _rightward(glyphs: Glyphs) -> list[_Found]:
    pieces = glyphs.pieces()
    count = len(pieces.firsts)
    if not count:
        return []
    starts = np.append(True, ~_joins(pieces, glyphs))
    heads = np.flatnonzero(starts)
    tails = np.append(heads[1:], count) - 1
    x0 = np.minimum(pieces.x0, pieces.x1)[heads]
    x1 = np.maximum(pieces.x0, pieces.x1)[tails]
    text = glyphs.text
    firsts, ends = pieces.firsts.tolist(), pieces.ends.tolist()
    texts = [text[first:end] for first, end in zip(firsts, ends, strict=True)]
    if LIGATURE.search(text):
        texts = [part if part.isascii() else part.translate(LIGATURES) for part in texts]
    several = heads != tails
    for head, tail in zip(heads[several].tolist(), tails[several].tolist(), strict=True):
        texts[head] = _joined(texts, pieces, glyphs, head, tail)
    columns = (pieces.firsts[heads], x0, x1, pieces.runs[tails])
    first, left, right, run = (column.tolist() for column in columns)
    return list(zip(first, [texts[head] for head in heads.tolist()], left, right, run, strict=True))


def _joins(pieces: Pieces, glyphs: Glyphs) -> Booleans:
    """Whether each piece but the first goes on with the word of the one before."""
    gaps = pieces.x0[1:] - np.maximum(pieces.x0, pieces.x1)[:-1]
    size = glyphs.sizes[pieces.runs[1:]]
    joins = (-OVERLAP * size < gaps) & (gaps < KERNING * size) | pieces.accents[:-1]
    for numbers in (glyphs.lines[pieces.runs], glyphs.breaks[pieces.firsts]):
        joins &= numbers[1:] == numbers[:-1]
    return joins


def _joined(texts: Sequence[str], pieces: Pieces, glyphs: Glyphs, head: int, tail: int) -> str:
    """The text of the pieces from `head` to `tail`, with accents on the letters that follow."""
    if not pieces.accents[head:tail].any():
        return "".join(texts[head : tail + 1])
    parts = [texts[head]]
    for index in range(head + 1, tail + 1):
        text, size = texts[index], glyphs.sizes[pieces.runs[index]]
        moved = pieces.x0[index] - pieces.x0[index - 1]
        if parts[-1] in ACCENTS and moved < NEAR_ACCENT * size and text[0].isalpha():
            letter = DOTLESS.get(text[0], text[0])
            text = unicodedata.normalize("NFC", letter + ACCENTS[parts.pop()]) + text[1:]
        parts.append(text)
    return "".join(parts)


class _Leftward:
    """Glyphs of scripts that run leftward, in whatever order the file draws them."""

    def __init__(self, glyphs: Glyphs) -> None:
        self.glyphs = glyphs
        self.found: list[_Found] = []
        self._open: list[tuple[float, str]] = []
        self._first = self._run = 0
        self._x0 = self._x1 = 0.0

    def read(self) -> list[_Found]:
        end = line = 0
        for number, run in enumerate(self.glyphs.shown, 1):
            if number in self.glyphs.leftward:
                if " " in self.glyphs.text[end : run.first] or line != self.glyphs.lines[number]:
                    self._end()
                line = self.glyphs.lines[number]
                self._read_run(run, number)
            end = run.end
        self._end()
        return self.found

    def _read_run(self, run: Shown, number: int) -> None:
        places = range(run.first, run.end)
        starts = self.glyphs.starts[run.first : run.end].tolist()
        for start, group in itertools.groupby(places, key=lambda place: starts[place - run.first]):
            letters = list(group)
            text = self.glyphs.text[letters[0] : letters[-1] + 1].replace(ABSENT, "")
            text = text[::-1] if letters[0] in self.glyphs.turned else text
            if text == " ":
                self._end()  # the gap shows whether it is one; PDFium adds many
            elif text:
                self._add(text, start, float(self.glyphs.ends[letters[-1]]), letters[0], number)

    def _add(self, text: str, x0: float, x1: float, place: int, number: int) -> None:
        near = KERNING * float(self.glyphs.sizes[number])
        if not self._open or x0 - self._x1 > near or self._x0 - x1 > near:
            self._end()
            self._x0, self._x1, self._first = x0, x1, place
        self._open.append(((x0 + x1) / 2, without_forms(text)))
        self._x0, self._x1, self._run = min(self._x0, x0), max(self._x1, x1), number

    def _end(self) -> None:
        if self._open:
            text = _from_left(self._open)
            self.found.append((self._first, text, self._x0, self._x1, self._run))
        self._open = []


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
