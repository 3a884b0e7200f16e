"""A few words that tell a passage from the rest of its document, for a question's answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from ingestion import access
from ingestion.search.highlighting import Gains
from ingestion.search.query_expansion import query_terms

LENGTHS = (6, 8, 10, 12, 5, 4)  # words of a phrase, the first that is unique
LONGEST = 12

_WORD = re.compile(r"\w+")
Window = tuple[int, int]
"""The first word of a phrase, and the one after its last."""


@access.everything()
def phrase_of(passage: str, text: str, query: str) -> str:
    """Words of the passage around those of the query, which are once in the text of its document;
    if none are, the longest phrase with most of them."""
    found = [*_WORD.finditer(passage)]
    words = [match[0].casefold() for match in found]
    if not words:
        return ""
    first, last = _chosen(words, [word.casefold() for word in _WORD.findall(text)], query)
    return " ".join(passage[found[first].start() : found[last - 1].end()].split())


def _chosen(words: Sequence[str], text: Sequence[str], query: str) -> Window:
    gains = Gains(query_terms(query).gains)
    worth = [gains[word] for word in words]
    for length in LENGTHS:
        if length > len(words):
            continue
        counted = Counter(tuple(text[at : at + length]) for at in range(len(text) - length + 1))
        for first in _best_first(words, worth, length):
            if counted[tuple(words[first : first + length])] <= 1:
                return first, first + length
    length = min(LONGEST, len(words))
    return next((first, first + length) for first in _best_first(words, worth, length))


def _best_first(words: Sequence[str], worth: Sequence[float], length: int) -> Iterator[int]:
    """The beginnings of all phrases of a length, those with most of the query's words first; each
    word counts once, and words in the middle are better than at an end."""

    def value(first: int) -> tuple[float, float]:
        inside = range(first, first + length)
        total = sum({words[place]: worth[place] for place in inside}.values())
        middle = first + (length - 1) / 2
        off = sum(abs(place - middle) for place in inside if worth[place])
        return -total, off

    yield from sorted(range(len(words) - length + 1), key=value)
