"""The part of a long text that a page shows: whole blocks of Markdown around a place."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BESIDE = 8_000  # characters shown before and after the place
LARGEST_BLOCK = 20_000  # of a block that is larger only a part is shown

_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*(?P<marks>`{3,}|~{3,})")
_HEAD_END = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")


@dataclass(frozen=True)
class Passage:
    """Characters `start` to before `end` of a text, after a `lead`: the beginning of the block in
    which the passage starts, such as the head of a table."""

    start: int
    end: int
    lead: str
    body: str

    @property
    def text(self) -> str:
        return self.lead + self.body

    def place(self, offset: int) -> int:
        """Where in the passage a character of the whole text is."""
        return len(self.lead) + min(max(offset, self.start), self.end) - self.start


def around(text: str, start: int, end: int) -> Passage:
    """The passage with the characters `start` to before `end`, and some thousands beside them."""
    end = min(end, start + LARGEST_BLOCK)
    cuts = [*block_starts(text), len(text)]
    block = cuts[max(bisect_right(cuts, start) - 1, 0)]
    after = cuts[min(bisect_left(cuts, end), len(cuts) - 1)]
    first = cuts[bisect_left(cuts, start - BESIDE)]
    last = cuts[max(bisect_right(cuts, end + BESIDE) - 1, 0)]
    first, last = min(first, block), max(last, after)
    lead = ""
    if start - block > LARGEST_BLOCK:
        first = text.rfind("\n", start - 2 * BESIDE, start - BESIDE) + 1 or start - BESIDE
        lead = _beginning(text, block)
    if after - end > LARGEST_BLOCK:
        last = text.find("\n", end + BESIDE, end + 2 * BESIDE) + 1 or end + BESIDE
    return Passage(first, last, lead, text[first:last])


def block_starts(text: str) -> list[int]:
    """Where a text can be cut without tearing a block: after blank lines, outside of code, before
    a line at the margin. The first is 0."""
    return [0, *_after_blank_lines(text)]


def _after_blank_lines(text: str) -> Iterator[int]:
    place, blank, fence = 0, False, ""
    for line in text.split("\n"):
        if fence:
            bare = line.strip(" \t>")
            if bare.startswith(fence) and not bare.strip(fence[0]):
                fence = ""
        else:
            if blank and line.strip() and line[0] not in " \t":
                yield place
            if opening := _FENCE.match(line):
                fence = opening["marks"]
        blank = not line.strip()
        place += len(line) + 1


def _beginning(text: str, block: int) -> str:
    """The first line of a code block, or the head of a table."""
    lines = text[block : block + LARGEST_BLOCK].split("\n", 2)
    if _FENCE.match(lines[0]):
        return f"{lines[0]}\n"
    if len(lines) == 3 and _HEAD_END.fullmatch(lines[1]):
        return f"{lines[0]}\n{lines[1]}\n"
    return ""


@dataclass(frozen=True)
class NumberedLine:
    """A line with its number, as parts of which some are marked. `is_marked`: it belongs to what is
    marked, maybe without a character of its own."""

    number: int
    parts: Sequence[tuple[str, bool]]
    is_marked: bool


LONGEST_LINE = 4000  # characters of a line that are shown


def numbered(text: str, first: int, start: int, end: int) -> list[NumberedLine]:
    """The lines of a text, the first with the number `first`; characters `start` to before `end`
    are marked."""
    found, place = [], 0
    for number, line in enumerate(text.split("\n"), first):
        cuts = (min(max(start - place, 0), len(line)), min(max(end - place, 0), len(line)))
        is_marked = start < end and start <= place + len(line) and place < end
        found.append(NumberedLine(number, _parts(line, *cuts), is_marked))
        place += len(line) + 1
    return found


def _parts(line: str, start: int, end: int) -> list[tuple[str, bool]]:
    if len(line) > LONGEST_LINE:
        shown = max(0, min(start - LONGEST_LINE // 4, len(line) - LONGEST_LINE))
        line = line[shown : shown + LONGEST_LINE]
        start, end = max(start - shown, 0), max(end - shown, 0)
    parts = ((line[:start], False), (line[start:end], True), (line[end:], False))
    return [part for part in parts if part[0]]
