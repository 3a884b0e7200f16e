"""Turn a query into terms of the full text index, weighted by rarity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ingestion.index import term_statistics
from ingestion.search.query_analysis import content_words
from ingestion.text import analyzer

MOST_TERMS = 48  # terms of a query: those with the highest score
MOST_GUESSED = 12  # corrections per word that occurs nowhere
PART = 0.5  # weight of a term that the query does not contain literally
JOINED = 0.8
COMPLETED = 0.6
CORRECTED = 0.7
PAIRED = 0.5
GUESSED_SHARE = 1e-3  # share of all chunks assumed for a term that is not counted yet


@dataclass(frozen=True, slots=True)
class Wanted:
    """A term or prefix, and the score it adds to a chunk."""

    term: str
    gain: float
    chunks: int
    beginning: bool = False

    @property
    def tsquery(self) -> str:
        return quoted(self.term) + (":*" if self.beginning else "")


@dataclass(frozen=True, slots=True)
class Pair:
    """Neighbours in the query, and the most a chunk gains if they are neighbours there too."""

    first: str
    second: str
    gain: float

    @property
    def tsquery(self) -> str:
        return f"{quoted(self.first)} <-> {quoted(self.second)}"


def quoted(term: str) -> str:
    """A term as it is written in a tsquery."""
    escaped = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


@dataclass
class QueryTerms:
    """The terms of one query, the rarest first.

    `corrected` maps misspelt words to the terms used instead; `chunks` is the number of all chunks.
    """

    wanted: list[Wanted] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    corrected: dict[str, list[str]] = field(default_factory=dict)
    chunks: int = 0

    @property
    def gains(self) -> dict[str, float]:
        """The score of each term, for snippets; a prefix ends in `*`."""
        return {w.term + ("*" if w.beginning else ""): w.gain for w in self.wanted}


def query_terms(query: str) -> QueryTerms:
    """Look up the query's words: whole, in parts, joined, completed, corrected."""
    found = analyzer.words(query)
    kept = [word for word in content_words(found) if len(word) <= analyzer.LONGEST_WORD]
    shares: dict[str, float] = {}
    for term, share in _named(kept):
        shares[term] = max(share, shares.get(term, 0.0))
    joined = {term: words for term, words in _joined(found, kept) if term not in shares}
    counts, chunks = term_statistics.counts([*shares, *joined])
    result = QueryTerms(chunks=chunks)
    for term in joined.keys() & counts.keys():
        parts = sum(rarity(counts.get(analyzer.stem(word), 0), chunks) for word in joined[term])
        gain = JOINED * min(rarity(counts[term], chunks), parts)
        result.wanted.append(Wanted(term, gain, counts[term]))
    unknown = [term for term in shares if chunks and term not in counts]
    for term, share in shares.items():
        if term not in unknown:
            number = counts.get(term, int(chunks * GUESSED_SHARE))
            result.wanted.append(Wanted(term, share * rarity(number, chunks), number))
    if unknown:
        spelt = {analyzer.forms(word).whole: word.casefold() for word in kept}
        guessed = {term: spelt.get(term, term) for term in unknown[:MOST_GUESSED]}
        _guess(guessed, shares, chunks, result)
    result.wanted.sort(key=lambda wanted: (-wanted.gain, wanted.term))
    result.wanted = sorted(result.wanted[:MOST_TERMS], key=lambda term: (term.chunks, term.term))
    result.pairs = [*_pairs(kept, {wanted.term: wanted.gain for wanted in result.wanted})]
    return result


def _pairs(words: Sequence[str], gains: dict[str, float]) -> Iterator[Pair]:
    named = [analyzer.forms(word).whole for word in words]
    for first, second in dict.fromkeys(pairwise(named)):
        if first in gains and second in gains and first != second:
            yield Pair(first, second, PAIRED * (gains[first] + gains[second]) / 2)


def rarity(number: int, chunks: int) -> float:
    """The inverse document frequency of BM25 for a term in `number` of `chunks`."""
    return math.log(1 + (max(chunks, number) - number + 0.5) / (number + 0.5))


def _named(words: Iterable[str]) -> Iterator[tuple[str, float]]:
    for word in words:
        whole, parts = analyzer.forms(word)
        if whole:
            yield whole, 1.0
        yield from ((part, PART) for part in parts)


def _joined(*sequences: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Neighbours joined: `add button` and `add a button` may mean addButton."""
    for words in sequences:
        plain = [word.replace("_", "").casefold() for word in words]
        for together in (*pairwise(plain), *zip(plain, plain[1:], plain[2:], strict=False)):
            yield analyzer.stem("".join(together)), together


def _guess(
    unknown: dict[str, str], shares: dict[str, float], chunks: int, result: QueryTerms
) -> None:
    """For terms that occur nowhere: longer terms, two joined words, or similar spellings."""
    completed = term_statistics.completions(unknown)
    for term, longer in completed.items():
        number = sum(longer.values())
        gain = shares[term] * COMPLETED * rarity(number, chunks)
        result.wanted.append(Wanted(term, gain, number, beginning=True))
    near = term_statistics.corrections(term for term in unknown if term not in completed)
    sure = {term for term, others in near.items() if any(is_slip(term, o) for o in others)}
    split = _split({t: word for t, word in unknown.items() if t not in completed.keys() | sure})
    corrected = {term: others for term, others in near.items() if term not in split}
    for meant, share in ((split, PART), (corrected, CORRECTED)):
        for term, others in meant.items():
            if others:
                result.corrected[term] = list(others)
            for other, number in others.items():
                gain = shares[term] * share * rarity(number, chunks)
                result.wanted.append(Wanted(other, gain, number))


def is_slip(term: str, other: str) -> bool:
    """Whether one letter is too many, missing or another one, or two are swapped."""
    return analyzer.edits(term, other, 1) == 1


def _split(unknown: dict[str, str]) -> term_statistics.Found:
    """Each term that is two known ones joined, split so that the rarer half is as common as
    possible."""
    halves = {
        term: [
            (analyzer.stem(word[:at]), analyzer.stem(word[at:])) for at in range(3, len(word) - 2)
        ]
        for term, word in unknown.items()
        if word.isalpha()
    }
    pieces = {piece for pairs in halves.values() for pair in pairs for piece in pair}
    counts, _ = term_statistics.counts(pieces) if pieces else ({}, 0)
    found: term_statistics.Found = {}
    for term, pairs in halves.items():
        known = [pair for pair in pairs if pair[0] in counts and pair[1] in counts]
        if known:
            best = max(known, key=lambda pair: min(counts[pair[0]], counts[pair[1]]))
            found[term] = {piece: counts[piece] for piece in best}
    return found
