"""HTML-ish trees to Markdown, with text joined as a browser joins it.

Inline elements neither add nor remove space; block elements end a line of text; white space is
folded outside code. A dialect (Flare, a web site) subclasses `HtmlRenderer` and adds to its tables.
"""

from __future__ import annotations

import html.entities
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain

from lxml import etree

from ingestion.parsers import markdown
from ingestion.parsers.markup.html_math import math_text
from ingestion.parsers.markup.html_tables import HtmlTable
from ingestion.parsers.markup.html_text import BREAK, CODE, END_CODE, PAD, Flow, ListItems, fold

Element = etree._Element
Handler = Callable[[Element, "Flow"], None]

MAX_DEPTH = 120

_XML_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_LANGUAGE_CLASS = re.compile(r"(?:^|\s)(?:language|lang|brush)[-:]\s*([\w+#.-]+)", re.IGNORECASE)
_LANGUAGE_STYLE = re.compile(r"mc-code-lang:\s*'?([\w+#. -]+)", re.IGNORECASE)
_FILE_LINE_END = re.compile(r"[ \t]*\n\s*")
_INDENTED_TEXT = re.compile(r"[ \t]*\n([ \t]*)(?=\S)")
_INDENTED_LINE = re.compile(r"\n(?:\t|  )")
_FILE_NAME = re.compile(r"\S+\.(?:png|gif|jpe?g|svg|bmp|webp|ico|tiff?)", re.IGNORECASE)
_NAMES_OF_IMAGES = "image picture icon img photo graphic screenshot figure spacer bullet logo"
_ALT_WITHOUT_CONTENT = frozenset(_NAMES_OF_IMAGES.split())
_CODE_KINDS = "list|line|block|text|para(?:graph)?|sample|example|snippet|segment|indent"
_CODE_CLASS = re.compile(
    rf"(?:^|\s)(?:(?i:code(?:{_CODE_KINDS})?\d*|code[-_]\S*|courierpara)"
    rf"|(?!Error|Status|Bar|Zip|Post|Country|Access|Product)[A-Z][A-Za-z0-9]{{0,15}}"
    rf"Code(?i:{_CODE_KINDS})?\d*)(?:\s|$)"
)
LANGUAGES = {
    "c#": "csharp",
    "plaintext": "",
    "plain": "",
    "none": "",
    "text": "",
    "visualbasic": "vb",
    "shell": "shell",
}

_BLOCK_TAGS = (
    "p div section article main header footer aside nav figure figcaption address center form "
    "fieldset legend details summary blockquote body html hgroup search dialog menu noframes "
    "optgroup option caption tr thead tbody tfoot td th hr"
)
_DROPPED_TAGS = (
    "head script style template iframe object embed video audio canvas svg map noscript textarea "
    "select datalist col colgroup link meta base param source track rp"
)
_ROW_GROUPS = ("thead", "tbody", "tfoot")
BLOCKS = frozenset(_BLOCK_TAGS.split())
DROPPED = frozenset(_DROPPED_TAGS.split())


def language_of(element: Element) -> str:
    """The language in the class or `mc-code-lang` of an element, or of the first `code` in it."""
    for candidate in (element, *element.iter("code")):
        style = _LANGUAGE_STYLE.search(candidate.get("style") or "")
        found = style or _LANGUAGE_CLASS.search(candidate.get("class") or "")
        if found:
            name = found[1].strip().lower().replace(" ", "")
            return LANGUAGES.get(name, name)
    return ""


def entity_text(name: str) -> str:
    """The characters of an HTML entity; empty for one that the document itself defined."""
    return html.entities.html5.get(f"{name};", "")


def local_name(tag: object) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


class HtmlRenderer:
    """Walks one tree. Its tables define what elements are; any other element is inline."""

    def __init__(self) -> None:
        self.level = 1
        self.floor = 1
        self._depth = 0
        self._in_code = False
        self._lists: list[ListItems | None] = []
        self._in_table = False
        self.handlers: dict[object, Handler] = {
            etree.Entity: self.entity,
            "br": self.line_break,
            "img": self.image,
            "q": self.quote,
            "pre": self.preformatted,
            "ul": self.listing,
            "ol": self.listing,
            "dl": self.listing,
            "dir": self.listing,
            "li": self.list_item,
            "dt": self.list_item,
            "dd": self.definition,
            "span": self.span,
            "table": self.table,
            "button": self.padded,
            "math": self.math,
            **dict.fromkeys(BLOCKS, self.block),
            **dict.fromkeys(DROPPED, self.drop),
            **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), self.heading),
            **dict.fromkeys(("code", "tt", "kbd", "samp"), self.code_span),
        }

    def blocks_of(self, element: Element, plain: bool = False) -> list[str]:
        """The blocks of an element's content, rendered on its own."""
        if not len(element):
            text = fold(element.text or "")
            return [text if plain else markdown.escape(text)] if text else []
        flow = Flow(plain)
        self.walk(element, flow)
        return flow.finish()

    def inline_of(self, element: Element) -> str:
        """The text of an element in one line."""
        return " ".join(" ".join(self.blocks_of(element, plain=True)).split())

    def walk(self, element: Element, flow: Flow) -> None:
        if self._depth > MAX_DEPTH:
            flow.inline.append(" ".join(map(str, element.itertext())))
            return
        self._depth += 1
        inline = flow.inline
        if element.text:
            inline.append(element.text)
        handlers = self.handlers
        for child in element:
            if not self.hidden(child):
                handler = handlers.get(child.tag) or self.unknown(child.tag)
                handler(child, flow)
            if child.tail:
                inline.append(child.tail)
        self._depth -= 1

    def hidden(self, element: Element) -> bool:
        return False

    def unknown(self, tag: object) -> Handler:
        """The handler of a tag that is in no table: that of `<p>` for `<P>`, else inline."""
        return self.handlers.get(local_name(tag).lower()) or self.walk

    def entity(self, element: Element, flow: Flow) -> None:
        flow.inline.append(entity_text(getattr(element, "name", "")))

    def drop(self, element: Element, flow: Flow) -> None:
        pass

    def line_break(self, element: Element, flow: Flow) -> None:
        flow.inline.append(BREAK)

    def padded(self, element: Element, flow: Flow) -> None:
        flow.inline.append(PAD)
        self.walk(element, flow)
        flow.inline.append(PAD)

    def quote(self, element: Element, flow: Flow) -> None:
        flow.inline.append('"')
        self.walk(element, flow)
        flow.inline.append('"')

    def image(self, element: Element, flow: Flow) -> None:
        alt = " ".join((element.get("alt") or "").split())
        if says_something(alt, element.get("src") or ""):
            flow.inline += (PAD, alt, PAD)

    def block(self, element: Element, flow: Flow) -> None:
        flow.end_line()
        classes = element.get("class")
        if classes and is_code_class(classes) and not self._holds_code(element):
            self.code_paragraph(element, flow)
            return
        self.walk(element, flow)
        flow.end_line()

    def code_paragraph(self, element: Element, flow: Flow) -> None:
        """Add a paragraph of code, which forms one fenced block with its neighbours."""
        verbatim = element.get(_XML_SPACE) == "preserve"
        code = self.code_of(element, verbatim)
        if not code.strip() and flow.code:
            flow.code.append("")
        self.add_code(flow, code, language_of(element))

    def heading(self, element: Element, flow: Flow) -> None:
        tag = local_name(element.tag)
        self.add_heading(flow, self.inline_of(element), max(int(tag[1]), self.floor))

    def add_heading(self, flow: Flow, text: str, level: int) -> None:
        """Add a heading, or a line of text in a list item or a cell, which have no sections."""
        if flow.plain or self._lists:
            flow.add_block(text if flow.plain else markdown.escape(text))
        elif text:
            self.level = min(level, 6)
            flow.add_block(markdown.heading(self.level, text))

    @contextmanager
    def under(self, hotspot: str, flow: Flow) -> Iterator[None]:
        """Add a heading one level below the last from the hotspot's text, if any; the folded
        content that is added inside the `with` block belongs to it."""
        level, floor = self.level, self.floor
        flow.end_line()
        if hotspot:
            self.add_heading(flow, hotspot, level + 1)
            self.floor = min(self.level + 1, 6)
        yield
        flow.end_line()
        self.level, self.floor = level, floor

    def span(self, element: Element, flow: Flow) -> None:
        classes = element.get("class")
        (self.code_span if classes and is_code_class(classes) else self.walk)(element, flow)

    def code_span(self, element: Element, flow: Flow) -> None:
        if self._in_code:
            self.walk(element, flow)
            return
        self._in_code = True
        flow.inline.append(CODE)
        self.walk(element, flow)
        flow.inline.append(END_CODE)
        self._in_code = False

    def preformatted(self, element: Element, flow: Flow) -> None:
        self.add_code(flow, self.code_of(element), language_of(element))
        flow.end_code()

    def add_code(self, flow: Flow, code: str, language: str) -> None:
        flow.end_line()
        if not code.strip():
            return
        if flow.plain:
            flow.add_block(" ".join(code.split()))
        else:
            flow.add_code(code.split("\n"), language)

    def code_of(self, element: Element, verbatim: bool = True) -> str:
        """The exact text of an element, with a line for each break and each block in it.

        If not `verbatim`, white space at line ends is folded as a browser does.
        """
        parts: list[str] = []
        self._code_parts(element, parts, verbatim)
        if not verbatim:
            parts.insert(0, _first_indent(element.text or "", parts))
        code = "".join(parts).replace("\xa0", " ").replace("\r\n", "\n").replace("\r", "\n")
        return code.removeprefix("\n") if verbatim else code.rstrip()

    def _code_parts(self, element: Element, parts: list[str], verbatim: bool) -> None:
        if self._depth > MAX_DEPTH:
            parts.extend(map(str, element.itertext()))
            return
        self._depth += 1
        self._code_text(element.text, parts, verbatim)
        for child in element:
            if not self.hidden(child):
                self._code_child(child, parts, verbatim)
            self._code_text(child.tail, parts, verbatim)
        self._depth -= 1

    def _code_text(self, text: str | None, parts: list[str], verbatim: bool) -> None:
        if not text:
            return
        if not verbatim and "\n" in text:
            text = _FILE_LINE_END.sub(" ", text)
            if not parts or parts[-1].endswith("\n"):
                text = text.removeprefix(" ")
        if text:
            parts.append(text)

    def _code_child(self, child: Element, parts: list[str], verbatim: bool) -> None:
        handler = self.handlers.get(child.tag) or self.unknown(child.tag)
        if handler == self.line_break:
            parts.append("\n")
        elif handler in (self.walk, self.span, self.code_span):
            self._code_parts(child, parts, verbatim)
        elif handler in (self.block, self.list_item, self.listing, self.preformatted):
            _start_line(parts)
            if local_name(child.tag) == "blockquote":
                parts.append(_indented(self.code_of(child, verbatim)))
            else:
                self._code_parts(child, parts, verbatim)
            _start_line(parts)
        else:
            flow = Flow(plain=True)
            handler(child, flow)
            parts.extend(flow.finish())

    def listing(self, element: Element, flow: Flow) -> None:
        flow.end_line()
        items = ListItems(local_name(element.tag).lower() == "ol", _number(element.get("start"), 1))
        self._lists.append(items)
        items.add_stray(self.blocks_of(element, flow.plain))
        self._lists.pop()
        flow.add_block(items.markdown())

    def list_item(self, element: Element, flow: Flow) -> None:
        flow.end_line()
        items = self._lists[-1] if self._lists else None
        if items is None:
            alone = ListItems(False, 1)
            alone.add(self._item_blocks(element, flow))
            flow.add_block(alone.markdown())
            return
        items.add_stray(flow.finish())
        flow.blocks = []
        items.number = _number(element.get("value"), items.number)
        items.add(self._item_blocks(element, flow))

    def definition(self, element: Element, flow: Flow) -> None:
        flow.end_line()
        items = self._lists[-1] if self._lists else None
        target = items.add_stray if items else flow.blocks.extend
        target(self._item_blocks(element, flow))

    def _item_blocks(self, element: Element, flow: Flow) -> list[str]:
        self._lists.append(None)
        blocks = self.blocks_of(element, flow.plain)
        self._lists.pop()
        return blocks

    def table(self, element: Element, flow: Flow) -> None:
        """Add a pipe table. One column is layout, not a table; a nested table is flattened."""
        flow.end_line()
        if self._depth > MAX_DEPTH:
            self.walk(element, flow)
            return
        self._depth += 1
        rows = list(self._rows(element, flow))
        self._depth -= 1
        flow.end_line()
        if "code_table" in (element.get("class") or "").lower():
            self._code_table(rows, flow)
            return
        cells = [[cell for cell in row if self._is_cell(cell)] for row in rows]
        if max(map(len, cells), default=0) <= 1:
            for cell in chain.from_iterable(cells):
                self.block(cell, flow)
        elif flow.plain or self._in_table:
            for row in cells:
                self._flat_row(row, flow)
        else:
            for block in self._table(cells).blocks():
                flow.add_block(block)

    def _flat_row(self, cells: list[Element], flow: Flow) -> None:
        """Add a row of a table in a table: in one line, unless it contains code."""
        if flow.plain or not any(map(self._holds_code, cells)):
            flow.add_block(" ".join(filter(None, map(self.inline_of, cells))))
            return
        for cell in cells:
            self.block(cell, flow)

    def _code_table(self, rows: list[Element], flow: Flow) -> None:
        """Add a table around code: its cells one below the other, with their bare text as code."""
        for row in rows:
            for cell in filter(self._is_cell, row):
                if cell.tag in ("th", "TH") or self._holds_code(cell):
                    self.block(cell, flow)
                else:
                    self.add_code(flow, self.code_of(cell, verbatim=False), language_of(cell))

    def _holds_code(self, element: Element) -> bool:
        """Whether an element contains code that is marked as such: what is around it is text."""
        for inner in element.iterdescendants(etree.Element):
            if self.handlers.get(inner.tag) == self.preformatted:
                return True
            if inner.tag in ("p", "div") and is_code_class(inner.get("class") or ""):
                return True
        return False

    def _table(self, rows: list[list[Element]]) -> HtmlTable:
        self._in_table = True
        self._lists.append(None)
        table = HtmlTable()
        for cells in rows:
            table.start_row()
            for cell in cells:
                columns, reach = _number(cell.get("colspan"), 1), _number(cell.get("rowspan"), 1)
                table.add_cell(self.blocks_of(cell), columns, reach)
        self._lists.pop()
        self._in_table = False
        return table

    def _rows(self, element: Element, captions: Flow) -> Iterator[Element]:
        """The rows, also in groups and wrappers.

        Other content of the table, such as its caption, goes to `captions`.
        """
        captions.inline.append(element.text or "")
        for child in element:
            name = local_name(child.tag).lower()
            handler = self.handlers.get(child.tag) or self.unknown(child.tag)
            if self.hidden(child):
                pass
            elif name == "tr":
                yield child
            elif name in _ROW_GROUPS or handler == self.walk or _wraps_rows(child, name):
                yield from self._rows(child, captions)
            else:
                handler(child, captions)
            captions.inline.append(child.tail or "")

    def _is_cell(self, element: Element) -> bool:
        return element.tag in ("td", "th", "TD", "TH") and not self.hidden(element)

    def math(self, element: Element, flow: Flow) -> None:
        flow.inline.append(f"${math_text(element)}$")


def says_something(alt: str, source: str) -> bool:
    """Whether an image's alternative text is more than its file name or the word image."""
    words = alt.lower()
    if not any(map(str.isalnum, alt)) or words in _ALT_WITHOUT_CONTENT or _FILE_NAME.fullmatch(alt):
        return False
    stem = re.split(r"[/\\]", source)[-1].rpartition(".")[0].lower()
    return re.sub(r"\W|_", "", words) != re.sub(r"%20|\W|_", "", stem)


def _first_indent(text: str, parts: list[str]) -> str:
    """The indent of a first line that is on the line below its tag."""
    indent = _INDENTED_TEXT.match(text)
    return indent[1] if indent and _INDENTED_LINE.search("".join(parts)) else ""


def _wraps_rows(element: Element, name: str) -> bool:
    """Whether an element that does not belong in a table, such as a quotation, contains rows."""
    is_wrapper = name in BLOCKS and name not in ("td", "th", "caption")
    return is_wrapper and next(element.iter("tr"), None) is not None


def _start_line(parts: list[str]) -> None:
    if parts and not parts[-1].endswith("\n"):
        parts.append("\n")


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in code.split("\n"))


@lru_cache(maxsize=4096)
def is_code_class(classes: str) -> bool:
    """Whether a paragraph's class makes it code: `Code`, `CodeList`, `Code-...`, `CourierPara`."""
    return _CODE_CLASS.search(classes) is not None


def _number(text: str | None, default: int) -> int:
    """A span, start or value; the default if it is not a number or an absurd one."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 5 else default
