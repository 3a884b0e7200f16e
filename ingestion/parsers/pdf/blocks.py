"""Lines of a section to Markdown: paragraphs, lists, code, tables, footnotes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from ingestion.parsers import markdown
from ingestion.parsers.pdf.code_lines import code_lines, code_run
from ingestion.parsers.pdf.layout import Item
from ingestion.parsers.pdf.lines import Line
from ingestion.parsers.pdf.outline import heading_length
from ingestion.parsers.pdf.rows import PdfTable
from ingestion.parsers.pdf.typography import (
    BULLET,
    CAPTION,
    HYPHENS,
    LEADER,
    NUMBER,
    Typography,
    has_leader,
)

INDENT = 0.7  # of the font size: a line indented by more begins a paragraph
ALIGNED = 3.0  # points
LAST_WORD, FIRST_WORD = re.compile(rf"([^\W\d_]+)[{HYPHENS}]$"), re.compile(r"([^\W\d_]+)")
CUT_WORD, PATH = re.compile(rf"\w[{HYPHENS}]$"), re.compile(r"(?:https?:/|\w\.\w+/)\S*/$")
# After these words a hyphen at the line end stands for a left-out part ("pre- and postfix").
SUSPENDED = {"and", "or", "to", "nor", "und", "oder", "bzw", "bis", "sowie", "et", "ou"}


@dataclass(slots=True)
class Block:
    """`lines` of Markdown, and the page of each. List items have no blank line between them."""

    kind: str
    lines: list[str]
    pages: list[int]


@dataclass(slots=True)
class _Paragraph:
    lines: list[Line]
    marker: str = ""
    depth: int = 0


def join_lines(texts: Sequence[str], typography: Typography) -> str:
    """Join lines into one text, with words hyphenated at line ends made whole."""
    joined = ""
    for text in texts:
        text = text.strip()
        joined = _join_two(joined, text, typography) if joined else text
    return joined.replace("\u00ad", "")


def _join_two(first: str, second: str, typography: Typography) -> str:
    if first.endswith("-`") and second.startswith("`"):
        return first[:-1] + second[1:]
    if not first.endswith(tuple(HYPHENS)):
        return first + second if first.endswith("/") and _is_path(first) else f"{first} {second}"
    match, follow = LAST_WORD.search(first, max(0, len(first) - 100)), FIRST_WORD.match(second)
    if not match:
        return f"{first} {second}"
    if not follow:
        return f"{first}{second}" if second[:1].isdigit() else f"{first} {second}"
    if follow[1] in SUSPENDED:
        return f"{first} {second}"
    if first.endswith("\u00ad"):
        return first[:-1] + second
    if not follow[1][0].islower():
        return first + second
    keep = _is_compound(match[1].lower(), follow[1].lower(), typography)
    return first + second if keep else first[:-1] + second


def _is_path(text: str) -> bool:
    return bool(PATH.search(text.rsplit(maxsplit=1)[-1]))


def _is_compound(head: str, tail: str, typography: Typography) -> bool:
    """Whether the hyphen belongs to the word, judging by the rest of the document."""
    words = typography.words
    whole, hyphened = words[head + tail], words[f"{head}-{tail}"]
    if whole or hyphened:
        return hyphened > whole
    return len(head) > 2 and len(tail) > 3 and words[head] >= 2 and words[tail] >= 2


class BlockBuilder:
    """Builds the blocks of one section from its items, in reading order."""

    def __init__(self, typography: Typography) -> None:
        self.typography = typography
        self.blocks: list[Block] = []
        self.open: _Paragraph | None = None
        self.notes: list[_Paragraph] = []
        self.list_at: list[float] = []

    def build(self, items: Sequence[Item], levels: dict[int, int]) -> list[Block]:
        """`levels`: heading level by index into `items`."""
        index = 0
        while index < len(items):
            index = self._take(items, index, levels)
        self._close()
        return self.blocks

    def _take(self, items: Sequence[Item], index: int, levels: dict[int, int]) -> int:
        item = items[index]
        if isinstance(item, PdfTable):
            return self._take_table(item, index)
        if index in levels:
            return self._take_heading(items, index, levels)
        code = code_run(items, index, levels, self.typography)
        if code and not self._goes_on_in(code[0]):
            return self._take_code(code, index)
        rows = _row_run(items, index, levels)
        if rows:
            return self._take_rows(rows, index)
        if _is_footnote(items, index, self.typography):
            return self._take_note(items, index, levels)
        self._take_line(items, index)
        return index + 1

    # Whole blocks

    def _take_heading(self, items: Sequence[Item], index: int, levels: dict[int, int]) -> int:
        self._close()
        lines = items[index : index + heading_length(items, index, levels)]
        texts = [line.text for line in lines if isinstance(line, Line)]
        text = join_lines(texts, self.typography)
        self._add("heading", [markdown.heading(levels[index], text)], lines[0].page)
        return index + len(lines)

    def _take_table(self, table: PdfTable, index: int) -> int:
        rows = [[join_lines(cell, self.typography) for cell in row] for row in table.rows]
        self._close()
        self._add_table(rows, table.page)
        return index + 1

    def _add_table(self, rows: list[list[str]], page: int) -> None:
        last = self.blocks[-1] if self.blocks else None
        cells = [[markdown.cell(text) for text in row] for row in rows]
        head, divider = markdown.table_head(cells[0])
        body = [markdown.table_row(row) for row in cells[1:]]
        if (
            last is not None
            and last.kind == "table"
            and last.lines[1] == divider
            and (last.pages[-1] < page)
        ):  # the table continues on the next page, perhaps with its head repeated
            body = body if head == last.lines[0] else [head, *body]
            last.lines += body
            last.pages += [page] * len(body)
            return
        self._add("table", [head, divider, *body], page)

    def _take_code(self, lines: list[Line], index: int) -> int:
        self._close()
        texts, pages = code_lines(lines)
        last = self.blocks[-1] if self.blocks else None
        if last is not None and last.kind == "code" and last.pages[-1] < pages[0]:
            last.lines = markdown.fenced([*last.lines[1:-1], *texts])
            last.pages += pages
        else:
            framed = [pages[0], *pages, pages[-1]]
            self.blocks.append(Block("code", markdown.fenced(texts), framed))
        return index + len(lines)

    def _take_rows(self, lines: list[Line], index: int) -> int:
        self._close()
        rows = _aligned_rows(lines)
        if rows is not None:
            self._add_table(rows, lines[0].page)
        else:
            texts = [_entry(_without_leader(line.marked)) for line in lines]
            self.blocks.append(Block("rows", texts, [line.page for line in lines]))
        return index + len(lines)

    def _take_note(self, items: Sequence[Item], index: int, levels: dict[int, int]) -> int:
        """Hold a footnote until the paragraph it interrupts has ended, maybe on the next page."""
        note = items[index]
        assert isinstance(note, Line)
        lines = [note]
        for item in items[index + 1 :]:
            same = isinstance(item, Line) and item.page == note.page and item.region == note.region
            if not isinstance(item, Line) or not same or item.mark or item.size > 1.05 * note.size:
                break
            lines.append(item)
        self.notes.append(_Paragraph(lines))
        return index + len(lines)

    # Paragraphs

    def _take_line(self, items: Sequence[Item], index: int) -> None:
        line = items[index]
        assert isinstance(line, Line)
        if self.open is not None and self._continues(items, index, line):
            self.open.lines.append(line)
            return
        self._close()
        marker = _marker(line)
        self.open = _Paragraph([line], marker, self._list_depth(line) if marker else 0)
        at = line.x0 - line.left
        if not marker and self.list_at and at < self.list_at[0] + INDENT * line.size:
            self.list_at = []

    def _goes_on_in(self, line: Line) -> bool:
        """Whether a line that looks like code, because it is full of names, is the paragraph's."""
        if self.open is None or self.typography.mono_body:
            return False
        last = self.open.lines[-1]
        close = 0 < last.y - line.y < (self.typography.leading + 0.3) * last.size
        return (
            (last.page, last.region) == (line.page, line.region)
            and close
            and abs(last.x0 - line.x0) < 0.5 * line.size
            and not _ends(last.text)
        )

    def _list_depth(self, line: Line) -> int:
        """The nesting depth of the item, by the indents of its column's other items."""
        at = line.x0 - line.left
        self.list_at = [x for x in self.list_at if x < at - 0.4 * line.size]
        self.list_at.append(at)
        return len(self.list_at) - 1

    def _continues(self, items: Sequence[Item], index: int, line: Line) -> bool:
        assert self.open is not None
        last = self.open.lines[-1]
        if abs(last.size - line.size) > 0.12 * last.size or BULLET.match(line.text):
            return _marker_alone(self.open)
        if (last.page, last.region) != (line.page, line.region) or line.y > last.y:
            return self._runs_over(last, line)
        if _marker_alone(self.open):
            return True
        step = (last.y - line.y) / max(last.size, line.size)
        if step > self.typography.leading + 0.3:
            return False
        if self.open.marker:
            return self._continues_item(items, index, line)
        if NUMBER.match(line.text) and (line.x0 > last.x0 + 1 or _ends(last.text)):
            return False
        if CAPTION.match(line.text) and _ends(last.text):
            return False
        if _is_set_in(items, index, line, self.open.lines):
            return False
        return _is_cut(last, line) or not _was_ended(items, index, last, line)

    def _continues_item(self, items: Sequence[Item], index: int, line: Line) -> bool:
        assert self.open is not None
        first, last = self.open.lines[0], self.open.lines[-1]
        if NUMBER.match(line.text) and abs(line.x0 - first.x0) < line.size:
            return False
        if line.x0 > first.x0 + 0.3 * line.size:
            return len(self.open.lines) == 1 or line.x0 < last.x0 + INDENT * line.size
        return len(self.open.lines) == 1 and (
            _is_cut(last, line) or not _was_ended(items, index, last, line)
        )

    def _runs_over(self, last: Line, line: Line) -> bool:
        """Whether a paragraph continues in the next column or on the next page."""
        if last.turned or line.turned or NUMBER.match(line.text):
            return False
        if last.text.endswith(tuple(HYPHENS)):
            return True
        return not _ends(last.text) and line.text[:1].islower() and _is_full(last)

    def _close(self) -> None:
        paragraphs = ([self.open] if self.open else []) + self.notes
        self.open, self.notes = None, []
        for paragraph in paragraphs:
            plain = self.typography.mono_body
            texts = [line.text if plain else line.marked for line in paragraph.lines]
            text = join_lines(texts, self.typography)
            text = _without_leader(text)
            page = paragraph.lines[0].page
            if paragraph.marker:
                self._add("item", ["  " * paragraph.depth + _item(text)], page)
            elif text:
                self._add("paragraph", [markdown.escape(text)], page)

    def _add(self, kind: str, lines: list[str], page: int) -> None:
        if kind in ("heading", "table", "code"):
            self.list_at = []
        self.blocks.append(Block(kind, lines, [page] * len(lines)))


# Lists


def _marker(line: Line) -> str:
    match = BULLET.match(line.text) or NUMBER.match(line.text)
    return match[0] if match else ""


def _marker_alone(paragraph: _Paragraph) -> bool:
    """Whether the paragraph is only a bullet, which belongs to the line that follows."""
    return len(paragraph.lines) == 1 and bool(BULLET.fullmatch(paragraph.lines[0].text.strip()))


def _item(text: str) -> str:
    bullet = BULLET.match(text)
    return markdown.marker() + markdown.escape(text[bullet.end() :]) if bullet else _entry(text)


def _entry(text: str) -> str:
    """An item or row, with the number that it begins with escaped."""
    return text if NUMBER.match(text) else markdown.escape(text)


# Paragraph ends


def _ends(text: str) -> bool:
    return text.rstrip("\"'\u201d\u2019)]`").endswith((".", "!", "?", ":", ";"))


def _is_cut(last: Line, line: Line) -> bool:
    """Whether a line ends inside a word, or inside a sentence that the next one continues."""
    if CUT_WORD.search(last.text[-2:]) and line.text[:1].isalnum():
        return True
    if not line.text[:1].islower():
        return False
    wide = last.x1 - last.x0 > 0.6 * (line.right - line.left)
    return wide and not _ends(last.text)


def _is_full(line: Line) -> bool:
    return line.x1 > line.left + 0.75 * (line.right - line.left)


def _is_set_in(items: Sequence[Item], index: int, line: Line, before: list[Line]) -> bool:
    """Whether a first-line indent begins a paragraph here; a hanging indent does not."""
    last = before[-1]
    if line.x0 < last.x0 + INDENT * line.size:
        return len(before) > 1 and line.x0 < last.x0 - INDENT * line.size
    after = items[index + 1] if index + 1 < len(items) else None
    hangs = isinstance(after, Line) and abs(after.x0 - line.x0) < ALIGNED and len(before) == 1
    return not hangs or _ends(last.text)


def _was_ended(items: Sequence[Item], index: int, last: Line, line: Line) -> bool:
    """Whether the line before was ended on purpose: this one's first word would have fit."""
    near = [
        item
        for item in items[max(0, index - 8) : index + 8]
        if isinstance(item, Line)
        and (item.page, item.region) == (line.page, line.region)
        and abs(item.size - line.size) < 0.12 * line.size
    ]
    right = max((item.x1 for item in near), default=line.right)
    first = line.text.split(" ", 1)[0]
    width = (line.x1 - line.x0) * len(first) / max(len(line.text), 1)
    room = right - last.x1 - 0.3 * line.size
    return room > width + 0.8 * line.size


def _is_footnote(items: Sequence[Item], index: int, typography: Typography) -> bool:
    """Whether a line is small with a raised number, or is small print that ends its column."""
    line, before = items[index], items[index - 1] if index else None
    if not isinstance(line, Line) or line.size >= 0.95 * typography.body:
        return False
    if line.mark:
        return True
    if not isinstance(before, Line) or (before.page, before.region) != (line.page, line.region):
        return False
    if before.size < 0.95 * typography.body or before.y - line.y < 1.8 * line.size:
        return False
    rest = [i for i in items[index:] if i.page == line.page and i.region == line.region]
    return all(isinstance(i, Line) and i.size < 0.9 * typography.body for i in rest)


# Rows


def _row_run(items: Sequence[Item], index: int, levels: dict[int, int]) -> list[Line]:
    """The lines that are rows of a table without rules, or entries of a table of contents."""
    run: list[Line] = []
    for offset, item in enumerate(items[index:], index):
        if not isinstance(item, Line) or offset in levels:
            break
        if run and (item.page, item.region) != (run[-1].page, run[-1].region):
            break
        if not (has_leader(item.text) or (item.cells and not BULLET.match(item.text))):
            break
        run.append(item)
    if any(has_leader(line.text) for line in run):
        return run
    return run if len(run) >= 2 and _share_an_edge(run) else []


def _share_an_edge(lines: list[Line]) -> bool:
    """Whether the second cells begin, or the last ones end, at the same place in most rows."""
    starts = [line.cells[1][0] for line in lines]
    ends = [line.cells[-1][1] for line in lines]
    return any(
        sum(abs(value - median(values)) < ALIGNED for value in values) > 0.6 * len(values)
        for values in (starts, ends)
    )


def _aligned_rows(lines: list[Line]) -> list[list[str]] | None:
    """The rows as a table, if each cell is under exactly one of the first row's columns."""
    if len(lines) < 3 or any(not line.cells or has_leader(line.text) for line in lines):
        return None
    columns: list[list[float]] = []
    for x0, x1, _ in sorted(cell for line in lines for cell in line.cells):
        if columns and x0 <= columns[-1][1]:
            columns[-1][1] = max(columns[-1][1], x1)
        else:
            columns.append([x0, x1])
    if len(columns) < 2 or any(len(line.cells) > len(columns) for line in lines):
        return None
    rows = []
    for line in lines:
        row = [""] * len(columns)
        for x0, _, text in line.cells:
            place = next(i for i, (start, end) in enumerate(columns) if start <= x0 <= end)
            if row[place]:
                return None
            row[place] = text
        rows.append(row)
    return rows


def _without_leader(text: str) -> str:
    return (LEADER.sub(" ", text) if has_leader(text) else text).strip()
