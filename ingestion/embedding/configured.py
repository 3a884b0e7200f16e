"""The one place where the embedder's settings are read."""

from __future__ import annotations

from django.conf import settings

from ingestion.embedding.base import Embedder
from ingestion.embedding.registry import EmbedderSettings, open_embedder

AUTO = "auto"
FIRST, LAST = "wordllama", "minilm"
"""With AUTO, texts get vectors of FIRST at once, and later those of LAST."""


def configured_embedder() -> Embedder:
    """Run the preflight of the embedder that the environment names: the one that all chunks are cut
    for and end up with. Raises EmbedderError."""
    named = settings.EMBEDDING_PROVIDER
    return open_embedder(
        EmbedderSettings(
            provider=LAST if named == AUTO else named,
            model=settings.EMBEDDING_MODEL,
            hosts=tuple(settings.OLLAMA_HOSTS),
            timeout=settings.EMBEDDING_TIMEOUT,
            concurrency=settings.EMBEDDING_CONCURRENCY,
            batch_size=settings.EMBEDDING_BATCH_SIZE,
        )
    )


def first_embedder(configured: Embedder) -> Embedder:
    """The embedder that new texts are given to: the configured one, unless a quicker one comes
    first."""
    if settings.EMBEDDING_PROVIDER != AUTO:
        return configured
    return open_embedder(EmbedderSettings(FIRST, batch_size=settings.EMBEDDING_BATCH_SIZE))
