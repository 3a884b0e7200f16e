"""Whole runs with an embedder that answers wrongly, late or not at all: real child processes, a
real PostgreSQL, and an Ollama on the loopback interface for what a real one cannot be made to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from ingestion.models import Chunk, Document, SourceRun
from ingestion.runs import recovery
from ingestion.worker import supervisor
from sources.models import Source
from tests.support.ollama_server import (
    MODEL,
    Fault,
    OllamaServer,
    Reply,
    Request,
    cut_off,
    disconnected,
    embed_small,
    filled,
    hanging,
    honest,
    html,
    raw,
    runner_died,
    status,
    truncated,
    wrong_count,
    wrong_length,
)
from tests.support.reading import ask, digest, errors_of, make_source, read, write_pages, wrong

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

NAMES = [f"page{number}" for number in range(6)]
BATCHES = 5  # of the pages' 18 texts, four at a time
HONEST = 3  # answers before the fault: one to the probe, two batches


@pytest.fixture
def ollama(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    monkeypatch.setattr("ingestion.embedding.served.PAUSES", (0.0, 0.05))
    with OllamaServer() as server:
        embed_small(settings, server)
        settings.EMBEDDING_TIMEOUT = 5.0
        settings.EMBEDDING_CONCURRENCY = 1
        yield server


@pytest.fixture
def source(settings: Settings, tmp_path: Path, ollama: OllamaServer) -> Source:
    settings.DATA_DIR = tmp_path
    write_pages(tmp_path / "pages", NAMES)
    return make_source("pages")


@pytest.fixture
def undisturbed(source: Source, ollama: OllamaServer) -> set[tuple[object, ...]]:
    """The chunks of a run that nothing disturbs."""
    assert read(source).state == "succeeded"
    chunks = digest()
    Document.objects.all().delete()
    SourceRun.objects.all().delete()
    ollama.embedded.clear()
    return chunks


def go_on(row: SourceRun) -> SourceRun:
    """What the worker does when the time has come, or a person when the run has failed."""
    if row.state != "waiting":
        return read(row.source)  # type: ignore[arg-type]
    recovery.wake(row.resume_at)
    supervisor.supervise(row.pk)
    row.refresh_from_db()
    return row


AWAY: dict[str, Fault] = {
    "HTML": html(200),
    "HTML of a proxy": html(502),
    "truncated JSON": truncated(),
    "connection cut": cut_off(),
    "disconnected": disconnected(),
    "empty body": raw(b""),
    "500": status(500),
    "400 with EOF": runner_died(),
    "no answer in time": hanging(),
}
BROKEN: dict[str, Fault] = {
    "wrong count": wrong_count(),
    "wrong length": wrong_length(),
    "no vectors": raw(b'{"embeddings": []}'),
    "NaN": filled(float("nan")),
    "infinity": filled(float("inf")),
    "zeros": filled(0.0),
    "404 for the model": status(404, f'model "{MODEL}" not found, try pulling it first'),
}
EXPECTED = [(name, "waiting") for name in AWAY] + [(name, "failed") for name in BROKEN]


@pytest.mark.parametrize(("name", "state"), EXPECTED, ids=[*AWAY, *BROKEN])
def test_what_an_embedder_gets_wrong_midway_costs_only_time(
    source: Source,
    ollama: OllamaServer,
    undisturbed: set[tuple[object, ...]],
    settings: Settings,
    name: str,
    state: str,
) -> None:
    if name == "no answer in time":
        settings.EMBEDDING_TIMEOUT = 0.3
    ollama.next(honest(), times=HONEST)
    ollama.always((AWAY | BROKEN)[name])
    row = read(source)
    assert (row.state, row.attempt) == (state, int(state == "failed")), row.error
    assert ollama.host in row.error or "ollama pull" in row.error
    assert digest() < undisturbed
    assert Chunk.objects.exists()
    assert not wrong()
    ollama.always(None)
    row = go_on(row)
    assert (row.state, row.failures) == ("succeeded", 0), row.error
    assert digest() == undisturbed
    assert sum(n for text, n in ollama.embedded.items() if "word" in text) <= len(undisturbed) + 4
    assert not wrong()


def test_an_embedder_that_takes_long_for_each_batch_is_waited_for(
    source: Source, ollama: OllamaServer, settings: Settings
) -> None:
    """As one that needs 30 s a batch with the default limits: far longer than a heartbeat, and than
    what counts as standing still, as the reading shows that it waits."""
    settings.RUN_HEARTBEAT, settings.RUN_STALL_LIMIT, settings.RUN_POLL = 0.1, 1.0, 0.05
    ollama.next(honest())
    ollama.always(hanging(1.3))
    row = read(source)
    assert (row.state, row.attempt, row.documents) == ("succeeded", 1, len(NAMES)), row.error
    assert row.seconds is not None
    assert row.seconds > BATCHES * 1.3
    assert row.timings["embed"] > BATCHES
    assert not wrong()


def test_an_embedder_that_is_too_slow_for_its_batches_is_asked_for_less(
    source: Source, ollama: OllamaServer, undisturbed: set[tuple[object, ...]], settings: Settings
) -> None:
    settings.EMBEDDING_TIMEOUT = 0.5

    def slow(request: Request) -> Reply:
        time.sleep(0.2 * len(request.texts))
        return honest()(request)

    ollama.always(slow)
    row = read(source)
    assert (row.state, row.failures) == ("succeeded", 0), errors_of(row)
    assert digest() == undisturbed


def test_faults_that_pass_are_no_failures(
    source: Source, ollama: OllamaServer, undisturbed: set[tuple[object, ...]]
) -> None:
    ollama.next(honest(), times=HONEST)
    for fault in [html(502), truncated(), wrong_count(), filled(float("nan")), runner_died()]:
        ollama.next(fault, honest())
    row = read(source)
    assert (row.state, row.failures, row.attempt) == ("succeeded", 0, 1), row.error
    assert digest() == undisturbed


def test_one_poison_text_in_five_hundred_costs_its_chunk(
    source: Source, ollama: OllamaServer, tmp_path: Path, settings: Settings
) -> None:
    settings.EMBEDDING_BATCH_SIZE = 32
    write_pages(tmp_path / "pages", ["many"], sections=482)
    ollama.for_text("many321word3", runner_died())
    row = read(source)
    assert (row.state, row.failures, row.documents) == ("partial", 1, len(NAMES) + 1)
    assert row.chunks == 499
    assert "many321word3" not in " ".join(Chunk.objects.values_list("content", flat=True))
    assert not wrong()
    ollama.by_text.clear()
    ollama.embedded.clear()
    row = read(source, retry_failed=True)
    assert (row.state, row.embedded, row.chunks) == ("succeeded", 1, 500)


def test_a_run_that_waits_goes_on_with_another_model(
    source: Source, ollama: OllamaServer, settings: Settings
) -> None:
    """Who has no patience with one embedder may name another: the run takes what is set then."""
    ollama.next(honest(), times=HONEST)
    ollama.always(status(503))
    row = read(source)
    assert (row.state, Chunk.objects.exists()) == ("waiting", True)
    settings.EMBEDDING_PROVIDER, settings.EMBEDDING_MODEL = "wordllama", "l2_supercat"
    row = go_on(row)
    assert (row.state, row.documents, row.failures) == ("succeeded", len(NAMES), 0), row.error
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT vector_dims(embedding) FROM ingestion_chunk")
        assert cursor.fetchall() == [(256,)]
    assert not wrong()


def test_what_waits_when_asked_for_again_is_joined(source: Source, ollama: OllamaServer) -> None:
    ollama.stop()
    row = read(source)
    assert row.state == "waiting"
    assert ask(source) == row
