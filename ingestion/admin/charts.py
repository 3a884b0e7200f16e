"""Values for bar charts, which `admin/bars.html` draws as SVG without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingestion.models import SourceRun

COLUMN = 10  # width of a column and its gap, in the drawing's units
HEIGHT = 60


@dataclass(frozen=True)
class Bar:
    """`length` is in percent of the longest bar; `url` shows the rows that it counts."""

    label: str
    value: int
    length: float
    url: str = ""


@dataclass(frozen=True)
class Column:
    """A run in the history of a source, `x` from the left and `height` of HEIGHT."""

    row: SourceRun
    x: int
    y: float
    height: float


def bars(figures: Iterable[tuple[str, int, str]]) -> list[Bar]:
    """Bars from label, value and address."""
    found = list(figures)
    most = max((value for _, value, _ in found), default=0) or 1
    return [Bar(label, value, 100 * value / most, url) for label, value, url in found]


def history(rows: Sequence[SourceRun]) -> list[Column]:
    """The duration of each run, the oldest at the left."""
    most = max((row.seconds or 0 for row in rows), default=0) or 1
    columns = []
    for place, row in enumerate(reversed(rows)):
        height = max(2, HEIGHT * (row.seconds or 0) / most)
        columns.append(Column(row, place * COLUMN, HEIGHT - height, height))
    return columns
