"""Choose the hits to show: not too many of one document, and none that only repeats others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ingestion.search.highlighting import Gains
from ingestion.search.results import Hit
from ingestion.text.analyzer import words

PER_DOCUMENT = 4  # hits per document, as long as there are others
ALIKE = 0.8  # of the words in common (Jaccard): the same text in another place
ECHO = 0.8  # share of a hit's score that comes from lines of hits above it
SHORTEST_ECHO = 4  # words of such a line; shorter ones, like a method call, may be in many programs


def varied(hits: Sequence[Hit], limit: int, gains: Gains) -> list[Hit]:
    """The first `limit` hits that neither come from one document too often nor repeat others.

    If these are too few, further hits of the same documents follow, then hits that were found only
    by lines that better hits also contain, such as a license header.
    """
    chosen, spare, echoes = list[Hit](), list[Hit](), list[Hit]()
    texts = list[frozenset[str]]()
    lines = set[str]()
    per_document: dict[int, int] = {}
    for hit in hits:
        if len(chosen) == limit:
            break
        text = frozenset(words(hit.content.casefold()))
        if any(_alike(text, other) for other in texts):
            continue
        texts.append(text)
        found = _lines_found(hit, gains)
        nth = per_document.get(hit.document_id, 0) + 1
        if _is_echo(found, lines):
            echoes.append(hit)
        elif nth > PER_DOCUMENT:
            spare.append(hit)
        else:
            chosen.append(hit)
            per_document[hit.document_id] = nth
            lines |= found.keys()
    return [*chosen, *spare, *echoes][:limit]


def _lines_found(hit: Hit, gains: Gains) -> dict[str, float]:
    """The lines of a hit that contain query terms, and the score of each."""
    found: dict[str, float] = {}
    for line in hit.content.split("\n"):
        in_line = words(line)
        if len(in_line) >= SHORTEST_ECHO and (gain := sum(gains[word] for word in set(in_line))):
            found[" ".join(in_line).casefold()] = gain
    return found


def _is_echo(found: Mapping[str, float], lines: set[str]) -> bool:
    again = sum(gain for line, gain in found.items() if line in lines)
    return again > 0 and again >= ECHO * sum(found.values())


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= ALIKE * len(one | other)
