"""Decides which tags are elements, which are pairs, and which are text (`List<String>`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from markdown_it.token import Token

from ingestion.parsers.mdx.syntax import Tag

_VOID = """
area base br col embed hr img input link meta param source track wbr
"""
_OPTIONAL_CLOSE = """
p li dt dd tr td th thead tbody tfoot caption colgroup option optgroup html head body
"""
_BLOCK = """
address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset
figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li
main menu nav ol optgroup option p pre section select summary table tbody td tfoot th thead tr ul
"""
_INLINE = """
a abbr acronym audio b bdi bdo big button canvas cite code data datalist del dfn em font i iframe
ins kbd label map mark math meter noscript object output picture progress q rp rt ruby s samp script
slot small span strike strong style sub sup svg template textarea time title tt u var video
"""
VOID = frozenset(_VOID.split())
OPTIONAL_CLOSE = frozenset(_OPTIONAL_CLOSE.split())
BLOCK = frozenset(_BLOCK.split())
HTML = VOID | OPTIONAL_CLOSE | BLOCK | frozenset(_INLINE.split())

# components of Docusaurus' own theme, each a block of its own
THEME_BLOCKS = frozenset(["Tabs", "TabItem", "Admonition", "Details", "CodeBlock"])

_WORD_END = re.compile(r"\w$")


@dataclass(frozen=True, slots=True)
class Scope:
    """Settings for the tokens of one file: the names whose text is known (`frontMatter.title`),
    and whether text in braces is text."""

    names: Mapping[str, str] = field(default_factory=dict)
    plain: bool = False


@dataclass(slots=True)
class Event:
    """A token in reading order, its source line, and the index of its partner.

    `flow`: it is on lines of its own; `literal`: it is a tag that is text.
    """

    token: Token
    line: int
    flow: bool
    scope: Scope
    partner: int = -1
    literal: bool = False

    @property
    def tag(self) -> Tag | None:
        piece = self.token.meta.get("piece")
        return piece if isinstance(piece, Tag) else None


def is_component(name: str) -> bool:
    """Whether a name is a component by JSX's rule, except that `<BR>` and `<TABLE>` are HTML."""
    html = name.isupper() and name.lower() in HTML
    return "." in name or (name[:1].isupper() and not html)


def pair_tags(events: Sequence[Event], components: AbstractSet[str]) -> None:
    """Join each opening tag with its closing one; a tag without a partner may be text.

    A closing tag closes the nearest open one of its name, and ends what is open inside.
    """
    stack: list[int] = []
    by_name: dict[str, list[int]] = {}
    for index, event in enumerate(events):
        tag = event.tag
        if event.token.type != "mdx_tag" or tag is None or tag.self_closing:
            continue
        if not tag.closing:
            stack.append(index)
            by_name.setdefault(_key(tag), []).append(index)
        elif by_name.get(_key(tag)):
            _close(events, index, stack, by_name)
    for index, event in enumerate(events):
        if event.token.type == "mdx_tag" and event.partner < 0:
            event.literal = _is_text(events, index, components)


def _key(tag: Tag) -> str:
    return tag.name.lower() if tag.name.lower() in HTML else tag.name


def _close(
    events: Sequence[Event], index: int, stack: list[int], by_name: dict[str, list[int]]
) -> None:
    closing = events[index].tag
    while stack and closing:
        opener = stack.pop()
        tag = events[opener].tag
        if tag is None:
            continue
        by_name[_key(tag)].pop()
        if _key(tag) == _key(closing):
            events[opener].partner, events[index].partner = index, opener
            return


def _is_text(events: Sequence[Event], index: int, components: AbstractSet[str]) -> bool:
    """Whether a tag without a partner is text: not an element, or one only by accident."""
    tag = events[index].tag
    if tag is None or tag.self_closing:
        return False
    name = tag.name.lower()
    if tag.closing:
        return bool(name) and name not in HTML and not is_component(tag.name)
    known = components | THEME_BLOCKS
    if name in VOID or tag.name.split(".")[0] in known:
        return False
    if any(attribute.kind != "bare" for attribute in tag.attributes):
        return False
    if name in HTML and name == tag.name:
        return bool(tag.attributes) or (
            name not in OPTIONAL_CLOSE and _glued_to_word(events, index)
        )
    return True


def _glued_to_word(events: Sequence[Event], index: int) -> bool:
    before = events[index - 1].token if index else None
    return before is not None and before.type == "text" and bool(_WORD_END.search(before.content))
