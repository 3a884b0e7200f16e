"""The embedding stage: what is asked of the embedder, and in which order documents come out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from threading import Event

import pytest

from ingestion.chunking.chunker import Chunker
from ingestion.chunking.stage import prepare
from ingestion.documents import ParsedDocument
from ingestion.embedding.base import EmbedderSettings, Vectors
from ingestion.embedding.stage import EmbeddedDocument, EmbeddingStage
from ingestion.embedding.wordllama import Weights, WordLlamaEmbedder
from ingestion.exceptions import TextRejected, TextTooLong

CHUNKER = Chunker(size=64, overlap=8)


class Watched(WordLlamaEmbedder):
    """The embedded model, with a limit, and a list of what it was asked."""

    longest = 10_000  # characters

    def __init__(self, weights: Weights, batch_size: int) -> None:
        super().__init__(weights, batch_size)
        self.go_on = Event()

    def embed(self, texts: Sequence[str]) -> Vectors:
        if any("slow" in text for text in texts):
            assert self.go_on.wait(20)
        self.asked = [*getattr(self, "asked", []), *texts]
        if any(len(text) > self.longest for text in texts):
            raise TextTooLong("It is too long.")
        if any("poison" in text for text in texts):
            raise TextRejected("It is poison.")
        return super().embed(texts)


@pytest.fixture
def embedder() -> Watched:
    opened = Watched.open(EmbedderSettings(provider="wordllama", model="", batch_size=2))
    assert isinstance(opened, Watched)
    return opened


@pytest.fixture
def stage(embedder: Watched) -> Iterator[EmbeddingStage]:
    made = EmbeddingStage(embedder, CHUNKER, nothing_stored)
    yield made
    made.close()


def nothing_stored(hashes: Collection[str]) -> dict[str, bytes]:
    return {}


def put(stage: EmbeddingStage, name: str, text: str) -> None:
    document = ParsedDocument(url=f"test://{name}", title="A title", content=text)
    stage.put(document, f"print of {name}", prepare(CHUNKER, document))


def test_documents_come_out_with_a_vector_for_each_chunk(stage: EmbeddingStage) -> None:
    put(stage, "a", "# One\n\nA window holds controls.\n\n# Two\n\nA grid shows rows of data.")
    (item,) = stage.rest()
    assert (item.fingerprint, item.embedded, item.reused) == ("print of a", len(item.chunks), 0)
    assert item.vectors.keys() == {chunk.content_hash for chunk in item.chunks}
    assert len(item.terms) == len(item.chunks)


def test_a_text_that_two_documents_share_is_embedded_once_before_it_is_stored(
    stage: EmbeddingStage, embedder: Watched
) -> None:
    """The second comes when the first has been given out, and is not in the tables yet."""
    put(stage, "a", "The same words in both.")
    (first,) = stage.rest()
    put(stage, "b", "The same words in both.")
    (second,) = stage.rest()
    assert first.vectors == second.vectors
    assert (first.embedded, first.reused, second.embedded, second.reused) == (1, 0, 0, 1)
    assert len(embedder.asked) == 1


def test_what_is_released_is_forgotten(stage: EmbeddingStage, embedder: Watched) -> None:
    for name in ("a", "b"):
        put(stage, name, "The same words in both.")
    for item in list(stage.rest()):
        stage.release(item)
    assert not stage.vectors.known
    put(stage, "c", "The same words in both.")
    (third,) = stage.rest()
    assert (third.embedded, len(embedder.asked)) == (1, 2)


def test_stored_vectors_are_not_asked_for(embedder: Watched) -> None:
    stage = EmbeddingStage(embedder, CHUNKER, lambda hashes: dict.fromkeys(hashes, b"stored"))
    put(stage, "a", "Known words.")
    (item,) = stage.rest()
    assert (item.embedded, item.reused, [*item.vectors.values()]) == (0, 1, [b"stored"])
    assert not hasattr(embedder, "asked")
    stage.close()


def test_a_text_that_is_refused_costs_its_chunk_alone(stage: EmbeddingStage) -> None:
    put(stage, "a", "A drop of poison.")
    put(stage, "b", "A drop of water.")
    bad, good = sorted(stage.rest(), key=lambda item: item.document.url)
    assert (len(bad.rejected), bad.vectors, bad.embedded, bad.reused) == (1, {}, 0, 0)
    assert (good.rejected, good.embedded) == ({}, 1)


def test_a_chunk_that_is_too_long_is_cut_finer(stage: EmbeddingStage, embedder: Watched) -> None:
    embedder.longest = 260
    put(stage, "a", "\n\n".join(f"Sentence {n} tells of the window number {n}." for n in range(9)))
    (item,) = stage.rest()
    assert len(item.chunks) > 1
    assert not item.rejected
    assert all(len(chunk.embedded_text) <= 260 for chunk in item.chunks)


def test_what_is_complete_is_given_out_while_the_embedder_is_at_another_text(
    embedder: Watched,
) -> None:
    """Or else a slow, or hanging, embedder would hold back what is ready to be stored."""
    embedder.batch_size = 1
    early: list[EmbeddedDocument] = []

    def beat() -> None:
        early.extend(made.ready())
        if early:
            embedder.go_on.set()

    made = EmbeddingStage(embedder, CHUNKER, nothing_stored, beat=beat)
    put(made, "a", "Quick words.")
    put(made, "b", "Words that take their time: slow.")
    late = list(made.rest())
    made.close()
    assert [item.document.url for item in early + late] == ["test://a", "test://b"]
    assert embedder.go_on.is_set()
