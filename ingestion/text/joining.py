"""The text of consecutive chunks as one."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST_REPEAT = 4000  # characters that a chunk may repeat of the one before it
CERTAIN = 40  # characters by which a repeat is recognised

FENCE = re.compile(r"^[ >]*(?:`{3,}|~{3,}).*$", re.MULTILINE)


def joined(contents: Iterable[str]) -> str:
    """The text of consecutive chunks, without what a chunk repeats of the one before it. Code that
    was cut is one block again."""
    text = ""
    for content in contents:
        if not text:
            text = content
        elif code := _with_its_code(text, content):
            text = code
        elif (new := content[_repeated(text, content) :]).strip():
            text = f"{text}\n\n{new.lstrip(chr(10))}"
    return text


def _with_its_code(before: str, content: str) -> str:
    """Both, if `content` goes on with the block of code that `before` ends with; else nothing."""
    opening, fences = FENCE.match(content), [*FENCE.finditer(before)]
    if not opening or len(fences) < 2 or before[fences[-1].end() :].strip():
        return ""
    if fences[-2][0].rstrip() != opening[0].rstrip():
        return ""
    code = before[: fences[-1].start()]
    further = content[opening.end() + 1 :]
    repeated = _repeated(code, further) if further else 0
    return code + further[repeated:] if repeated else ""


def _repeated(before: str, content: str) -> int:
    """The number of characters at the beginning of `content` with which `before` ends."""
    start = before.find(content[:CERTAIN], max(0, len(before) - LONGEST_REPEAT))
    while start >= 0:
        if content.startswith(before[start:]):
            return len(before) - start
        start = before.find(content[:CERTAIN], start + 1)
    return 0
