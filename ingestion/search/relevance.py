"""Put what the rankings found in order: a linear model of what is known of each passage.

Its weights are in relevance.json, one set for models that embed sentences and one for those that
know words only. `manage.py learn_ranking` makes it from questions with known answers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingestion.search.query_analysis import content_words
from ingestion.search.query_expansion import QueryTerms, rarity
from ingestion.search.results import Hit
from ingestion.search.word_meanings import word_meanings
from ingestion.text import analyzer

WEIGHTS = Path(__file__).with_name("relevance.json")
MOST_WORDS = 32  # of a query whose meaning is compared, the rarest
LONGEST_COMPARED = 6000  # characters of a passage

_NONE: Mapping[int, str] = {}

FEATURES = (
    "said",
    "said in headings",
    "said in the document",
    "meant",
    "meant in headings",
    "near",
    "nearest of the document",
    "fused",
    "best fused of the document",
    "found of the document",
    "code",
    "length",
)
"""What is known of a passage:

- said: which share of the query its text and headings hold, each word by its rarity; said in
  headings: its headings; said in the document: all passages of the document that were found
- meant: the same, where a word of similar meaning counts by its similarity
- near: the similarity of its vector, by the model's usual distance; nearest of the document
- fused: the reciprocal ranks in the rankings that found it
- found of the document: how many of its passages were found, as a logarithm
- code: whether it holds code; length: of its text, as a logarithm
"""

Features = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a query asks for: its terms with their gains, and its words with their rarity."""

    gains: Mapping[str, float]
    beginnings: Mapping[str, float]
    words: Sequence[str]
    rarities: Sequence[float]


def ordered(
    query: str,
    terms: QueryTerms,
    hits: Sequence[Hit],
    added: Mapping[int, str],
    *,
    sentences: bool,
) -> list[Hit]:
    """The hits by their relevance, best first, with it as their score. `added` are words of chunks
    that are not shown. `sentences`: whether chunks are embedded by a model of sentences."""
    if not hits:
        return []
    weights = _weights()["sentences" if sentences else "words"]
    values = features(query, terms, hits, added) * weights
    scored = [
        hit.model_copy(update={"score": float(row.sum()), "relevance": _named(row)})
        for hit, row in zip(hits, values, strict=True)
    ]
    return sorted(scored, key=lambda hit: (-hit.score, hit.chunk_id))


def _named(row: Features) -> dict[str, float]:
    return {name: value for name, value in zip(FEATURES, row.tolist(), strict=True) if value}


@cache
def _weights() -> dict[str, Features]:
    kept = json.loads(WEIGHTS.read_text("utf-8"))
    return {
        name: np.array([values.get(feature, 0.0) for feature in FEATURES])
        for name, values in kept["weights"].items()
    }


def features(
    query: str, terms: QueryTerms, hits: Sequence[Hit], added: Mapping[int, str] = _NONE
) -> Features:
    """Shape (len(hits), len(FEATURES))."""
    wanted = _wanted(query, terms)
    texts = [set(analyzer.words(_text(hit, added))) for hit in hits]
    headings = [set(analyzer.words(hit.context_header)) for hit in hits]
    holding = _Holding(wanted)
    in_text, in_headings = [holding.terms(t) for t in texts], [holding.terms(h) for h in headings]
    in_both = [one | other for one, other in zip(in_text, in_headings, strict=True)]
    near = _near(hits)
    fused = np.array([hit.score for hit in hits])
    fused = fused / max(fused.max(), 1e-9)
    documents = _Documents(hits)
    return np.column_stack(
        [
            holding.shares(in_both),
            holding.shares(in_headings),
            holding.shares(documents.united(in_both)),
            *np.split(_meant(wanted, [*texts, *headings]), 2),
            near,
            documents.best(near),
            fused,
            documents.best(fused),
            documents.numbers(),
            ["```" in hit.content for hit in hits],
            np.log1p([len(hit.content) for hit in hits]),
        ]
    )


def _text(hit: Hit, added: Mapping[int, str]) -> str:
    text = hit.content[:LONGEST_COMPARED]
    return f"{text}\n{added[hit.chunk_id]}" if hit.chunk_id in added else text


def _wanted(query: str, terms: QueryTerms) -> Wanted:
    gaining = [term for term in terms.wanted if term.gain > 0]
    counted = {term.term: term.chunks for term in gaining}
    rare = {
        word.casefold(): rarity(counted.get(analyzer.forms(word).whole, 0), terms.chunks)
        for word in content_words(analyzer.words(query))
        if len(word) <= analyzer.LONGEST_WORD
    }
    words = sorted(rare, key=lambda word: (-rare[word], word))[:MOST_WORDS]
    return Wanted(
        {term.term: term.gain for term in gaining if not term.beginning},
        {term.term: term.gain for term in gaining if term.beginning},
        words,
        [rare[word] for word in words],
    )


_NOTHING = frozenset[str]()


class _Holding(dict[str, frozenset[str]]):
    """Which of the wanted terms each word of a text is, found when it is asked for."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__()
        self.gains = {**wanted.gains, **wanted.beginnings}
        self.beginnings = tuple(wanted.beginnings)
        self.initials = {term[0] for term in self.gains if term}

    def terms(self, words: Collection[str]) -> frozenset[str]:
        return _NOTHING.union(*map(self.__getitem__, words))

    def __missing__(self, word: str) -> frozenset[str]:
        is_foreign = analyzer.is_foreign(word, self.initials)
        found = self[word] = _NOTHING if is_foreign else self._found(word)
        return found

    def _found(self, word: str) -> frozenset[str]:
        whole, parts = analyzer.forms(word)
        if self.beginnings and whole.startswith(self.beginnings):
            begun = [term for term in self.beginnings if whole.startswith(term)]
            return frozenset(term for term in (whole, *parts, *begun) if term in self.gains)
        if whole in self.gains or not self.gains.keys().isdisjoint(parts):
            return frozenset(term for term in (whole, *parts) if term in self.gains)
        return _NOTHING

    def shares(self, held: Sequence[frozenset[str]]) -> Features:
        everything = sum(self.gains.values()) or 1.0
        return np.array([sum(self.gains[term] for term in terms) for terms in held]) / everything


def _meant(wanted: Wanted, texts: Sequence[Collection[str]]) -> Features:
    near = word_meanings.nearness(wanted.words, texts)
    rarities = np.array(wanted.rarities)
    shares: Features = rarities @ near / max(rarities.sum(), 1e-9)
    return shares


def _near(hits: Sequence[Hit]) -> Features:
    """The similarities to the query, of each model in units of its usual distance; what its model
    could not be asked for is as near as usual."""
    found = np.array([np.nan if hit.near is None else hit.near for hit in hits])
    if np.isnan(found).all():
        return np.zeros(len(hits))
    usual = float(np.nanmean(found))
    return np.nan_to_num((found - usual) / max(1 - usual, 1e-6))


class _Documents:
    """The hits by document."""

    def __init__(self, hits: Sequence[Hit]) -> None:
        self.keys = [hit.document_id for hit in hits]

    def best(self, values: Features) -> Features:
        most: dict[int, float] = {}
        for key, value in zip(self.keys, values.tolist(), strict=True):
            most[key] = max(value, most.get(key, value))
        return np.array([most[key] for key in self.keys])

    def numbers(self) -> Features:
        numbers = Counter(self.keys)
        return np.log1p([numbers[key] for key in self.keys])

    def united(self, held: Sequence[frozenset[str]]) -> list[frozenset[str]]:
        together: dict[int, frozenset[str]] = {}
        for key, terms in zip(self.keys, held, strict=True):
            together[key] = together.get(key, _NOTHING) | terms
        return [together[key] for key in self.keys]
