"""Renders the tags of a Docusaurus page, in addition to its Markdown, as a reader sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from markdown_it.token import Token

from ingestion.parsers.mdx.admonitions import ADMONITIONS
from ingestion.parsers.mdx.blocks import TOKENS, BlockRenderer
from ingestion.parsers.mdx.syntax import (
    STRING,
    Tag,
    attribute_text,
    expression_text,
    literal_text,
)
from ingestion.parsers.mdx.tags import BLOCK, THEME_BLOCKS, Event, is_component
from ingestion.parsers.mdx.text import code_language, joined
from ingestion.parsers.mdx.writer import MarkdownWriter

_UNSEEN = """
script style template noscript title iframe video audio object canvas textarea datalist
"""
UNSEEN = frozenset(_UNSEEN.split())
UNSEEN_COMPONENTS = frozenset({"Head"})
VISIBLE_PROPS = ("title", "label", "heading", "caption", "summary", "description")

_OBJECT_PART = re.compile(
    rf"""["']?\b(?P<name>label|value|description)["']?\s*:\s*(?P<text>{STRING})|{STRING}|\}}""",
    re.DOTALL,
)
_CODE_COMPONENT = re.compile("code|snippet|highlight|terminal|mermaid", re.IGNORECASE)


@dataclass(slots=True)
class Renderer(BlockRenderer):
    """Walks paired events and writes what they show; unknown expressions show nothing."""

    _tabs: list[tuple[int, dict[str, str]]] = field(default_factory=list)

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
        """Handle the event at `index`; return the index of the last event handled."""
        tag = event.tag if event.token.type == "mdx_tag" else None
        if tag:
            return self._tag_event(events, index, event, tag)
        handler = TOKENS.get(event.token.type)
        if handler:
            handler(self, event.token)
        return index

    def _tag_event(self, events: Sequence[Event], index: int, event: Event, tag: Tag) -> int:
        if event.literal:
            self._literal(event, tag)
        elif self._is_unseen(tag) and not tag.self_closing:
            return max(index, event.partner)
        elif (code := self._code_within(events, index, event.partner, tag)) is not None:
            self._write_component_code(tag, code)
            return event.partner
        elif is_component(tag.name) or not tag.name:
            self._component(event, tag)
        else:
            self._element(event, tag)
        return index

    def _code_within(
        self, events: Sequence[Event], index: int, partner: int, tag: Tag
    ) -> str | None:
        """The code in Docusaurus' own component, or in one with a similar name around one string;
        None for any other tag."""
        if partner < index or not (is_component(tag.name) and _CODE_COMPONENT.search(tag.name)):
            return None
        inner: Iterator[Token] = (events[n].token for n in range(index + 1, partner))
        if tag.name != "CodeBlock":
            shown = [*islice((token for token in inner if not _is_layout(token)), 2)]
            if [token.type for token in shown] != ["mdx_expression"]:
                return None
            inner = iter(shown)
        code = "".join(self._code_text(token) for token in inner).strip("\n")
        return code if code or tag.name == "CodeBlock" else None

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
        code = attribute_text(tag, "code", self._scope.names)
        if opener:
            opener(self, tag)
        elif "\n" in code or (code and _CODE_COMPONENT.search(tag.name)):
            self._write_component_code(tag, code.strip("\n"))
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

    def _card_list(self, tag: Tag) -> None:
        """Write the cards that a page lists; without `items`, there are none of its own."""
        items = tag.attribute("items")
        cards = list(_objects(items.value)) if items else []
        self.out.open_list(ordered=False)
        for card in cards:
            shown = [card[name].strip() for name in ("label", "description") if card.get(name)]
            if shown:
                self.out.open_item()
                self._add_text(": ".join(shown))
                self._end_block()
        self.out.close_list()

    def _write_component_code(self, tag: Tag, code: str) -> None:
        language = attribute_text(tag, "language", self._scope.names)
        if not language:
            language = code_language(attribute_text(tag, "className", self._scope.names))
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
            code, self._inline = joined(self._inline), self._code.pop()
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
        """The value of `colspan` (HTML) or `colSpan` (JSX); of an expression, its digits."""
        attribute = tag.attribute(f"{kind}span") or tag.attribute(f"{kind}Span")
        value = attribute.value.strip() if attribute else ""
        return min(int(value), 100) if value.isdecimal() and value != "0" else 1

    def _end_cell_tag(self, tag: Tag) -> None:
        self._end_cell()

    def _break_tag(self, tag: Tag) -> None:
        self._hard_break()

    def _image_tag(self, tag: Tag) -> None:
        names = self._scope.names
        self._add_alt(attribute_text(tag, "alt", names), attribute_text(tag, "src", names))

    def _quote_tag(self, tag: Tag) -> None:
        self._add_text('"')


def _tab_labels(code: str) -> dict[str, str]:
    """The labels of `values={[{label: 'npm', value: 'npm'}]}` by value."""
    found = _objects(code)
    return {each["value"]: each["label"] for each in found if "label" in each and "value" in each}


def _objects(code: str) -> Iterator[dict[str, str]]:
    """The texts by key of each object in a literal such as `[{label: 'npm'}]`."""
    texts: dict[str, str] = {}
    for match in _OBJECT_PART.finditer(code):
        if match["name"]:
            texts[match["name"]] = literal_text(match["text"], {})
        elif match[0] == "}" and texts:
            yield texts
            texts = {}


def _is_layout(token: Token) -> bool:
    """Whether the token shows nothing by itself."""
    if token.type == "text":
        return not token.content.strip()
    return token.type in ("softbreak", "paragraph_open", "paragraph_close")


_COMPONENTS: dict[str, Callable[[Renderer, Tag], None]] = {
    "Tabs": Renderer._open_tabs,
    "TabItem": Renderer._open_tab,
    "Admonition": Renderer._open_admonition,
    "DocCardList": Renderer._card_list,
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
