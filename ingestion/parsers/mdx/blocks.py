"""Writes Markdown tokens as Markdown of what they show."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from markdown_it.common.utils import unescapeAll
from markdown_it.token import Token

from ingestion.parsers import markdown
from ingestion.parsers.mdx.syntax import Braces, Tag, expression_text
from ingestion.parsers.mdx.tags import Scope
from ingestion.parsers.mdx.text import (
    Segment,
    footnote_label,
    joined,
    plain_text,
    raw_code,
    says_something,
)
from ingestion.parsers.mdx.writer import Cell, MarkdownWriter

_LANGUAGE = re.compile(r"[^\s{]+")
_CODE_TITLE = re.compile(r"""(?:^|\s)title=(?:"([^"]*)"|'([^']*)')""")


@dataclass(slots=True)
class _Table:
    line: int
    rows: list[list[Cell]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    in_head: bool = False
    in_cell: bool = False


@dataclass(slots=True)
class BlockRenderer:
    """Collects text, and writes it at the end of each block."""

    out: MarkdownWriter = field(default_factory=MarkdownWriter)
    _scope: Scope = field(default_factory=Scope)
    _inline: list[Segment] = field(default_factory=list)
    _line: int = 1
    _text_line: int = 0
    _heading: int = 0
    _level: int = 1
    _tables: list[_Table] = field(default_factory=list)
    _outer: list[MarkdownWriter] = field(default_factory=list)
    _code: list[list[Segment]] = field(default_factory=list)

    def _add_text(self, text: str, verbatim: bool = False) -> None:
        if not self._inline:
            self._text_line = self._line
        self._inline.append((verbatim, text.translate(markdown.INVISIBLE)))

    def _text(self, token: Token) -> None:
        self._add_text(token.content)

    def _space(self, token: Token) -> None:
        self._add_text(" ")

    def _hard_break(self, token: Token | None = None) -> None:
        self._add_text("\n", verbatim=True)

    def _inline_code(self, token: Token) -> None:
        self._add_code(token.content)

    def _add_code(self, code: str) -> None:
        if self._code:
            self._add_text(code, verbatim=True)
        elif code.strip():
            self._add_text(markdown.code_span(code), verbatim=True)

    def _image(self, token: Token) -> None:
        alt = "".join(plain_text(token.children or []))
        self._add_alt(alt, str(token.attrs.get("src", "")))

    def _add_alt(self, alt: str, address: str = "") -> None:
        if says_something(alt, address) and not self._heading:
            self._add_text(f" {alt} ")

    def _footnote_ref(self, token: Token) -> None:
        self._add_text(f"[{footnote_label(token)}]")

    def _footnote(self, token: Token) -> None:
        self._end_block()
        self._add_text(f"[{footnote_label(token)}] ")

    def _expression(self, token: Token) -> None:
        piece: Braces = token.meta["piece"]
        text = expression_text(piece.code, self._scope.names)
        if self._scope.plain and text is None:
            text = piece.raw
        if token.block:
            self._end_block()
        if text and self._code:
            self._add_text(text, verbatim=True)
        elif text:
            self._add_text(text)
        if token.block:
            self._end_block()

    def _math(self, token: Token) -> None:
        if token.block:
            self._end_block()
            self._add_text(token.content)
            self._end_block()
        else:
            self._add_text(token.content, verbatim=True)

    def _end_block(self, token: Token | None = None) -> None:
        """Write the collected text as a heading or a paragraph."""
        text = joined(self._inline)
        self._inline = []
        if not text:
            return
        if self._heading:
            self.out.heading(self._heading, text, self._text_line)
            self._level = self._heading
        else:
            self.out.text(text, self._text_line)

    def _open_paragraph(self, token: Token) -> None:
        # the first paragraph of a footnote is on the line of its label
        if not (len(self._inline) == 1 and self._inline[0][1].startswith("[")):
            self._end_block()

    def _open_heading(self, token: Token) -> None:
        self._start_heading(int(token.tag[1]))

    def _start_heading(self, level: int) -> None:
        self._end_block()
        self._heading = level

    def _close_heading(self, token: Token | None = None) -> None:
        self._end_block()
        self._heading = 0

    def _fence(self, token: Token) -> None:
        info = unescapeAll(token.info).strip()
        title = _CODE_TITLE.search(info)
        language = _LANGUAGE.match(info)
        name = language.group() if language and "=" not in language.group() else ""
        self._write_code(name, token.content, (title[1] or title[2] or "") if title else "", 1)

    def _indented_code(self, token: Token) -> None:
        self._write_code("", token.content, "", 0)

    def _write_code(self, language: str, code: str, title: str, lines_before: int) -> None:
        self._end_block()
        code = code.removesuffix("\n")
        if title.strip():
            self.out.text(title.strip(), self._line)
        if code.strip():
            self.out.fence(language, code, self._line, self._line + lines_before)

    def _raw(self, token: Token) -> None:
        tag: Tag = token.meta["piece"]
        self._end_block()
        if tag.name.lower() != "pre":
            return
        language, code = raw_code(tag, token.content, self._scope.names)
        self._write_code(language, code, "", 0)

    def _open_bullets(self, token: Token) -> None:
        self._end_block()
        self.out.open_list(ordered=False)

    def _open_numbers(self, token: Token) -> None:
        self._end_block()
        self.out.open_list(ordered=True, start=int(token.attrs.get("start", 1)))

    def _open_item(self, token: Token) -> None:
        self._end_block()
        self.out.open_item()

    def _close_list(self, token: Token) -> None:
        self._end_block()
        self.out.close_list()

    def _start_table(self, token: Token | None = None) -> None:
        self._end_block()
        self._tables.append(_Table(self._line))

    def _set_head(self, inside: bool) -> None:
        self._end_cell()
        if self._tables:
            self._tables[-1].in_head = inside

    def _open_head(self, token: Token) -> None:
        self._set_head(True)

    def _close_head(self, token: Token) -> None:
        self._set_head(False)

    def _start_row(self, token: Token | None = None) -> None:
        self._end_cell()
        if self._tables:
            self._tables[-1].rows.append([])
            self._tables[-1].lines.append(self._line)

    def _cell_token(self, token: Token) -> None:
        self._start_cell(token.tag == "th", 1, 1)

    def _start_cell(self, header: bool, columns: int, rows: int) -> None:
        self._end_cell()
        if not self._tables:
            return
        table = self._tables[-1]
        if not table.rows:
            self._start_row()
        cell = Cell(MarkdownWriter(flat=True), header or table.in_head, columns, rows)
        table.rows[-1].append(cell)
        table.in_cell = True
        self._outer.append(self.out)
        self.out = cell.content

    def _end_cell(self, token: Token | None = None) -> None:
        self._end_block()
        if self._tables and self._tables[-1].in_cell:
            self._tables[-1].in_cell = False
            self.out = self._outer.pop()

    def _end_table(self, token: Token | None = None) -> None:
        self._end_cell()
        if self._tables:
            table = self._tables.pop()
            rows = [(row, line) for row, line in zip(table.rows, table.lines, strict=True) if row]
            if rows:
                self.out.table([row for row, _ in rows], [line for _, line in rows])


TOKENS: dict[str, Callable[[BlockRenderer, Token], None]] = {
    "text": BlockRenderer._text,
    "text_special": BlockRenderer._text,
    "softbreak": BlockRenderer._space,
    "hardbreak": BlockRenderer._hard_break,
    "code_inline": BlockRenderer._inline_code,
    "image": BlockRenderer._image,
    "mdx_expression": BlockRenderer._expression,
    "mdx_math": BlockRenderer._math,
    "mdx_raw": BlockRenderer._raw,
    "footnote_ref": BlockRenderer._footnote_ref,
    "footnote_open": BlockRenderer._footnote,
    "footnote_close": BlockRenderer._end_block,
    "paragraph_open": BlockRenderer._open_paragraph,
    "paragraph_close": BlockRenderer._end_block,
    "heading_open": BlockRenderer._open_heading,
    "heading_close": BlockRenderer._close_heading,
    "fence": BlockRenderer._fence,
    "code_block": BlockRenderer._indented_code,
    "bullet_list_open": BlockRenderer._open_bullets,
    "bullet_list_close": BlockRenderer._close_list,
    "ordered_list_open": BlockRenderer._open_numbers,
    "ordered_list_close": BlockRenderer._close_list,
    "list_item_open": BlockRenderer._open_item,
    "list_item_close": BlockRenderer._end_block,
    "blockquote_open": BlockRenderer._end_block,
    "blockquote_close": BlockRenderer._end_block,
    "hr": BlockRenderer._end_block,
    "table_open": BlockRenderer._start_table,
    "table_close": BlockRenderer._end_table,
    "thead_open": BlockRenderer._open_head,
    "thead_close": BlockRenderer._close_head,
    "tr_open": BlockRenderer._start_row,
    "th_open": BlockRenderer._cell_token,
    "td_open": BlockRenderer._cell_token,
    "th_close": BlockRenderer._end_cell,
    "td_close": BlockRenderer._end_cell,
}
