"""What a reading does to the tables, in a real child process with a real PostgreSQL, and an Ollama
on the loopback interface that counts what it is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from errno import EIO
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from ingestion import pipeline
from ingestion.models import Chunk, Document, Failure, SourceRun, State
from ingestion.parsers import PARSERS, beneath
from ingestion.runs import recovery, removals
from ingestion.worker import supervisor
from sources.models import Source
from tests.support.ollama_server import (
    MODEL,
    OllamaServer,
    embed_small,
    filled,
    runner_died,
    wrong_count,
)
from tests.support.pages import page
from tests.support.reading import (
    ask,
    digest,
    errors_of,
    make_source,
    physical_rows,
    read,
    urls,
    write_pages,
    wrong,
)

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ["anchor", "button", "cursor", "dialog"]
IN_FLIGHT = 12  # texts whose documents were not complete yet


@pytest.fixture
def ollama(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    monkeypatch.setattr("ingestion.embedding.served.PAUSES", (0.0, 0.05))
    with OllamaServer(context_length=2048) as server:
        embed_small(settings, server)
        settings.EMBEDDING_TIMEOUT = 5.0
        yield server


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    write_pages(tmp_path / "pages", NAMES)
    return tmp_path / "pages"


@pytest.fixture(autouse=True)
def no_index_left() -> Iterator[None]:
    yield
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'chunk_hnsw%'")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP INDEX {name}")


@pytest.fixture
def source(folder: Path, ollama: OllamaServer) -> Source:
    return make_source("pages")


def embedded(ollama: OllamaServer) -> int:
    """Texts of documents that were embedded since the last look; probes of the server left out."""
    number = sum(n for text, n in ollama.embedded.items() if "word" in text or "Page" in text)
    ollama.embedded.clear()
    return number


def change(path: Path, old: str, new: str) -> None:
    """Edit a file, in the next tick of its clock at least."""
    before = path.stat().st_mtime_ns
    path.write_text(path.read_text().replace(old, new))
    os.utime(path, ns=(before + 1_000_000, before + 1_000_000))


def test_it_stores_each_document_with_chunks_and_vectors(
    source: Source, ollama: OllamaServer
) -> None:
    row = read(source)
    assert (row.state, row.documents, row.added, row.failures) == ("succeeded", 4, 4, 0)
    assert row.chunks == Chunk.objects.count() == row.embedded == embedded(ollama) > 4
    assert set(row.timings) == set(pipeline.STAGES)
    assert not wrong(but=())


def test_an_unchanged_source_costs_nothing(source: Source, ollama: OllamaServer) -> None:
    read(source)
    embedded(ollama)
    before, rows = physical_rows(), dict(Document.objects.values_list("url", "changed_at"))
    row = read(source)
    assert (row.state, row.unchanged, row.embedded) == ("succeeded", 4, 0)
    assert (row.added, row.changed, row.removed) == (0, 0, 0)
    assert embedded(ollama) == 0
    assert physical_rows() == before
    assert dict(Document.objects.values_list("url", "changed_at")) == rows


def test_a_file_that_was_only_touched_is_read_but_not_swapped(
    source: Source, folder: Path, ollama: OllamaServer
) -> None:
    read(source)
    before = physical_rows()
    os.utime(folder / "anchor.md", ns=(1, 1))
    row = read(source)
    assert (row.unchanged, row.changed, physical_rows()) == (4, 0, before)
    assert Document.objects.get(url="pages://anchor.md").inputs[0][2] == 1


def test_times_that_are_not_trusted_are_not_asked(
    source: Source, folder: Path, ollama: OllamaServer, settings: Settings
) -> None:
    read(source)
    path = folder / "anchor.md"
    times = path.stat().st_mtime_ns
    path.write_text(path.read_text().replace("anchor1word3", "anchor1word4"))  # of the same length
    os.utime(path, ns=(times, times))
    assert read(source).unchanged == 4
    settings.TRUST_FILE_TIMES = False
    embedded(ollama)
    row = read(source)
    assert (row.changed, row.unchanged, row.embedded, embedded(ollama)) == (1, 3, 1, 1)
    before = physical_rows()
    assert (read(source).unchanged, physical_rows()) == (4, before)


def test_an_edited_file_has_only_its_changed_chunks_embedded(
    source: Source, folder: Path, ollama: OllamaServer
) -> None:
    read(source)
    embedded(ollama)
    others = set(physical_rows()) - set(
        Chunk.objects.filter(document__url="pages://button.md").values_list("pk", flat=True)
    )
    before = {pk: where for pk, where in physical_rows().items() if pk in others}
    change(folder / "button.md", "button1word7", "something else")
    row = read(source)
    assert (row.changed, row.unchanged, row.embedded, embedded(ollama)) == (1, 3, 1, 1)
    assert {pk: where for pk, where in physical_rows().items() if pk in others} == before
    assert Chunk.objects.filter(content__contains="something else").count() == 1
    assert not wrong(but=())


def test_a_removed_file_loses_its_chunks(source: Source, folder: Path) -> None:
    read(source)
    (folder / "cursor.md").unlink()
    row = read(source)
    assert (row.removed, row.documents) == (1, 3)
    assert not Chunk.objects.filter(content__contains="cursor").exists()


def test_a_renamed_file_is_not_embedded_again(
    source: Source, folder: Path, ollama: OllamaServer
) -> None:
    read(source)
    embedded(ollama)
    (folder / "dialog.md").rename(folder / "window.md")
    row = read(source)
    assert (row.added, row.moved, row.removed) == (0, 1, 0)
    assert (row.embedded, embedded(ollama)) == (0, 0)
    assert "pages://window.md" in urls()


def test_the_same_text_is_embedded_once(source: Source, folder: Path, ollama: OllamaServer) -> None:
    for name in ("twin", "other-twin"):
        (folder / f"{name}.md").write_text(page("twin"))
    row = read(source)
    hashes = Chunk.objects.values("content_hash").distinct().count()
    assert row.embedded == embedded(ollama) == hashes < row.chunks


def test_what_is_interrupted_goes_on_where_it_was(
    source: Source, ollama: OllamaServer, settings: Settings
) -> None:
    settings.EMBEDDING_CONCURRENCY = 1
    ollama.for_text("dialog0", runner_died(503))
    row = read(source)
    assert row.state == "waiting"
    stored = len(urls())
    assert 0 < stored < 4
    ollama.by_text.clear()
    before = embedded(ollama)
    recovery.wake(row.resume_at)
    row = again(row)
    assert (row.state, row.added, row.attempt) == ("succeeded", 4, 1)
    assert row.embedded == row.chunks <= before + embedded(ollama) <= row.chunks + IN_FLIGHT
    assert not wrong(but=())


def again(row: SourceRun) -> SourceRun:
    supervisor.supervise(row.pk)
    row.refresh_from_db()
    return row


def test_one_poisonous_text_costs_only_its_chunk(source: Source, ollama: OllamaServer) -> None:
    ollama.for_text("button1word3", runner_died())
    row = read(source)
    assert (row.state, row.failures, row.documents) == ("partial", 1, 4)
    assert "chunk 1" in errors_of(row)[0]
    assert not Chunk.objects.filter(content__contains="button1word3").exists()
    assert Chunk.objects.filter(content__contains="button0word3").exists()
    ollama.by_text.clear()
    row = read(source)
    assert (row.state, row.changed, row.embedded) == ("succeeded", 1, 1)
    assert not Failure.objects.filter(resolved=False).exists()


@pytest.mark.parametrize("fault", [wrong_count(), filled(float("nan")), filled(0.0)])
def test_no_bad_vector_is_stored(
    source: Source, ollama: OllamaServer, fault: object, settings: Settings
) -> None:
    ollama.for_text("cursor", fault)  # type: ignore[arg-type]
    row = read(source)
    assert (row.state, row.documents) == ("partial", 4)
    assert not Chunk.objects.filter(content__contains="cursor").exists()
    assert not [line for line in wrong(but=()) if "vectors" in line or "whole" in line]


def test_a_text_too_long_for_the_model_is_cut_finer(
    source: Source, folder: Path, ollama: OllamaServer
) -> None:
    ollama.context_length = 130
    ollama.count_tokens = lambda text: (
        3 * len(text.split()) if "dense" in text else len(text.split())
    )
    (folder / "dense.md").write_text("---\ntitle: Dense\n---\n\n" + "dense " * 80 + "end.\n")
    row = read(source)
    assert (row.state, row.failures) == ("succeeded", 0)
    dense = Chunk.objects.filter(document__url="pages://dense.md").order_by("ordinal")
    assert len(dense) > 1
    assert dense.last().content.endswith("end.")  # type: ignore[union-attr]
    before = physical_rows()
    assert read(source).unchanged == 5
    assert physical_rows() == before


def test_another_embedder_makes_everything_anew_document_by_document(
    source: Source, ollama: OllamaServer
) -> None:
    read(source)
    ollama.models[MODEL] = "f" * 64
    row = read(source)
    assert (row.changed, row.embedded) == (4, row.chunks)
    assert Chunk.objects.values("profile").distinct().count() == 1
    assert not wrong(but=())


def test_clean_embeds_everything_again(source: Source, ollama: OllamaServer) -> None:
    first = read(source)
    embedded(ollama)
    before = digest()
    row = read(source, clean=True)
    assert (row.changed, row.embedded, embedded(ollama)) == (4, first.chunks, first.chunks)
    assert digest() == before


def test_clean_goes_on_where_it_was_interrupted(
    source: Source, ollama: OllamaServer, settings: Settings
) -> None:
    settings.EMBEDDING_CONCURRENCY = 1
    first = read(source)
    embedded(ollama)
    ollama.for_text("dialog0", runner_died(503))
    row = read(source, clean=True)
    assert row.state == "waiting"
    ollama.by_text.clear()
    recovery.wake(row.resume_at)
    row = again(row)
    assert (row.state, row.changed, row.unchanged) == ("succeeded", 4, 0)
    assert row.embedded == first.chunks <= embedded(ollama) <= first.chunks + IN_FLIGHT


def test_retrying_reads_only_what_failed(
    source: Source, folder: Path, ollama: OllamaServer
) -> None:
    ollama.for_text("button1word3", runner_died())
    read(source)
    ollama.by_text.clear()
    (folder / "anchor.md").unlink()
    change(folder / "cursor.md", "cursor0word0", "changed")
    row = read(source, retry_failed=True)
    assert (row.state, row.embedded, row.changed, row.removed) == ("succeeded", 1, 1, 0)
    assert not Chunk.objects.filter(content__contains="changed").exists()
    assert Chunk.objects.filter(content__contains="button1word3").exists()
    assert not Failure.objects.filter(resolved=False).exists()


def test_two_sources_cannot_have_one_address(source: Source, folder: Path) -> None:
    read(source)
    other = make_source("other", "pages")
    Document.objects.filter(url="pages://anchor.md").update(url="other://anchor.md")
    row = read(other)
    assert (row.state, row.documents) == ("partial", 3)
    assert "belongs to the source 'pages'" in errors_of(row)[0]
    assert Document.objects.get(url="other://anchor.md").source == source


def test_an_empty_folder_removes_nothing(source: Source, folder: Path) -> None:
    read(source)
    for path in folder.iterdir():
        path.unlink()
    row = read(source)
    assert (row.state, row.documents, row.removed) == ("partial", 4, 0)
    assert "4 stored documents are kept" in errors_of(row)[0]


def test_that_a_folder_was_empty_is_over_once_it_is_not(
    source: Source, folder: Path, tmp_path: Path
) -> None:
    read(source)
    folder.rename(tmp_path / "away")
    folder.mkdir()
    assert read(source).state == "partial"
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    assert read(source).state == "succeeded"
    assert not Failure.objects.filter(resolved=False).exists()


def test_a_folder_that_is_gone_fails_the_source_and_keeps_its_documents(
    source: Source, folder: Path, tmp_path: Path
) -> None:
    read(source)
    folder.rename(tmp_path / "away")
    row = read(source)
    assert (row.state, row.failures, Document.objects.count()) == ("failed", 1, 4)
    assert "does not exist" in row.error
    assert not wrong(but=())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(EIO, "Input/output error"), "Input/output error"),
        (IndexError("no such row"), "bbjrag itself failed here (IndexError: no such row)"),
    ],
)
def test_that_a_stored_file_could_not_be_read_is_over_once_it_can(
    source: Source, error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it is skipped then, as the very one that is stored."""
    read(source)
    opened = beneath.opened

    def broken(root: Path, path: str) -> AbstractContextManager[tuple[int, os.stat_result]]:
        if path.endswith("button.md"):
            raise error
        return opened(root, path)

    with monkeypatch.context() as patch:
        patch.setattr(beneath, "opened", broken)
        row = read(source, clean=True)
    assert (row.state, row.failures, row.documents) == ("partial", 1, 4)
    assert message in errors_of(row)[0]
    row = read(source)
    assert (row.state, row.failures, row.unchanged) == ("succeeded", 0, 4)
    assert not Failure.objects.filter(resolved=False).exists()


def test_many_vanished_documents_wait_for_a_person(source: Source, folder: Path) -> None:
    write_pages(folder, [f"more{number}" for number in range(20)], sections=1, words=8)
    read(source)
    for path in sorted(folder.glob("more*"))[:15]:
        path.unlink()
    change(folder / "anchor.md", "anchor0word0", "meanwhile")
    row = read(source)
    assert (row.state, len(row.vanished), row.documents) == ("needs_approval", 15, 24)
    assert Chunk.objects.filter(content__contains="meanwhile").exists()
    assert removals.decide_removal(row, approve=True, who="anna").startswith("15 documents")
    row.refresh_from_db()
    assert (row.state, row.removed, row.documents) == ("succeeded", 15, 9)
    assert row.seconds is not None
    assert not wrong(but=())


def test_a_path_of_several_that_is_empty_is_asked_about(source: Source, folder: Path) -> None:
    """However few documents it had: a folder that is not mounted looks like that."""
    other = folder.parent / "other"
    write_pages(other, ["one", "two"], sections=1, words=8)
    source.paths = [folder.name, "other"]
    source.save()
    read(source)
    (other / "one.md").unlink()
    assert read(source).removed == 1
    (other / "two.md").unlink()
    row = read(source)
    assert (row.state, row.vanished) == ("needs_approval", ["pages://other/two.md"])
    assert row.last_line.startswith("1 of 5 documents vanished, all of other among them: approve")


def test_a_person_may_keep_what_vanished(source: Source, folder: Path) -> None:
    write_pages(folder, [f"more{number}" for number in range(20)], sections=1, words=8)
    read(source)
    for path in folder.glob("more*"):
        path.unlink()
    row = read(source)
    assert removals.decide_removal(row, approve=False, who="anna").endswith("are kept.")
    assert removals.decide_removal(row, approve=True, who="bert").endswith("any more.")
    assert Document.objects.count() == 24


def test_approving_removes_nothing_that_came_back(source: Source, folder: Path) -> None:
    write_pages(folder, [f"more{number}" for number in range(20)], sections=1, words=8)
    read(source)
    for path in folder.glob("more*"):
        path.unlink()
    row = read(source)
    write_pages(folder, ["more1", "more2"], sections=1, words=8)
    removals.decide_removal(row, approve=True, who="anna")
    assert Document.objects.count() == 4
    assert read(source).documents == 6


def test_a_newer_reading_supersedes_the_question(source: Source, folder: Path) -> None:
    write_pages(folder, [f"more{number}" for number in range(20)], sections=1, words=8)
    read(source)
    for path in folder.glob("more*"):
        path.unlink()
    row = read(source)
    write_pages(folder, [f"more{number}" for number in range(20)], sections=1, words=8)
    assert read(source).state == "succeeded"
    row.refresh_from_db()
    assert row.state == "succeeded"
    assert "has read the source again" in row.last_line


@pytest.fixture
def parsers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARSERS, "OddParser", "tests.support.odd_parsers.OddParser")


def odd(folder: Path, does: str, **fields: object) -> Source:
    return make_source("odd", "pages", parser="OddParser", options={"does": does}, **fields)


def test_what_was_read_before_a_parser_raised_is_stored(
    folder: Path, ollama: OllamaServer, parsers: None, settings: Settings
) -> None:
    settings.RUN_ATTEMPTS = 1
    row = read(odd(folder, "raise"))
    assert row.state == "failed"
    assert "ZeroDivisionError" in row.error
    assert "odd://cursor.md" in row.error
    assert urls() == {"odd://anchor.md", "odd://button.md"}
    assert not wrong()


def test_a_source_that_breaks_off_removes_nothing(
    folder: Path, ollama: OllamaServer, parsers: None
) -> None:
    source = odd(folder, "nothing")
    read(source)
    Source.objects.filter(pk=source.pk).update(options={"does": "break off"})
    source.refresh_from_db()
    row = read(source)
    assert (row.state, Document.objects.count()) == ("failed", 4)


def test_a_page_that_could_not_be_judged_is_not_removed(
    folder: Path, ollama: OllamaServer, parsers: None
) -> None:
    source = odd(folder, "nothing")
    read(source)
    Source.objects.filter(pk=source.pk).update(options={"does": "fail"})
    source.refresh_from_db()
    row = read(source)
    assert (row.state, row.removed, Document.objects.count()) == ("partial", 0, 4)


def test_what_no_table_can_hold_is_made_harmless(
    folder: Path, ollama: OllamaServer, parsers: None
) -> None:
    row = read(odd(folder, "binary"))
    assert (row.state, row.documents) == ("succeeded", 4)
    assert not wrong(but=())


def test_a_run_counts_what_its_attempts_did_together(
    source: Source, ollama: OllamaServer, settings: Settings
) -> None:
    settings.EMBEDDING_CONCURRENCY = 1
    ollama.for_text("dialog0", runner_died(503))
    row = ask(source)
    row = again(row)
    partly = row.added
    assert 0 < partly < 4
    assert row.added == Document.objects.count()
    ollama.by_text.clear()
    recovery.wake(row.resume_at)
    row = again(row)
    assert (row.state, row.added, row.unchanged, row.read) == (State.SUCCEEDED, 4, 0, 4)
