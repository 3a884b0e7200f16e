"""Words of a page to lines in reading order: columns, full-width parts between them, tables.

A page is read as bands from top to bottom. A band is either full-width lines, or columns side by
side: a strip of white space runs through several lines, with running text on both sides. Table
cells look the same, so the order in which the file draws its words decides: columns are drawn one
after the other, table rows one after the other.
"""

from __future__ import annotations

import itertools
import operator
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import NamedTuple

from ingestion.parsers import markdown
from ingestion.parsers.pdf.content import UNKNOWN, PageContent
from ingestion.parsers.pdf.direction import logical, runs_leftward
from ingestion.parsers.pdf.drawing import Rule
from ingestion.parsers.pdf.tables import Grid, find_grids
from ingestion.parsers.pdf.words import SPACE, Word, turn

BULLETS = "•◦▪●○■□‣\u2043∙·➢❖✓►▶\u2013—-*"
BIN = 2.0  # points per bit of a row's mask
MIN_GUTTER = 0.7  # of the font size
MIN_COLUMN_ROWS = 3
FEW_LETTERS = 4  # a line: fewer are no running text
MAX_COLUMN_DEPTH = 4
TRIES = 24  # rows of one band at which columns are looked for
MAX_ROWS_SEARCHED = 1_500
MARGIN = 0.1  # of the page height: the zone of running heads and page numbers
CELL_GAP = 1.1  # of the font size: a wider gap inside a line separates cells
SCRIPT = 0.86  # of the font size: what is larger is no superscript
LONG_CELL = 1_500  # characters: a "cell" with more is a framed part of the page


class Style(NamedTuple):
    """The style of most of a line; `pitch` is the advance of its code font in points."""

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


Item = Line | PdfTable


@dataclass(slots=True)
class PageLayout:
    """`angle`: the rotation of the text against the page; `top` and `height` are measured in the
    rotated coordinates."""

    number: int
    items: list[Item] = field(default_factory=list)
    angle: int = 0
    bottom: float = 0.0
    height: float = 0.0


@dataclass
class _Row:
    """Words on one baseline, from left to right."""

    words: list[Word]
    y: float
    table: PdfTable | None = None

    @cached_property
    def size(self) -> float:
        """The size of its middle word, by size; 0 for a table."""
        sizes = sorted([word.size for word in self.words])
        return sizes[len(sizes) // 2] if sizes else 0.0

    @cached_property
    def mask(self) -> int:
        """A bit mask of the BINs of the page's width that the row covers."""
        mask = 0
        for x0, x1 in self.extents():
            start, end = int(max(x0, 0) / BIN), int(max(x1, 0) / BIN)
            mask |= ((1 << (end - start + 1)) - 1) << start
        return mask

    def extents(self) -> list[tuple[float, float]]:
        if self.table is not None:
            return [(self.table.x0, self.table.x1)]
        return [(word.x0, word.x1) for word in self.words]

    @property
    def x0(self) -> float:
        return self.words[0].x0 if self.table is None else self.table.x0

    @cached_property
    def x1(self) -> float:
        return max([x1 for _, x1 in self.extents()])

    @cached_property
    def letters(self) -> int:
        return sum([len(word.text) for word in self.words])


def lay_out(
    content: PageContent,
    box: tuple[float, float, float, float],
    number: int,
    gutters: list[float] | None = None,
) -> PageLayout:
    """The lines and tables of a page in reading order; `box` is the visible part of the page.

    `gutters` are the gaps between columns on earlier pages; those of this page are added to it.
    """
    words = [word for word in content.words if _is_on_page(word, box)]
    layout = PageLayout(number)
    layout.angle = _main_angle(words)
    rules = content.rules
    if layout.angle == 0 and runs_leftward("".join(word.text for word in words)):
        rules = _mirror(words, rules, box[0] + box[2])
    corners = [turn(x, y, layout.angle) for x in (box[0], box[2]) for y in (box[1], box[3])]
    layout.bottom = min(y for _, y in corners)
    layout.height = max(y for _, y in corners) - layout.bottom
    shift = -min(x for x, _ in corners)
    tables, loose = _take_tables(words, rules, layout.angle, number)
    upright = [word for word in loose if word.angle == layout.angle]
    _move(upright, tables, shift)
    gutters = [] if gutters is None else gutters
    builder = _Reader(layout, gutters)
    builder.read(upright, tables)
    if set(builder.found) - set(gutters):
        gutters += sorted(set(builder.found) - set(gutters))
        layout.items.clear()
        builder = _Reader(layout, gutters)
        builder.read(upright, tables)
    for angle in sorted({word.angle for word in loose} - {layout.angle}):
        builder.read_turned([word for word in loose if word.angle == angle])
    return layout


def _is_on_page(word: Word, box: tuple[float, float, float, float]) -> bool:
    x, y = (word.x0 + word.x1) / 2, word.y
    if word.angle:
        x, y = turn(x, y, -word.angle)
    return box[0] - 2 <= x <= box[2] + 2 and box[1] - 2 <= y <= box[3] + 2


def _main_angle(words: Sequence[Word]) -> int:
    counts: Counter[int] = Counter()
    for word in words:
        counts[word.angle] += len(word.text)
    return max(counts, key=lambda angle: (counts[angle], -angle)) if counts else 0


def _mirror(words: Iterable[Word], rules: Iterable[Rule], width: float) -> list[Rule]:
    """Turn a page that is read from right to left into one from left to right, each word with its
    glyphs; return the rules."""
    for word in words:
        word.text, word.mirrored = word.text[::-1], True
        word.x0, word.x1 = width - word.x1, width - word.x0
    return [Rule(width - rule.x1, rule.y0, width - rule.x0, rule.y1) for rule in rules]


def _move(words: Iterable[Word], tables: Iterable[PdfTable], shift: float) -> None:
    """Shift words and tables so that the left edge is 0, which the masks need."""
    for word in words:
        word.x0 += shift
        word.x1 += shift
    for table in tables:
        table.x0 += shift
        table.x1 += shift


# Tables


def _take_tables(
    words: list[Word], rules: Sequence[Rule], angle: int, number: int
) -> tuple[list[PdfTable], list[Word]]:
    """The ruled tables of the page, and the words outside them."""
    if angle % 90 or not rules:
        return [], words
    tables = []
    turned = [_turn_rule(rule, angle) for rule in rules]
    underlined = _underlined([word for word in words if word.angle == angle])
    for grid in find_grids([rule for rule in turned if not _is_underline(rule, underlined)]):
        cells: dict[tuple[int, int], list[Word]] = defaultdict(list)
        outside: list[Word] = []
        for word in words:
            cell = grid.locate(*_centre(word, angle))
            (outside if cell is None else cells[cell]).append(word)
        if _is_table(grid, cells):
            tables.append(_table(grid, cells, number))
            words = outside
    return tables, words


def _underlined(words: list[Word]) -> dict[int, list[Word]]:
    """Words by the heights in points at which a line would underline them."""
    found: dict[int, list[Word]] = defaultdict(list)
    for word in words:
        for y in range(int(word.y - 0.3 * word.size), int(word.y + 1) + 1):
            found[y].append(word)
    return found


def _is_underline(rule: Rule, words: dict[int, list[Word]]) -> bool:
    """Whether a line begins and ends with the words above it, which no cell border does."""
    if rule.y1 - rule.y0 > 2 or rule.x1 - rule.x0 < 2:
        return False
    above = words.get(int((rule.y0 + rule.y1) / 2), ())
    return any(abs(word.x0 - rule.x0) < 1.5 for word in above) and any(
        abs(word.x1 - rule.x1) < 1.5 for word in above
    )


def _turn_rule(rule: Rule, angle: int) -> Rule:
    x0, y0 = turn(rule.x0, rule.y0, angle)
    x1, y1 = turn(rule.x1, rule.y1, angle)
    return Rule(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def _centre(word: Word, angle: int) -> tuple[float, float]:
    middle = (word.x0 + word.x1) / 2, word.y + 0.3 * word.size
    return turn(*turn(*middle, -word.angle), angle)


def _is_table(grid: Grid, cells: dict[tuple[int, int], list[Word]]) -> bool:
    """Whether two rows have text side by side, which boxes of a drawing hardly ever have."""
    per_row = Counter(row for row, column in cells)
    side_by_side = sum(count >= 2 for count in per_row.values())
    whole = max(per_row.values(), default=0) == grid.columns
    if side_by_side < (1 if whole else 2) or side_by_side < 0.3 * len(per_row):
        return False
    if len(per_row) < 2:
        return False
    return not any(_is_framed_text(words) for words in cells.values())


def _is_framed_text(words: list[Word]) -> bool:
    """Whether words are a long text or a listing, which is in a frame rather than a cell."""
    length = sum(len(word.text) for word in words)
    code = sum(len(word.text) for word in words if word.face.mono)
    return length > LONG_CELL or (code > 0.8 * length and len(_rows(words)) >= 4)


def _table(grid: Grid, cells: dict[tuple[int, int], list[Word]], number: int) -> PdfTable:
    rows = [
        [_cell_lines(cells.get((row, column), [])) for column in range(grid.columns)]
        for row in range(grid.rows)
    ]
    kept = [column for column in range(grid.columns) if any(row[column] for row in rows)]
    rows = [[row[column] for column in kept] for row in rows if any(row)]
    return PdfTable(rows, grid.xs[0], grid.xs[-1], grid.ys[0], grid.ys[-1], number)


def _cell_lines(words: list[Word]) -> list[str]:
    lines = []
    for angle in sorted({word.angle for word in words}):
        for row in _rows([word for word in words if word.angle == angle]):
            lines.append(_join_words(_name_signs(row.words), marked=True))
    return lines


# Rows


def _rows(words: Sequence[Word]) -> list[_Row]:
    """Words by baseline, from top to bottom, with superscripts in their line."""
    groups = _by_baseline(words)
    _attach_scripts(groups)
    rows = [_Row(sorted(group, key=_x0), _baseline(group)) for group in groups if group]
    return sorted(rows, key=_by_height)


_x0, _y = operator.attrgetter("x0"), operator.attrgetter("y")


def _by_baseline(words: Sequence[Word]) -> list[list[Word]]:
    groups: list[list[Word]] = []
    y = size = 0.0
    for word in sorted(sorted(words, key=_x0), key=_y, reverse=True):
        if groups and y - word.y < 0.22 * min(word.size, size):
            groups[-1].append(word)
        else:
            groups.append([word])
            y, size = word.y, word.size
    return groups


def _baseline(words: list[Word]) -> float:
    if len(words) == 1:
        return words[0].y
    return max(words, key=lambda w: (round(w.size, 1), len(w.text))).y


def _attach_scripts(groups: list[list[Word]]) -> None:
    largest = [max(word.size for word in group) for group in groups]
    for index, group in enumerate(groups):
        places = [i for i in (index - 1, index + 1, index - 2, index + 2) if 0 <= i < len(groups)]
        least = SCRIPT * max((largest[i] for i in places), default=0.0)
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


# Reading order


class _Reader:
    """Walks bands and columns, and writes lines and tables into the layout in reading order."""

    def __init__(self, layout: PageLayout, gutters: Sequence[float]) -> None:
        self.layout = layout
        self.gutters = gutters
        self.found: list[float] = []
        self.regions = 0

    def read(self, words: list[Word], tables: list[PdfTable]) -> None:
        rows = _rows(words) + [_Row([], table.y, table) for table in tables]
        rows.sort(key=lambda row: -row.y)
        head, body, foot = _split_margins(rows, self.layout)
        for part in (head, body, foot):
            self.read_bands(part, 0)

    def read_turned(self, words: list[Word]) -> None:
        """Read text at another angle (labels of axes, stamps), which comes after the page's own."""
        rows = _rows(words)
        for row in rows:
            self.emit([row])
        for item in self.layout.items[len(self.layout.items) - len(rows) :]:
            if isinstance(item, Line):
                item.turned = True

    def read_bands(self, rows: list[_Row], depth: int) -> None:
        start, flow, step = 0, 0, 1
        bands = _Bands(rows, self.gutters)
        while start < len(rows) and depth < MAX_COLUMN_DEPTH:
            end, gutter = bands.at(start)
            if gutter is None:
                # So that a long table is not tried again at each of its rows.
                step = max(1, (end - start) // TRIES)
                start += step
                continue
            start, end, gutter = bands.first(max(flow, start - step + 1), start)
            self.found.append(gutter)
            self.emit(rows[flow:start])
            for side in _split_at(rows[start:end], gutter):
                self.read_bands(side, depth + 1)
            start, flow, step = end, end, 1
        self.emit(rows[flow:])

    def emit(self, rows: list[_Row]) -> None:
        if not rows:
            return
        self.regions += 1
        left, right = min(row.x0 for row in rows), max(row.x1 for row in rows)
        for row in rows:
            item: Item
            if row.table is not None:
                item = row.table
                item.region = self.regions
            else:
                item = _line(row, self.layout.number)
                item.column = Column(self.regions, left, right)
            self.layout.items.append(item)


def _split_margins(
    rows: list[_Row], layout: PageLayout
) -> tuple[list[_Row], list[_Row], list[_Row]]:
    """Split off the rows in the margins, separated by white space, which belong to no column."""
    if len(rows) < 3:
        return [], rows, []
    pitches = [a.y - b.y for a, b in itertools.pairwise(rows)]
    wide = 1.7 * max(median(pitches), _typical_size(rows))
    top = layout.bottom + (1 - MARGIN) * layout.height
    first = next((i + 1 for i in (1, 0) if pitches[i] > wide and rows[i].y > top), 0)
    low = layout.bottom + MARGIN * layout.height
    last = len(rows)
    for back in (2, 1):
        if pitches[-back] > wide and rows[-back].y < low:
            last = len(rows) - back
            break
    return rows[:first], rows[first:last], rows[last:]


class _Bands:
    """Looks for columns among rows: for bands of them that a gutter runs through."""

    def __init__(self, rows: list[_Row], known: Sequence[float]) -> None:
        self.rows = rows
        self.known = known
        self.masks = [row.mask for row in rows]
        self.whole = (1 << max((mask.bit_length() for mask in self.masks), default=0)) - 1

    def at(self, start: int) -> tuple[int, float | None]:
        """The end of the longest band from `start` with a gutter, and the gutter's middle."""
        least = max(2, round(MIN_GUTTER * _typical_size(self.rows[start : start + 40]) / BIN))
        union, end = self._widest_union(start, least)
        rows = self.rows[start:end]
        for first, last in sorted(_inner_gaps(union, least), key=_narrowness)[:3]:
            middle = (first + last + 1) / 2 * BIN
            if end - start >= MIN_COLUMN_ROWS and _are_columns(rows, middle):
                return end, middle
            again = next((x for x in self.known if first * BIN <= x <= (last + 1) * BIN), None)
            if again is not None and _are_columns_again(rows, again):
                return end, again
        return end, None

    def first(self, low: int, high: int) -> tuple[int, int, float]:
        """The band at `high`, or one that begins at a row skipped before it."""
        for start in range(low, high + 1):
            end, gutter = self.at(start)
            if gutter is not None:
                return start, end, gutter
        raise AssertionError("there is a band at `high`")

    def _widest_union(self, start: int, least: int) -> tuple[int, int]:
        """The joint mask of the rows from `start` on that a gap runs through, and their end."""
        union, parted, end = 0, False, start
        while end < min(len(self.rows), start + MAX_ROWS_SEARCHED):
            grown = union | self.masks[end]
            inner = ~grown & ((1 << grown.bit_length()) - 1) & -(grown & -grown)
            goes_on = _has_run(inner, least)
            if not goes_on and (parted or not _has_run(self.whole & ~grown, least)):
                break
            union, parted, end = grown, goes_on, end + 1
        return union, end


def _narrowness(gap: tuple[int, int]) -> int:
    return gap[0] - gap[1]


def _has_run(bits: int, least: int) -> bool:
    """Whether there are `least` ones side by side."""
    for _ in range(least - 1):
        bits &= bits >> 1
    return bits != 0


def _typical_size(rows: list[_Row]) -> float:
    sizes = sorted(row.size for row in rows if row.words)
    return sizes[len(sizes) // 2] if sizes else 10.0


def _inner_gaps(mask: int, least: int) -> list[tuple[int, int]]:
    """The runs of at least `least` zero bits with ones on both sides, as (first, last)."""
    text = bin(mask)[:1:-1]
    return [
        (match.start(), match.end() - 1) for match in re.finditer("0+", text)
        if match.start() > 0 and match.end() - match.start() >= least
    ]  # fmt: skip


def _split_at(rows: list[_Row], gutter: float) -> tuple[list[_Row], list[_Row]]:
    left: list[_Row] = []
    right: list[_Row] = []
    words: list[Word] = []
    for row in rows:
        if row.table is not None:
            (left if row.table.x1 <= gutter else right).append(row)
        words.extend(row.words)
    left += _rows([word for word in words if word.x1 <= gutter])
    right += _rows([word for word in words if word.x1 > gutter])
    key = _by_height
    return sorted(left, key=key), sorted(right, key=key)


def _by_height(row: _Row) -> float:
    return -row.y


def _are_columns(rows: list[_Row], gutter: float) -> bool:
    """Whether running text is on both sides of the gutter, drawn one side after the other."""
    if not _have_letters(rows, gutter):
        return False
    sides = _split_at(rows, gutter)
    if any(len(side) < MIN_COLUMN_ROWS for side in sides):
        return False
    if not all(_is_running_text(side) for side in sides):
        return False
    shorter = min(len(side) for side in sides)
    if _switches(rows, gutter) <= max(3, 0.34 * shorter):
        return True
    return shorter >= 8 and all(_is_dense(side) for side in sides)


def _have_letters(rows: list[_Row], gutter: float) -> bool:
    """Whether each side has enough letters for running text, which is quickly seen."""
    lines, letters = [0, 0], [0, 0]
    for row in rows:
        of_row = [0, 0]
        for word in row.words:
            of_row[word.x1 > gutter] += len(word.text)
        for side in (0, 1):
            lines[side] += of_row[side] > 0
            letters[side] += of_row[side]
        if row.table is not None:
            return True
    return all(letters[side] >= FEW_LETTERS * lines[side] > 0 for side in (0, 1))


def _are_columns_again(rows: list[_Row], gutter: float) -> bool:
    """Whether a few lines next to a full-width part are in columns known from other pages."""
    sides = _split_at(rows, gutter)
    if not all(sides) or any(row.table is not None for row in rows):
        return False
    letters = [median(row.letters for row in side) for side in sides]
    return min(letters) >= 20 and _switches(rows, gutter) <= 1


def _switches(rows: list[_Row], gutter: float) -> int:
    """How often the file switches between the sides of the gutter when it draws the words."""
    words = sorted((w for row in rows for w in row.words), key=lambda w: w.order)
    return sum((a.x1 > gutter) != (b.x1 > gutter) for a, b in itertools.pairwise(words))


def _is_running_text(rows: list[_Row]) -> bool:
    """Whether most rows fill the column, unlike those of a table or of labels."""
    text = [row for row in rows if row.words]
    if len(text) < MIN_COLUMN_ROWS:
        return bool(rows) and not text
    width = max(row.x1 for row in text) - min(row.x0 for row in text)
    filled = median(row.x1 - row.x0 for row in text) / max(width, 1.0)
    letters = median(row.letters for row in text)
    return filled > 0.4 and letters >= 12


def _is_dense(rows: list[_Row]) -> bool:
    """Whether rows are justified lines without gaps between them, which table cells are not."""
    text = [row for row in rows if row.words]
    width = max(row.x1 for row in text) - min(row.x0 for row in text)
    filled = [row.x1 - row.x0 > 0.85 * width for row in text]
    words = median(len(row.words) for row in text)
    return sum(filled) > 0.6 * len(filled) and words >= 4


# Lines


def _line(row: _Row, number: int) -> Line:
    words = _name_signs(row.words)
    total = sum(len(word.text) for word in words)
    sizes: Counter[float] = Counter()
    for word in words:
        sizes[round(word.size, 1)] += len(word.text)
    code = sum(len(word.text) for word in words if word.face.mono)
    bold = sum(len(word.text) for word in words if word.bold)
    size = max(sizes, key=lambda s: (sizes[s], s))
    text = _join_words(words)
    if text.isupper():
        size = max(sizes)  # small capitals are not small print
    mono = code >= 0.75 * total
    return Line(
        text=text,
        marked=_join_words(words, marked=True) if code else text,
        code=_code_text(words) if mono else "",
        x0=words[0].x0,
        x1=max(word.x1 for word in words),
        y=row.y,
        size=size,
        style=Style(bold >= 0.9 * total, mono, _pitch(words)),
        page=number,
        pagination=all(word.pagination for word in words),
        mark=len(words) > 1 and words[0].y > row.y + 0.15 * size and words[0].size < 0.86 * size,
        cells=_cells(words, size),
    )


def _name_signs(words: list[Word]) -> list[Word]:
    """Turn an unknown glyph before a line's text into a bullet; drop the others."""
    first = words[0]
    if (
        len(words) > 1
        and len(first.text) == 1
        and (first.text == UNKNOWN or (first.face.shows_signs and first.text not in BULLETS))
    ):
        first.text = "•"
    for word in words:
        word.text = word.text.replace(UNKNOWN, "")
    return [word for word in words if word.text] or [first]


def _cells(words: list[Word], size: float) -> tuple[tuple[float, float, str], ...]:
    groups = [[words[0]]]
    for before, word in itertools.pairwise(words):
        if word.x0 - before.x1 > CELL_GAP * size:
            groups.append([word])
        else:
            groups[-1].append(word)
    if len(groups) == 1:
        return ()
    return tuple((g[0].x0, g[-1].x1, _join_words(g, marked=True)) for g in groups)


def _join_words(words: Sequence[Word], *, marked: bool = False) -> str:
    """The text of a line, with a space for each shown one and each gap as wide as one."""
    if not words:
        return ""
    wide = _space_width(words)
    parts: list[str] = []
    code: list[str] = []
    for index, word in enumerate(words):
        before = words[index - 1] if index else None
        space = before is not None and _is_space(before, word, wide)
        in_code = marked and word.face.mono
        if code and not in_code:
            parts.append(markdown.code_span("".join(code)))
            code = []
        if space:
            (code or parts).append(" ")
        note = before is not None and not space and _is_note_mark(before, word)
        text = f"[{word.text}]" if note else word.text
        if index == 0 and _opens_note(words):
            text = f"[{word.text}] "
        (code if in_code else parts).append(text)
    joined = "".join([*parts, markdown.code_span("".join(code))])
    return logical(joined, from_right=words[0].mirrored)


def _is_space(before: Word, word: Word, wide: float) -> bool:
    gap = word.x0 - before.x1
    size = min(before.size, word.size)
    if word.spaced and word.order == before.order + 1:
        return gap > SPACE * size
    return gap > wide * size


def _is_note_mark(before: Word, word: Word) -> bool:
    """Whether a small raised number refers to a footnote: after a word, not after a unit."""
    raised = word.y > before.y + 0.15 * before.size and word.size < 0.86 * before.size
    return raised and word.text.isdigit() and bool(re.search(r"\w{3}\W?$", before.text))


def _opens_note(words: Sequence[Word]) -> bool:
    word, after = words[0], words[1] if len(words) > 1 else words[0]
    raised = word.y > after.y + 0.15 * after.size and word.size < 0.86 * after.size
    return raised and word.text.isdigit()


def _space_width(words: Sequence[Word]) -> float:
    """The gap that separates words, in font sizes: wider if spaces are characters, or if the
    letters are spaced out."""
    if len(words) < 2:
        return 0.13
    spaced = sum(word.spaced for word in words[1:])
    if spaced >= 0.5 * (len(words) - 1):
        return 0.2
    single = sum(len(word.text) == 1 and word.text.isalpha() for word in words)
    if len(words) >= 6 and single > 0.8 * len(words) and len({w.face for w in words}) == 1:
        gaps = [(b.x0 - a.x1) / b.size for a, b in itertools.pairwise(words)]
        return max(0.13, 1.6 * median(gaps))
    return 0.13


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
