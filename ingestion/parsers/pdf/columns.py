"""Columns: bands of rows that a strip of white space runs through, with running text on both sides.

Table cells look the same, so the order in which the file draws its words decides: columns are drawn
one after the other, table rows one after the other.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from functools import reduce
from statistics import median
from typing import NamedTuple

from ingestion.parsers.pdf.rows import BIN, Row, by_height, rows_of
from ingestion.parsers.pdf.words import Word

MIN_GUTTER = 0.7  # of the font size
MIN_COLUMN_ROWS = 3
FEW_LETTERS = 4  # a line: fewer are no running text
MAX_ROWS_SEARCHED = 1_500


class Band(NamedTuple):
    """Rows from `start` to before `end`, and the `sides` of the gutter if they are in columns."""

    start: int
    end: int
    gutter: float = 0.0
    sides: tuple[list[Row], ...] = ()


class Bands:
    """Looks for columns among rows: for bands of them that a gutter runs through.

    Gaps in which none of the `known` gutters is are added to `missed`.
    """

    def __init__(
        self, rows: list[Row], known: Sequence[float], missed: list[tuple[float, float]]
    ) -> None:
        self.rows = rows
        self.known = known
        self.missed = missed
        self.masks = [row.mask() for row in rows]
        self.sizes = [row.size for row in rows]
        self._found: dict[int, Band] = {}
        self._spreads: dict[int, list[int]] = {}
        self._lowest = [(mask & -mask).bit_length() - 1 for mask in self.masks]
        self.whole = (1 << max((mask.bit_length() for mask in self.masks), default=0)) - 1

    def at(self, start: int) -> Band:
        """The longest band from `start` with a gap through it."""
        if start not in self._found:
            self._found[start] = self._look(start)
        return self._found[start]

    def _look(self, start: int) -> Band:
        least = max(2, round(MIN_GUTTER * _middle(self.sizes[start : start + 40]) / BIN))
        union, end = self._widest_union(start, least)
        rows = self.rows[start:end]
        for first, last in sorted(_inner_gaps(union, least), key=_narrowness)[:3]:
            middle = (first + last + 1) / 2 * BIN
            sides = _columns(rows, middle) if end - start >= MIN_COLUMN_ROWS else None
            if sides is not None:
                return Band(start, end, middle, sides)
            gap = first * BIN, (last + 1) * BIN
            again = next((x for x in self.known if gap[0] <= x <= gap[1]), None)
            if again is None:
                self.missed.append(gap)
            elif (sides := _columns_again(rows, again)) is not None:
                return Band(start, end, again, sides)
        return Band(start, end)

    def first(self, low: int, high: int) -> Band:
        """The band at `high`, or one in columns that begins at a row skipped before it."""
        bands = (self.at(start) for start in range(low, high))
        return next((band for band in bands if band.sides), self.at(high))

    def _widest_union(self, start: int, least: int) -> tuple[int, int]:
        """The joint mask of the rows from `start` on that a gap runs through, and their end."""
        spread = self._spread(least)
        within = (1 << max(self.whole.bit_length() - least + 1, 0)) - 1
        union, filled, lowest = 0, 0, self._lowest[start]
        parted, end = False, start
        for end in range(start, min(len(self.rows), start + MAX_ROWS_SEARCHED)):
            full = filled | spread[end]
            lowest = min(lowest, self._lowest[end])
            covered = full >> lowest  # all ones if there is no gap
            goes_on = bool(covered & (covered + 1))
            if not goes_on and (parted or not within & ~full):
                return union, end
            union, filled, parted = union | self.masks[end], full, goes_on
        return union, end + 1

    def _spread(self, least: int) -> list[int]:
        """The masks with a zero only where a gap of `least` bits begins."""
        if least not in self._spreads:
            shifts = range(least)
            self._spreads[least] = [
                reduce(operator.or_, (mask >> shift for shift in shifts)) for mask in self.masks
            ]
        return self._spreads[least]


_order = operator.attrgetter("order")


def _narrowness(gap: tuple[int, int]) -> int:
    return gap[0] - gap[1]


def typical_size(rows: list[Row]) -> float:
    return _middle([row.size for row in rows])


def _middle(sizes: list[float]) -> float:
    """The size of the middle row, by size; tables have none."""
    found = sorted([size for size in sizes if size] if 0.0 in sizes else sizes)
    return found[len(found) // 2] if found else 10.0


def _inner_gaps(mask: int, least: int) -> list[tuple[int, int]]:
    """The runs of at least `least` zero bits with ones on both sides, as (first, last)."""
    text = bin(mask)[:1:-1]
    return [
        (match.start(), match.end() - 1) for match in re.finditer("0+", text)
        if match.start() > 0 and match.end() - match.start() >= least
    ]  # fmt: skip


def _split_at(rows: list[Row], gutter: float) -> tuple[list[Row], list[Row]]:
    left: list[Row] = []
    right: list[Row] = []
    words: list[Word] = []
    for row in rows:
        if row.table is not None:
            (left if row.table.x1 <= gutter else right).append(row)
        words.extend(row.words)
    left += rows_of([word for word in words if word.x1 <= gutter])
    right += rows_of([word for word in words if word.x1 > gutter])
    key = by_height
    return sorted(left, key=key), sorted(right, key=key)


def _columns(rows: list[Row], gutter: float) -> tuple[list[Row], list[Row]] | None:
    """The rows of both sides of the gutter, if running text is on both, drawn one side after the
    other."""
    if not _have_letters(rows, gutter) or not _have_heights(rows, gutter):
        return None
    sides = _split_at(rows, gutter)
    shorter = min(len(side) for side in sides)
    if shorter < MIN_COLUMN_ROWS or not all(_is_running_text(side) for side in sides):
        return None
    if _switches(rows, gutter) <= max(3, 0.34 * shorter):
        return sides
    return sides if shorter >= 8 and all(_is_dense(side) for side in sides) else None


def _have_letters(rows: list[Row], gutter: float) -> bool:
    """Whether each side has enough letters for running text, which is quickly seen."""
    if any(row.table is not None for row in rows):
        return True
    sides = zip(*[row.letters_beside(gutter) for row in rows], strict=True)
    return all(
        sum(letters) >= FEW_LETTERS * (len(letters) - letters.count(0)) > 0 for letters in sides
    )


def _have_heights(rows: list[Row], gutter: float) -> bool:
    """Whether the words of each side are at enough heights to be rows, which is quickly seen."""
    heights: tuple[set[float], set[float]] = (set(), set())
    for row in rows:
        if row.table is not None:
            return True
        for word in row.words:
            heights[word.x1 > gutter].add(word.y)
    return min(map(len, heights)) >= MIN_COLUMN_ROWS


def _columns_again(rows: list[Row], gutter: float) -> tuple[list[Row], list[Row]] | None:
    """The sides of a few lines next to a full-width part, if they are in columns known from other
    pages."""
    sides = _split_at(rows, gutter)
    if not all(sides) or any(row.table is not None for row in rows):
        return None
    letters = [median(row.letters for row in side) for side in sides]
    return sides if min(letters) >= 20 and _switches(rows, gutter) <= 1 else None


def _switches(rows: list[Row], gutter: float) -> int:
    """How often the file switches between the sides of the gutter when it draws the words."""
    words = sorted([word for row in rows for word in row.words], key=_order)
    is_right = [word.x1 > gutter for word in words]
    return sum(map(operator.ne, is_right, is_right[1:]))


def _is_running_text(rows: list[Row]) -> bool:
    """Whether most rows fill the column, unlike those of a table or of labels."""
    text = [row for row in rows if row.words]
    if len(text) < MIN_COLUMN_ROWS:
        return bool(rows) and not text
    width = max(row.x1 for row in text) - min(row.x0 for row in text)
    filled = median(row.x1 - row.x0 for row in text) / max(width, 1.0)
    letters = median(row.letters for row in text)
    return filled > 0.4 and letters >= 12


def _is_dense(rows: list[Row]) -> bool:
    """Whether rows are justified lines without gaps between them, which table cells are not."""
    text = [row for row in rows if row.words]
    width = max(row.x1 for row in text) - min(row.x0 for row in text)
    filled = [row.x1 - row.x0 > 0.85 * width for row in text]
    words = median(len(row.words) for row in text)
    return sum(filled) > 0.6 * len(filled) and words >= 4
