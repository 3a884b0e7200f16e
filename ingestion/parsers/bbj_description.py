"""What a program's header comment says about it, without remark signs, licence and tags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from ingestion.parsers.bbj_syntax import LineKind, classify, without_number
from ingestion.parsers.bbj_text import reads_as_code

MAX_DESCRIPTION = 600

_SIGNS = re.compile(r"^(?:rem(?!\w)|!)?[\s:]*(?:/?\*+/?|['\"])*\s*|\s*\*+/?\s*$", re.IGNORECASE)
_BANNER = re.compile(r"[^\w]*$")
_TAG = re.compile(r"@\w+")
_LICENCE = re.compile(
    r"licen[sc]e|this file is part of|free software|redistribut|without (?:any )?warrant"
    r"|permission is hereby|provided .as is|merchantab",
    re.IGNORECASE,
)
_COPYRIGHT = re.compile(r"copyright|\(c\)|©|all rights reserved", re.IGNORECASE)


def description(lines: list[str], file_name: str) -> str:
    """The comments above the first code, shortened to about MAX_DESCRIPTION characters.

    Paragraphs of licence text, tags (`@author`), banners, commented-out code and the mere name of
    the file are no description; "" where nothing else is said.
    """
    names = {file_name.lower(), PurePosixPath(file_name).stem.lower()}
    paragraphs = (" ".join(paragraph) for paragraph in _paragraphs(_header(lines)))
    return _shortened(" ".join(p for p in paragraphs if p and p.lower() not in names))


def _header(lines: list[str]) -> Iterator[str]:
    """The comment lines, and blank ones, above the first statement that is no USE."""
    for line, kind in zip(lines, classify(lines), strict=True):
        if kind is LineKind.BLANK:
            yield ""
        elif kind is LineKind.COMMENT:
            yield _SIGNS.sub("", without_number(line)[1]).strip()
        elif not line.lstrip().lower().startswith("use "):
            return


def _paragraphs(comment: Iterator[str]) -> Iterator[list[str]]:
    paragraph: list[str] = []
    for line in comment:
        if not _BANNER.match(line):
            paragraph.append(line)
        elif paragraph:
            yield _said(paragraph)
            paragraph = []
    if paragraph:
        yield _said(paragraph)


def _said(paragraph: list[str]) -> list[str]:
    if _LICENCE.search(" ".join(paragraph)):
        return []
    return [
        line
        for line in paragraph
        if not (_TAG.match(line) or _COPYRIGHT.search(line) or reads_as_code(line))
    ]


def _shortened(text: str) -> str:
    if len(text) <= MAX_DESCRIPTION:
        return text
    cut = text.rfind(". ", 0, MAX_DESCRIPTION) + 1
    return (
        text[:cut]
        if cut > MAX_DESCRIPTION // 3
        else f"{text[: text.rfind(' ', 0, MAX_DESCRIPTION)]} …"
    )
