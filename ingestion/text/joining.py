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
    parts, before = list[str](), ""
    for content in contents:
        closing, code = _code_that_goes_on(before, content)
        if code:
            parts[-1] = parts[-1].removesuffix(closing)
            parts.append(code)
        elif (new := content[_repeated(before, content) :]).strip():
            parts.append(f"\n\n{new.lstrip(chr(10))}" if parts else new)
        before = content
    return "".join(parts)


def _code_that_goes_on(before: str, content: str) -> tuple[str, str]:
    """The fence that `before` ends with, and what comes in its place, if `content` goes on with
    that block of code."""
    opening, fences = FENCE.match(content), [*FENCE.finditer(before)]
    if not opening or len(fences) < 2 or before[fences[-1].end() :].strip():
        return "", ""
    if fences[-2][0].rstrip() != opening[0].rstrip():
        return "", ""
    end = fences[-1].start()
    further = content[opening.end() + 1 :]
    repeated = _repeated(before[:end], further) if further else 0
    return (before[end:], further[repeated:]) if repeated else ("", "")


def _repeated(before: str, content: str) -> int:
    """The number of characters at the beginning of `content` with which `before` ends."""
    start = before.find(content[:CERTAIN], max(0, len(before) - LONGEST_REPEAT))
    while start >= 0:
        if content.startswith(before[start:]):
            return len(before) - start
        start = before.find(content[:CERTAIN], start + 1)
    return 0
