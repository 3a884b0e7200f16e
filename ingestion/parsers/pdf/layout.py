"""Words of a page to lines in reading order: columns, full-width parts between them, tables.

A page is read as bands from top to bottom. A band is either full-width lines, or columns side by
side: a strip of white space runs through several lines, with running text on both sides. Table
cells look the same, so the order in which the file draws its words decides: columns are drawn one
after the other, table rows one after the other.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from ingestion.parsers.pdf.columns import Bands, typical_size
from ingestion.parsers.pdf.content import PageContent
from ingestion.parsers.pdf.direction import runs_leftward
from ingestion.parsers.pdf.drawing import Rule
from ingestion.parsers.pdf.lines import Column, Line, join_words, line_of, name_signs
from ingestion.parsers.pdf.rows import PdfTable, Row, rows_of
from ingestion.parsers.pdf.tables import Grid, find_grids, is_upright
from ingestion.parsers.pdf.words import Word, turn

MAX_COLUMN_DEPTH = 4
TRIES = 24  # rows of one band at which columns are looked for
MARGIN = 0.1  # of the page height: the zone of running heads and page numbers
LONG_CELL = 1_500  # characters: a "cell" with more is a framed part of the page
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


def lay_out(
    content: PageContent,
    box: tuple[float, float, float, float],
    number: int,
    gutters: list[float] | None = None,
) -> PageLayout:
    """The lines and tables of a page in reading order; `box` is the visible part of the page.

    `gutters` are the gaps between columns on earlier pages; those of this page are added to it.
    """
    words = _on_page(content.words, box)
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
    new = sorted(set(builder.found) - set(gutters))
    gutters += new
    if builder.would_use(new):
        layout.items.clear()
        builder = _Reader(layout, gutters)
        builder.read(upright, tables)
    for angle in sorted({word.angle for word in loose} - {layout.angle}):
        builder.read_turned([word for word in loose if word.angle == angle])
    return layout


def _on_page(words: Iterable[Word], box: tuple[float, float, float, float]) -> list[Word]:
    left, bottom, right, top = box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2
    found = []
    for word in words:
        x, y = (word.x0 + word.x1) / 2, word.y
        if word.angle:
            x, y = turn(x, y, -word.angle)
        if left <= x <= right and bottom <= y <= top:
            found.append(word)
    return found


def _main_angle(words: Sequence[Word]) -> int:
    angles = {word.angle for word in words}
    if len(angles) == 1:
        return angles.pop()
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
    if not shift:
        return
    for word in words:
        word.x0 += shift
        word.x1 += shift
    for table in tables:
        table.x0 += shift
        table.x1 += shift


def _take_tables(
    words: list[Word], rules: Sequence[Rule], angle: int, number: int
) -> tuple[list[PdfTable], list[Word]]:
    """The ruled tables of the page, and the words outside them."""
    if angle % 90 or not rules:
        return [], words
    turned = [_turn_rule(rule, angle) for rule in rules] if angle else rules
    if not any(is_upright(rule) for rule in turned):
        return [], words
    tables = []
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
    return middle if word.angle == angle == 0 else turn(*turn(*middle, -word.angle), angle)


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
    return length > LONG_CELL or (code > 0.8 * length and len(rows_of(words)) >= 4)


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
        for row in rows_of([word for word in words if word.angle == angle]):
            lines.append(join_words(name_signs(row.words), marked=True))
    return lines


class _Reader:
    """Walks bands and columns, and writes lines and tables into the layout in reading order."""

    def __init__(self, layout: PageLayout, gutters: Sequence[float]) -> None:
        self.layout = layout
        self.gutters = gutters
        self.found: list[float] = []
        self.missed: list[tuple[float, float]] = []
        self.regions = 0

    def read(self, words: list[Word], tables: list[PdfTable]) -> None:
        rows = rows_of(words) + [Row([], table.y, table) for table in tables]
        rows.sort(key=lambda row: -row.y)
        head, body, foot = _split_margins(rows, self.layout)
        for part in (head, body, foot):
            self.read_bands(part, 0)

    def would_use(self, gutters: Sequence[float]) -> bool:
        """Whether some gap that was not taken for one between columns is where a gutter is."""
        return any(first <= x <= last for x in gutters for first, last in self.missed)

    def read_turned(self, words: list[Word]) -> None:
        """Read text at another angle (labels of axes, stamps), which comes after the page's own."""
        rows = rows_of(words)
        for row in rows:
            self.emit([row])
        for item in self.layout.items[len(self.layout.items) - len(rows) :]:
            if isinstance(item, Line):
                item.turned = True

    def read_bands(self, rows: list[Row], depth: int) -> None:
        start, flow, step = 0, 0, 1
        bands = Bands(rows, self.gutters, self.missed)
        while start < len(rows) and depth < MAX_COLUMN_DEPTH:
            band = bands.at(start)
            if not band.sides:
                # So that a long table is not tried again at each of its rows.
                step = max(1, (band.end - start) // TRIES)
                start += step
                continue
            band = bands.first(max(flow, start - step + 1), start)
            self.found.append(band.gutter)
            self.emit(rows[flow : band.start])
            for side in band.sides:
                self.read_bands(side, depth + 1)
            start, flow, step = band.end, band.end, 1
        self.emit(rows[flow:])

    def emit(self, rows: list[Row]) -> None:
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
                item = line_of(row, self.layout.number)
                item.column = Column(self.regions, left, right)
            self.layout.items.append(item)


def _split_margins(rows: list[Row], layout: PageLayout) -> tuple[list[Row], list[Row], list[Row]]:
    """Split off the rows in the margins, separated by white space, which belong to no column."""
    if len(rows) < 3:
        return [], rows, []
    pitches = [a.y - b.y for a, b in itertools.pairwise(rows)]
    wide = 1.7 * max(median(pitches), typical_size(rows))
    top = layout.bottom + (1 - MARGIN) * layout.height
    first = next((i + 1 for i in (1, 0) if pitches[i] > wide and rows[i].y > top), 0)
    low = layout.bottom + MARGIN * layout.height
    last = len(rows)
    for back in (2, 1):
        if pitches[-back] > wide and rows[-back].y < low:
            last = len(rows) - back
            break
    return rows[:first], rows[first:last], rows[last:]
