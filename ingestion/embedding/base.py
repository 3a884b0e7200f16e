"""What the pipeline and the search ask of an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """An embedder that has passed its preflight: it answers, the model is there, its facts are known.

    `context` is the largest text the model takes, in the model's own tokens. `chunk_limit` is the
    largest chunk, in tokens of the product's tokenizer (`ingestion.tokens`), that is safe under it.
    `batch_size` texts go into one `embed` call; up to `concurrency` calls may run at once, from
    threads of one process.
    """

    provider: str
    model: str
    digest: str
    dimensions: int
    context: int
    chunk_limit: int
    document_prefix: str
    query_prefix: str
    batch_size: int
    concurrency: int

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed document texts (the document prefix is put before each): shape (len(texts), dimensions),
        float32, each row finite and of length 1.

        Raises EmbedderUnavailable when it may work later, TextRejected when one text is at fault
        (with several texts: ask again one by one), EmbedderError when the set-up is wrong.
        """

    def embed_query(self, text: str) -> Vectors:
        """Embed one query (the query prefix is put before it): shape (dimensions,)."""
