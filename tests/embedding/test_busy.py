"""A slow server is kept busy by one reading. Only ratios count, with tenfold slack for idle time:
the server may be idle for half of the time, where a twentieth is the aim (`python -m bench --only
busy`)."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from bench import embedder
from bench.embedder import Speed
from ingestion.chunking.chunker import Chunker
from ingestion.chunking.stage import prepare
from ingestion.documents import ParsedDocument
from ingestion.embedding.base import EmbedderSettings
from ingestion.embedding.registry import open_embedder
from ingestion.embedding.stage import EmbeddingStage

CHUNKER = Chunker(size=64, overlap=8)


def document(number: int) -> ParsedDocument:
    sections = (f"## Part {part} of {number}\n\n" + "Words. " * 40 for part in range(8))
    return ParsedDocument(f"test://{number}", "A title", "\n\n".join(sections))


def embed(documents: int, speed: Speed, **settings: Any) -> tuple[dict[str, float], list[str]]:
    """Embed documents of eight texts; how busy the server was, and what it was given at once."""
    prepared = [(one, prepare(CHUNKER, one)) for one in map(document, range(documents))]
    with embedder.serving(64, speed) as host:
        asked = EmbedderSettings("ollama", embedder.MODEL, (host,), **settings)
        stage = EmbeddingStage(open_embedder(asked), CHUNKER, lambda hashes: {})
        for one, chunks in prepared:
            stage.put(one, "print", chunks)
        embedded = sum(one.embedded for one in [*stage.ready(), *stage.rest()])
        assert embedded == sum(len(chunks.chunks) for _, chunks in prepared)
        stage.close()
        return httpx.get(f"{host}/busy").json(), stage.settled()


def test_a_server_that_works_at_eight_requests_gets_as_many() -> None:
    found, settled = embed(150, Speed(8, batch=0.2), batch_size=8)
    assert found["share"] > 0.5, "two requests at once would be a quarter"
    assert re.search(r"was given 8 texts in a request and (8|16) requests at once\.", settled[0])


def test_a_server_that_takes_as_long_for_many_texts_gets_many() -> None:
    found, _ = embed(500, Speed(1, batch=0.2))
    assert found["share"] > 0.5
    assert found["largest"] > 2 * 32


@pytest.mark.parametrize(("size", "at_once"), [(16, 1), (5, 3)])
def test_what_is_set_is_not_tried_to_be_bettered(size: int, at_once: int) -> None:
    found, settled = embed(40, Speed(8, batch=0.05), batch_size=size, concurrency=at_once)
    assert found["largest"] == size
    assert found["share"] < (at_once + 0.5) / 8
    assert not settled
