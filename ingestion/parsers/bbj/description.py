"""The description in a program's header comment, without remark signs, licence and tags."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from ingestion.parsers.bbj.lines import LineKind, classify, without_number
from ingestion.parsers.bbj.text import reads_as_code

MAX_DESCRIPTION = 600

_SIGNS = re.compile(r"(?:rem(?!\w)|!)?[\s:]*(?:/?\*+/?|['\"])*\s*", re.IGNORECASE)
_TAGS = re.compile(r"</?[A-Za-z]+/?>")
_WORD = re.compile(r"\w")
_LICENCE = re.compile(
    r"licen[sc]e|this file is part of|free software|redistribut|without (?:any )?warrant"
    r"|permission is hereby|provided .as is|merchantab",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"copyright|\(c\)|©|all rights reserved|^@\w+|^rem\b|^package \S+$|^<[^>]*>$"
    r"|^[\w.#!]+\(.*\)$|^\S+\.\w{2,4}$|^https?://\S+$",
    re.IGNORECASE,
)


def description(lines: list[str], file_name: str) -> str:
    """The text of the first meaningful comment above the first code.

    Licence and copyright, tags (`@author`), banners, placeholders, commented-out code, addresses
    and file names do not count. Shortened to about MAX_DESCRIPTION characters.
    """
    names = {file_name.lower(), PurePosixPath(file_name).stem.lower()}
    texts = (" ".join(_meaningful_lines(block, names)) for block in _blocks(lines))
    return _shortened(next(filter(None, texts), "").removeprefix("- "))


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Each comment above the first statement that is not a USE, without its remark signs."""
    block: list[str] = []
    for line, kind in zip(lines, classify(lines), strict=True):
        if kind is not LineKind.COMMENT or "/**" in line:
            yield block
            block = []
        if kind is LineKind.COMMENT:
            block.append(_without_signs(without_number(line)[1]))
        elif kind is not LineKind.BLANK and not line.lstrip().lower().startswith("use "):
            return
    yield block


def _without_signs(comment: str) -> str:
    text = comment[_SIGNS.match(comment).end() :]  # type: ignore[union-attr]
    text = _TAGS.sub("", text.rstrip().removesuffix("*/").rstrip("* "))
    return text.removesuffix('"') if text.count('"') % 2 else text


def _meaningful_lines(block: list[str], names: set[str]) -> Iterator[str]:
    for empty, group in itertools.groupby(block, key=lambda line: not _WORD.search(line)):
        paragraph = list(group)
        if not empty and not _LICENCE.search(" ".join(paragraph)):
            yield from (
                line
                for line in paragraph
                if line.lower() not in names
                and not _NOTHING.search(line)
                and not reads_as_code(line)
            )


def _shortened(text: str) -> str:
    if len(text) <= MAX_DESCRIPTION:
        return text
    sentence = text.rfind(". ", 0, MAX_DESCRIPTION) + 1
    if sentence > MAX_DESCRIPTION // 3:
        return text[:sentence]
    return text[:MAX_DESCRIPTION].rpartition(" ")[0] + " …"
