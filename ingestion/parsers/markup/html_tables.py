"""Tables as pipe tables: spans, empty columns, and cells with more than a line of text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ingestion.parsers import markdown

_FENCE = re.compile(r"^(?:[ \t]*(?:-|\d+\.) )*[ \t]*`{3,}[^`\n]*$", re.MULTILINE)


@dataclass(slots=True)
class Cell:
    text: str
    after: list[str] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Row:
    cells: list[Cell]
    head: bool


class HtmlTable:
    """Collects a table, each cell as its blocks, and renders it as Markdown."""

    def __init__(self) -> None:
        self._rows: list[list[tuple[Cell, int, int]]] = []
        self._heads: list[bool] = []
        self._thead = False

    def start_row(self, head: bool = False) -> None:
        self._thead = head
        self._rows.append([])
        self._heads.append(True)

    def add_cell(self, blocks: list[str], head: bool, columns: int = 1, rows: int = 1) -> None:
        """Add a cell that spans so many columns and rows."""
        self._heads[-1] = self._heads[-1] and (head or self._thead)
        self._rows[-1].append((_cell(blocks), columns, rows))

    def blocks(self) -> list[str]:
        """The table and the blocks that interrupt it, in reading order."""
        rows = [row for row in self._placed() if any(c.text or c.after for c in row.cells)]
        rows = _without_empty_columns(rows)
        if not rows:
            return []
        if len(rows[0].cells) == 1:
            return [block for row in rows for block in row.cells[0].blocks]
        return list(_pipe_tables(rows))

    def _placed(self) -> Iterator[Row]:
        return map(Row, markdown.in_columns(self._rows, Cell("")), self._heads)


def _cell(blocks: list[str]) -> Cell:
    plain = next((i for i, block in enumerate(blocks) if _holds_code(block)), len(blocks))
    text = markdown.cell(markdown.unescape("\n".join(blocks[:plain])))
    return Cell(text, blocks[plain:], blocks)


def _holds_code(block: str) -> bool:
    return "```" in block and _FENCE.search(block) is not None


def _without_empty_columns(rows: list[Row]) -> list[Row]:
    width = max((len(row.cells) for row in rows), default=0)
    for row in rows:
        row.cells.extend(Cell("") for _ in range(width - len(row.cells)))
    kept = [i for i in range(width) if any(row.cells[i].text or row.cells[i].after for row in rows)]
    return [Row([row.cells[i] for i in kept], row.head) for row in rows]


def _pipe_tables(rows: list[Row]) -> Iterator[str]:
    """Split the table after a row with code in a cell; the rest has the head again."""
    head = rows[0] if rows[0].head else None
    lines: list[str] = []
    for row in rows:
        if not lines and row is not head and row is not rows[0]:
            lines = markdown.table_head(_texts(head) if head else [], len(row.cells))
        lines += [markdown.table_row(_texts(row))] if lines else markdown.table_head(_texts(row))
        after = [block for cell in row.cells for block in cell.after]
        if after:
            yield "\n".join(lines)
            yield from after
            lines = []
    if lines:
        yield "\n".join(lines)


def _texts(row: Row) -> list[str]:
    return [cell.text for cell in row.cells]
