"""The table of embedders, and the two calls that the rest of the product makes.

An embedder's module is imported when it is used, so an unused one's libraries are never loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

import numpy as np

from ingestion.embedding.base import Embedder, EmbedderSettings, Vectors
from ingestion.exceptions import ConfigError, TextRejected

__all__ = ["EMBEDDERS", "EmbedderSettings", "embed_each", "open_embedder"]

EMBEDDERS: dict[str, str] = {
    "wordllama": "ingestion.embedding.wordllama.WordLlamaEmbedder",
    "minilm": "ingestion.embedding.minilm.MiniLMEmbedder",
    "ollama": "ingestion.embedding.ollama.OllamaEmbedder",
    "openai": "ingestion.embedding.openai.OpenAIEmbedder",
}


def open_embedder(settings: EmbedderSettings) -> Embedder:
    """Run the preflight: what is returned answers, has its model, and knows its dimensions.

    Raises ConfigError for a provider that is not in the table, EmbedderUnavailable when it may
    answer later, EmbedderError when something must be set right first.
    """
    if settings.provider not in EMBEDDERS:
        known = ", ".join(EMBEDDERS)
        raise ConfigError(f"There is no embedder {settings.provider!r}. Choose one of: {known}.")
    module, _, attribute = EMBEDDERS[settings.provider].rpartition(".")
    embedder: Embedder = getattr(import_module(module), attribute).open(settings)
    return embedder


class Embeds(Protocol):
    """An embedder, or one of its lanes."""

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str], /) -> Vectors: ...


def embed_each(embedder: Embeds, texts: Sequence[str]) -> tuple[Vectors, dict[int, TextRejected]]:
    """Embed what can be embedded, and find the texts at fault by halving.

    The vectors have the shape (len(texts), dimensions); a rejected text's row is NaN, and its
    index leads to the reason. Raises EmbedderUnavailable and EmbedderError as `embed` does.
    """
    vectors = np.full((len(texts), embedder.dimensions), np.nan, dtype=np.float32)
    rejected: dict[int, TextRejected] = {}
    parts = [(0, len(texts))] if texts else []
    while parts:
        start, stop = parts.pop()
        try:
            vectors[start:stop] = embedder.embed(texts[start:stop])
        except TextRejected as error:
            if stop - start == 1:
                rejected[start] = error
                continue
            middle = (start + stop) // 2
            parts += [(middle, stop), (start, middle)]
    return vectors, rejected
