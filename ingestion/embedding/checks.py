"""Check what goes into an embedder, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingestion.embedding.base import Vectors
from ingestion.exceptions import TextRejected

MAX_DIMENSIONS = 4000
"""Where pgvector's index over halfvec ends."""

SMALLEST_NORM = 1e-6


class BadVectors(ValueError):
    """What was returned is not a valid vector of the model and must not be stored."""


def check_texts(texts: Sequence[str]) -> None:
    """Raise TextRejected for a text that no embedder can embed."""
    for text in texts:
        if not text.strip():
            raise TextRejected("The text is empty: there is nothing to embed.")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise TextRejected(
                "The text holds half a surrogate pair, which is not Unicode text: "
                "correct the source's encoding."
            ) from None


def checked(rows: Any, count: int, dimensions: int = 0) -> Vectors:
    """`rows` as float32 of shape (count, dimensions), each row normalized to length 1.

    With `dimensions` 0, any length is valid if all rows have it. Raises BadVectors, naming the
    problem: the count, the lengths, a value that is not a number, a zero row.
    """
    if len(rows) != count:
        raise BadVectors(f"{len(rows)} vectors for {count} texts")
    lengths = {len(row) for row in rows}
    if lengths != {dimensions or max(lengths, default=0)} or lengths == {0}:
        found = ", ".join(map(str, sorted(lengths)))
        raise BadVectors(f"vectors of length {found} instead of {dimensions or 'one length'}")
    vectors = np.asarray(rows, dtype=np.float64)
    if not np.isfinite(vectors).all():
        raise BadVectors("a vector with NaN or infinity in it")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if norms.min() < SMALLEST_NORM:
        raise BadVectors("a vector of zeros")
    return np.ascontiguousarray(vectors / norms, dtype=np.float32)
