"""Compare the words of a query with the tokens of passages, one by one (LATE_INTERACTION).

For each word of the query the nearest token of a passage counts, by the rarity of the word and by
how much such words count (ColBERT's MaxSim: Khattab and Zaharia 2020). Most of the work was done
before: see `embedding.token_vectors`.

Passages are found in two steps: those with tokens at the rarest centroids that the query is near to
are compared by their centroids alone, and the best of these token by token (as in PLAID: Santhanam
and others 2022).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import psycopg
from django.conf import settings
from django.db import connection, transaction
from numpy.typing import NDArray

from ingestion.embedding import minilm, token_vectors
from ingestion.embedding.base import Vectors
from ingestion.exceptions import EmbedderError
from ingestion.processes.kept import Kept
from ingestion.search.query_expansion import is_slip
from ingestion.search.relevance import Features
from ingestion.search.results import Hit
from ingestion.search.retrievers import DEPTH, PER_DOCUMENT_RANKED, Filters, Ranking
from ingestion.text import analyzer

LATE = "late interaction"
UNCOUNTED = 0.5  # the weight of a word without a rarity, such as a stop word
ENOUGH = 0.75  # of the hits have to have vectors: else they are put in order without
KEPT_QUERIES = 512
KEPT_TEXTS = 1 << 13  # whose vectors a process keeps: 25 MB
# A ranking held the answer among its best 60 for .93 of the questions to tune by, of 12,311 chunks
# (all compared: .96; 2,000: .88, and 1 of 100 fewer answers in the end). 300 added nothing to 200.
ROUGHLY = 4000  # passages that are compared by their centroids, about
EXACTLY = 200  # of these that are compared token by token
AT_MOST = 2 * ROUGHLY
OF_A_TEXT = 4  # chunks with the same text
MOST_TOKENS = 12  # of a query, those that count most, are compared with centroids
CLOSE = 0.6  # of the similarity of the centroid nearest to a token: what is beyond adds nothing
EVEN = 20  # passages with a centroid; it chooses less the more there are beyond these
WEIGHT = 1.0  # of the ranking beside the others
# Nearer than this, a token counts no more beside what else is known of a hit, which counts equal
# words already. Cross-validated, recall@10 rose from .855 to .869, MRR from .696 to .714 (minilm),
# from .893 to .895 and from .724 to .731 (wordllama); .65 and .75 were as good, .6 and .8 less.
NEAR_ENOUGH = 0.7

_BY_INDEX = "SELECT set_config('enable_seqscan', 'off', true)"
_NEAR_CENTROIDS = "t.centroids && %s::smallint[] AND t.version = %s"
_OF_TEXTS = """
    SELECT content_hash, vectors FROM ingestion_tokenvectors
    WHERE content_hash = ANY(%s::varchar[]) AND version = %s AND vectors <> ''"""
_WORD = re.compile(r"\w+")
_TEXTS = "SELECT id, content_hash FROM ingestion_chunk WHERE id = ANY(%s::bigint[])"


class Texts(NamedTuple):
    """`centroids` are those of one text after the other, and `starts` where those of each begin."""

    hashes: Sequence[str]
    centroids: NDArray[np.intp]
    starts: NDArray[np.int64]


class Nearness(NamedTuple):
    """Of a passage, and what of that counts beside what else is known of it; `alike`: if all words
    of the query count alike."""

    whole: float
    counted: float
    alike: float


NOT_COMPARED = Nearness(np.nan, np.nan, np.nan)


@dataclass
class Comparison:
    """Of one query with passages. `weights` of its tokens are 1 together; `known` is how near each
    chunk is that was compared."""

    asked: token_vectors.AskedTokens
    weights: Features
    known: dict[int, Nearness] = field(default_factory=dict)

    def rankings(
        self, filters: Filters, chunks: int, profiles: Sequence[int], *, few: bool
    ) -> Iterator[Ranking]:
        """The nearest passages of an index with so many chunks, if any have vectors; of all that
        the filters keep, if these are few."""
        near = self.asked.vectors @ token_vectors.projection().centroids.T
        chosen = [] if few else _chosen(near, self.weights, chunks)
        texts = _with_centroids(filters, chosen) if few or chosen else None
        placed = self._placed(self._roughly(near, texts), filters, profiles) if texts else []
        if placed:
            values = [self.known[chunk].whole for chunk in placed]
            sql = """
                SELECT u.id, u.place, u.value
                FROM unnest(%s::bigint[], %s::float8[]) WITH ORDINALITY AS u(id, value, place)"""
            yield Ranking(LATE, 0, WEIGHT, sql, [placed, values], "1.0")

    def of(self, hits: Sequence[Hit]) -> Features | None:
        """How near each of these is, as far as it counts, and the same if all words of the query
        count alike; NaN if it has no vectors. Shape (len(hits), 2). None if too few have some of
        those that other rankings found, too."""
        chunks = [hit.chunk_id for hit in hits]
        if unknown := [chunk for chunk in chunks if chunk not in self.known]:
            texts = dict(_fetched(_TEXTS, [unknown]))
            self._compare(texts, _stored({*texts.values()}))
        others = [hit.chunk_id for hit in hits if {part.ranking for part in hit.parts} - {LATE}]
        if sum(chunk in self.known for chunk in others) < ENOUGH * len(others):
            return None
        return np.array([self.known.get(chunk, NOT_COMPARED)[1:] for chunk in chunks])

    def _compare(self, texts: Mapping[int, str], stored: Mapping[str, bytes]) -> None:
        """Chunks with these texts, as far as they are stored."""
        if compared := [chunk for chunk, text in texts.items() if text in stored]:
            passages = [stored[texts[chunk]] for chunk in compared]
            nearest = token_vectors.nearness(self.asked.vectors, passages)
            whole = self.weights @ nearest
            counted = self.weights @ np.minimum(nearest, NEAR_ENOUGH)
            values = (array.tolist() for array in (whole, counted, nearest.mean(axis=0)))
            self.known.update(zip(compared, map(Nearness, *values), strict=True))

    def _roughly(self, near: Vectors, texts: Texts) -> list[str]:
        """The hashes of the texts that are nearest by their centroids, best first."""
        telling = np.argsort(-self.weights)[:MOST_TOKENS]
        values = np.zeros(len(texts.hashes))
        for token in telling.tolist():
            nearest = np.maximum.reduceat(near[token].take(texts.centroids), texts.starts)
            values += self.weights[token] * nearest
        return [texts.hashes[place] for place in np.argsort(-values, kind="stable")[:EXACTLY]]

    def _placed(self, texts: Sequence[str], filters: Filters, profiles: Sequence[int]) -> list[int]:
        """The chunks of these texts, the nearest first, not too many of one document."""
        condition, parameters = filters.sql()
        sql = f"""
            SELECT id, document_id, content_hash FROM (
                SELECT c.id, c.document_id, c.content_hash, row_number() OVER (
                    PARTITION BY c.content_hash ORDER BY c.id) AS nth
                FROM {filters.table}
                WHERE c.profile_id = ANY(%s) AND c.content_hash = ANY(%s){condition}
            ) AS found WHERE nth <= {OF_A_TEXT}"""
        chunks = _fetched(sql, [[*profiles], [*texts], *parameters])
        self._compare({chunk: text for chunk, _, text in chunks}, _stored(texts))
        documents = {chunk: document for chunk, document, _ in chunks if chunk in self.known}
        placed, taken = list[int](), Counter[int]()
        for chunk in sorted(documents, key=lambda chunk: (-self.known[chunk].whole, chunk)):
            taken[documents[chunk]] += 1
            if taken[documents[chunk]] <= PER_DOCUMENT_RANKED:
                placed.append(chunk)
        return placed[:DEPTH]


def get_ready() -> None:
    """Open what the first search would have to open, if it is on and there."""
    if settings.LATE_INTERACTION:
        with suppress(EmbedderError):
            _asked("ready")


def spelt(query: str, corrected: Mapping[str, Sequence[str]]) -> str:
    """The query with slips put right: words that neither the model nor the index has as they are,
    and the index has but for one letter (see `QueryTerms`). Raises EmbedderError if there is no
    model."""
    if not corrected:
        return query
    tokens = minilm.opened().vocabulary

    def put_right(word: re.Match[str]) -> str:
        term = analyzer.forms(word[0]).whole
        meant = (other for other in corrected.get(term, ()) if is_slip(term, other))
        return word[0] if tokens.count(word[0]) == 1 else next(meant, word[0])

    return _WORD.sub(put_right, query)


def comparison(query: str, rarities: Mapping[str, float]) -> Comparison | None:
    """Of a query whose words have these rarities; None if it has no word that the model reads.
    Raises EmbedderError if there is no model."""
    asked = _asked(query)
    if not len(asked.words):
        return None
    shares = [rarities.get(word, UNCOUNTED) / asked.words.count(word) for word in asked.words]
    weights = np.array(shares) * asked.importance
    return Comparison(asked, weights / weights.sum())


@lru_cache(KEPT_QUERIES)
def _asked(query: str) -> token_vectors.AskedTokens:
    return token_vectors.of_query(query)


recent: Kept[str, bytes] = Kept(KEPT_TEXTS)
"""The vectors that were compared last, by the hashes of their texts."""
os.register_at_fork(after_in_child=recent.begin)


def _stored(texts: Collection[str]) -> dict[str, bytes]:
    """The vectors of texts by their hashes, as far as they are made."""
    found = {text: kept for text in texts if (kept := recent.get(text))}
    if missing := [text for text in texts if text not in found]:
        stored = dict(_fetched(_OF_TEXTS, [missing, token_vectors.VERSION]))
        for text, vectors in stored.items():
            recent.put(text, vectors)
        found.update(stored)
    return found


@transaction.atomic
def _fetched(sql: str, parameters: Sequence[Any]) -> list[Any]:
    """Half a megabyte and more, which is read as it is, and not as digits, as Django's cursors do.

    All by an index: the planner takes comparing arrays to be as cheap as comparing numbers, and
    would read all rows."""
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(_BY_INDEX)
        cursor.execute(sql, parameters, binary=True)
        return cursor.fetchall()


def _chosen(near: Vectors, weights: Features, chunks: int) -> list[int]:
    """The centroids that tell most of the query, as long as they are in ROUGHLY passages together:
    those much nearer to one of its tokens than others, the rare ones rather. Shape of `near`:
    (tokens of the query, centroids)."""
    closeness = near - CLOSE * near.max(axis=1, keepdims=True)
    with_each = token_vectors.projection().shares * chunks
    worth = (weights[:, None] * closeness).max(axis=0) / np.sqrt(with_each + EVEN)
    best_first = np.argsort(-worth)[:AT_MOST]
    best_first = best_first[worth[best_first] > 0]
    chosen, number = list[int](), 0.0
    for centroid, further in zip(best_first.tolist(), with_each[best_first].tolist(), strict=True):
        if not chosen or number + further <= ROUGHLY:
            chosen.append(centroid)
            number += further
    return chosen


def _with_centroids(filters: Filters, chosen: list[int]) -> Texts | None:
    """Those with any of these centroids; if none is given, all that the filters keep."""
    some = _NEAR_CENTROIDS if chosen else "t.centroid_bytes <> '' AND t.version = %s"
    parameters: list[Any] = [chosen] if chosen else []
    parameters.append(token_vectors.VERSION)
    table, condition = "ingestion_tokenvectors t", ""
    if filters.is_narrow:
        table = f"""{filters.table}
            JOIN ingestion_tokenvectors t ON t.content_hash = c.content_hash"""
        condition, further = filters.sql()
        parameters += further
    sql = f"""
        SELECT array_agg(content_hash), string_agg(centroid_bytes, ''),
               array_agg(length(centroid_bytes))
        FROM (SELECT t.content_hash, t.centroid_bytes FROM {table}
              WHERE {some}{condition} LIMIT {AT_MOST}) AS found"""
    [(hashes, packed, lengths)] = _fetched(sql, parameters)
    if not hashes:
        return None
    starts = np.cumsum([0, *lengths[:-1]]) // token_vectors.CENTROID.itemsize
    return Texts(hashes, token_vectors.unpacked_centroids(packed), starts)
