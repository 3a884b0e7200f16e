"""The text of a page with its place, size and font, and its drawn lines.

PDFium reads the file and its fonts. Coordinates are those of the reader: `x` runs along the line,
`y` upwards, in points, after the page has been turned so that the words of an `angle` run from left
to right.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pypdf import PageObject

from ingestion.parsers.pdf import pdfium
from ingestion.parsers.pdf.direction import BRACKETS, LEFTWARD
from ingestion.parsers.pdf.drawing import Rule, find_rules
from ingestion.parsers.pdf.font import Face, Faces, advance
from ingestion.parsers.pdf.survey import GlyphNames
from ingestion.parsers.pdf.words import ACCENTS, KERNING, OVERLAP, Word, WordBuilder, turn

Floats = NDArray[np.float64]

MAX_CHARACTERS = 300_000  # on a page
LETTER_SPACING = 0.22  # of the font size: a wider gap between all letters separates them
SPACED_LETTERS = 4  # fewer letters with gaps between them are not one word
RIGHT = 2  # of a box
STROKED_TEXT = 2  # the render mode of text that is made bold by an outline
ABSENT = "\0"  # what is not text
# A glyph without a known character. It is kept until the line shows whether it is a bullet.
UNKNOWN = "\ufffd"
NAMELESS = "\2"  # a glyph in a font that names no characters
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
PIECE = re.compile(rf"( *)([^ {ABSENT}{NAMELESS}{''.join(ACCENTS)}]+|[{''.join(ACCENTS)}])")


@dataclass(slots=True)
class PageContent:
    words: list[Word] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    unreadable: Counter[str] = field(default_factory=Counter)
    cut_short: bool = False


class _Shown(NamedTuple):
    """What one instruction of the file draws: the characters from `first` to before `end`."""

    first: int
    end: int
    drawn: int
    font: int
    face: Face
    angle: int
    along: float  # points that a font size measures along the line
    size: float  # points that it measures upwards


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
        self.paginated: dict[int, bool] = {}
        self.codes = page.characters()
        self.text = self.codes.translate(TEXT_MAP)
        self.origins = np.frombuffer(page.origins(), float).reshape(-1, 2)

    def words(self) -> list[Word]:
        has_leftward = bool(LEFTWARD.search(self.text))
        runs = self.page.runs(exact=has_leftward)
        shown = [self._shown(run) for run in runs if run.drawn]
        advances = self._advances(shown)
        glyphs = _Glyphs(self._named(shown), self.origins, shown, advances)
        glyphs.widen_ligatures(self._reach)
        builder = WordBuilder()
        end = 0
        for run in shown:
            if " " in self.text[end : run.first]:
                builder.end() if glyphs.has_leftward else builder.space()
            end = run.end
            self._begin(builder, run, glyphs)
            _add(builder, run, glyphs)
        builder.end()
        return builder.words

    def _shown(self, run: pdfium.Run) -> _Shown:
        first = run.first
        a, b, c, d, _, _ = self.page.matrix(first)
        size, font = abs(self.page.size(first)), pdfium.font(run.drawn)
        face = self.faces.get(font)
        angle = round(math.degrees(math.atan2(b, a))) % 360 if b or a < 0 else 0
        height = self._height(first, angle) if face.drawn else size * math.hypot(c, d)
        along = size * math.hypot(a, b)
        return _Shown(first, run.end, run.drawn, font, face, angle, along, max(height, 0.01))

    def _advances(self, shown: Sequence[_Shown]) -> Floats:
        """How far each character moves the text, in font sizes."""
        found = np.zeros(len(self.text))
        for run in shown:
            codes, known = self.codes[run.first : run.end], run.face.advances
            for letter in set(codes).difference(known):
                self._learn(letter, run)
            found[run.first : run.end] = [known[code] for code in codes]
            if codes.isascii() or run.angle or not run.along:
                continue
            for match in LEFTWARD.finditer(codes):
                place = run.first + match.start()  # a letter has a glyph for each of its places
                found[place] = self._reach(place) / run.along
        return found

    def _learn(self, letter: str, run: _Shown) -> None:
        """Note the advance of a character that is new to its font, and what it is if that is not
        known."""
        place = self.codes.index(letter, run.first)
        shown = self._reach(place) / run.along if run.angle == 0 and run.along else None
        before, after = self.origins[place - 1 : place], self.origins[place + 1 : place + 2]
        at = self.origins[place]
        if letter in BRACKETS or any((at == other).all() for other in (*before, *after)):
            shown = None  # what is turned, or a part of a ligature, shows nothing of the letter
        run.face.advances[letter] = advance(run.font, letter, shown)
        if self.page.is_unmapped(place):
            run.face.names = run.face.names or dict(TEXT_MAP)
            run.face.names[ord(letter)] = self._name(run.face, ord(letter))

    def _name(self, face: Face, code: int) -> str:
        """The character of a code, by its font's names; NAMELESS if they say nothing of any."""
        self.names = self.names or GlyphNames(self.source)
        if self.names.names_none(face.name):
            return NAMELESS
        return self.names.character(face.name, code) or UNKNOWN

    def _named(self, shown: Sequence[_Shown]) -> str:
        """The text, with what fonts' own names say of codes."""
        parts, end = [], 0
        for run in shown:
            if run.face.names:
                named = self.codes[run.first : run.end].translate(run.face.names)
                parts += [self.text[end : run.first], named]
                end = run.end
                if NAMELESS in named:
                    self.unreadable[run.face.name] += named.count(NAMELESS)
        return "".join([*parts, self.text[end:]])

    def _begin(self, builder: WordBuilder, run: _Shown, glyphs: _Glyphs) -> None:
        bold = run.face.bold or pdfium.render_mode(run.drawn) == STROKED_TEXT
        builder.pagination = bool(pdfium.count_marks(run.drawn)) and self._is_paginated(run.drawn)
        y = glyphs.baseline(run)
        builder.begin(y, run.size, run.face, run.angle, bold)

    def _reach(self, index: int) -> float:
        """How far a character reaches to the right of its origin."""
        return self.page.box(index)[RIGHT] - float(self.origins[index, 0])

    def _height(self, index: int, angle: int) -> float:
        left, top, right, bottom = self.page.box(index)
        return right - left if angle % 180 == 90 else top - bottom

    def _is_paginated(self, drawn: int) -> bool:
        marks = [pdfium.mark(drawn, index) for index in range(pdfium.count_marks(drawn))]
        for mark in marks:
            if mark not in self.paginated:
                self.paginated[mark] = pdfium.is_pagination(mark)
        return any(self.paginated[mark] for mark in marks)


class _Glyphs:
    """Where each character of a page begins and ends along its line."""

    def __init__(
        self, text: str, origins: Floats, shown: Sequence[_Shown], advances: Floats
    ) -> None:
        count = len(origins)
        self.text = text
        self.origins = origins
        self.has_leftward = bool(LEFTWARD.search(text))
        along, size, run_of = np.zeros(count), np.ones(count), np.zeros(count, int)
        starts = origins[:, 0].copy()
        for number, run in enumerate(shown, 1):
            part = slice(run.first, run.end)
            along[part], size[part], run_of[part] = run.along, run.size, number
            if run.angle:
                starts[part] = [turn(x, y, run.angle)[0] for x, y in origins[part]]
        self.upright = {number for number, run in enumerate(shown, 1) if run.angle == 0}
        self.run_of = run_of
        self.size = size
        self.starts: list[float] = starts.tolist()
        self.ends: list[float] = (starts + along * advances).tolist()
        is_glyph = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32) > ord(" ")
        self.inside = is_glyph[1:] & is_glyph[:-1] & (run_of[1:] == run_of[:-1])
        joined = (starts[1:] == starts[:-1]) & self.inside
        self.turned: set[int] = set()
        self.joined: set[int] = set((np.flatnonzero(joined) + 1).tolist())

    def baseline(self, run: _Shown) -> float:
        x, y = self.origins[run.first].tolist()
        return float(turn(x, y, run.angle)[1])

    def widen_ligatures(self, reach: Callable[[int], float]) -> None:
        """Let characters that are at one place, because they are one glyph, end where it does."""
        for index in sorted(self.joined):
            if self.run_of[index] in self.upright:
                first, last = reach(index - 1), reach(index)
                self.ends[index] = self.starts[index] + max(first, last)
                if last > first:  # the first part is as wide as the glyph
                    self.turned.add(index - 1)
            first = index
            while first in self.joined:
                first -= 1
                self.ends[first] = self.ends[index]

    @cached_property
    def cuts(self) -> list[int]:
        """The characters of pieces before which there is a gap, or which are set back."""
        gaps = np.array(self.starts[1:]) - np.array(self.ends[:-1])
        near = (-OVERLAP * self.size[:-1] < gaps) & (gaps < KERNING * self.size[:-1])
        return [
            cut
            for cut in (np.flatnonzero(~near & self.inside) + 1).tolist()
            if cut not in self.joined
        ]

    def cuts_of(self, run: _Shown) -> tuple[float, list[int]]:
        """The gap between all letters of a word that is set with its letters apart, and where there
        is more than that."""
        low, high = bisect_right(self.cuts, run.first), bisect_left(self.cuts, run.end)
        cuts = self.cuts[low:high]
        if not cuts or run.end - run.first < SPACED_LETTERS:
            return 0.0, cuts
        pairs = zip(self.starts[run.first + 1 : run.end], self.ends[run.first :], strict=False)
        spacing = min(start - end for start, end in pairs)
        if not KERNING * run.size <= spacing < LETTER_SPACING * run.size:
            return 0.0, cuts
        most = spacing + KERNING * run.size
        return spacing, [i for i in cuts if self.starts[i] - self.ends[i - 1] >= most]


def _add(builder: WordBuilder, run: _Shown, glyphs: _Glyphs) -> None:
    text, starts, ends = glyphs.text, glyphs.starts, glyphs.ends
    if glyphs.has_leftward and LEFTWARD.search(text, run.first, run.end):
        _add_leftward(builder, run, glyphs)
        return
    spacing, cuts = glyphs.cuts_of(run)
    for match in PIECE.finditer(text, run.first, run.end):
        space, piece = match.groups()
        if space:
            builder.space()
        first, end = match.span(2)
        if not cuts or not (inside := [cut for cut in cuts if first < cut < end]):
            builder.add(_whole(piece), starts[first], ends[end - 1] + spacing)
            continue
        for a, b in itertools.pairwise([first, *inside, end]):
            builder.add(_whole(text[a:b]), starts[a], ends[b - 1] + spacing)
    if text[run.end - 1] == " ":
        builder.space()


def _add_leftward(builder: WordBuilder, run: _Shown, glyphs: _Glyphs) -> None:
    groups = itertools.groupby(range(run.first, run.end), key=glyphs.starts.__getitem__)
    for start, group in groups:
        letters = list(group)
        text = glyphs.text[letters[0] : letters[-1] + 1].replace(ABSENT, "")
        text = text[::-1] if letters[0] in glyphs.turned else text
        if text == " ":
            builder.end()  # the gap shows whether it is one; PDFium adds many
        elif text:
            builder.add_leftward(text, start, glyphs.ends[letters[-1]])


def _whole(text: str) -> str:
    """The text with its ligatures as letters."""
    return text if text.isascii() else text.translate(LIGATURES)
