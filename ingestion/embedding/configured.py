"""The one place where the embedder's settings are read."""

from __future__ import annotations

from django.conf import settings

from ingestion.embedding.base import Embedder
from ingestion.embedding.registry import EmbedderSettings, open_embedder

AUTO = "auto"
FIRST, LAST = "wordllama", "minilm"
"""With AUTO, texts get vectors of FIRST at once, and later those of LAST."""


SERVERS = {"ollama": "OLLAMA_HOSTS", "openai": "EMBEDDING_URLS"}
"""The setting that names the servers of a provider, if it needs any."""


def configured_embedder() -> Embedder:
    """Run the preflight of the embedder that the environment names: the one that all chunks are cut
    for and end up with. Raises EmbedderError."""
    named = settings.EMBEDDING_PROVIDER
    return open_embedder(
        embedder_settings(LAST if named == AUTO else named, settings.EMBEDDING_MODEL)
    )


def embedder_settings(provider: str, model: str) -> EmbedderSettings:
    """For any provider and model, as far as the environment says something of it."""
    hosts = getattr(settings, SERVERS[provider]) if provider in SERVERS else ()
    return EmbedderSettings(
        provider=provider,
        model=model,
        hosts=tuple(hosts),
        timeout=settings.EMBEDDING_TIMEOUT,
        concurrency=settings.EMBEDDING_CONCURRENCY,
        batch_size=settings.EMBEDDING_BATCH_SIZE,
        context=settings.EMBEDDING_CONTEXT,
        key=settings.EMBEDDING_KEY if provider == "openai" else "",
    )


def first_embedder(configured: Embedder) -> Embedder:
    """The embedder that new texts are given to: the configured one, unless a quicker one comes
    first."""
    if settings.EMBEDDING_PROVIDER != AUTO:
        return configured
    return open_embedder(EmbedderSettings(FIRST, batch_size=settings.EMBEDDING_BATCH_SIZE))
