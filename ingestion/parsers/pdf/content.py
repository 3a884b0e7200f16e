"""The text of a page with its place, size and font, and its drawn lines.

PDFium reads the file and its fonts. Coordinates are those of the reader: `x` runs along the line,
`y` upwards, in points, after the page has been turned so that the words of an `angle` run from left
to right.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pypdf import PageObject

from ingestion.parsers.pdf import pdfium
from ingestion.parsers.pdf.direction import LEFTWARD
from ingestion.parsers.pdf.drawing import Rule, find_rules
from ingestion.parsers.pdf.font import Face, Faces, advance
from ingestion.parsers.pdf.survey import GlyphNames
from ingestion.parsers.pdf.words import ACCENTS, KERNING, OVERLAP, Word, WordBuilder, turn

MAX_CHARACTERS = 300_000  # on a page
LETTER_SPACING = 0.22  # of the font size: a wider gap between all letters separates them
SPACED_LETTERS = 4  # fewer letters with gaps between them are not one word
RIGHT = 2  # of a box
STROKED_TEXT = 2  # the render mode of text that is made bold by an outline
ABSENT = "\0"  # what is not text
ADDED = "\1"  # a space that PDFium adds, perhaps in place of one that the file draws
# A glyph without a known character. It is kept until the line shows whether it is a bullet.
UNKNOWN = "\ufffd"
NAMELESS = "\2"  # a glyph in a font that names no characters
LINE_END = "\3"  # what PDFium adds there
HYPHENS = dict.fromkeys((0x02, 0xFFFE), "-")  # at the end of a line, in PDFium's text
LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
# Symbol fonts put their characters into the private use area at 0xF000 + the byte; these are the
# bullets and ticks of Word and similar programs (Wingdings, Symbol).
SYMBOLS = {
    0xF0B7: "•", 0xF0A7: "▪", 0xF0D8: "➢", 0xF076: "❖", 0xF0FC: "✓", 0xF0A8: "◦", 0xF06F: "□",
    0xF0E0: "→", 0xF0DF: "←", 0xF0B0: "°", 0xF0B1: "±", 0xF0B4: "\u00d7", 0xF0D7: "·", 0xF02D: "-",
    0xF06E: "▪", 0xF071: "□", 0xF0A3: "≤", 0xF0B3: "≥", 0xF0B9: "≠", 0xF0AE: "→", 0xF0AC: "←",
}  # fmt: skip
# ISO 32000-1, D.1: unused codes of WinAnsiEncoding show a bullet.
FREE_CODES = dict.fromkeys((0x7F, 0x81, 0x8D, 0x8F, 0x90, 0x9D), "•")
SPACES = dict.fromkeys((0x09, 0xA0, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x3000), " ")
CONTROLS = dict.fromkeys([*range(0x20), 0x200B, 0xFEFF, *range(0xD800, 0xE000)], ABSENT)
TEXT_MAP = CONTROLS | FREE_CODES | SYMBOLS | SPACES | HYPHENS
PIECE = re.compile(
    rf"[^ {ABSENT}{ADDED}{NAMELESS}{LINE_END}{''.join(ACCENTS)}]+|[ {ADDED}{''.join(ACCENTS)}]"
)


@dataclass(slots=True)
class PageContent:
    words: list[Word] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    unreadable: Counter[str] = field(default_factory=Counter)
    cut_short: bool = False


class _Shown(NamedTuple):
    """Characters that the file draws with one instruction, each with where it begins and ends."""

    text: str
    starts: Sequence[float]
    ends: Sequence[float]
    size: float


def read_content(page: pdfium.Page, faces: Faces, source: PageObject) -> PageContent:
    """The words and lines that a page shows; `source` is the same page for pypdf."""
    content = PageContent(rules=find_rules(page))
    if page.count > MAX_CHARACTERS:
        page.count = MAX_CHARACTERS
        content.cut_short = True
    faces.next_page()
    text = _Text(page, faces, source)
    content.words = text.words()
    content.unreadable = text.unreadable
    faces.judge()
    return content


class _Text:
    """The characters of a page, by the objects that draw them."""

    def __init__(self, page: pdfium.Page, faces: Faces, source: PageObject) -> None:
        self.page = page
        self.faces = faces
        self.source = source
        self.names: GlyphNames | None = None
        self.unreadable: Counter[str] = Counter()
        self.builder = WordBuilder()
        self.origins = page.origins()
        self.codes = page.characters()
        self.text = self._without_added(self.codes.translate(TEXT_MAP))
        self.paginated: dict[int, bool] = {}

    def _without_added(self, text: str) -> str:
        """The text with what PDFium adds marked as such."""
        characters = list(text)
        for match in re.finditer("[ \r\n]", self.codes):
            if self.page.is_added(match.start()):
                characters[match.start()] = ADDED if match[0] == " " else LINE_END
        return "".join(characters)

    def words(self) -> list[Word]:
        has_leftward = bool(LEFTWARD.search(self.text))
        for run in self.page.runs(exact=has_leftward):
            first = _first_shown(self.text, run)
            if ADDED in self.text[run.first : first]:
                self.builder.may_end()
            if first < run.end and run.drawn:
                self._read(first, run.end, run.drawn)
        self.builder.end()
        return self.builder.words

    def _read(self, first: int, end: int, drawn: int) -> None:
        a, b, c, d, _, _ = self.page.matrix(first)
        size = abs(self.page.size(first))
        font = pdfium.font(drawn)
        face = self.faces.get(font)
        angle = round(math.degrees(math.atan2(b, a))) % 360 if b or a < 0 else 0
        starts = self._starts(first, end, angle)
        ends = self._ends(first, starts, font, face, size * math.hypot(a, b), angle)
        height = self._height(first, angle) if face.drawn else size * math.hypot(c, d)
        shown = _Shown(self._shown(first, end, face), starts, ends, max(height, 0.01))
        bold = face.bold or pdfium.render_mode(drawn) == STROKED_TEXT
        self.builder.pagination = bool(pdfium.count_marks(drawn)) and self._is_paginated(drawn)
        y = turn(self.origins[2 * first], self.origins[2 * first + 1], angle)[1]
        self.builder.begin(y, shown.size, face, angle, bold)
        _add(self.builder, shown)

    def _starts(self, first: int, end: int, angle: int) -> Sequence[float]:
        xs = self.origins[2 * first : 2 * end : 2]
        if angle == 0:
            return xs
        ys = self.origins[2 * first + 1 : 2 * end : 2]
        return [turn(x, y, angle)[0] for x, y in zip(xs, ys, strict=True)]

    def _ends(
        self, first: int, starts: Sequence[float], font: int, face: Face, along: float, angle: int
    ) -> list[float]:
        codes, advances = self.codes[first : first + len(starts)], face.advances
        ligatures = _at_one_place(starts)
        for letter in set(codes).difference(advances):
            self._learn(letter, first, codes, ligatures, font, face, along if angle == 0 else 0.0)
        ends = [x + along * advances.get(c, 0.0) for x, c in zip(starts, codes, strict=True)]
        for letters in ligatures:
            last = letters[-1]
            end = starts[last] + self._width(first + last) if angle == 0 else ends[last]
            ends[letters.start : letters.stop] = [end] * len(letters)
        return ends

    def _learn(
        self,
        letter: str,
        first: int,
        codes: str,
        ligatures: Sequence[range],
        font: int,
        face: Face,
        along: float,
    ) -> None:
        """Note the advance of a character that is new to its font, and what it is if that is not
        known. Parts of ligatures show nothing of it."""
        places = [index for index, code in enumerate(codes) if code == letter]
        place = next((i for i in places if not any(i in group for group in ligatures)), None)
        if place is None:
            return
        shown = self._width(first + place) / along if along else None
        face.advances[letter] = advance(font, letter, shown)
        if self.page.is_unmapped(first + place):
            face.names = face.names or dict(TEXT_MAP)
            face.names[ord(letter)] = self._name(face, ord(letter))

    def _name(self, face: Face, code: int) -> str:
        """The character of a code, by its font's names; ABSENT if they say nothing of any."""
        self.names = self.names or GlyphNames(self.source)
        if self.names.names_none(face.name):
            return NAMELESS
        return self.names.character(face.name, code) or UNKNOWN

    def _shown(self, first: int, end: int, face: Face) -> str:
        """The text of an object, without what is in fonts that name no characters."""
        if not face.names:
            return self.text[first:end]
        text = self.codes[first:end].translate(face.names)
        nameless = text.count(NAMELESS)
        if nameless:
            self.unreadable[face.name] += nameless
        return text

    def _width(self, index: int) -> float:
        """How far a character reaches to the right of its origin."""
        return self.page.box(index)[RIGHT] - self.origins[2 * index]

    def _height(self, index: int, angle: int) -> float:
        left, top, right, bottom = self.page.box(index)
        return right - left if angle % 180 == 90 else top - bottom

    def _is_paginated(self, drawn: int) -> bool:
        marks = [pdfium.mark(drawn, index) for index in range(pdfium.count_marks(drawn))]
        for mark in marks:
            if mark not in self.paginated:
                self.paginated[mark] = pdfium.is_pagination(mark)
        return any(self.paginated[mark] for mark in marks)


def _first_shown(text: str, run: pdfium.Run) -> int:
    """The first character of an object that the file draws: the others have no matrix."""
    places = range(run.first, run.end)
    return next((index for index in places if text[index] not in (ADDED, LINE_END)), run.end)


def _at_one_place(starts: Sequence[float]) -> list[range]:
    """The characters that are one glyph, such as a ligature."""
    if not any(map(operator.eq, starts[1:], starts)):
        return []
    groups = itertools.groupby(range(len(starts)), key=starts.__getitem__)
    found = [list(group) for _, group in groups]
    return [range(group[0], group[-1] + 1) for group in found if len(group) > 1]


def _add(builder: WordBuilder, shown: _Shown) -> None:
    if LEFTWARD.search(shown.text):
        _add_leftward(builder, shown)
        return
    spacing, cuts = _cuts(shown)
    for match in PIECE.finditer(shown.text):
        first, end = match.span()
        if match[0] == " ":
            builder.space()
        elif match[0] == ADDED:
            builder.may_end()
        else:
            for a, b in _parts(first, end, cuts):
                builder.add(_whole(shown.text[a:b]), shown.starts[a], shown.ends[b - 1] + spacing)


def _cuts(shown: _Shown) -> tuple[float, list[int]]:
    """The gap between all letters of a word that is set with its letters apart, and where there is
    more than that. What is at one place is one glyph."""
    gaps = list(map(operator.sub, shown.starts[1:], shown.ends))
    low, high = -OVERLAP * shown.size, KERNING * shown.size
    cuts = [index for index, gap in enumerate(gaps, 1) if not low < gap < high]
    if not cuts:
        return 0.0, cuts
    spacing = min(gaps) if len(shown.text) >= SPACED_LETTERS else 0.0
    if not high <= spacing < LETTER_SPACING * shown.size:
        spacing = 0.0
    starts = shown.starts
    return spacing, [
        index
        for index in cuts
        if not low < gaps[index - 1] - spacing < high and starts[index] != starts[index - 1]
    ]


def _parts(first: int, end: int, cuts: Sequence[int]) -> Iterable[tuple[int, int]]:
    inside = [cut for cut in cuts if first < cut < end] if cuts else []
    return itertools.pairwise([first, *inside, end])


def _add_leftward(builder: WordBuilder, shown: _Shown) -> None:
    groups = itertools.groupby(range(len(shown.text)), key=shown.starts.__getitem__)
    for start, group in groups:
        letters = list(group)
        text = shown.text[letters[0] : letters[-1] + 1].replace(ABSENT, "")
        if text == " ":
            builder.space()
        elif text == ADDED:
            builder.may_end()
        elif text:
            builder.add_leftward(text, start, shown.ends[letters[-1]])


def _whole(text: str) -> str:
    """The text with its ligatures as letters."""
    return text if text.isascii() else text.translate(LIGATURES)
