"""Tables as pipe tables: spans, empty columns, and cells with more than a line of text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ingestion.parsers import markdown

LINE_BREAK = "<br>"  # between the lines of code in a cell, as tables in Markdown have it

_CODE = re.compile(
    r"^(?P<before>(?:[ \t]*(?:-|\d+\.) )*[ \t]*)(?P<marks>`{3,})[^`\n]*\n"
    r"(?P<code>.*?)^(?P<indent>[ \t]*)(?P=marks)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(slots=True)
class Cell:
    text: str
    blocks: list[str] = field(default_factory=list)


Row = list[Cell]


class HtmlTable:
    """Collects a table, each cell as its blocks, and renders it as Markdown."""

    def __init__(self) -> None:
        self._rows: list[list[tuple[Cell, int, int]]] = []

    def start_row(self) -> None:
        self._rows.append([])

    def add_cell(self, blocks: list[str], columns: int = 1, rows: int = 1) -> None:
        """Add a cell that spans so many columns and rows."""
        self._rows[-1].append((_cell(blocks), columns, rows))

    def blocks(self) -> list[str]:
        """The table; the blocks of its cells if it has only one column."""
        placed = markdown.in_columns(self._rows, Cell(""))
        rows = _without_empty_columns([row for row in placed if any(cell.text for cell in row)])
        if not rows:
            return []
        if len(rows[0]) == 1:
            return [block for row in rows for block in row[0].blocks]
        return [_pipe_table(rows)]


def _cell(blocks: list[str]) -> Cell:
    return Cell(" ".join(filter(None, map(_in_one_line, blocks))), blocks)


def _in_one_line(block: str) -> str:
    """A block as the text of a cell; code stays to the letter, line by line."""
    if "```" not in block:
        return markdown.cell(markdown.unescape(block))
    parts: list[str] = []
    place = 0
    for found in _CODE.finditer(block):
        parts.append(markdown.cell(markdown.unescape(block[place : found.start()])))
        parts.append(found["before"].strip())
        parts.append(_code_in_one_line(found["code"], len(found["indent"])))
        place = found.end()
    parts.append(markdown.cell(markdown.unescape(block[place:])))
    return " ".join(filter(None, parts))


def _code_in_one_line(code: str, indent: int) -> str:
    """Lines of code, indented as much as their item is, each as a code span."""
    lines = [line[indent:] for line in code.removesuffix("\n").split("\n")]
    spans = LINE_BREAK.join("" if line.isspace() else markdown.code_span(line) for line in lines)
    return spans.replace("|", "\\|")


def _without_empty_columns(rows: list[Row]) -> list[Row]:
    width = max(map(len, rows), default=0)
    for row in rows:
        row.extend(Cell("") for _ in range(width - len(row)))
    kept = [i for i in range(width) if any(row[i].text for row in rows)]
    return [[row[i] for i in kept] for row in rows]


def _pipe_table(rows: list[Row]) -> str:
    head, *texts = [[cell.text for cell in row] for row in rows]
    return "\n".join([*markdown.table_head(head), *map(markdown.table_row, texts)])
