"""A published page's content to Markdown.

It extends the renderer for Flare's sources (`markup.html`), so that a topic and its published page
give the same text. markdownify was tried instead: it recurses without limit on nested elements,
does not escape bars in cells, and breaks nested tables and cells that span rows.

It adds Flare's published markup (drop-downs, togglers, popups, code snippets, numbered paragraphs
that became tables) and syntax highlighters, which put code in tables, lists and spans.
"""

from __future__ import annotations

import re

from lxml import etree

from ingestion.parsers import markdown
from ingestion.parsers.markup.html import Element, Handler, HtmlRenderer, language_of
from ingestion.parsers.markup.html_text import PAD, Flow
from ingestion.parsers.web.boilerplate import classes_of

_HIGHLIGHTER_CLASSES = (
    "crayon-syntax syntaxhighlighter enlighter enlighter-default enlighterjs enlighterjsraw "
    "highlighttable rouge-table hljs-ln wp_syntax geshi codehilite codehilitetable highlight "
    "code-block-pro wp-block-kevinbatdorf-code-block-pro"
)
HIGHLIGHTERS = frozenset(_HIGHLIGHTER_CLASSES.split())
_ALWAYS = HIGHLIGHTERS - {"highlight", "enlighter"}
_GUTTER_CLASSES = (
    "gutter crayon-nums linenos lineno linenodiv line_numbers rouge-gutter hljs-ln-numbers "
    "line-numbers-rows crayon-num ln lnt enlighter-linenumbers blob-num crayon-toolbar "
    "crayon-plain-wrap enlighter-toolbar enlighter-raw toolbar"
)
GUTTERS = frozenset(_GUTTER_CLASSES.split())
LINES = frozenset(["line", "crayon-line", "hljs-ln-line", "hljs-ln-code", "code-line", "blob-code"])
_COPY = re.compile(
    r"\b(?:copy|share|close|toggle|menu|search|print|play|submit|expand|collapse|scroll)", re.I
)
_NO_LANGUAGE = frozenset(
    ("generic", "raw", "default", "text", "plain", "none", "plaintext", "null")
)
_LANGUAGE_ATTRIBUTES = (
    "data-enlighter-language", "data-language", "data-lang", "data-code-language", "lang-name",
)  # fmt: skip
_BRUSH = re.compile(r"brush:\s*([\w+#-]+)", re.IGNORECASE)
_LANGUAGE_CLASS = re.compile(r"(?:^|\s)(?:language|lang|highlight-source)-([\w+#-]+)")
_LANGUAGE_STYLE = re.compile(r"mc-code-lang:\s*'?([\w+#.-]+)", re.IGNORECASE)
_ICON = re.compile(r"mc\w+_icon$")
_NUMBERED = re.compile(r"autonumber_", re.IGNORECASE)
_BULLET = re.compile(r"[^\w\s]{1,2}\Z|o\Z")
_ORDINAL = re.compile(r"(\d{1,4})[.):]?\Z")
_MADCAP = "madcap:"


class WebRenderer(HtmlRenderer):
    """Renders one page's content region, from which the boilerplate was removed."""

    def __init__(self) -> None:
        super().__init__()
        self.handlers |= {
            "button": self.button,
            "img": self.picture,
            "label": self.walk,
            "form": self.block,
            "iframe": self.drop,
            f"{_MADCAP}dropdown": self.drop_down,
            f"{_MADCAP}keyword": self.drop,
            f"{_MADCAP}concept": self.drop,
            f"{_MADCAP}annotation": self.drop,
        }

    def unknown(self, tag: object) -> Handler:
        if isinstance(tag, str) and tag.startswith(_MADCAP) and tag.endswith("proxy"):
            return self.drop
        return super().unknown(tag)

    def button(self, element: Element, flow: Flow) -> None:
        """Keep the headings of accordions, which are buttons; drop the page's own controls."""
        label = (
            f"{element.get('class') or ''} {element.get('aria-label') or ''} {element.text or ''}"
        )
        if not self._in_code and not _COPY.search(label):
            self.padded(element, flow)

    def picture(self, element: Element, flow: Flow) -> None:
        """Drop the triangle of a drop-down, whose alternative text (`Closed`) means nothing."""
        if not any(_ICON.match(name) for name in classes_of(element)):
            self.image(element, flow)

    def block(self, element: Element, flow: Flow) -> None:
        names = set(classes_of(element)) if element.get("class") else set()
        if names & _ALWAYS or (names & HIGHLIGHTERS and _is_highlighted(element)):
            self.highlighted(element, flow)
        elif "mcdropdown" in names:
            self.drop_down(element, flow)
        elif names & FLARE_WRAPPERS or _has_code_paragraphs(element, names):
            self.wrapped(element, flow)
        else:
            super().block(element, flow)

    def wrapped(self, element: Element, flow: Flow) -> None:
        """Render an element that has a code class but contains paragraphs."""
        flow.end_line()
        self.walk(element, flow)
        flow.end_line()

    def span(self, element: Element, flow: Flow) -> None:
        names = set(classes_of(element)) if element.get("class") else set()
        if names & POPUP_BODIES:
            text = self.inline_of(element)
            if text:
                flow.inline += (PAD, f"({text})", PAD)
        else:
            super().span(element, flow)

    def preformatted(self, element: Element, flow: Flow) -> None:
        if _is_highlighted(element):
            self.highlighted(element, flow)
            return
        self._in_code = True
        self.add_code(flow, self.code_of(element), published_language(element))
        self._in_code = False
        flow.end_code()

    def code_span(self, element: Element, flow: Flow) -> None:
        names = classes_of(element)
        if "enlighterjsraw" in names or _is_block_of_code(element):
            self.preformatted(element, flow)
        else:
            super().code_span(element, flow)

    def highlighted(self, element: Element, flow: Flow) -> None:
        """Render a highlighter's code, line by line, without the line numbers."""
        language = published_language(element)
        for gutter in list(element.iter(etree.Element)):
            if gutter is not element and GUTTERS.intersection(classes_of(gutter)):
                _blank(gutter)
        lines = _lines(element)
        self._in_code = True
        code = "\n".join(lines or [self.code_of(holder) for holder in _holders(element)])
        self._in_code = False
        self.add_code(flow, code.replace("\xa0", " "), language)
        flow.end_code()

    def table(self, element: Element, flow: Flow) -> None:
        names = set(classes_of(element))
        if names & HIGHLIGHTERS or _is_highlighted(element):
            self.highlighted(element, flow)
        elif any(_NUMBERED.match(name) for name in names):
            self.numbered_paragraph(element, flow)
        else:
            super().table(element, flow)

    def numbered_paragraph(self, element: Element, flow: Flow) -> None:
        """Render a numbered or bulleted paragraph, which Flare publishes as a table of one row."""
        flow.end_line()
        for row in element.iter("tr"):
            texts = [self.blocks_of(cell) for cell in row.iter("td") if not _is_empty(cell)]
            filled = [blocks for blocks in texts if blocks]
            if not filled:
                continue
            mark = " ".join(filled[0]).strip() if len(filled) > 1 else ""
            mark = markdown.unescape(mark)
            body = [block for blocks in filled[1 if mark else 0 :] for block in blocks]
            flow.add_block(_item(mark, body))

    def drop_down(self, element: Element, flow: Flow) -> None:
        """Render the hotspot as a heading one level below the last, with the text under it."""
        head = next((part for part in element if _is_head(part)), None)
        text = "" if head is None else self.inline_of(head)
        with self.under(text, flow):
            for part in element:
                if part is not head and isinstance(part.tag, str):
                    self.wrapped(part, flow)
                flow.inline.append(part.tail or "")


FLARE_WRAPPERS = frozenset(("codesnippet", "codesnippetbody"))
POPUP_BODIES = frozenset(("mctextpopupbody", "mcpopupbody", "mctextpopup_body", "popupbody"))


def _has_code_paragraphs(element: Element, names: set[str]) -> bool:
    """Whether an element contains paragraphs that are code or text by their own class."""
    if not any("code" in name for name in names):
        return False
    return any(
        child.tag in ("p", "div", "pre", "table", "ul", "ol") and child.get("class")
        for child in element
    )


def _is_head(element: Element) -> bool:
    names = classes_of(element) if isinstance(element.tag, str) else []
    return "mcdropdownhead" in names or str(element.tag) == f"{_MADCAP}dropdownhead"


def _item(mark: str, blocks: list[str]) -> str:
    number = _ORDINAL.match(mark)
    if number or _BULLET.match(mark):
        return markdown.item(markdown.marker(int(number[1]) if number else None), blocks)
    text = "\n\n".join(blocks)
    return f"{mark} {text}" if mark else text


def _is_empty(cell: Element) -> bool:
    return not "".join(map(str, cell.itertext())).strip()


def _is_block_of_code(element: Element) -> bool:
    """Whether a `code` element of several lines is alone in the place of a block."""
    if element.find(".//br") is None:
        return False
    parent = element.getparent()
    alone = parent is not None and len(parent) == 1 and not (parent.text or "").strip()
    return alone and not (element.tail or "").strip()


def _is_highlighted(element: Element) -> bool:
    """Whether an element contains code whose lines a highlighter has numbered."""
    for inner in element.iter("td", "th", "div", "span"):
        names = inner.get("class")
        if names and _SURE.intersection(names.lower().split()):
            numbers = "".join("".join(map(str, inner.itertext())).split())
            if numbers.isdigit() or (not numbers and inner.get("data-line-number")):
                return True
    return False


_SURE = GUTTERS - {"toolbar"}


def _blank(gutter: Element) -> None:
    gutter.text = None
    for child in list(gutter):
        gutter.remove(child)


def _holders(element: Element) -> list[Element]:
    """The elements that contain a highlighter's code: its `pre`s, else its outer element."""
    return [pre for pre in element.iter("pre") if not _is_empty(pre)] or [element]


def _lines(element: Element) -> list[str]:
    """The lines of code that a highlighter wrapped one by one; empty if it did not."""
    found: list[str] = []
    for inner in element.iter(etree.Element):
        names = LINES.intersection(classes_of(inner))
        if not names or any(LINES.intersection(classes_of(a)) for a in inner.iterancestors()):
            continue
        text = "".join(map(str, inner.itertext())).replace("\r", "")
        if "hljs-ln-line" in names and "hljs-ln-numbers" in classes_of(inner):
            continue
        found.append(text.removesuffix("\n"))
    return found


def published_language(element: Element) -> str:
    """The language that an element of code, or one in or close around it, declares."""
    for candidate in (
        element,
        *element.iter("code", "pre", "div", "table", "span"),
        *_around(element),
    ):
        for name in _LANGUAGE_ATTRIBUTES:
            if value := (candidate.get(name) or "").strip().lower():
                return "" if value in _NO_LANGUAGE else value
        if "crayon-language" in classes_of(candidate):
            value = " ".join("".join(map(str, candidate.itertext())).split()).lower()
            return "" if value in _NO_LANGUAGE else value
        brush = _BRUSH.search(candidate.get("class") or "")
        if brush:
            value = brush[1].lower()
            return "" if value in _NO_LANGUAGE else value
    found = language_of(element) or next(filter(None, map(_class_language, _around(element))), "")
    return found or _highlighter_class(element)


def _around(element: Element) -> list[Element]:
    return list(element.iterancestors())[:2]


def _class_language(element: Element) -> str:
    """The language in an element's own class or style."""
    match = _LANGUAGE_CLASS.search(element.get("class") or "") or _LANGUAGE_STYLE.search(
        element.get("style") or ""
    )
    return "" if match is None or match[1].lower() in _NO_LANGUAGE else match[1].lower()


def _highlighter_class(element: Element) -> str:
    """The language after SyntaxHighlighter's own class: `syntaxhighlighter  java`."""
    names = classes_of(element)
    if "syntaxhighlighter" in names:
        others = [
            n
            for n in names
            if n
            not in ("syntaxhighlighter", "nogutter", "collapsed", "printing", "notranslate", "ie")
        ]
        return others[0] if others and others[0] not in _NO_LANGUAGE else ""
    return ""
