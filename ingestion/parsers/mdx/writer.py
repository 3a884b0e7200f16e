"""Writes blocks as Markdown and remembers the source line of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ingestion.documents import Location
from ingestion.parsers import markdown

# Lines that tell Docusaurus what to highlight; no reader of the site sees them.
_HIGHLIGHT = re.compile(
    r"\s*(?://|/\*|\{/\*|<!--|#|--|%|;|')\s*highlight-(?:next-line|start|end)\s*"
    r"(?:\*/\}?|-->)?\s*"
)


@dataclass(slots=True)
class _List:
    ordered: bool
    number: int
    indent: str
    content: str
    marker: str = ""


class Heading(NamedTuple):
    level: int
    text: str
    line: int


@dataclass(slots=True)
class Cell:
    """A table cell: its content, whether it is a column's head, and how far it spans."""

    content: MarkdownWriter
    header: bool = False
    columns: int = 1
    rows: int = 1

    def text(self) -> str:
        return markdown.cell(self.content.content())


@dataclass(slots=True)
class MarkdownWriter:
    """Collects blocks as Markdown. In a `flat` writer (a table cell) text is not escaped."""

    flat: bool = False
    lines: list[str] = field(default_factory=list)
    locations: list[Location] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    structured: bool = False
    _lists: list[_List] = field(default_factory=list)
    _in_list: bool = False

    def _add(self, lines: Sequence[str], source: int, tight: bool = False) -> None:
        if self.lines and not tight:
            self.lines.append("")
        self._locate(source)
        self.lines.extend(lines)

    def _locate(self, source: int, offset: int = 0) -> None:
        if not self.locations or self.locations[-1].number != source:
            self.locations.append(Location(len(self.lines) + offset, source))

    def text(self, text: str, source: int) -> None:
        """A paragraph; a newline in it is a hard line break."""
        lines = (text if self.flat else markdown.escape(text)).split("\n")
        if not self._lists:
            self._add(lines, source)
        else:
            self._item_text(lines, source)

    def _item_text(self, lines: list[str], source: int) -> None:
        current = self._lists[-1]
        first = (current.indent + current.marker) if current.marker else current.content
        rest = [current.content + line for line in lines[1:]]
        tight = self._in_list and bool(current.marker)
        self._add([first + lines[0], *rest], source, tight)
        current.marker = ""
        # at the margin, the item would be read as part of the paragraph before it
        self._in_list = bool(current.content)

    def heading(self, level: int, text: str, source: int) -> None:
        text = text.replace("\n", " ")
        if self.flat:
            self.text(text, source)
            return
        self._leave_lists(source)
        self._add([markdown.heading(level, text)], source)
        self.headings.append(Heading(level, text, len(self.lines) - 1))

    def fence(self, language: str, code: str, source: int, code_source: int) -> None:
        """A code block; `code_source` is the source line of its first line of code."""
        self._leave_lists(source)
        self.structured = True
        opening, *lines, closing = markdown.fenced(code.split("\n"), language)
        self._add([opening], source)
        for number, line in enumerate(lines):
            if not _HIGHLIGHT.fullmatch(line):
                self._locate(code_source + number)
                self.lines.append(line)
        self.lines.append(closing)

    def verbatim(self, lines: Sequence[str], source: int) -> None:
        self._leave_lists(source)
        self._add(lines, source)

    def _leave_lists(self, source: int) -> None:
        """Go back to the margin for code that keeps its columns; later items start there."""
        if self._lists and self._lists[-1].marker and self._lists[-1].ordered:
            self._item_text([""], source)
            self.lines[-1] = self.lines[-1].rstrip()
        for each in self._lists:
            each.indent = each.content = each.marker = ""
        self._in_list = False

    def open_list(self, ordered: bool, start: int = 1) -> None:
        indent = self._lists[-1].content if self._lists else ""
        self._lists.append(_List(ordered, start - 1, indent, indent))

    def open_item(self) -> None:
        if not self._lists:
            self.open_list(ordered=False)
        current = self._lists[-1]
        current.number += 1
        current.marker = markdown.marker(current.number if current.ordered else None)
        current.content = current.indent + " " * len(current.marker)

    def close_list(self) -> None:
        if self._lists:
            self._lists.pop()
        self._in_list = self._in_list and bool(self._lists)

    def table(self, rows: Sequence[Sequence[Cell]], lines: Sequence[int]) -> None:
        """Write a pipe table, or the blocks of its cells if one contains code or a table."""
        cells = [cell for row in rows for cell in row]
        if any(cell.content.structured for cell in cells):
            for cell in cells:
                self._absorb(cell.content)
            return
        if not any(cell.content.lines for cell in cells):
            return
        self._leave_lists(lines[0])
        self.structured = True
        self._write_rows(rows, lines)

    def _write_rows(self, rows: Sequence[Sequence[Cell]], lines: Sequence[int]) -> None:
        texts = ([(cell.text(), cell.columns, cell.rows) for cell in row] for row in rows)
        grid = list(markdown.in_columns(texts, ""))
        width = max(map(len, grid))
        headed = all(cell.header for cell in rows[0])
        self._add(markdown.table_head(grid[0] if headed else [], width), lines[0])
        for cells, source in list(zip(grid, lines, strict=True))[headed:]:
            self._locate(source)
            self.lines.append(markdown.table_row(cells, width))

    def _absorb(self, other: MarkdownWriter) -> None:
        if not other.lines:
            return
        self._leave_lists(other.locations[0].number)
        self.structured = True
        offset = len(self.lines) + (1 if self.lines else 0)
        self._add(other.lines, other.locations[0].number)
        for location in other.locations[1:]:
            self.locations.append(Location(location.content_line + offset, location.number))

    def content(self) -> str:
        return "\n".join(self.lines)
