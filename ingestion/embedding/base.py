"""What the pipeline and the search ask of an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ingestion.embedding.lanes import Lane
    from ingestion.text.tokenizer import Tokens  # loads a library that an embedder may not need

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbedderSettings:
    """The settings of an embedder. A provider ignores what does not concern it.

    `timeout` is in seconds per request; `concurrency` is the number of requests at once per host,
    `batch_size` that of texts in one (0: as many as serve best, see `ingestion.embedding.pace`);
    `context` is the window of the model in its tokens (0: ask the model). A prefix of None means
    the model's own (`ingestion.embedding.prefixes`), an empty one none. `key` is a secret.
    """

    provider: str = "wordllama"
    model: str = ""
    hosts: tuple[str, ...] = ()
    timeout: float = 120.0
    concurrency: int = 0
    batch_size: int = 0
    context: int = 0
    key: str = field(default="", repr=False)
    document_prefix: str | None = None
    query_prefix: str | None = None


class Embedder(Protocol):
    """An embedder that has passed its preflight: it answers and has its model.

    `context` is the largest text of the model, in its own tokens. `tokens` are those that chunks
    are measured in: the model's own if they are known, else wordllama's; `chunk_limit` is the
    largest safe chunk in them. `batch_size` texts go into one `embed` call; up to `concurrency`
    calls may run at once, from threads of one process. Whoever has many texts asks the `lanes`,
    which find out how many are best. With `in_passing`, embedding takes so little that it is done
    where a text is cut, in each of the processes that do so.
    """

    provider: str
    model: str
    digest: str
    dimensions: int
    context: int
    tokens: Tokens
    chunk_limit: int
    document_prefix: str
    query_prefix: str
    batch_size: int
    concurrency: int
    in_passing: bool

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed document texts (the document prefix is put before each).

        Shape (len(texts), dimensions), float32, each row finite and of length 1.

        Raises EmbedderUnavailable when it may work later, TextRejected when one text is at fault
        (with several texts: ask again for fewer, as `registry.embed_each` does), TextTooLong when
        that is because of its length, EmbedderError when the set-up is wrong.
        """

    def lanes(self) -> list[Lane]:
        """The ways to embed, one for each server; each embeds as `embed` does."""

    def embed_query(self, text: str) -> Vectors:
        """Embed one query (the query prefix is put before it): shape (dimensions,)."""
