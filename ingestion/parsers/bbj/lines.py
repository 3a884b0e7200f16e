"""The lines of a BBj program, and the statements in them.

A line may have a number and a label, a line that begins with a colon continues the one above, and
semicolons separate statements. REM (in other Business Basics `!`) begins a remark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

_LINE_END = re.compile(r"\r\n|\n|\r")
_NUMBER = re.compile(r"\s*(\d+)(?=[\s:]|[A-Za-z?!]|$)\s*")
_REMARK = re.compile(r"(?:rem(?![\w$%.]|!\s*[.=])|!)", re.IGNORECASE)
_BLOCK_LINE = re.compile(r"/\*|\*(?:/|\s|\*|$)")
_LABEL = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*):(?![:=]|//)")
_STRING_OR_SEPARATOR = re.compile(r'"[^"]*(?:"|$)|;')
_NOT_LABELS = frozenset({"rem", "default", "else", "http", "https"})


class LineKind(Enum):
    BLANK = "blank"
    COMMENT = "comment"
    CODE = "code"
    CONTINUATION = "continuation"


class Statement(NamedTuple):
    """The physical lines from `first` to before `end`, joined, without line number, label and
    remark."""

    first: int
    end: int
    number: str
    label: str
    parts: tuple[str, ...]


def split_lines(text: str) -> list[str]:
    """The lines without their terminators: CRLF, LF or CR (not a form feed)."""
    lines = _LINE_END.split(text)
    return lines[:-1] if lines and not lines[-1] else lines


def without_number(line: str) -> tuple[str, str]:
    """The line number, "" if there is none, and the statement after it, unindented."""
    found = _NUMBER.match(line)
    return (found[1], line[found.end() :]) if found else ("", line.lstrip())


def classify(lines: list[str]) -> list[LineKind]:
    last_close = max((i for i, line in enumerate(lines) if "*/" in line), default=-1)
    kinds: list[LineKind] = []
    in_block = False
    for i, line in enumerate(lines):
        text = without_number(line)[1]
        opens = text.startswith("/*") and i <= last_close
        kinds.append(LineKind.COMMENT if in_block or opens else _kind(text, kinds))
        in_block = (in_block or opens) and "*/" not in text
    return kinds


def _kind(text: str, above: list[LineKind]) -> LineKind:
    if not text:
        return LineKind.BLANK
    if text.startswith(":"):
        remark = bool(above) and above[-1] is LineKind.COMMENT
        return LineKind.COMMENT if remark else LineKind.CONTINUATION
    if _REMARK.match(text) or _BLOCK_LINE.match(text):
        return LineKind.COMMENT
    return LineKind.CODE


def statements(lines: list[str], kinds: list[LineKind]) -> Iterator[Statement]:
    """The logical lines that contain code, in order."""
    at = 0
    while at < len(lines):
        first, at = at, at + 1
        if kinds[first] in (LineKind.BLANK, LineKind.COMMENT):
            continue
        while at < len(lines) and kinds[at] is LineKind.CONTINUATION:
            at += 1
        yield _statement(lines, first, at)


def _statement(lines: list[str], first: int, end: int) -> Statement:
    number, text = without_number(lines[first])
    rest = (line.strip().removeprefix(":") for line in lines[first + 1 : end])
    text = "".join([text.removeprefix(":"), *rest])
    label = _LABEL.match(text)
    if label and label[1].lower() not in _NOT_LABELS:
        return Statement(first, end, number, label[1], tuple(split_parts(text[label.end() :])))
    return Statement(first, end, number, "", tuple(split_parts(text)))


def split_parts(text: str) -> Iterator[str]:
    """The statements between semicolons, up to a remark; semicolons in strings do not count."""
    begin = 0
    cuts = [m.start() for m in _STRING_OR_SEPARATOR.finditer(text) if m[0] == ";"]
    for cut in [*cuts, len(text)]:
        part = text[begin:cut].strip()
        if _REMARK.match(part):
            return
        if part:
            yield part
        begin = cut + 1
