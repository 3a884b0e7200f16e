"""Descriptions to Markdown: HTML, plain text, or the comment of a Java source as it is."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ingestion.documents import storable
from ingestion.parsers import markdown
from ingestion.parsers.markup.html import BLOCKS, DROPPED, Element, HtmlRenderer
from ingestion.parsers.markup.html_text import Flow
from ingestion.parsers.markup.soup import read_soup

_DOCS = re.compile(r"\[Docs\]\((https?://[^\s)]+)\)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_STARS = re.compile(r"^[ \t]*\*+[ \t]?", re.MULTILINE)
_LINE_END = re.compile(r"\r\n?")
_BLOCK_TAG = re.compile(r"^[ \t]*@([a-z]+)\b", re.MULTILINE | re.IGNORECASE)
_INLINE_TAG = re.compile(r"\{@(\w+)(?:\s++((?:[^{}]++|\{[^{}]*+\})*+))?\}")
_TYPE_PARAMETER = re.compile(r"<(\w+)>")

# genjdoc takes the tags of paragraphs out of the help's pages and leaves their indent.
_PARAGRAPH = re.compile(r"\n[ \t]{24,}+(?=[^\s<])")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")

_INLINE = (
    "a abbr acronym b bdi bdo big br cite code del dfn em font h1 h2 h3 h4 h5 h6 hr i img input "
    "ins kbd label mark math nobr pre q s samp small span strike strong sub sup table time tt u ul "
    "ol li dl dt dd dir var wbr button title main"
)
_TAGS = "|".join(sorted({*_INLINE.split(), *BLOCKS, *DROPPED}, key=len, reverse=True))
_NO_TAG = re.compile(rf"<(?!/?(?:{_TAGS})(?=[\s/>])|/?madcap:|!--)", re.IGNORECASE)
_MARKUP = re.compile(rf"</?(?:{_TAGS}|madcap:\w+)(?=[\s/>])|<!--|&#?\w+;", re.IGNORECASE)

_LABELS = {"param": "Parameters", "throws": "Throws", "exception": "Throws"}
_LINES = {"return": "Returns", "returns": "Returns", "since": "Since", "see": "See also"}
_DEPRECATED = "deprecated"
_CODE_TAGS = ("code", "link", "value", "linkplain")


class Description(NamedTuple):
    """The blocks of a description, the page that it links as its documentation, and whether it
    says that the thing is deprecated."""

    blocks: list[str]
    link: str
    deprecated: bool


def read_description(docu: str, title: str = "") -> Description:
    """Read a `docu`; a first line that only repeats the `title` is left out."""
    links: list[str] = _DOCS.findall(docu)
    text = _without_stars(_CONTROL.sub(" ", storable(_DOCS.sub("", docu))).strip())
    text = _LINE_END.sub("\n", text)
    first = _BLOCK_TAG.search(text)
    end = first.start() if first else len(text)
    blocks = _without_title(_blocks(text[:end]), title)
    tags = list(_block_tags(text[end:]))
    deprecated = any(name == _DEPRECATED for name, _ in tags)
    return Description(
        [*blocks, *_tag_blocks(tags)], html.unescape(links[-1]) if links else "", deprecated
    )


def _without_stars(text: str) -> str:
    """The text of a comment; any other text as it is."""
    if not (text.startswith("/**") and text.endswith("*/")):
        return text
    return _STARS.sub("", text[3:-2].rstrip("*"))


def _without_title(blocks: list[str], title: str) -> list[str]:
    return blocks[1:] if title and blocks and blocks[0].strip("`() ") == title else blocks


def _block_tags(text: str) -> Iterator[tuple[str, str]]:
    _, *parts = _BLOCK_TAG.split(text)
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        yield name.lower(), body.strip()


def _tag_blocks(tags: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The tags of a comment: lists of parameters and exceptions, and a line for each other kind."""
    for name, body in tags:
        if name == _DEPRECATED:
            yield f"Deprecated: {_line(body)}" if body else "Deprecated."
    for label in dict.fromkeys(_LABELS.values()):
        items = [_item(body) for name, body in tags if _LABELS.get(name) == label and body]
        if items:
            yield f"{label}:"
            yield "\n".join(items)
    for label in dict.fromkeys(_LINES.values()):
        lines = [_line(body) for name, body in tags if _LINES.get(name) == label and body]
        if lines:
            yield f"{label}: {', '.join(filter(None, lines))}"


def _item(body: str) -> str:
    name, _, text = _TYPE_PARAMETER.sub(r"\1", body, count=1).partition(" ")
    described = _line(text)
    return f"- {markdown.code_span(name)}" + (f": {described}" if described else "")


def _line(text: str) -> str:
    return " ".join(" ".join(_blocks(text)).split())


def _blocks(text: str) -> list[str]:
    text = _NO_TAG.sub("&lt;", _INLINE_TAG.sub(_inline_tag, text))
    if "<pre" not in text.lower():
        text = _PARAGRAPH.sub("\n<p>", text)
    if _MARKUP.search(text):
        return _rendered(text)
    paragraphs = (" ".join(part.split()) for part in _BLANK_LINE.split(text))
    return [markdown.escape(paragraph) for paragraph in paragraphs if paragraph]


def _inline_tag(tag: re.Match[str]) -> str:
    """The HTML of `{@code x}`, `{@link Class#method label}` and their kind."""
    name, body = tag[1], (tag[2] or "").strip()
    if name in ("link", "linkplain", "value") and body:
        target, _, label = body.partition(" ")
        if label.strip():
            return html.escape(label.strip())
        body = target.lstrip("#").replace("#", ".")
    return f"<code>{html.escape(body)}</code>" if name in _CODE_TAGS else html.escape(body)


def _rendered(text: str) -> list[str]:
    root = read_soup(text)
    main = next((e for e in root.iter() if e.get("role") == "main"), root)
    return _Renderer().blocks_of(main)


class _Renderer(HtmlRenderer):
    """Headings in a description are lines of text, because a member is a section of its own."""

    def add_heading(self, flow: Flow, text: str, level: int) -> None:
        flow.add_block(text if flow.plain else markdown.escape(text))

    def image(self, element: Element, flow: Flow) -> None:
        if not (element.get("alt") or "").lower().endswith("logo"):
            super().image(element, flow)
