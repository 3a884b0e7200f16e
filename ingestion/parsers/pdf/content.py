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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pypdf import PageObject

from ingestion.parsers.pdf import pdfium
from ingestion.parsers.pdf.direction import LEFTWARD
from ingestion.parsers.pdf.drawing import Rule, find_rules
from ingestion.parsers.pdf.font import Faces, PageFont
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
HYPHEN = "\x02"  # at the end of a line, in PDFium's text
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
TEXT_MAP = CONTROLS | FREE_CODES | SYMBOLS | SPACES | {ord(HYPHEN): "-"}
PIECE = re.compile(rf"[^ {ADDED}{ABSENT}{''.join(ACCENTS)}]+|[ {ADDED}{''.join(ACCENTS)}]")


@dataclass(slots=True)
class PageContent:
    words: list[Word] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    unreadable: Counter[str] = field(default_factory=Counter)
    cut_short: bool = False


class _Run(NamedTuple):
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
    content.words = _Text(page, faces, source, content.unreadable).words()
    faces.judge()
    return content


class _Text:
    """The characters of a page, by the objects that draw them."""

    def __init__(
        self, page: pdfium.Page, faces: Faces, source: PageObject, unreadable: Counter[str]
    ) -> None:
        self.page = page
        self.faces = faces
        self.builder = WordBuilder()
        self.origins = page.origins()
        self.objects = page.text_objects()
        text = page.characters()
        unmapped = page.unmapped()
        readable = text.translate(TEXT_MAP)
        if any(unmapped):
            readable = self._named(text, readable, unmapped, GlyphNames(source), unreadable)
        self.text = self._without_added(readable)
        self.has_leftward = bool(LEFTWARD.search(self.text))
        self.paginated: dict[int, bool] = {}

    def _named(
        self,
        text: str,
        readable: str,
        unmapped: Sequence[bool],
        names: GlyphNames,
        unreadable: Counter[str],
    ) -> str:
        """The text with what the fonts' own names say of unmapped codes, with UNKNOWN for the
        others, and without what is in fonts that name nothing at all."""
        characters = list(readable)
        for index in itertools.compress(range(len(text)), unmapped):
            font = self._font(self.objects[index]).face.name
            if names.names_none(font):
                unreadable[font] += 1
                characters[index] = ABSENT
            else:
                characters[index] = names.character(font, ord(text[index])) or UNKNOWN
        return "".join(characters)

    def _without_added(self, text: str) -> str:
        """The text with the spaces that PDFium adds marked as such."""
        characters = list(text)
        for match in re.finditer(" ", text):
            if self.page.is_added(match.start()):
                characters[match.start()] = ADDED
        return "".join(characters)

    def words(self) -> list[Word]:
        places = enumerate(itertools.pairwise([0, *self.objects]))
        starts = [place for place, (before, drawn) in places if before != drawn]
        ends = [*starts[1:], len(self.text)][: len(starts)]
        shown = [_first_shown(self.text, a, b) for a, b in zip(starts, ends, strict=True)]
        matrices, sizes = self.page.matrices(shown), self.page.sizes(shown)
        for index, (start, first, end) in enumerate(zip(starts, shown, ends, strict=True)):
            if ADDED in self.text[start:first]:
                self.builder.may_end()
            if first < end:
                matrix = matrices[6 * index : 6 * index + 4]
                self._read_object(first, end, matrix, abs(sizes[index]))
        self.builder.end()
        return self.builder.words

    def _read_object(self, first: int, end: int, matrix: array[float], size: float) -> None:
        drawn, text = self.objects[first], self.text[first:end]
        a, b, c, d = matrix
        font = self._font(drawn)
        angle = round(math.degrees(math.atan2(b, a))) % 360 if b or a < 0 else 0
        starts = self._starts(first, end, angle)
        ends = self._ends(first, starts, font, size * math.hypot(a, b), angle)
        size = self._height(first, angle) if font.face.drawn else size * math.hypot(c, d)
        run = _Run(text, starts, ends, max(size, 0.01))
        bold = font.face.bold or pdfium.render_mode(drawn) == STROKED_TEXT
        self.builder.pagination = bool(pdfium.count_marks(drawn)) and self._is_paginated(drawn)
        y = turn(self.origins[2 * first], self.origins[2 * first + 1], angle)[1]
        self.builder.begin(y, run.size, font.face, angle, bold)
        if self.has_leftward and LEFTWARD.search(text):
            _add_leftward(self.builder, run)
        else:
            _add(self.builder, run)

    def _font(self, drawn: int) -> PageFont:
        return self.faces.get(pdfium.font(drawn))

    def _starts(self, first: int, end: int, angle: int) -> Sequence[float]:
        xs = self.origins[2 * first : 2 * end : 2]
        if angle == 0:
            return xs
        ys = self.origins[2 * first + 1 : 2 * end : 2]
        return [turn(x, y, angle)[0] for x, y in zip(xs, ys, strict=True)]

    def _ends(
        self, first: int, starts: Sequence[float], font: PageFont, along: float, angle: int
    ) -> list[float]:
        text, advances = self.text[first : first + len(starts)], font.advances
        ligatures = _at_one_place(starts)
        alone = text if not ligatures else _without(text, ligatures)
        for letter in set(alone).difference(advances, (ABSENT, ADDED)):
            shown = self._shown(first + alone.index(letter)) / along if angle == 0 else None
            font.learn(letter, shown)
        ends = [x + along * advances.get(c, 0.0) for x, c in zip(starts, text, strict=True)]
        for letters in ligatures:
            last = letters[-1]
            end = starts[last] + self._shown(first + last) if angle == 0 else ends[last]
            ends[letters.start : letters.stop] = [end] * len(letters)
        return ends

    def _shown(self, index: int) -> float:
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


def _at_one_place(starts: Sequence[float]) -> list[range]:
    """The characters that are one glyph, such as a ligature."""
    if not any(map(operator.eq, starts[1:], starts)):
        return []
    groups = itertools.groupby(range(len(starts)), key=starts.__getitem__)
    found = [list(group) for _, group in groups]
    return [range(group[0], group[-1] + 1) for group in found if len(group) > 1]


def _without(text: str, places: Sequence[range]) -> str:
    for place in places:
        text = text[: place.start] + ABSENT * len(place) + text[place.stop :]
    return text


def _first_shown(text: str, start: int, end: int) -> int:
    """The first character of an object that the file draws: the others have no matrix."""
    return next((index for index in range(start, end) if text[index] > ADDED), end)


def _add(builder: WordBuilder, run: _Run) -> None:
    spacing = _letter_spacing(run)
    low, high = spacing - OVERLAP * run.size, spacing + KERNING * run.size
    text, starts, ends = run.text, run.starts, run.ends
    for match in PIECE.finditer(text):
        first, end = match.span()
        if text[first] == " ":
            builder.space()
            continue
        if text[first] == ADDED:
            builder.may_end()
            continue
        gaps = list(map(operator.sub, starts[first + 1 : end], ends[first : end - 1]))
        if not gaps or (low < min(gaps) and max(gaps) < high):
            builder.add(_whole(match[0]), starts[first], ends[end - 1] + spacing)
            continue
        for a, b in _unbroken(run, first, end, low, high):
            builder.add(_whole(text[a:b]), starts[a], ends[b - 1] + spacing)


def _unbroken(
    run: _Run, first: int, end: int, low: float, high: float
) -> Iterator[tuple[int, int]]:
    """The parts of a run between the gaps. What is at one place is one glyph, as a ligature is."""
    starts, ends = run.starts, run.ends
    begun = first
    for index in range(first + 1, end):
        joined = starts[index] == starts[index - 1]
        if not joined and not low < starts[index] - ends[index - 1] < high:
            yield begun, index
            begun = index
    yield begun, end


def _letter_spacing(run: _Run) -> float:
    """The gap between all letters, if a word is set with its letters apart."""
    if len(run.text) < SPACED_LETTERS:
        return 0.0
    gaps = map(operator.sub, run.starts[1:], run.ends)
    least = min(gaps)
    return least if KERNING * run.size <= least < LETTER_SPACING * run.size else 0.0


def _add_leftward(builder: WordBuilder, run: _Run) -> None:
    index = 0
    while index < len(run.text):
        end = index + 1
        while end < len(run.text) and run.starts[end] == run.starts[index]:
            end += 1
        text = run.text[index:end].replace(ABSENT, "")
        if text == " ":
            builder.space()
        elif text == ADDED:
            builder.may_end()
        elif text:
            builder.add_leftward(text, run.starts[index], run.ends[index])
        index = end


def _whole(text: str) -> str:
    """The text with its ligatures as letters."""
    return text if text.isascii() else text.translate(LIGATURES)
