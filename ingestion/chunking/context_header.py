"""The context header: a line above the text of a chunk that says where it is from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from ingestion.text.tokenizer import count_tokens

SEPARATOR = " > "
ELLIPSIS = "…"


def context_header(breadcrumb: Sequence[str], title: str, headings: Sequence[str]) -> str:
    """Breadcrumb, title and headings joined with " > ", without repeated steps.

    Steps that differ only in case and white space are the same; the later spelling is used, because
    it is nearer to the text. Empty steps are left out.
    """
    return SEPARATOR.join(_without_repeats([*breadcrumb, title, *headings]))


def context_header_within(
    limit: int, breadcrumb: Sequence[str], title: str, headings: Sequence[str]
) -> str:
    """The context header in at most `limit` tokens.

    Until it fits, it drops the breadcrumb from its root on, then the outermost headings between
    title and last heading. Then title and last heading are cut off.
    """
    last = list(headings[-1:])
    for place in range(len(breadcrumb) + 1):
        header = context_header(breadcrumb[place:], title, headings)
        if count_tokens(header) <= limit:
            return header
    for place in range(1, len(headings)):
        header = context_header((), title, headings[place:])
        if count_tokens(header) <= limit:
            return header
    return _cut_steps(_without_repeats([title, *last]), limit)


def _without_repeats(steps: Sequence[str]) -> list[str]:
    kept: list[str] = []
    for step in (" ".join(step.split()) for step in steps):
        if kept and _key(kept[-1]) == _key(step):
            kept[-1] = step
        elif step:
            kept.append(step)
    return kept


def _key(step: str) -> str:
    return "".join(step.split()).casefold()


def _cut_steps(steps: list[str], limit: int) -> str:
    """Give each step half the room, and what the other one leaves."""
    if len(steps) < 2:
        return _cut(steps[0], limit) if steps else ""
    room = limit - count_tokens(SEPARATOR)
    title, heading = steps
    heading = _cut(heading, max(room // 2, room - count_tokens(title)))
    title = _cut(title, room - count_tokens(heading))
    return SEPARATOR.join([title, heading])


def _cut(step: str, limit: int) -> str:
    """The longest beginning of `step` that, with an ellipsis, has at most `limit` tokens."""
    if count_tokens(step) <= limit:
        return step
    words = step.split(" ")
    by_word = [" ".join(words[: n + 1]) + ELLIPSIS for n in range(min(len(words), limit))]
    by_letter = [words[0][: n + 1] + ELLIPSIS for n in range(min(len(words[0]), 8 * limit))]
    for candidates in (by_word, by_letter):
        fitting = bisect_right(candidates, limit, key=count_tokens)
        if fitting:
            return candidates[fitting - 1]
    return ELLIPSIS
