"""Tables as pipe tables: spans, empty columns, and cells that hold more than a line of text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_COLUMNS = 60

_PROTECTED = re.compile(r"^((?:[ \t]*(?:-|\d+\.) )*[ \t]*\d*)\\(?=[#\-+*>`~=_|.)])", re.MULTILINE)


@dataclass(slots=True)
class Cell:
    text: str
    after: list[str] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Row:
    cells: list[Cell] = field(default_factory=list)
    head: bool = True


class Table:
    """A table on its way to Markdown. Cells come as the blocks of their content."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._thead = False
        self._covered: dict[int, int] = {}
        self._spans: dict[int, int] = {}

    def start_row(self, head: bool = False) -> None:
        self._skip_covered()
        self._covered = {place: left - 1 for place, left in self._covered.items() if left > 1}
        self._covered |= self._spans
        self._spans = {}
        self._thead = head
        self.rows.append(Row())

    def add_cell(self, blocks: list[str], head: bool, columns: int = 1, rows: int = 1) -> None:
        """A span keeps its text in its first cell; the places it covers stay empty."""
        self._skip_covered()
        row = self.rows[-1]
        row.head = row.head and (head or self._thead)
        place = len(row.cells)
        columns = max(1, min(columns, MAX_COLUMNS - place))
        row.cells.append(_cell(blocks))
        row.cells.extend(Cell("") for _ in range(columns - 1))
        if rows > 1:
            self._spans.update(dict.fromkeys(range(place, place + columns), rows - 1))

    def blocks(self) -> list[str]:
        """The table and what interrupts it, in reading order."""
        self._skip_covered()
        rows = [row for row in self.rows if any(c.text or c.after for c in row.cells)]
        rows = _without_empty_columns(rows)
        if not rows:
            return []
        if len(rows[0].cells) == 1:
            return [block for row in rows for block in row.cells[0].blocks]
        return list(_pipe_tables(rows))

    def _skip_covered(self) -> None:
        """Leave the places empty that a cell of a row above reaches down into."""
        if self.rows:
            cells = self.rows[-1].cells
            while len(cells) in self._covered:
                cells.append(Cell(""))


def _cell(blocks: list[str]) -> Cell:
    plain = next((i for i, block in enumerate(blocks) if "```" in block), len(blocks))
    return Cell(cell_text(blocks[:plain]), blocks[plain:], blocks)


def cell_text(blocks: list[str]) -> str:
    """Blocks as the one line that a cell can hold, its bars escaped."""
    text = "\n".join(blocks)
    if "\\" in text:
        text = _PROTECTED.sub(r"\1", text)
    return " ".join(text.split()).replace("|", "\\|")


def _without_empty_columns(rows: list[Row]) -> list[Row]:
    width = max((len(row.cells) for row in rows), default=0)
    for row in rows:
        row.cells.extend(Cell("") for _ in range(width - len(row.cells)))
    kept = [i for i in range(width) if any(row.cells[i].text or row.cells[i].after for row in rows)]
    return [Row([row.cells[i] for i in kept], row.head) for row in rows]


def _pipe_tables(rows: list[Row]) -> Iterator[str]:
    """Where a cell holds code the table pauses after that row, and goes on under its own head."""
    head = rows[0] if rows[0].head else None
    lines: list[str] = []
    for row in rows:
        if not lines and row is not head and row is not rows[0]:
            lines = _head(head.cells if head else [Cell("")] * len(row.cells))
        lines += _head(row.cells) if not lines else [_row(row.cells)]
        after = [block for cell in row.cells for block in cell.after]
        if after:
            yield "\n".join(lines)
            yield from after
            lines = []
    if lines:
        yield "\n".join(lines)


def _head(cells: list[Cell]) -> list[str]:
    return [_row(cells), "|" + " --- |" * len(cells)]


def _row(cells: list[Cell]) -> str:
    return "| " + " | ".join(cell.text for cell in cells) + " |"
