"""A chunk's Markdown as safe HTML, whatever the text is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.token import Token

LONGEST = 20_000  # characters that are rendered; the plain text page shows all

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def rendered(text: str) -> SafeString:
    """HTML without the text's own HTML, with http(s) links only, and without styles, which the
    content security policy refuses."""
    tokens = _markdown.parse(text[:LONGEST])
    for token in _all(tokens):
        token.attrs.pop("style", None)
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
    if not address.lower().startswith(("http://", "https://")):
        link.attrs.pop("href", None)
    link.attrs["rel"] = "noopener noreferrer nofollow"
