"""Tables drawn with lines: the grid that a page's rules form, and the cells between them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ingestion.parsers.pdf.drawing import THIN_RULE, Rule

TOUCH = 3.0  # points: rules as close as this meet
SHORTEST = 6.0  # points: shorter lines are letters or ornaments, not tables
MAX_RULES = 6_000
MAX_CELLS = 4_000


class _Span(NamedTuple):
    """A line across the other axis, at `at`, from `start` to `end`."""

    at: float
    start: float
    end: float


@dataclass(slots=True)
class Grid:
    """`xs` ascending, `ys` descending; `cell_of[row, column]` is the anchor of a merged cell."""

    xs: list[float]
    ys: list[float]
    cell_of: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    depths: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.depths = [-y for y in self.ys]

    @property
    def columns(self) -> int:
        return len(self.xs) - 1

    @property
    def rows(self) -> int:
        return len(self.ys) - 1

    def locate(self, x: float, y: float) -> tuple[int, int] | None:
        """The anchor of the cell at a point, or None outside the grid."""
        column = _interval(self.xs, x)
        row = None if column is None else _interval(self.depths, -y)
        return None if column is None or row is None else self.cell_of[row, column]


def _interval(edges: Sequence[float], value: float) -> int | None:
    index = max(bisect_left(edges, value) - 1, 0)
    return index if index < len(edges) - 1 and edges[index] - 1 <= value else None


def find_grids(rules: Sequence[Rule]) -> list[Grid]:
    """The grids of at least two rows and two columns, from top to bottom."""
    if len(rules) > MAX_RULES:
        return []
    across = _merge(_Span((r.y0 + r.y1) / 2, r.x0, r.x1) for r in rules if r.y1 - r.y0 <= THIN_RULE)
    down = _merge(_Span((r.x0 + r.x1) / 2, r.y0, r.y1) for r in rules if is_upright(r))
    grids = [_grid(a, d) for a, d in _connected(across, down)]
    found = [grid for grid in grids if grid is not None]
    return sorted(found, key=lambda grid: -grid.ys[0])


def is_upright(rule: Rule) -> bool:
    return rule.x1 - rule.x0 <= THIN_RULE


def _merge(spans: Iterable[_Span]) -> list[_Span]:
    """Join pieces of one line, because borders are often drawn cell by cell; drop short ones."""
    lines: list[list[_Span]] = []
    for span in sorted(spans):
        if lines and span.at - lines[-1][-1].at <= 1.5:
            lines[-1].append(span)
        else:
            lines.append([span])
    merged = [joined for line in lines for joined in _join(line)]
    return [span for span in merged if span.end - span.start >= SHORTEST]


def _join(line: list[_Span]) -> list[_Span]:
    at = sum(span.at for span in line) / len(line)
    joined: list[_Span] = []
    for span in sorted(line, key=lambda s: s.start):
        if joined and span.start <= joined[-1].end + TOUCH:
            joined[-1] = _Span(at, joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(_Span(at, span.start, span.end))
    return joined


def _meet(across: _Span, down: _Span) -> bool:
    return (
        across.start - TOUCH <= down.at <= across.end + TOUCH
        and down.start - TOUCH <= across.at <= down.end + TOUCH
    )


def _connected(across: list[_Span], down: list[_Span]) -> Iterable[tuple[list[_Span], list[_Span]]]:
    left = set(range(len(down)))
    for seed in range(len(down)):
        if seed not in left:
            continue
        rows: set[int] = set()
        columns, front = {seed}, [seed]
        while front:
            column = down[front.pop()]
            met = {i for i, a in enumerate(across) if i not in rows and _meet(a, column)}
            rows |= met
            new = {j for j in left - columns if any(_meet(across[i], down[j]) for i in met)}
            columns |= new
            front.extend(new)
        left -= columns
        yield [across[i] for i in sorted(rows)], [down[j] for j in sorted(columns)]


def _grid(across: list[_Span], down: list[_Span]) -> Grid | None:
    if not across or not down:
        return None
    edges = [s.at for s in down] + [min(s.start for s in across), max(s.end for s in across)]
    levels = [s.at for s in across] + [min(s.start for s in down), max(s.end for s in down)]
    xs, ys = _distinct(edges), _distinct(levels)[::-1]
    if len(xs) < 3 or len(ys) < 3 or len(xs) * len(ys) > MAX_CELLS:
        return None
    grid = Grid(xs, ys)
    _merge_cells(grid, across, down)
    return grid


def _distinct(values: Iterable[float]) -> list[float]:
    found: list[float] = []
    for value in sorted(values):
        if not found or value - found[-1] > TOUCH + 1:
            found.append(value)
    return found


def _merge_cells(grid: Grid, across: list[_Span], down: list[_Span]) -> None:
    """Merge cells that no line separates; the top left one represents them."""
    for row in range(grid.rows):
        middle = (grid.ys[row] + grid.ys[row + 1]) / 2
        for column in range(grid.columns):
            centre = (grid.xs[column] + grid.xs[column + 1]) / 2
            if column and not _parts(down, grid.xs[column], middle):
                grid.cell_of[row, column] = grid.cell_of[row, column - 1]
            elif row and not _parts(across, grid.ys[row], centre):
                grid.cell_of[row, column] = grid.cell_of[row - 1, column]
            else:
                grid.cell_of[row, column] = (row, column)


def _parts(spans: list[_Span], at: float, through: float) -> bool:
    return any(abs(s.at - at) <= TOUCH + 1 and s.start - 1 <= through <= s.end + 1 for s in spans)
