"""Markdown as safe HTML, whatever the text is; a part of it may be marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from django.utils.html import escape
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.token import Token

BELOW = 2  # levels of the page's own headings, which come before those of the text
CHOSEN = "chosen"  # the id of the first element that is marked

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
_blocks = MarkdownIt("commonmark", {"html": False}).enable("table").disable("inline")

# Characters that no text has, as they are no characters; they survive the parser.
_START, _END = "\ufdd0", "\ufdd1"
_EDGES = re.compile(f"[{_START}{_END}]")
_QUOTED_EDGES = ("%EF%B7%90", "%EF%B7%91")
_MARGIN = re.compile(r"[ \t>]*")
_MARKABLE = ("heading_open", "paragraph_open", "fence", "code_block", "tr_open", "hr")


def marked(text: str, start: int = 0, end: int = 0) -> SafeString:
    """HTML without the text's own HTML, with http(s) links only, and without styles, which the
    content security policy refuses. Characters `start` to before `end` are marked.

    Blocks are marked as a whole if they lie in the part, otherwise as much of their text as does.
    """
    text = _EDGES.sub("\ufffd", text)
    if start >= end:
        return _html(_markdown.parse(text))
    marking = _Marking(text, start, end)
    tokens = _markdown.parse(marking.text)
    marking.mark(tokens)
    return _html(tokens)


def _html(tokens: Sequence[Token]) -> SafeString:
    for token in _all(tokens):
        token.attrs.pop("style", None)
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + BELOW)}"
        if token.type == "link_open":
            _tame(token)
    html: str = _markdown.renderer.render(tokens, _markdown.options, {})
    return SafeString(html)


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or [])


def _tame(link: Token) -> None:
    address = str(link.attrs.get("href", ""))
    for edge in _QUOTED_EDGES:
        address = address.replace(edge, "")
    link.attrs["href"] = address
    if not address.lower().startswith(("http://", "https://")):
        link.attrs.pop("href", None)
    link.attrs["rel"] = "noopener noreferrer nofollow"


class _Marking:
    """Marks a part of a text in its tokens.

    `text` has a sign at each end of the part that lies within a block, between spaces if there is
    one, so that it touches no emphasis. Blocks on the lines `first` to before `last` are marked as
    a whole. `inside`: whether the next cell of a row with signs is in the part; None without.
    """

    def __init__(self, text: str, start: int, end: int) -> None:
        self.begun = False
        self.inside: bool | None = None
        self.first, self.last = text.count("\n", 0, start), text.count("\n", 0, end)
        begins, ends = text.rfind("\n", 0, start) + 1, (text + "\n").find("\n", end)
        blocks = _leaves(text)
        before = _MARGIN.match(text, begins)
        margin = before.end() if before else begins
        in_line, to_line = start > margin, bool(text[end:ends].strip())
        torn_at_end = to_line or _is_inside(self.last + 1, blocks)
        torn_at_start = in_line or _is_inside(self.first, blocks)
        if torn_at_end:
            gap = " " if text[end : end + 1] in (" ", "\t") else ""
            text = f"{text[:end]}{gap}{_END}{text[end:]}"
        if torn_at_start:
            at = start if in_line else max(margin, start)
            gap = " " if in_line and text[at - 1] in " \t" else ""
            at -= len(gap)
            text = f"{text[:at]}{gap}{_START}{text[at:]}"
        self.text = text
        self.first += in_line
        self.last += not to_line

    def mark(self, tokens: Sequence[Token]) -> None:
        for place, token in enumerate(tokens):
            if token.type in ("fence", "code_block"):
                self._mark_code(token)
            elif token.type in _MARKABLE and not token.hidden:
                edges = _edges_below(tokens, place)
                row = token.type == "tr_open" and edges
                self.inside = not edges.startswith(_START) if row else None
                if not edges:
                    self._mark_whole(token)
            elif token.type == "inline":
                self._mark_text(token, hidden=tokens[place - 1].hidden)

    def _is_whole(self, token: Token) -> bool:
        return token.map is not None and self.first <= token.map[0] and token.map[1] <= self.last

    def _mark_whole(self, token: Token) -> None:
        if self._is_whole(token):
            token.attrJoin("class", "marked")
            self._begin(token)

    def _begin(self, token: Token) -> None:
        if not self.begun:
            token.attrSet("id", CHOSEN)
            self.begun = True

    def _mark_code(self, token: Token) -> None:
        if _EDGES.search(token.content):
            code = self._parts(token.content, inside=_START not in token.content)
            token.type, token.content = "html_block", f"<pre><code>{code}</code></pre>\n"
        else:
            self._mark_whole(token)

    def _mark_text(self, token: Token, hidden: bool) -> None:
        """Mark what lies between the signs in a paragraph; a hidden one, of a list, is marked like
        this also as a whole."""
        edges = "".join(_EDGES.findall(token.content))
        if not edges and self.inside is None and not (hidden and self._is_whole(token)):
            return
        texts = [t for t in token.children or [] if t.type in ("text", "code_inline")]
        found = "".join(edge for t in texts for edge in _EDGES.findall(t.content))
        inside = not found.startswith(_START) if self.inside is None else self.inside
        for child in texts:
            html = self._parts(child.content, inside)
            inside = _state_after(child.content, inside)
            code = child.type == "code_inline"
            child.type, child.content = "html_inline", f"<code>{html}</code>" if code else html
        if self.inside is not None:
            self.inside = inside

    def _parts(self, text: str, inside: bool) -> str:
        html = ""
        for part in re.split(f"({_EDGES.pattern})", text):
            if part in (_START, _END):
                inside = part == _START
            elif inside and part:
                html += f"<mark{self._first_id()}>{escape(part)}</mark>"
            else:
                html += escape(part)
        return html

    def _first_id(self) -> str:
        first = "" if self.begun else f' id="{CHOSEN}"'
        self.begun = True
        return first


def _state_after(text: str, inside: bool) -> bool:
    edges = _EDGES.findall(text)
    return edges[-1] == _START if edges else inside


def _edges_below(tokens: Sequence[Token], place: int) -> str:
    """The signs in the text of a block or table row."""
    found = ""
    for token in islice(tokens, place + 1, None):
        if token.level <= tokens[place].level:
            break
        if token.type == "inline":
            found += "".join(_EDGES.findall(token.content))
    return found


def _leaves(text: str) -> list[tuple[int, int]]:
    """The lines of paragraphs and code blocks: where a line's beginning is no block's."""
    found = _blocks.parse(text)
    kinds = ("paragraph_open", "fence", "code_block")
    return [(t.map[0], t.map[1]) for t in found if t.type in kinds and t.map]


def _is_inside(line: int, blocks: Sequence[tuple[int, int]]) -> bool:
    return any(start < line < end for start, end in blocks)
