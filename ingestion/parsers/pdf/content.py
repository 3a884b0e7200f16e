"""The text of a page with its place, size and font, and its drawn lines.

PDFium reads the file and its fonts. Coordinates are those of the reader: `x` runs along the line,
`y` upwards, in points, after the page has been turned so that the words of an `angle` run from left
to right.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from pypdf import PageObject

from ingestion.parsers.pdf import pdfium
from ingestion.parsers.pdf.direction import BRACKETS, LEFTWARD
from ingestion.parsers.pdf.drawing import Rule, find_rules
from ingestion.parsers.pdf.font import UNKNOWN_FACE, Face, Faces, advance
from ingestion.parsers.pdf.glyphs import ABSENT, NAMELESS, Glyphs, Shown
from ingestion.parsers.pdf.pdfium import Floats
from ingestion.parsers.pdf.survey import GlyphNames
from ingestion.parsers.pdf.word_pieces import Style, words_of
from ingestion.parsers.pdf.words import Word

MAX_CHARACTERS = 300_000  # on a page
RIGHT = 2  # of a box
NO_STYLE = Style(0.0, 0.0, UNKNOWN_FACE, 0, False, False)
STROKED_TEXT = 2  # the render mode of text that is made bold by an outline
# A glyph without a known character. It is kept until the line shows whether it is a bullet.
UNKNOWN = "\ufffd"
HYPHENS = dict.fromkeys((0x02, 0xFFFE), "-")  # at the end of a line, in PDFium's text
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


@dataclass(slots=True)
class PageContent:
    words: list[Word] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    unreadable: Counter[str] = field(default_factory=Counter)
    cut_short: bool = False


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


def _mapped(codes: str) -> str:
    for code in TEXT_MAP.keys() & set(map(ord, set(codes))):
        codes = codes.replace(chr(code), TEXT_MAP[code])
    return codes


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
        self.text = _mapped(self.codes)
        self.origins = page.origins()

    def words(self) -> list[Word]:
        shown = [self._shown(run) for run in self.page.runs(self.codes) if run[-1]]
        advances = self._advances(shown)
        glyphs = Glyphs(self._named(shown), self.origins, shown, advances)
        glyphs.widen_ligatures(self._reach)
        pairs = zip(glyphs.baselines[1:], shown, strict=True)
        return words_of(glyphs, [NO_STYLE, *(self._style(y, run) for y, run in pairs)])

    def _shown(self, run: pdfium.Run) -> Shown:
        first, end, drawn = run
        a, b, c, d, _, _ = self.page.matrix(first)
        size, font = abs(self.page.size(first)), pdfium.font(drawn)
        face = self.faces.get(font)
        angle = round(math.degrees(math.atan2(b, a))) % 360 if b or a < 0 else 0
        height = self._height(first, angle) if face.drawn else size * math.hypot(c, d)
        along = size * math.hypot(a, b)
        return Shown(first, end, drawn, font, face, angle, along, max(height, 0.01))

    def _advances(self, shown: Sequence[Shown]) -> Floats:
        """How far each character moves the text, in font sizes."""
        found: list[float] = []
        has_leftward = bool(LEFTWARD.search(self.codes))
        for run in shown:
            found += itertools.repeat(0.0, run.first - len(found))
            found += self._advances_of(run)
            if has_leftward and run.angle == 0 and run.along:
                for match in LEFTWARD.finditer(self.codes, run.first, run.end):
                    place = match.start()  # a letter has a glyph for each of its places
                    found[place] = self._reach(place) / run.along
        return np.array(found + [0.0] * (len(self.text) - len(found)))

    def _advances_of(self, run: Shown) -> list[float]:
        codes, known = self.codes[run.first : run.end], run.face.advances
        try:
            return list(map(known.__getitem__, codes))
        except KeyError:
            for letter in set(codes).difference(known):
                self._learn(letter, run)
            return list(map(known.__getitem__, codes))

    def _learn(self, letter: str, run: Shown) -> None:
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

    def _named(self, shown: Sequence[Shown]) -> str:
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

    def _style(self, y: float, run: Shown) -> Style:
        bold = run.face.bold or pdfium.render_mode(run.drawn) == STROKED_TEXT
        paginated = pdfium.count_marks(run.drawn) > 0 and self._is_paginated(run.drawn)
        return Style(y, run.size, run.face, run.angle, paginated, bold)

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
