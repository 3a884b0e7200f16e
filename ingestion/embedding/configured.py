"""The one place where the embedder's settings are read."""

from __future__ import annotations

from django.conf import settings

from ingestion.embedding.base import Embedder
from ingestion.embedding.registry import EmbedderSettings, open_embedder


def configured_embedder() -> Embedder:
    """Run the preflight of the embedder that the environment names. Raises EmbedderError."""
    return open_embedder(
        EmbedderSettings(
            provider=settings.EMBEDDING_PROVIDER,
            model=settings.EMBEDDING_MODEL,
            hosts=tuple(settings.OLLAMA_HOSTS),
            timeout=settings.EMBEDDING_TIMEOUT,
            concurrency=settings.EMBEDDING_CONCURRENCY,
            batch_size=settings.EMBEDDING_BATCH_SIZE,
        )
    )
