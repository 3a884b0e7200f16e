"""EMBEDDING_PROVIDER=auto: found by words at once, by meaning when the second pass was there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from ingestion import access
from ingestion.embedding.configured import configured_embedder
from ingestion.enrichment.passages import Words
from ingestion.index import enrichments, hnsw
from ingestion.index.writer import profile_of
from ingestion.models import Chunk, EmbeddingProfile, State
from ingestion.runs import preflight, reembedding
from ingestion.runs.background import Progress
from ingestion.search import retrievers, search
from ingestion.search.query_embedding import QueryVectors
from sources.models import Source
from tests.support.pages import page
from tests.support.reading import make_source, physical_rows, read, write_pages, wrong

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = [f"page{chr(97 + n)}" for n in range(6)]


@pytest.fixture
def pages(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """A source that was read with auto; each of its pages holds words that no other page has."""
    settings.DATA_DIR = tmp_path
    settings.EMBEDDING_PROVIDER, settings.EMBEDDING_MODEL = "auto", "all-MiniLM-L6-v2"
    monkeypatch.setattr(retrievers, "query_vectors", QueryVectors())
    monkeypatch.setattr(reembedding, "AT_ONCE", 4)
    write_pages(tmp_path / "pages", NAMES, sections=3, words=20)
    source = make_source("pages")
    assert read(source).state == State.SUCCEEDED
    yield source
    connections.close_all()


def providers() -> dict[str, int]:
    found = Chunk.objects.values_list("profile__provider", flat=True)
    return {provider: list(found).count(provider) for provider in set(found)}


@access.everything()
def not_found() -> list[str]:
    """The chunks that their own texts do not find, by their vectors alone."""
    missed = []
    for chunk in Chunk.objects.select_related("document"):
        text = f"{chunk.context_header}\n\n{chunk.content}"
        hits = search(text, limit=20, mode="dense").hits
        if chunk.document_id not in {hit.document_id for hit in hits}:
            missed.append(str(chunk))
    return missed


def test_it_works(pages: Source) -> None:
    total = Chunk.objects.count()
    assert providers() == {"wordllama": total}
    assert reembedding.progress() == Progress(0, total)
    before = {row.pk: row.content_hash for row in Chunk.objects.all()}
    assert sum(reembedding.steps()) == total
    assert providers() == {"minilm": total}
    assert {row.pk: row.content_hash for row in Chunk.objects.all()} == before
    assert reembedding.progress() == Progress(total, total)
    assert not reembedding.is_needed()
    assert wrong() == []


def test_the_words_of_a_language_model_are_embedded_with_their_chunk(
    pages: Source, settings: Any
) -> None:
    settings.ENRICHMENT_MODEL = "writer"
    words = Words("It is about the moon.", ("How far is the moon?",))
    for chunk in Chunk.objects.all():
        enrichments.keep("writer", chunk.content_hash, words)
    assert read(pages).state == State.SUCCEEDED
    list(reembedding.steps())
    chunk = Chunk.objects.earliest("pk")
    assert chunk.enrichment_id is not None
    text = f"{chunk.context_header}\n\n{chunk.content}\n\n{words.context}\n\n{words.questions[0]}"
    assert sha256(text.encode()).hexdigest() == chunk.content_hash
    made = configured_embedder().embed([text])[0]
    assert list(chunk.embedding) == pytest.approx(made.tolist(), abs=1e-6)


def test_a_vector_is_the_one_that_the_model_gives(pages: Source) -> None:
    list(reembedding.steps())
    chunk = Chunk.objects.order_by("?").first()
    assert chunk is not None
    made = configured_embedder().embed([f"{chunk.context_header}\n\n{chunk.content}"])[0]
    assert list(chunk.embedding) == pytest.approx(made.tolist(), abs=1e-6)


def test_every_chunk_is_found_by_its_text_before_in_the_middle_and_after(pages: Source) -> None:
    assert not_found() == []
    steps = reembedding.steps()
    next(steps)
    assert len(providers()) == 2
    assert not_found() == []
    list(steps)
    assert len(providers()) == 1
    assert not_found() == []


def test_every_chunk_is_found_while_all_are_embedded_again(pages: Source) -> None:
    worker = threading.Thread(target=embed_again)
    worker.start()
    rounds, missed = 0, []
    while worker.is_alive():
        rounds += 1
        missed += not_found()
    worker.join()
    assert rounds > 0
    assert missed == []
    assert providers() == {"minilm": Chunk.objects.count()}


def embed_again() -> None:
    try:
        list(reembedding.steps())
    finally:
        connections.close_all()


def test_the_next_run_finds_everything_unchanged(pages: Source) -> None:
    list(reembedding.steps())
    rows = physical_rows()
    again = read(pages)
    assert (again.embedded, again.changed, again.added) == (0, 0, 0)
    assert again.unchanged == len(NAMES)
    assert physical_rows() == rows
    assert preflight.remakes([pages], configured_embedder()) == []


def test_what_was_begun_goes_on_where_it_ended(pages: Source) -> None:
    total = Chunk.objects.count()
    steps = reembedding.steps()
    first = next(steps) + next(steps)
    steps.close()
    assert providers()["minilm"] == first
    assert sum(reembedding.steps()) == total - first


def test_a_text_that_is_there_twice_is_embedded_once(
    pages: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = Chunk.objects.order_by("pk").last()
    assert chunk is not None
    chunk.pk, chunk.ordinal = None, chunk.ordinal + 1
    chunk.save()
    asked: list[str] = []
    real = reembedding._Pass._vector

    def counted(self: Any, text: str) -> bytes | None:
        asked.append(text)
        return real(self, text)

    monkeypatch.setattr(reembedding._Pass, "_vector", counted)
    assert sum(reembedding.steps()) == Chunk.objects.count()
    assert len(asked) == len(set(asked)) == Chunk.objects.count() - 1


def test_a_document_that_changes_keeps_the_better_vectors_of_what_stays(
    pages: Source, tmp_path: Path
) -> None:
    list(reembedding.steps())
    total = Chunk.objects.count()
    file = tmp_path / "pages" / "pagea.md"
    file.write_text(file.read_text() + "\nA sentence that is new.\n")
    again = read(pages)
    assert (again.changed, again.embedded) == (1, 1)
    assert providers() == {"minilm": total - 1, "wordllama": 1}
    assert sum(reembedding.steps()) == 1


def test_a_source_that_changes_in_the_middle_loses_nothing(pages: Source, tmp_path: Path) -> None:
    steps = reembedding.steps()
    next(steps)
    write_pages(tmp_path / "pages", NAMES[:2], sections=2, words=24)
    (tmp_path / "pages" / f"{NAMES[-1]}.md").unlink()
    (tmp_path / "pages" / "new.md").write_text(page("new", sections=3))
    assert read(pages).state in (State.SUCCEEDED, State.NEEDS_APPROVAL)
    assert not_found() == []
    list(steps)
    assert providers() == {"minilm": Chunk.objects.count()}
    assert not_found() == []
    assert wrong() == []


def test_what_a_run_holds_is_left_out_and_met_again(pages: Source) -> None:
    """Waiting for each other, a run and a batch could end in a deadlock."""
    total = Chunk.objects.count()
    held = Chunk.objects.order_by("content_hash").first()
    assert held is not None
    other = connections["default"].copy()
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT FROM ingestion_chunk WHERE id = %s FOR UPDATE", [held.pk])
        steps = reembedding.steps()
        done = 0
        while done < total - 1:
            done += next(steps)
        assert providers()["wordllama"] == 1
        cursor.execute("COMMIT")
    other.close()
    assert sum(steps) == 1


def test_a_text_that_is_too_long_is_embedded_by_its_beginning(pages: Source) -> None:
    """As of chunks that were cut for another model, until their source is read again."""
    chunk = Chunk.objects.order_by("pk").first()
    assert chunk is not None
    Chunk.objects.filter(pk=chunk.pk).update(content="word " * 1000, content_hash="0" * 64)
    list(reembedding.steps())
    assert providers() == {"minilm": Chunk.objects.count()}


def test_the_first_models_index_goes_with_its_last_chunk(pages: Source) -> None:
    first = EmbeddingProfile.objects.get(provider="wordllama")
    assert hnsw.exists(first)
    list(reembedding.steps())
    assert not hnsw.exists(first)
    hnsw.build_missing()
    assert hnsw.exists(profile_of(configured_embedder()))


def test_an_index_of_wordllama_alone_becomes_one_of_auto(settings: Any, pages: Source) -> None:
    """Documents are cut again, as the chunks of wordllama alone are larger."""
    settings.EMBEDDING_PROVIDER, settings.EMBEDDING_MODEL = "wordllama", "l2_supercat"
    assert read(pages).changed == len(NAMES)
    settings.EMBEDDING_PROVIDER, settings.EMBEDDING_MODEL = "auto", "all-MiniLM-L6-v2"
    remakes = preflight.remakes([pages], configured_embedder())
    assert [(one.again, one.foreign) for one in remakes] == [(len(NAMES), 0)]
    list(reembedding.steps())
    assert read(pages).changed == len(NAMES)
    assert not_found() == []
    list(reembedding.steps())
    assert providers() == {"minilm": Chunk.objects.count()}


def test_two_never_work_at_once(pages: Source) -> None:
    with reembedding.alone() as mine:
        assert mine
        other = connections["default"].copy()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s, 0)", [reembedding.LOCK])
            assert cursor.fetchone() == (False,)
        other.close()


def test_with_another_provider_nothing_is_to_do(settings: Any, pages: Source) -> None:
    settings.EMBEDDING_PROVIDER = "wordllama"
    assert reembedding.progress() is None
    assert not reembedding.is_needed()
    assert reembedding.outlook(has_worker=False) == ""
