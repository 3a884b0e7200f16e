"""Whether what a page marks is the place of a chunk: its first sentence, and not much more."""

from __future__ import annotations

import re

from bs4 import BeautifulSoup

from ingestion.admin.markdown import marked
from ingestion.admin.passages import around
from ingestion.text.sentences import sentences

MOST = 2  # times the text of a chunk

_WORD = re.compile(r"\w+")
_HEAD = re.compile(r"^[ |:-]*---[ |:-]*$", re.MULTILINE)
_BLOCK_END = re.compile(r"\n|(?<!\\)\|")


def words(text: str) -> str:
    """The letters alone: what spaces and marks become differs between Markdown and HTML."""
    return "".join(_WORD.findall(text.replace("_", " ")))


def shown(html: str) -> str:
    return words(BeautifulSoup(html, "html.parser").get_text(" "))


def marked_text(html: str) -> str:
    page = BeautifulSoup(html, "html.parser")
    for inner in page.select(".marked .marked, .marked mark"):
        inner.unwrap()
    return words(" ".join(part.get_text(" ") for part in page.select(".marked, mark")))


def highlighted(text: str, start: int, end: int) -> str:
    """The HTML of the passage with a part of a text marked, as the page has it."""
    passage = around(text, start, end)
    html = marked(passage.text, passage.place(start), passage.place(end))
    assert html.count('id="chosen"') == 1
    return html


def problem(found: str, text: str, start: int, end: int, content: str) -> str:
    """What is wrong with the words `found` as the place of a chunk with this content, which lies
    from `start` to before `end` of the text; empty if nothing is.

    They must have the chunk's first sentence and be at most MOST times as long as the chunk; or as
    the longest line or cell of its place, if that is longer. A table's head that is repeated before
    the chunk's first row is elsewhere.
    """
    whole = shown(marked(content.strip()))
    said = (shown(marked(part.text)) for part in sentences(text[start:end].strip()))
    first = next(filter(None, said), "")
    if not first or first not in whole:
        return f"its first sentence {first[:60]!r} is not in the chunk"
    if not (whole.startswith(first) or _HEAD.search(content)):
        return f"the chunk does not begin with {first[:60]!r}"
    if first not in found:
        return f"{first[:60]!r} is not marked"
    longest = max(len(words(part)) for part in _BLOCK_END.split(text[start:end]))
    if len(found) > max(MOST * len(whole), longest):
        return f"{len(found)} letters are marked, of a chunk with {len(whole)}"
    return ""


def problem_of_lines(found: str, text: str, start: int, end: int, content: str) -> str:
    """The same for lines of Markdown, or of a program, which has no headings of ours."""
    lines = [words(line) for line in text[start:end].split("\n") if not line.startswith(("#", "`"))]
    first = next(filter(None, lines), "")
    if first not in found:
        return f"{first[:60]!r} is not marked"
    longest = max(map(len, lines), default=0)
    if len(found) > max(MOST * len(words(content)), longest):
        return f"{len(found)} letters are marked, of a chunk with {len(words(content))}"
    return ""
