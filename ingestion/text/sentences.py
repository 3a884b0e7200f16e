"""Cut prose into sentences, lines and words from which it can be put together again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_SENTENCE_END = re.compile(
    r"""[.!?\u2026]+ ["'\u201d\u2019\u00bb)\]`]* \s+ (?=[^a-z\s])  # a small letter goes on
    | [\u3002\uff01\uff1f]+ [\u300d\u300f\u201d\u2019\uff09]* \s*  # Chinese, Japanese""",
    re.VERBOSE,
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|z\.B|u\.a|d\.h|cf|vs|etc|approx|bzw|ca|Abb|Fig|Figs|Eq|No|Nr|Vol|pp?|"
    r"Mr|Mrs|Ms|Dr|Prof|St|[A-Z])|^\W*\d{1,3})$"
)
_LINE_END = re.compile(r"\n+")
_AFTER_BREAK = re.compile("(?<=<br>)")
_WORD_END = re.compile(r"[ \t\n]+")
_LONGEST_ABBREVIATION = 8


class Fragment(NamedTuple):
    """A part of a text; `glue` is the white space before it, as one character or empty."""

    text: str
    glue: str
    line: int


Cut = Callable[[str], list[Fragment]]


def sentences(text: str) -> list[Fragment]:
    """The sentences; `line` counts from 0 at the beginning of `text`."""
    return list(_cut(text, _SENTENCE_END, 1))


def lines(text: str) -> list[Fragment]:
    return list(_cut(text, _LINE_END, 0))


def breaks(text: str) -> list[Fragment]:
    """The lines of text in a table cell, each with the `<br>` that ends it."""
    return [Fragment(part, "", 0) for part in _AFTER_BREAK.split(text) if part]


def words(text: str) -> list[Fragment]:
    """The words, without white space; a run of white space becomes one character of glue."""
    return list(_cut(text, _WORD_END, 0))


def _cut(text: str, end: re.Pattern[str], least: int) -> Iterator[Fragment]:
    """Parts at the matches of `end`, whose white space becomes the glue; `least` characters of a
    match stay with the part before it."""
    start, line, glue = 0, 0, ""
    for match in end.finditer(text):
        if least and _abbreviates(text, start, match.start()):
            continue
        part = text[start : match.end()].rstrip()
        gap = text[start + len(part) : match.end()]
        if part:
            yield Fragment(part, glue, line)
        line += text.count("\n", start, match.end())
        start, glue = match.end(), "\n" if "\n" in gap else gap[:1]
    if text[start:].strip():
        yield Fragment(text[start:].rstrip(), glue, line)


def _abbreviates(text: str, start: int, stop: int) -> bool:
    return bool(_ABBREVIATION.search(text, max(start, stop - _LONGEST_ABBREVIATION), stop))
