"""Compare the words of a query with the tokens of passages, one by one (LATE_INTERACTION).

For each word of the query the nearest token of a passage counts, by the rarity of the word and by
how much such words count (ColBERT's MaxSim: Khattab and Zaharia 2020). Most of the work was done
before: see `embedding.token_vectors`.

Passages are found in two steps: those with tokens at the rarest centroids that the query is near to
are compared by their centroids alone, and the best of these token by token (as in PLAID: Santhanam
and others 2022).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import psycopg
from django.conf import settings
from django.db import connection
from numpy.typing import NDArray

from ingestion.embedding import token_vectors
from ingestion.embedding.base import Vectors
from ingestion.exceptions import EmbedderError
from ingestion.search.relevance import Features
from ingestion.search.results import Hit
from ingestion.search.retrievers import DEPTH, PER_DOCUMENT_RANKED, Filters, Ranking

LATE = "late interaction"
UNCOUNTED = 0.5  # the weight of a word without a rarity, such as a stop word
ENOUGH = 0.75  # of the hits have to have vectors: else they are put in order without
KEPT_QUERIES = 512
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

# The planner takes comparing arrays to be as cheap as comparing numbers, and would read all rows.
# In one message with a statement, this applies to it alone.
_BY_INDEX = "SELECT set_config('enable_seqscan', 'off', true);"
_NEAR_CENTROIDS = "t.centroids && %s::smallint[] AND t.version = %s"
_OF_TEXTS = """
    SELECT content_hash, vectors FROM ingestion_tokenvectors
    WHERE content_hash = ANY(%s::varchar[]) AND version = %s AND vectors <> ''"""
_OF_CHUNKS = """
    SELECT c.id, t.vectors FROM ingestion_chunk c
    JOIN ingestion_tokenvectors t ON t.content_hash = c.content_hash
    WHERE c.id = ANY(%s::bigint[]) AND t.version = %s AND t.vectors <> ''"""


class Texts(NamedTuple):
    """`centroids` are those of one text after the other, and `starts` where those of each begin."""

    hashes: Sequence[str]
    centroids: NDArray[np.intp]
    starts: NDArray[np.int64]


@dataclass
class Comparison:
    """Of one query with passages. `weights` of its tokens are 1 together; `known` is how near each
    chunk is that was compared."""

    asked: token_vectors.AskedTokens
    weights: Features
    known: dict[int, float] = field(default_factory=dict)

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
            values = [self.known[chunk] for chunk in placed]
            sql = """
                SELECT u.id, u.place, u.value
                FROM unnest(%s::bigint[], %s::float8[]) WITH ORDINALITY AS u(id, value, place)"""
            yield Ranking(LATE, 0, WEIGHT, sql, [placed, values], "1.0")

    def of(self, hits: Sequence[Hit]) -> Features | None:
        """How near each of these is; NaN if it has no vectors. None if too few have some of those
        that other rankings found, too."""
        chunks = [hit.chunk_id for hit in hits]
        if unknown := [chunk for chunk in chunks if chunk not in self.known]:
            self._compare(_stored(_OF_CHUNKS, unknown))
        others = [hit.chunk_id for hit in hits if {part.ranking for part in hit.parts} - {LATE}]
        if sum(chunk in self.known for chunk in others) < ENOUGH * len(others):
            return None
        return np.array([self.known.get(chunk, np.nan) for chunk in chunks])

    def _compare(self, stored: Mapping[int, bytes]) -> None:
        if stored:
            nearest = token_vectors.nearness(self.asked.vectors, [*stored.values()])
            near = (self.weights @ nearest).tolist()
            self.known.update(zip(stored, near, strict=True))

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
            {_BY_INDEX}
            SELECT id, document_id, content_hash FROM (
                SELECT c.id, c.document_id, c.content_hash, row_number() OVER (
                    PARTITION BY c.content_hash ORDER BY c.id) AS nth
                FROM {filters.table}
                WHERE c.profile_id = ANY(%s) AND c.content_hash = ANY(%s){condition}
            ) AS found WHERE nth <= {OF_A_TEXT}"""
        with connection.cursor() as cursor:
            cursor.execute(sql, [[*profiles], [*texts], *parameters])
            cursor.nextset()
            chunks = cursor.fetchall()
        stored = _stored(_OF_TEXTS, texts)
        self._compare({chunk: stored[text] for chunk, _, text in chunks if text in stored})
        documents = {chunk: document for chunk, document, text in chunks if text in stored}
        placed, taken = list[int](), Counter[int]()
        for chunk in sorted(documents, key=lambda chunk: (-self.known[chunk], chunk)):
            taken[documents[chunk]] += 1
            if taken[documents[chunk]] <= PER_DOCUMENT_RANKED:
                placed.append(chunk)
        return placed[:DEPTH]


def get_ready() -> None:
    """Open what the first search would have to open, if it is on and there."""
    if settings.LATE_INTERACTION:
        with suppress(EmbedderError):
            _asked("ready")


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


def _stored(sql: str, keys: Sequence[int | str]) -> dict[Any, bytes]:
    """The vectors of each, by its key. More than a megabyte, which is read as it is, and not as
    digits, as Django's cursors do."""
    with connection.wrap_database_errors:
        connection.ensure_connection()
        with psycopg.Cursor(connection.connection) as cursor:
            cursor.execute(sql, [[*keys], token_vectors.VERSION], binary=True)
            return dict(cursor.fetchall())


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
        {_BY_INDEX}
        SELECT array_agg(content_hash), string_agg(centroid_bytes, ''),
               array_agg(length(centroid_bytes))
        FROM (SELECT t.content_hash, t.centroid_bytes FROM {table}
              WHERE {some}{condition} LIMIT {AT_MOST}) AS found"""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        cursor.nextset()
        hashes, packed, lengths = cursor.fetchone()
    if not hashes:
        return None
    starts = np.cumsum([0, *lengths[:-1]]) // token_vectors.CENTROID.itemsize
    return Texts(hashes, token_vectors.unpacked_centroids(packed), starts)
