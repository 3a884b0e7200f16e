"""Compare the words of a query with the tokens of the best hits, one by one (LATE_INTERACTION).

For each word of the query the nearest token of a passage counts, by the rarity of the word
(ColBERT's MaxSim: Khattab and Zaharia 2020). Most of the work was done before: see
`embedding.token_vectors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from django.db import connection

from ingestion.embedding import token_vectors
from ingestion.exceptions import EmbedderError
from ingestion.search.relevance import Features

UNCOUNTED = 0.5  # the weight of a word without a rarity, such as a stop word
ENOUGH = 0.75  # of the hits have to have vectors: else they are put in order without
KEPT_QUERIES = 512

_STORED = """
    SELECT c.id, t.vectors FROM ingestion_chunk c
    JOIN ingestion_tokenvectors t ON t.content_hash = c.content_hash
    WHERE c.id = ANY(%s) AND t.version = %s AND t.vectors <> ''"""


class Late(NamedTuple):
    """How near each hit is, compared with the others; what has no vectors is as near as usual.
    None if too few have some. `notes` are for the user."""

    near: Features | None = None
    notes: tuple[str, ...] = ()


def compared(query: str, rarities: Mapping[str, float], chunks: Sequence[int]) -> Late:
    """Of a query whose words have these rarities, with these chunks."""
    if not chunks:
        return Late()
    stored = _stored(chunks)
    if len(stored) < ENOUGH * len(chunks):
        return Late()
    try:
        asked = _asked(query)
    except EmbedderError as error:
        return Late(None, (f"Late interaction is left out: {error}",))
    if not len(asked.words):
        return Late()
    nearest = token_vectors.nearness(asked.vectors, [*stored.values()])
    found = dict(zip(stored, (_weights(asked.words, rarities) @ nearest).tolist(), strict=True))
    usual = sum(found.values()) / len(found)
    return Late(np.array([found.get(chunk, usual) - usual for chunk in chunks]))


def _stored(chunks: Sequence[int]) -> dict[int, bytes]:
    with connection.cursor() as cursor:
        cursor.execute(_STORED, [[*chunks], token_vectors.VERSION])
        return {chunk: bytes(vectors) for chunk, vectors in cursor.fetchall()}


@lru_cache(KEPT_QUERIES)
def _asked(query: str) -> token_vectors.AskedTokens:
    return token_vectors.of_query(query)


def _weights(words: Sequence[str], rarities: Mapping[str, float]) -> Features:
    """Of each token; those of a word share its rarity. Their sum is 1."""
    shares = [rarities.get(word, UNCOUNTED) / words.count(word) for word in words]
    weights = np.array(shares)
    found: Features = weights / weights.sum()
    return found
