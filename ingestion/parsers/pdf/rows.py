"""Rows: the words of a page by their baselines, with raised and lowered ones."""

from __future__ import annotations

import itertools
import operator
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from ingestion.parsers.pdf.words import SCRIPT, Word

BIN = 2.0  # points per bit of a row's mask


@dataclass(slots=True)
class PdfTable:
    """A ruled table: rows of cells, each a list of lines."""

    rows: list[list[list[str]]]
    x0: float
    x1: float
    y: float
    bottom: float
    page: int
    region: int = 0


class Row:
    """Words on one baseline, from left to right, or a table."""

    def __init__(self, words: list[Word], y: float, table: PdfTable | None = None) -> None:
        self.words, self.y, self.table = words, y, table
        self.x0 = words[0].x0 if table is None else table.x0
        self.x1 = max([word.x1 for word in words]) if table is None else table.x1
        sizes = sorted([word.size for word in words])
        self.size = sizes[len(sizes) // 2] if sizes else 0.0  # the middle word's, by size
        self._ends: list[float] = []
        self._letters: list[int] = []

    @property
    def letters(self) -> int:
        return sum([len(word.text) for word in self.words])

    def letters_beside(self, x: float) -> tuple[int, int]:
        """The number of letters of the words that end at x or before it, and of the others."""
        if not self._letters:
            words = sorted(self.words, key=_x1)
            self._ends = [word.x1 for word in words]
            lengths = [len(word.text) for word in words]
            self._letters = list(itertools.accumulate(lengths, initial=0))
        before = self._letters[bisect_right(self._ends, x)]
        return before, self._letters[-1] - before

    def mask(self) -> int:
        """A bit mask of the BINs of the page's width that the row covers."""
        mask = 0
        for part in [self.table] if self.table is not None else self.words:
            start = int(part.x0 / BIN) if part.x0 > 0 else 0
            end = int(part.x1 / BIN) if part.x1 > 0 else 0
            mask |= ((1 << (end - start + 1)) - 1) << start
        return mask


def rows_of(words: Sequence[Word]) -> list[Row]:
    """Words by baseline, from top to bottom, with superscripts in their line."""
    groups = _by_baseline(words)
    _attach_scripts(groups)
    rows = [Row(sorted(group, key=_x0), _baseline(group)) for group in groups if group]
    return sorted(rows, key=by_height)


_x0, _x1, _y = map(operator.attrgetter, ("x0", "x1", "y"))


def _by_baseline(words: Sequence[Word]) -> list[list[Word]]:
    groups: list[list[Word]] = []
    group: list[Word] = []
    y = size = 0.0
    for word in sorted(sorted(words, key=_x0), key=_y, reverse=True):
        if group and (y == word.y or y - word.y < 0.22 * min(word.size, size)):
            group.append(word)
        else:
            group = [word]
            groups.append(group)
            y, size = word.y, word.size
    return groups


def _baseline(words: list[Word]) -> float:
    ys = [word.y for word in words]
    if ys.count(ys[0]) == len(ys):
        return ys[0]
    if len({word.size for word in words}) == 1:
        return max(words, key=_length).y
    return max(words, key=lambda w: (round(w.size, 1), len(w.text))).y


def _length(word: Word) -> int:
    return len(word.text)


def _attach_scripts(groups: list[list[Word]]) -> None:
    sizes = [[word.size for word in group] for group in groups]
    largest = list(map(max, sizes))
    if not groups or min(map(min, sizes)) > SCRIPT * max(largest):
        return
    for index, group in enumerate(groups):
        places = [i for i in (index - 1, index + 1, index - 2, index + 2) if 0 <= i < len(groups)]
        least = SCRIPT * max([largest[i] for i in places], default=0.0)
        for word in [word for word in group if word.size <= least and len(word.text) <= 6]:
            host = next((groups[i] for i in places if _is_script(word, groups[i])), None)
            if host is not None:
                group.remove(word)
                host.append(word)


def _is_script(word: Word, line: list[Word]) -> bool:
    """Whether a short word is smaller than one of the line's, beside it, and raised or lowered."""
    for other in line:
        if word.size > SCRIPT * other.size:
            continue
        if not -0.3 * other.size < word.y - other.y < 0.65 * other.size:
            continue
        after, before = word.x0 - other.x1, other.x0 - word.x1
        if -0.3 * other.size < max(after, before) < 0.3 * other.size:
            return True
    return False


def by_height(row: Row) -> float:
    return -row.y
