"""The tree of markup that is not well-formed, with all text that can be read.

Beautiful Soup reads it with libxml2's HTML parser, which takes time in proportion to the text and
has no limit on how deep elements nest. Its tree is copied into one of lxml, which the renderers
walk. As HTML has it, names are lower case: `MadCap:dropDown` becomes `madcap:dropdown`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString, PreformattedString
from lxml import etree

from ingestion.exceptions import DocumentError

Element = etree._Element

MAX_TAGS = 500_000
MAX_DEPTH = 250

_TAG = re.compile(r"<(/?[A-Za-z][^\s<>/]*)([^<>]*)>?")
_NAME_AND = r"[\s/]*+[^\s<>=\"'/]++\s*+=\s*+"
_IN_VALUE = "<(?![/A-Za-z!?])"  # a sign of less than, which is no tag
_VALUE = rf"(?:\"(?:[^\"<]|{_IN_VALUE})*+\"|'(?:[^'<]|{_IN_VALUE})*+'|[^\s\"'<>]++)"
_OPEN_TAG = re.compile(
    rf"<(/?[A-Za-z][\w:.-]*+(?:{_NAME_AND}{_VALUE})*+)"
    rf"(?:{_NAME_AND}[\"'][^<>]*+>?|(?=[^<>]*+(?:<|\Z)))"
)
_NO_TAG = re.compile(r"<(?=[?!/](?!--)[^<>]*(?:<|\Z))")
_COMMENT = re.compile("<!--"), re.compile("-->"), ""
_RAW_TEXT = [
    (re.compile(rf"<(?={name}\b)", re.I), re.compile(rf"</{name}\b", re.I), "<x-")
    for name in ("style", "title", "textarea", "xmp", "iframe", "noembed", "noframes")
]
_SCRIPT, _SCRIPT_END = re.compile(r"<(?=script\b)", re.I), re.compile(r"</script\b", re.I)
_NAME = re.compile(r"[\w:.-]+")
_END = "bbjrag-end"


def read_soup(text: str) -> Element:
    """The tree of a text, an `html` element. Raises DocumentError if it has too many tags."""
    if text.count("<") > MAX_TAGS:
        raise DocumentError(
            f"It is not well-formed and has more than {MAX_TAGS:,} tags: it was not read. "
            "Fix the markup, or split the file."
        )
    text = _with_ends(text)
    soup = _soup(text)
    if not _is_whole(soup):
        soup = _soup(_TAG.sub(_without_open_quote, text))
    return _copied(soup)


def _with_ends(text: str) -> str:
    """The text in which nothing is hidden by a tag, a comment or a script that never ends."""
    text = _OPEN_TAG.sub(r"<\1>", text)
    for opening, closing, instead in (_COMMENT, *_RAW_TEXT):
        text = "".join(_closed(text, opening, closing, instead))
    last = max((match.start() for match in _SCRIPT_END.finditer(text)), default=0)
    text = text[:last] + _SCRIPT.sub("<x-", text[last:])
    return _NO_TAG.sub("&lt;", text)


def _closed(
    text: str, opening: re.Pattern[str], closing: re.Pattern[str], instead: str
) -> Iterator[str]:
    """The parts of a text, with something else for each opening that has no closing before the
    next opening."""
    place = 0
    mark = ""
    for found in opening.finditer(text):
        part = text[place : found.start()]
        yield (mark if not mark or closing.search(part) else instead) + part
        mark, place = found[0], found.end()
    part = text[place:]
    yield (mark if not mark or closing.search(part) else instead) + part


def _without_open_quote(tag: re.Match[str]) -> str:
    """The tag, without attributes if one of their quotes is not closed in it."""
    is_open = tag[2].count('"') % 2 or (tag[2].count("'") % 2 and '"' not in tag[2])
    return f"<{tag[1]}>" if is_open else tag[0]


def _soup(text: str) -> BeautifulSoup:
    return BeautifulSoup(
        f"<!---->{text}<{_END}></{_END}>",
        "lxml",
        multi_valued_attributes=None,
        preserve_whitespace_tags={"html"},
    )


def _is_whole(soup: BeautifulSoup) -> bool:
    """Whether the text was read to its end, which an open quote would have swallowed."""
    return soup.find(_END) is not None


def _copied(soup: BeautifulSoup) -> Element:
    """The tree in lxml's elements; what is nested too deep becomes text of the element above."""
    builder = etree.TreeBuilder(parser=etree.HTMLParser())
    builder.start("html", _attributes(soup.html) if soup.html else {})
    open_tags: list[tuple[object, str]] = []
    for node in soup.descendants:
        while open_tags and node.parent is not open_tags[-1][0]:
            _close(builder, open_tags)
        if isinstance(node, Tag):
            if node.name not in ("html", _END):
                _open(builder, open_tags, node)
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            builder.data(node)
    while open_tags:
        _close(builder, open_tags)
    builder.end("html")
    return builder.close()


def _open(builder: etree.TreeBuilder, open_tags: list[tuple[object, str]], tag: Tag) -> None:
    name = tag.name if _NAME.fullmatch(tag.name) else "span"
    name = name if len(open_tags) < MAX_DEPTH else ""
    open_tags.append((tag, name))
    if name:
        builder.start(name, _attributes(tag))
    else:
        builder.data(" ")


def _close(builder: etree.TreeBuilder, open_tags: list[tuple[object, str]]) -> None:
    _, name = open_tags.pop()
    if name:
        builder.end(name)
    else:
        builder.data(" ")


def _attributes(tag: Tag) -> dict[str | bytes, str | bytes]:
    return {name: str(value) for name, value in tag.attrs.items() if _NAME.fullmatch(name)}
