"""Choose the hits to show: not too many of one document, none that only repeats others, and those
that stand next to each other as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from ingestion.search.highlighting import Gains
from ingestion.search.lexicon import Text
from ingestion.search.results import Hit
from ingestion.text import analyzer

# Characters of hits that become one. On the half to tune by, MRR rose from .713 to .733 (wordllama)
# and from .671 to .719 (minilm), recall@10 from .886 to .891 and from .836 to .864; within 4,000
# characters of results were as many answers as before (.805 and .802, .796 and .802). With 3,000,
# more is read before the next hit: within 2,000 it was .691 instead of .720 (wordllama).
LONGEST_JOINED = 2000
JOINED_AMONG = 30  # hits; so that turning to a later page of them moves none to an earlier one
PER_DOCUMENT = 4  # hits, as long as there are others; 5 gained on one half of the questions only
ALIKE = 0.8  # of the words in common (Jaccard): the same text in another place
ECHO = 0.8  # share of a hit's score that comes from lines of hits above it
SHORTEST_ECHO = 4  # words of such a line; shorter ones, like a method call, may be in many programs


def varied(hits: Sequence[Hit], limit: int, gains: Gains) -> list[list[Hit]]:
    """The first `limit` hits that neither come from one document too often nor repeat others, each
    followed by those beside it in its document.

    If these are too few, further hits of the same documents follow, then hits that were found only
    by lines that better hits also contain, such as a license header.
    """
    chosen, spare, echoes = list[list[Hit]](), list[list[Hit]](), list[list[Hit]]()
    texts = list[frozenset[int]]()
    lines = set[str]()
    per_document: dict[int, int] = {}
    for place, hit in enumerate(hits):
        beside = _beside(hit, chosen) if place < JOINED_AMONG else None
        if beside is None and len(chosen) == limit:
            break
        (read,) = gains.lexicon.passages([Text(hit.chunk_id, hit.content, hit.context_header)])
        text = gains.lexicon.folds(read.text)
        if any(_alike(text, other) for other in texts):
            continue
        texts.append(text)
        in_lines = _lines_found(hit, gains.gaining(read.text), gains)
        nth = per_document.get(hit.document_id, 0) + 1
        if _is_echo(in_lines, lines):
            echoes.append([hit])
            continue
        if beside is not None:
            beside.append(hit)
        elif nth > PER_DOCUMENT:
            spare.append([hit])
            continue
        else:
            chosen.append([hit])
            per_document[hit.document_id] = nth
        lines |= in_lines.keys()
    return [*chosen, *spare, *echoes][:limit]


def _beside(hit: Hit, chosen: Sequence[list[Hit]]) -> list[Hit] | None:
    """The first of the chosen that the hit stands next to, unless they would become too long."""
    for group in chosen:
        if (
            group[0].document_id == hit.document_id
            and any(abs(one.ordinal - hit.ordinal) == 1 for one in group)
            and sum(len(one.content) for one in (*group, hit)) <= LONGEST_JOINED
        ):
            return group
    return None


def _lines_found(hit: Hit, wanted: Set[str], gains: Gains) -> dict[str, float]:
    """The lines of a hit that contain words of the query, which are `wanted`, with their scores."""
    found: dict[str, float] = {}
    for line in _lines_with(wanted, analyzer.folded(hit.content)):
        in_line = analyzer.words(line)
        if len(in_line) >= SHORTEST_ECHO and (met := wanted & {*in_line}):
            found[" ".join(in_line).casefold()] = sum(map(gains.__getitem__, met))
    return found


def _lines_with(parts: Set[str], text: str) -> Iterator[str]:
    """The lines of a text that hold any of some strings, each once, in order."""
    starts = {start for part in parts for start in _starts_with(part, text)}
    for start in sorted(starts):
        yield text[start : _end_of_line(text, start)]


def _starts_with(part: str, text: str) -> Iterator[int]:
    """Where the lines begin that hold a string."""
    at = text.find(part)
    while at >= 0:
        yield text.rfind("\n", 0, at) + 1
        at = text.find(part, _end_of_line(text, at))


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _is_echo(found: Mapping[str, float], lines: set[str]) -> bool:
    again = sum(gain for line, gain in found.items() if line in lines)
    return again > 0 and again >= ECHO * sum(found.values())


def _alike(one: frozenset[int], other: frozenset[int]) -> bool:
    if min(len(one), len(other)) < ALIKE * max(len(one), len(other)):
        return False  # they would be too different even if one held the other
    common = len(one & other)
    return common >= ALIKE * (len(one) + len(other) - common)
