"""What a reader of a Docusaurus page sees, as Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markdown_it.common.utils import unescapeAll
from markdown_it.token import Token

from ingestion.parsers.mdx_markdown import ADMONITIONS
from ingestion.parsers.mdx_syntax import Braces, Tag, attribute_text, expression_text
from ingestion.parsers.mdx_tags import BLOCK, THEME_BLOCKS, Event, Scope, is_component
from ingestion.parsers.mdx_writer import Cell, MarkdownWriter

_UNSEEN = """
script style template noscript title iframe video audio object canvas textarea datalist
"""
UNSEEN = frozenset(_UNSEEN.split())
UNSEEN_COMPONENTS = frozenset({"Head"})
VISIBLE_PROPS = ("title", "label", "heading", "caption", "summary", "description")

_SPACE = re.compile(r"[\s\xa0]+")
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad"))
_LANGUAGE = re.compile(r"[^\s{]+")
_CODE_TITLE = re.compile(r"""(?:^|\s)title=(?:"([^"]*)"|'([^']*)')""")
_CODE_CLASS = re.compile(r"\blang(?:uage)?-([\w+#.-]+)")
_FILE_NAME = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|avif|bmp)$", re.IGNORECASE)
_NO_ALT = "image,img,picture,photo,screenshot,figure,diagram,logo,icon,alt,alt text,placeholder"
_SAYS_NOTHING = frozenset(_NO_ALT.split(","))
_TAB_VALUE = re.compile(r"""\b(label|value)\s*:\s*(?:"([^"]*)"|'([^']*)'|`([^`]*)`)""")
_ANY_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_RAW_BRACES = re.compile(r"\{\s*(`(?:[^`\\]|\\.)*`|'[^'\n]*'|\"[^\"\n]*\")\s*\}", re.DOTALL)
_FIRST_NEWLINE = re.compile(r"^[ \t]*\n")


@dataclass(slots=True)
class _Table:
    line: int
    rows: list[list[Cell]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    in_head: bool = False
    in_cell: bool = False


@dataclass(slots=True)
class Renderer:
    """Walks paired events and writes what they show; expressions it cannot tell show nothing."""

    out: MarkdownWriter = field(default_factory=MarkdownWriter)
    _scope: Scope = field(default_factory=Scope)
    _inline: list[tuple[bool, str]] = field(default_factory=list)
    _line: int = 1
    _text_line: int = 0
    _heading: int = 0
    _level: int = 1
    _tables: list[_Table] = field(default_factory=list)
    _outer: list[MarkdownWriter] = field(default_factory=list)
    _tabs: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    _code: list[list[tuple[bool, str]]] = field(default_factory=list)

    def render(self, events: Sequence[Event]) -> MarkdownWriter:
        index = 0
        while index < len(events):
            event = events[index]
            self._line, self._scope = event.line, event.scope
            index = self._event(events, index, event) + 1
        self._end_block()
        while self._tables:
            self._end_table()
        return self.out

    def _event(self, events: Sequence[Event], index: int, event: Event) -> int:
        """Handle the event at `index`; return the place of the last event that was dealt with."""
        if event.token.type == "mdx_tag":
            return self._tag_event(events, index, event)
        handler = _TOKENS.get(event.token.type)
        if handler:
            handler(self, event.token)
        return index

    # text

    def _add_text(self, text: str, verbatim: bool = False) -> None:
        if not self._inline:
            self._text_line = self._line
        self._inline.append((verbatim, text.translate(_INVISIBLE)))

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
            self._add_text(_code_span(code), verbatim=True)

    def _image(self, token: Token) -> None:
        self._add_alt("".join(_plain_text(token.children or [])))

    def _add_alt(self, alt: str) -> None:
        if _says_something(alt):
            self._add_text(f" {alt} ")

    def _footnote_ref(self, token: Token) -> None:
        self._add_text(f"[{_footnote_label(token)}]")

    def _footnote(self, token: Token) -> None:
        self._end_block()
        self._add_text(f"[{_footnote_label(token)}] ")

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

    # blocks

    def _end_block(self, token: Token | None = None) -> None:
        """What was gathered becomes a heading or a paragraph, as the place asks for."""
        text = _joined(self._inline)
        self._inline = []
        if not text:
            return
        if self._heading:
            self.out.heading(self._heading, text, self._text_line)
            self._level = self._heading
        else:
            self.out.text(text, self._text_line)

    def _open_paragraph(self, token: Token) -> None:
        # the first paragraph of a footnote goes on after its label
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
        classes = tag.raw + token.content[:200]
        language = _CODE_CLASS.search(classes)
        body = _RAW_BRACES.sub(
            lambda match: expression_text(match[1], self._scope.names) or "", token.content
        )
        if body == token.content:
            body = html.unescape(_ANY_TAG.sub("", _FIRST_NEWLINE.sub("", body)))
        else:
            body = _ANY_TAG.sub("", _FIRST_NEWLINE.sub("", body))
        self._write_code(language[1] if language else "", body.rstrip().strip("\n"), "", 0)

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

    # tables

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

    # tags

    def _tag_event(self, events: Sequence[Event], index: int, event: Event) -> int:
        tag = event.tag
        assert tag is not None
        if event.literal:
            self._literal(event, tag)
        elif self._is_unseen(tag) and not tag.self_closing:
            return max(index, event.partner)
        elif tag.name == "CodeBlock" and event.partner > index:
            self._code_block(events, index, event.partner, tag)
            return event.partner
        elif is_component(tag.name) or not tag.name:
            self._component(event, tag)
        else:
            self._element(event, tag)
        return index

    def _literal(self, event: Event, tag: Tag) -> None:
        if event.flow:
            self._end_block()
        self._add_text(tag.raw, verbatim=False)
        if event.flow:
            self._end_block()

    def _is_unseen(self, tag: Tag) -> bool:
        return tag.name in UNSEEN or tag.name in UNSEEN_COMPONENTS

    def _component(self, event: Event, tag: Tag) -> None:
        own_lines = event.flow or tag.name in THEME_BLOCKS
        if own_lines:
            self._end_block()
        if tag.closing:
            self._close_component(tag)
            return
        opener = _COMPONENTS.get(tag.name)
        if opener:
            opener(self, tag)
        else:
            self._visible_props(tag, own_lines)
        if tag.self_closing and tag.name in ("Tabs", "TabItem"):
            self._close_component(tag)

    def _close_component(self, tag: Tag) -> None:
        if tag.name == "TabItem" and self._tabs:
            self._level = self._tabs[-1][0]
        elif tag.name == "Tabs" and self._tabs:
            self._level = self._tabs.pop()[0]

    def _visible_props(self, tag: Tag, own_lines: bool) -> None:
        for name in VISIBLE_PROPS:
            text = attribute_text(tag, name, self._scope.names)
            if text.strip():
                self._add_text(f" {text} ")
                if own_lines:
                    self._end_block()
        self._add_alt(attribute_text(tag, "alt", self._scope.names))

    def _open_tabs(self, tag: Tag) -> None:
        values = tag.attribute("values")
        self._tabs.append((self._level, _tab_labels(values.value) if values else {}))

    def _open_tab(self, tag: Tag) -> None:
        level, labels = self._tabs[-1] if self._tabs else (self._level, {})
        value = attribute_text(tag, "value", self._scope.names)
        label = attribute_text(tag, "label", self._scope.names) or labels.get(value, value)
        if label.strip():
            self._level = min(level + 1, 6)
            self.out.heading(self._level, label.strip(), self._line)

    def _open_admonition(self, tag: Tag) -> None:
        kind = attribute_text(tag, "type", self._scope.names)
        title = attribute_text(tag, "title", self._scope.names)
        self._add_text(title or (kind.capitalize() if kind in ADMONITIONS else ""))
        self._end_block()

    def _code_block(self, events: Sequence[Event], index: int, partner: int, tag: Tag) -> None:
        inner = [events[n].token for n in range(index + 1, partner)]
        code = "".join(self._code_text(token) for token in inner).strip("\n")
        language = attribute_text(tag, "language", self._scope.names)
        if not language:
            found = _CODE_CLASS.search(attribute_text(tag, "className", self._scope.names))
            language = found[1] if found else ""
        self._write_code(language, code, attribute_text(tag, "title", self._scope.names), 0)

    def _code_text(self, token: Token) -> str:
        if token.type == "mdx_expression":
            return expression_text(token.meta["piece"].code, self._scope.names) or ""
        return "\n" if token.type in ("softbreak", "hardbreak") else token.content

    def _element(self, event: Event, tag: Tag) -> None:
        name = tag.name.lower()
        if event.flow or (name in BLOCK and name != "br"):
            self._end_block()
        handler = (_CLOSERS if tag.closing else _OPENERS).get(name)
        if handler and (event.partner >= 0 or name not in _NEEDS_PARTNER):
            handler(self, tag)

    def _code_element(self, tag: Tag) -> None:
        if not tag.closing:
            self._code.append(self._inline)
            self._inline = []
        elif self._code:
            code, self._inline = _joined(self._inline), self._code.pop()
            self._add_code(code)

    def _heading_tag(self, tag: Tag) -> None:
        self._heading = int(tag.name[1])

    def _end_heading_tag(self, tag: Tag) -> None:
        self._heading = 0

    def _list_tag(self, tag: Tag) -> None:
        start = attribute_text(tag, "start", self._scope.names)
        self.out.open_list(tag.name.lower() == "ol", int(start) if start.isdecimal() else 1)

    def _end_list_tag(self, tag: Tag) -> None:
        self.out.close_list()

    def _item_tag(self, tag: Tag) -> None:
        self.out.open_item()

    def _table_tag(self, tag: Tag) -> None:
        self._start_table()

    def _end_table_tag(self, tag: Tag) -> None:
        self._end_table()

    def _head_tag(self, tag: Tag) -> None:
        self._set_head(not tag.closing)

    def _row_tag(self, tag: Tag) -> None:
        self._start_row()

    def _cell_tag(self, tag: Tag) -> None:
        self._start_cell(tag.name.lower() == "th", self._span(tag, "col"), self._span(tag, "row"))

    def _span(self, tag: Tag, kind: str) -> int:
        """`colspan` as HTML and `colSpan` as JSX write it; an expression counts as its digits."""
        attribute = tag.attribute(f"{kind}span") or tag.attribute(f"{kind}Span")
        value = attribute.value.strip() if attribute else ""
        return min(int(value), 100) if value.isdecimal() and value != "0" else 1

    def _end_cell_tag(self, tag: Tag) -> None:
        self._end_cell()

    def _break_tag(self, tag: Tag) -> None:
        self._hard_break()

    def _image_tag(self, tag: Tag) -> None:
        self._add_alt(attribute_text(tag, "alt", self._scope.names))

    def _quote_tag(self, tag: Tag) -> None:
        self._add_text('"')


def _joined(segments: Sequence[tuple[bool, str]]) -> str:
    """Text as a browser joins it: white space folded, none added between neighbours."""
    text = ""
    for verbatim, segment in segments:
        folded = segment if verbatim else _SPACE.sub(" ", segment)
        if segment == "\n":
            text = text.rstrip(" ")
        elif not verbatim and (not text or text[-1] in " \n"):
            folded = folded.lstrip(" ")
        text += folded
    return text.strip(" \n")


def _code_span(code: str) -> str:
    runs = {len(run) for run in re.findall(r"`+", code)}
    ticks = "`" * next(n for n in range(1, len(runs) + 2) if n not in runs)
    pad = " " if code.startswith("`") or code.endswith("`") else ""
    return f"{ticks}{pad}{code}{pad}{ticks}"


def _plain_text(tokens: Sequence[Token]) -> list[str]:
    return [" " if token.type == "softbreak" else token.content for token in tokens]


def _says_something(alt: str) -> bool:
    alt = alt.strip()
    return (
        sum(map(str.isalpha, alt)) > 2
        and not _FILE_NAME.search(alt)
        and alt.lower() not in _SAYS_NOTHING
    )


def _footnote_label(token: Token) -> str:
    """Its number, in the order of first mention."""
    return str(token.meta.get("id", 0) + 1)


def _tab_labels(code: str) -> dict[str, str]:
    """The labels of `values={[{label: 'npm', value: 'npm'}]}` by value."""
    labels: dict[str, str] = {}
    for entry in code.split("}"):
        found = {match[0]: match[1] or match[2] or match[3] for match in _TAB_VALUE.findall(entry)}
        if "label" in found and "value" in found:
            labels[found["value"]] = found["label"]
    return labels


_TOKENS: dict[str, Callable[[Renderer, Token], None]] = {
    "text": Renderer._text,
    "text_special": Renderer._text,
    "softbreak": Renderer._space,
    "hardbreak": Renderer._hard_break,
    "code_inline": Renderer._inline_code,
    "image": Renderer._image,
    "mdx_expression": Renderer._expression,
    "mdx_math": Renderer._math,
    "mdx_raw": Renderer._raw,
    "footnote_ref": Renderer._footnote_ref,
    "footnote_open": Renderer._footnote,
    "footnote_close": Renderer._end_block,
    "paragraph_open": Renderer._open_paragraph,
    "paragraph_close": Renderer._end_block,
    "heading_open": Renderer._open_heading,
    "heading_close": Renderer._close_heading,
    "fence": Renderer._fence,
    "code_block": Renderer._indented_code,
    "bullet_list_open": Renderer._open_bullets,
    "bullet_list_close": Renderer._close_list,
    "ordered_list_open": Renderer._open_numbers,
    "ordered_list_close": Renderer._close_list,
    "list_item_open": Renderer._open_item,
    "list_item_close": Renderer._end_block,
    "blockquote_open": Renderer._end_block,
    "blockquote_close": Renderer._end_block,
    "hr": Renderer._end_block,
    "table_open": Renderer._start_table,
    "table_close": Renderer._end_table,
    "thead_open": Renderer._open_head,
    "thead_close": Renderer._close_head,
    "tr_open": Renderer._start_row,
    "th_open": Renderer._cell_token,
    "td_open": Renderer._cell_token,
    "th_close": Renderer._end_cell,
    "td_close": Renderer._end_cell,
}
_COMPONENTS: dict[str, Callable[[Renderer, Tag], None]] = {
    "Tabs": Renderer._open_tabs,
    "TabItem": Renderer._open_tab,
    "Admonition": Renderer._open_admonition,
}
_OPENERS: dict[str, Callable[[Renderer, Tag], None]] = {
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), Renderer._heading_tag),
    **dict.fromkeys(("ul", "ol", "menu"), Renderer._list_tag),
    **dict.fromkeys(("td", "th"), Renderer._cell_tag),
    "li": Renderer._item_tag,
    "table": Renderer._table_tag,
    "thead": Renderer._head_tag,
    "tr": Renderer._row_tag,
    "br": Renderer._break_tag,
    "img": Renderer._image_tag,
    "q": Renderer._quote_tag,
    "code": Renderer._code_element,
}
_CLOSERS: dict[str, Callable[[Renderer, Tag], None]] = {
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), Renderer._end_heading_tag),
    **dict.fromkeys(("ul", "ol", "menu"), Renderer._end_list_tag),
    **dict.fromkeys(("td", "th"), Renderer._end_cell_tag),
    "table": Renderer._end_table_tag,
    "thead": Renderer._head_tag,
    "q": Renderer._quote_tag,
    "code": Renderer._code_element,
}
# alone, these would change all that follows
_NEEDS_PARTNER = frozenset(
    ["h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "menu", "table", "thead", "code", "q"]
)
