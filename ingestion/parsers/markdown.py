"""Markdown as every parser writes it: CommonMark with pipe tables.

`markdown_blocks` reads the same dialect, and so do the programs that show a document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

Cell = TypeVar("Cell")

MAX_COLUMNS = 60  # a cell that spans more is a mistake
INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad\u200e\u200f"))

_STARTS = frozenset("#-+*>`~=_|:[<0123456789")
_STRUCTURE = re.compile(
    r"#{1,6}(?=\s|$)"  # a heading
    r"|[-+*](?=\s|$)|\d{1,9}(?=[.)](?:\s|$))"  # an item
    r"|>|`{3}(?=[^`]*$)|~{3}|\|"  # a quotation, a fence, a row
    r"|=+\s*$|([*_])(?:\s*\1){2,}\s*$"  # the underline of a heading, a rule
    r"|(?=[:\s]*-)[|:\-\s]+$"  # these too, and the line below a table's head
    r"|\[[^\]]+\]:"  # a link definition
    r"|</?[A-Za-z!?]"  # HTML, which a Markdown renderer may hide
)
_LABEL_OF_LINES = re.compile(r"^\[(?=[^\]]*\]:)", re.MULTILINE)
_MARKERS = re.compile(r"(?:[ \t]*(?:-|\d+\.) )*[ \t]*")
_BACKTICKS = re.compile(r"`+")
_RUNS = {"`": re.compile(r"`{3,}"), "~": re.compile(r"~{3,}")}
_CLOSING_SIGNS = re.compile(r"(?:^|(?<=\s))#+\s*$")


def escape(text: str) -> str:
    """Escape prose so that no line reads as a heading, an item, a fence, a table or HTML."""
    if "\n" not in text:
        return _escape_line(text)
    escaped = "\n".join(map(_escape_line, text.split("\n")))
    return _LABEL_OF_LINES.sub(r"\\\g<0>", escaped) if "]:" in text else escaped


def _escape_line(line: str) -> str:
    if line[:1] not in _STARTS:
        return line
    match = _STRUCTURE.match(line)
    if match is None:
        return line
    at = match.end() if line[0].isdigit() else 0
    return f"{line[:at]}\\{line[at:]}"


def unescape(text: str) -> str:
    """Undo `escape`, in items too, for places where Markdown has no meaning."""
    return "\n".join(map(_unescape_line, text.split("\n"))) if "\\" in text else text


def _unescape_line(line: str) -> str:
    markers = _MARKERS.match(line)
    at = markers.end() if markers else 0
    plain = line[at:].replace("\\", "", 1)
    return line[:at] + plain if _escape_line(plain) == line[at:] else line


def code_span(code: str) -> str:
    """Code in running text, in more backticks than it has in a row."""
    if not code.strip():
        return code
    if "`" not in code:
        return f"` {code} `" if code[0] == code[-1] == " " else f"`{code}`"
    runs = set(map(len, _BACKTICKS.findall(code)))
    ticks = "`" * next(n for n in range(1, len(runs) + 2) if n not in runs)
    pad = " " if "`" in (code[0], code[-1]) or code[0] == code[-1] == " " else ""
    return f"{ticks}{pad}{code}{pad}{ticks}"


def fence(lines: Iterable[str], info: str = "") -> str:
    """The fence of a block of this code, longer than any run of the same character in the code.

    Backticks, or tildes if `info` has a backtick, which CommonMark allows after tildes only.
    """
    sign = "~" if "`" in info else "`"
    runs = (run for line in lines if sign * 3 in line for run in _RUNS[sign].findall(line))
    return sign * (max(map(len, runs), default=2) + 1)


def fenced(lines: Sequence[str], info: str = "") -> list[str]:
    """A fenced block of the unchanged lines of code."""
    marks = fence(lines, info)
    return [marks + info, *lines, marks]


def heading(level: int, text: str) -> str:
    """A heading of level 1 to 6, in one line. `#` at its end is kept by escaping it."""
    text = text.replace("\n", " ")
    if text.endswith("#"):
        text = _CLOSING_SIGNS.sub(lambda signs: f"\\{signs[0]}", text)
    return f"{'#' * min(level, 6)} {text}"


def marker(number: int | None = None) -> str:
    """The marker of an item: its number, or a dash."""
    return "- " if number is None else f"{number}. "


def item(mark: str, blocks: Sequence[str]) -> str:
    """An item of a list, with no blank line between its text and a list that follows."""
    text = blocks[0]
    for block in blocks[1:]:
        tight = block.startswith(("- ", "1. ")) and not text.endswith(("```", "~~~"))
        text += ("\n" if tight else "\n\n") + block
    return mark + indent(text, len(mark))


def indent(text: str, width: int) -> str:
    """The text with all lines except the first indented, as the content of an item is."""
    first, *rest = text.split("\n")
    space = " " * width
    return "\n".join([first, *(space + line if line else "" for line in rest)])


def cell(text: str) -> str:
    """Text as the content of a table cell: one line, with its bars escaped."""
    if "\n" in text:
        text = " ".join(filter(None, map(str.strip, text.split("\n"))))
    return text.replace("|", "\\|")


def table_row(cells: Sequence[str], width: int = 0) -> str:
    """A row of cells (see `cell`), filled up to `width` of them."""
    filled = [*cells, *[""] * (width - len(cells))]
    return f"| {' | '.join(filled)} |"


def table_head(cells: Sequence[str], width: int = 0) -> list[str]:
    """The first two lines of a table; without a head, the column names are empty."""
    return [table_row(cells, width), "|" + " --- |" * max(width, len(cells))]


def in_columns(
    rows: Iterable[Iterable[tuple[Cell, int, int]]], empty: Cell
) -> Iterator[list[Cell]]:
    """Place each cell of rows of (cell, columns, rows) in its column.

    A cell is in the first of the positions that it spans; the others are `empty`.
    """
    reach: dict[int, int] = {}
    for row in rows:
        placed: list[Cell] = []
        below: dict[int, int] = {}
        for each, columns, depth in row:
            _skip_covered(placed, reach, empty)
            start = len(placed)
            columns = max(1, min(columns, MAX_COLUMNS - start))
            placed += [each, *[empty] * (columns - 1)]
            if depth > 1:
                below.update(dict.fromkeys(range(start, start + columns), depth - 1))
        _skip_covered(placed, reach, empty)
        reach = {place: left - 1 for place, left in reach.items() if left > 1} | below
        yield placed


def _skip_covered(placed: list[Cell], reach: dict[int, int], empty: Cell) -> None:
    """Leave the positions empty that a cell of a row above spans."""
    while len(placed) in reach:
        placed.append(empty)
