"""Lines of text: the words of a row as a text, as code and as cells."""

from __future__ import annotations

import itertools
import operator
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from ingestion.parsers import markdown
from ingestion.parsers.pdf.content import UNKNOWN
from ingestion.parsers.pdf.direction import logical
from ingestion.parsers.pdf.rows import Row
from ingestion.parsers.pdf.words import SCRIPT, Word

BULLETS = "•◦▪●○■□‣\u2043∙·➢❖✓►▶\u2013—-*"
CELL_GAP = 1.1  # of the font size: a wider gap inside a line separates cells


class Style(NamedTuple):
    """The style of most of a line; `pitch` is the advance of its font in points if it is code."""

    bold: bool
    mono: bool
    pitch: float


class Column(NamedTuple):
    """The region of the page that a line is part of, and that region's edges."""

    region: int = 0
    left: float = 0.0
    right: float = 0.0


NO_COLUMN = Column()


@dataclass(slots=True)
class Line:
    """A line of text. `marked` has its code spans in backticks; `code` has its white space rebuilt
    from the positions; `cells` are (x0, x1, text), split at wide gaps."""

    text: str
    marked: str
    code: str
    x0: float
    x1: float
    y: float
    size: float
    style: Style
    page: int
    column: Column = NO_COLUMN
    pagination: bool = False
    mark: bool = False
    turned: bool = False
    cells: tuple[tuple[float, float, str], ...] = ()

    @property
    def bold(self) -> bool:
        return self.style.bold

    @property
    def mono(self) -> bool:
        return self.style.mono

    @property
    def region(self) -> int:
        return self.column.region

    @property
    def left(self) -> float:
        return self.column.left

    @property
    def right(self) -> float:
        return self.column.right


def line_of(row: Row, number: int) -> Line:
    words = name_signs(row.words)
    lengths = [len(word.text) for word in words]
    total = sum(lengths)
    code = _letters([word.face.mono for word in words], lengths, total)
    bold = _letters([word.bold for word in words], lengths, total)
    text = join_words(words)
    size = _size(words, lengths, text)
    mono = code >= 0.75 * total
    return Line(
        text=text,
        marked=join_words(words, marked=True) if code else text,
        code=_code_text(words) if mono else "",
        x0=words[0].x0,
        x1=max([word.x1 for word in words]),
        y=row.y,
        size=size,
        style=Style(bold >= 0.9 * total, mono, _pitch(words) if mono else 0.0),
        page=number,
        pagination=all(word.pagination for word in words),
        mark=len(words) > 1 and words[0].y > row.y + 0.15 * size and words[0].size < SCRIPT * size,
        cells=_cells(words, size),
    )


def _letters(flags: Sequence[bool], lengths: Sequence[int], total: int) -> int:
    """How many letters the words that have a flag have; `total` is that of all."""
    if True not in flags:
        return 0
    return total if False not in flags else sum(itertools.compress(lengths, flags))


def _size(words: Sequence[Word], lengths: Sequence[int], text: str) -> float:
    """The size of most letters; the largest for small capitals, which are not small print."""
    sizes = [word.size for word in words]
    if min(sizes) == max(sizes):
        return round(sizes[0], 1)
    rounded: Counter[float] = Counter()
    for size, length in zip(sizes, lengths, strict=True):
        rounded[round(size, 1)] += length
    return max(rounded) if text.isupper() else max(rounded, key=lambda s: (rounded[s], s))


def name_signs(words: list[Word]) -> list[Word]:
    """Turn an unknown glyph before a line's text into a bullet; drop the others."""
    first = words[0]
    if (
        len(words) > 1
        and len(first.text) == 1
        and (first.text == UNKNOWN or (first.face.shows_signs and first.text not in BULLETS))
    ):
        first.text = "•"
    texts = [word.text for word in words]
    if all(texts) and UNKNOWN not in "".join(texts):
        return words
    for word in words:
        word.text = word.text.replace(UNKNOWN, "")
    return [word for word in words if word.text] or [first]


def _cells(words: list[Word], size: float) -> tuple[tuple[float, float, str], ...]:
    wide = CELL_GAP * size
    starts = [
        index
        for index, (before, word) in enumerate(itertools.pairwise(words), 1)
        if word.x0 - before.x1 > wide
    ]
    if not starts:
        return ()
    groups = [words[i:j] for i, j in itertools.pairwise([0, *starts, len(words)])]
    return tuple((g[0].x0, g[-1].x1, join_words(g, marked=True)) for g in groups)


def join_words(words: Sequence[Word], *, marked: bool = False) -> str:
    """The text of a line, with a space for each shown one and each gap as wide as one."""
    if not words:
        return ""
    texts = _texts(words)
    in_code = marked and any(word.face.mono for word in words)
    joined = _with_code_spans(words, texts) if in_code else "".join(texts)
    return logical(joined, from_right=words[0].mirrored)


def _texts(words: Sequence[Word]) -> list[str]:
    """The text of each word, with the space before it, and brackets around a footnote's number."""
    wide = _space_width(words)
    first = words[0].text
    texts = [f"[{first}] " if _opens_note(words) else first]
    for before, word in itertools.pairwise(words):
        text = word.text
        if _is_space(before, word, wide):
            text = " " + text
        elif word.y > before.y and _is_note_mark(before, word):
            text = f"[{text}]"
        texts.append(text)
    return texts


def _with_code_spans(words: Sequence[Word], texts: Sequence[str]) -> str:
    parts: list[str] = []
    pairs = zip([word.face.mono for word in words], texts, strict=True)
    for mono, group in itertools.groupby(pairs, key=operator.itemgetter(0)):
        text = "".join([text for _, text in group])
        code = text.removeprefix(" ")
        parts += [" " * (len(text) - len(code)), markdown.code_span(code)] if mono else [text]
    return "".join(parts)


def _is_space(before: Word, word: Word, wide: float) -> bool:
    size = word.size if word.size < before.size else before.size
    if word.spaced and word.order == before.order + 1:
        wide = 0.04
    return word.x0 - before.x1 > wide * size


def _is_note_mark(before: Word, word: Word) -> bool:
    """Whether a small raised number refers to a footnote: after a word, not after a unit."""
    raised = word.y > before.y + 0.15 * before.size and word.size < SCRIPT * before.size
    return raised and word.text.isdigit() and bool(re.search(r"\w{3}\W?$", before.text))


def _opens_note(words: Sequence[Word]) -> bool:
    word, after = words[0], words[1] if len(words) > 1 else words[0]
    if word.y <= after.y:
        return False
    raised = word.y > after.y + 0.15 * after.size and word.size < SCRIPT * after.size
    return raised and word.text.isdigit()


def _space_width(words: Sequence[Word]) -> float:
    """The gap that separates words, in font sizes: wider if spaces are characters, or if the
    letters are spaced out."""
    if len(words) < 2:
        return 0.13
    spaced = [word.spaced for word in words].count(True) - words[0].spaced
    if spaced >= 0.5 * (len(words) - 1):
        return 0.2
    if len(words) < 6 or len({word.face for word in words}) > 1:
        return 0.13
    single = sum(len(word.text) == 1 and word.text.isalpha() for word in words)
    if single <= 0.8 * len(words):
        return 0.13
    gaps = [(b.x0 - a.x1) / b.size for a, b in itertools.pairwise(words)]
    return max(0.13, 1.6 * median(gaps))


def _pitch(words: list[Word]) -> float:
    word = next((word for word in words if word.face.mono), words[0])
    advance = word.face.pitch * word.size
    shown = [
        (w.x1 - w.x0 - advance) / (len(w.text) - 1)
        for w in words
        if w.face.mono and len(w.text) > 2
    ]
    return median(shown) if shown else advance


def _code_text(words: list[Word]) -> str:
    """The line as typed, with as many spaces between words as fit the gap."""
    pitch = max(_pitch(words), 0.5)
    text = words[0].text
    for before, word in itertools.pairwise(words):
        spaces = max(0, round((word.x0 - before.x1) / pitch))
        if not spaces and not (before.face.mono and word.face.mono):
            spaces = int(_is_space(before, word, 0.13))
        text += " " * spaces + word.text
    return logical(text, from_right=words[0].mirrored)
