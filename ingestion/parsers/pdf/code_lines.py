"""Which lines of a PDF are code, and how they are laid out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from statistics import median

from ingestion.parsers.pdf.layout import Item
from ingestion.parsers.pdf.lines import Line
from ingestion.parsers.pdf.typography import Typography

ADDRESS = re.compile(r"\S@\S+\.\w|https?://|www\.")


def code_run(
    items: Sequence[Item], index: int, levels: dict[int, int], typography: Typography
) -> list[Line]:
    """The lines of code from `index` on; none for a single line of code in a paragraph."""
    run: list[Line] = []
    for offset, item in enumerate(items[index:], index):
        if not isinstance(item, Line) or not item.mono or offset in levels:
            break
        if run and (item.page != run[-1].page or item.region != run[-1].region):
            break
        run.append(item)
    if typography.mono_body:
        return _typed_code(items, index, run, typography)
    if len(run) == 1 and not _is_set_off(items, index, run[0], typography):
        return []
    return run


def _typed_code(
    items: Sequence[Item], index: int, run: list[Line], typography: Typography
) -> list[Line]:
    """The code at `index` of a text that is all in a code font: lines that do not read as prose."""
    if not run:
        return []
    start = index
    while start and _same_block(items[start - 1], items[start], typography):
        start -= 1
    taken = 0
    while taken < len(run):
        begin = start if not taken else index + taken
        end = begin + 1
        while end < index + len(run) and _same_block(items[end - 1], items[end], typography):
            end += 1
        if _reads_as_prose([item.text for item in items[begin:end] if isinstance(item, Line)]):
            break
        taken = end - index
    return run[:taken]


def _same_block(before: Item, line: Item, typography: Typography) -> bool:
    if not isinstance(before, Line) or not isinstance(line, Line) or not before.mono:
        return False
    step = (before.y - line.y) / line.size
    return (before.page, before.region) == (line.page, line.region) and (
        0 < step <= typography.leading + 0.3
    )


def _reads_as_prose(texts: Sequence[str]) -> bool:
    """Whether texts are sentences: mostly letters, several words per line, no code characters."""
    text = " ".join(texts)
    plain = sum(char.isalnum() or char in " .,'\"-()" for char in text)
    words = len(text.split()) / max(len(texts), 1)
    return plain >= 0.95 * len(text) and words >= 4 and not re.search(r"\w\(|;$|[={}]", text)


def _is_set_off(items: Sequence[Item], index: int, line: Line, typography: Typography) -> bool:
    """Whether a single line in a code font is a block of its own rather than running text."""
    if ADDRESS.search(line.text) or not re.fullmatch(r"`[^`]+`", line.marked):
        return False
    for other in (
        items[index - 1] if index else None,
        items[index + 1] if index + 1 < len(items) else None,
    ):
        if not isinstance(other, Line) or (other.page, other.region) != (line.page, line.region):
            continue
        close = abs(other.y - line.y) < (typography.leading + 0.3) * max(line.size, other.size)
        if close and abs(other.x0 - line.x0) < 2 * line.size:
            return False
    return True


def code_lines(lines: list[Line]) -> tuple[list[str], list[int]]:
    """The lines with their indentation, and blank lines if the space between is that large."""
    left = min(line.x0 for line in lines)
    pitch = max(median(line.style.pitch for line in lines), 0.5)
    steps = [a.y - b.y for a, b in itertools.pairwise(lines) if a.y > b.y]
    step = min(median(steps), 1.6 * lines[0].size) if steps else 1.2 * lines[0].size
    texts: list[str] = []
    pages: list[int] = []
    before: Line | None = None
    for line in lines:
        blank = round((before.y - line.y) / step) - 1 if before is not None else 0
        texts += [""] * min(max(blank, 0), 3)
        texts.append(" " * round((line.x0 - left) / pitch) + line.code)
        pages += [line.page] * (len(texts) - len(pages))
        before = line
    return texts, pages
