"""Put what the rankings found in order: a linear model of what is known of each passage.

Its weights are in relevance.json, one set for models that embed sentences and one for those that
know words only, and each again for late interaction. `manage.py learn_ranking` makes it from
questions with known answers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingestion.search.lexicon import Masks, Text, lexicons
from ingestion.search.query_analysis import content_words
from ingestion.search.query_expansion import QueryTerms, rarity
from ingestion.search.results import Hit
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
    "late",
    "late, words alike",
    "late place",
)
"""What is known of a passage:

- said: which share of the query its text and headings hold, each word by its rarity; said in
  headings: its headings; said in the document: all passages of the document that were found
- meant: the same, where a word of similar meaning counts by its similarity
- near: the similarity of its vector, by the model's usual distance; nearest of the document
- fused: the reciprocal ranks in the rankings that found it
- found of the document: how many of its passages are put in order, as a logarithm
- code: whether it holds code; length: of its text, as a logarithm
- late: how near its tokens are to those of the query, if `late_interaction` compared them; late,
  words alike: the same, if all of the query count alike; late place: its place by late, as a
  logarithm
"""

FROM_LATE = FEATURES.index("late")
"""What late interaction says begins there, and goes on to the end."""

Features = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a query asks for: its terms with their gains, `beginnings` being those that a word may
    only begin with, and its words with their rarity."""

    gains: Mapping[str, float]
    beginnings: Collection[str]
    words: Sequence[str]
    rarities: Sequence[float]

    def shares(self, *held: Masks) -> Features:
        """The share of the gains in each list of bits. Shape (len(held), number of hits)."""
        gains = np.array([*self.gains.values()])
        bits = np.stack(held)[..., None] >> np.arange(len(gains), dtype=np.uint64) & np.uint64(1)
        shares: Features = bits @ gains / (gains.sum() or 1.0)
        return shares


def ordered(
    query: str,
    terms: QueryTerms,
    hits: Sequence[Hit],
    added: Mapping[int, str],
    *,
    sentences: bool,
    late: Features | None = None,
) -> list[Hit]:
    """The hits by their relevance, best first, with it as their score. `added` are words of chunks
    that are not shown. `sentences`: whether chunks are embedded by a model of sentences; `late`:
    what late interaction says of each hit, if it is used."""
    if not hits:
        return []
    known = features(query, terms, hits, added, late)
    if late is not None and np.isnan(late).any():
        others = known @ _weights()[set_of_weights(sentences=sentences, late=False)]
        known[:, FROM_LATE:] = _late(_completed(late, others))
    values = known * _weights()[set_of_weights(sentences=sentences, late=late is not None)]
    scored = [
        hit.model_copy(update={"score": float(row.sum()), "relevance": _named(row)})
        for hit, row in zip(hits, values, strict=True)
    ]
    return sorted(scored, key=lambda hit: (-hit.score, hit.chunk_id))


def set_of_weights(*, sentences: bool, late: bool) -> str:
    """The name of the weights for what is known of hits."""
    return ("sentences" if sentences else "words") + (", late" if late else "")


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
    query: str,
    terms: QueryTerms,
    hits: Sequence[Hit],
    added: Mapping[int, str] = _NONE,
    late: Features | None = None,
) -> Features:
    """Shape (len(hits), len(FEATURES)); that of `late` is (len(hits), 2). What `late` does not say
    of a hit is as usual, and its place is the last."""
    wanted = _wanted(query, terms)
    compared = _Compared(wanted, hits, added)
    in_text, in_headings = np.split(compared.held(), 2)
    in_both = in_text | in_headings
    near = _near(hits)
    fused = np.array([hit.score for hit in hits])
    fused = fused / max(fused.max(), 1e-9)
    documents = _Documents(hits)
    return np.column_stack(
        [
            *wanted.shares(in_both, in_headings, documents.united(in_both)),
            *np.split(compared.meant(), 2),
            near,
            documents.best(near),
            fused,
            documents.best(fused),
            documents.numbers(),
            ["```" in hit.content for hit in hits],
            np.log1p([len(hit.content) for hit in hits]),
            np.zeros((len(hits), 3)) if late is None else _late(late),
        ]
    )


def _late(late: Features) -> Features:
    """How near each hit is compared with the others, and its place by that."""
    compared = late - np.nanmean(late, axis=0)
    values: Features = np.nan_to_num(np.column_stack([compared, _places(late[:, 0])]))
    return values


def _completed(late: Features, others: Features) -> Features:
    """With the nearness of hits that were not compared: as among the hits by their other score, so
    among those that were compared by their nearness. So a hit keeps its place until its vectors are
    made."""
    unknown = np.isnan(late[:, 0])
    places = np.argsort(np.argsort(-others, kind="stable")) / max(len(others) - 1, 1)
    compared = np.sort(late[~unknown], axis=0)[::-1]
    guessed = compared[np.rint(places * (len(compared) - 1)).astype(int)]
    return np.where(unknown[:, None], guessed, late)


def _places(values: Features) -> Features:
    """Minus the logarithm of 1 plus the place of each value; the greatest is the first, at 0."""
    places = np.empty(len(values))
    places[np.argsort(-values, kind="stable")] = np.arange(len(values))
    return -np.log1p(places)


def _text(hit: Hit, added: Mapping[int, str]) -> str:
    text = hit.content[:LONGEST_COMPARED]
    return f"{text}\n{added[hit.chunk_id]}" if hit.chunk_id in added else text


def rarities(query: str, terms: QueryTerms) -> dict[str, float]:
    """Of each word that a query asks for, in lower case."""
    counted = {term.term: term.chunks for term in terms.wanted if term.gain > 0}
    return {
        word.casefold(): rarity(counted.get(analyzer.forms(word).whole, 0), terms.chunks)
        for word in content_words(analyzer.words(query))
        if len(word) <= analyzer.LONGEST_WORD
    }


def _wanted(query: str, terms: QueryTerms) -> Wanted:
    gaining = [term for term in terms.wanted if term.gain > 0]
    rare = rarities(query, terms)
    words = sorted(rare, key=lambda word: (-rare[word], word))[:MOST_WORDS]
    return Wanted(
        {term.term: term.gain for term in sorted(gaining, key=lambda term: term.beginning)},
        {term.term for term in gaining if term.beginning},
        words,
        [rare[word] for word in words],
    )


class _Compared:
    """The words of the texts of hits, and then those of their headings, beside those wanted."""

    def __init__(self, wanted: Wanted, hits: Sequence[Hit], added: Mapping[int, str]) -> None:
        self.wanted = wanted
        self.lexicon = lexicons.current()
        texts = [Text(hit.chunk_id, _text(hit, added), hit.context_header) for hit in hits]
        read = self.lexicon.passages(texts)
        parts = [*(one.text for one in read), *(one.headings for one in read)]
        self.words = np.concatenate(parts)
        self.starts = [0, *accumulate(map(len, parts[:-1]))]

    def held(self) -> Masks:
        """Which of the wanted terms each text holds, as bits."""
        gains, beginnings = self.wanted.gains, self.wanted.beginnings
        masks = self.lexicon.masks(self.words, [*gains], beginnings)
        return np.bitwise_or.reduceat(masks, self.starts)

    def meant(self) -> Features:
        """The share of the wanted words that each text means, each by its rarity."""
        near = self.lexicon.nearness(self.wanted.words, self.words)
        rarities = np.array(self.wanted.rarities)
        nearest = np.maximum.reduceat(near, self.starts, axis=1)
        shares: Features = rarities @ nearest / max(rarities.sum(), 1e-9)
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

    def united(self, held: Masks) -> Masks:
        together: dict[int, int] = {}
        for key, terms in zip(self.keys, held.tolist(), strict=True):
            together[key] = together.get(key, 0) | terms
        return np.array([together[key] for key in self.keys], np.uint64)
