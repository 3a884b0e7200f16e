"""Text as a browser shows it, with white space folded and code in backticks."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

from markdown_it.token import Token

from ingestion.parsers.mdx.syntax import Tag, expression_text

_SPACE = re.compile(r"[\s\xa0]+")
_FILE_NAME = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|avif|bmp)$", re.IGNORECASE)
_NO_ALT = "image,img,picture,photo,screenshot,figure,diagram,logo,icon,alt,alt text,placeholder"
_SAYS_NOTHING = frozenset(_NO_ALT.split(","))
_CODE_CLASS = re.compile(r"\blang(?:uage)?-([\w+#.-]+)")
_ANY_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_BRACED = re.compile(r"\s*(?:<[^<>]*>\s*)*\{(.*)\}\s*(?:</[^<>]*>\s*)*", re.DOTALL)
_BADGE = re.compile(r"\bshields\.io/|\bbadges?\b", re.IGNORECASE)

Segment = tuple[bool, str]
"""Whether the white space is kept exactly, and the text."""


def joined(segments: Sequence[Segment]) -> str:
    """Join segments with white space folded, and none added between them."""
    text = ""
    for verbatim, segment in segments:
        folded = segment if verbatim else _SPACE.sub(" ", segment)
        if segment == "\n":
            text = text.rstrip(" ")
        elif not verbatim and (not text or text[-1] in " \n"):
            folded = folded.lstrip(" ")
        text += folded
    return text.strip(" \n")


def plain_text(tokens: Sequence[Token]) -> list[str]:
    return [" " if token.type == "softbreak" else token.content for token in tokens]


def says_something(alt: str, address: str) -> bool:
    """Whether an image's alternative text is worth reading; badges and file names are not."""
    alt = alt.strip()
    return (
        sum(map(str.isalpha, alt)) > 2
        and not _FILE_NAME.search(alt)
        and not _BADGE.search(address)
        and alt.lower() not in _SAYS_NOTHING
    )


def footnote_label(token: Token) -> str:
    """The footnote's number, in the order of first mention."""
    return str(token.meta.get("id", 0) + 1)


def code_language(classes: str) -> str:
    """The language in a class such as `language-bbj`; "" for none."""
    found = _CODE_CLASS.search(classes)
    return found[1] if found else ""


def raw_code(tag: Tag, content: str, names: Mapping[str, str]) -> tuple[str, str]:
    """The language and the code of a `pre` element; all of it may be one string in braces."""
    language = code_language(tag.raw + content[:200])
    braced = _BRACED.fullmatch(content)
    literal = expression_text(braced[1], names) if braced else None
    code = html.unescape(_ANY_TAG.sub("", content)) if literal is None else literal
    return language, code.rstrip().strip("\n")
