"""A real Ollama that goes away in the middle of a run, and texts that are too much for its model.

OLLAMA_UP names a program that starts a server of the tests' own (`--port`) and stops it (`--stop`).
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.db import connections
from pytest_django import Settings

from ingestion.models import Chunk, SourceRun
from ingestion.runs import recovery
from ingestion.worker import supervisor
from sources.models import Source
from tests.support.reading import ask, digest, make_source, read, until, write_pages, wrong

pytestmark = [
    pytest.mark.faults,
    pytest.mark.ollama,
    pytest.mark.django_db(transaction=True),
]

PORT = 11687
HOST = f"http://127.0.0.1:{PORT}"
MODEL = "all-minilm"
UNBOUNDED = "bbjrag-unbounded"
NAMES = [f"page{number}" for number in range(30)]


def _up(*arguments: str) -> None:
    program = os.environ.get("OLLAMA_UP", "")
    if not program:
        pytest.skip("OLLAMA_UP names no program that starts an Ollama")
    command = [program, "--port", str(PORT), *arguments]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=300)


@pytest.fixture
def ollama(settings: Settings) -> Iterator[str]:
    _up()
    settings.EMBEDDING_PROVIDER = "ollama"
    settings.EMBEDDING_MODEL = MODEL
    settings.OLLAMA_HOSTS = [HOST]
    settings.EMBEDDING_BATCH_SIZE = 8
    settings.CHUNK_SIZE, settings.CHUNK_OVERLAP = 200, 20
    settings.EMBEDDER_WAIT_FIRST = settings.EMBEDDER_WAIT_MAX = 0.2
    yield HOST
    _up("--stop")


@pytest.fixture
def source(settings: Settings, tmp_path: Path, ollama: str) -> Source:
    settings.DATA_DIR = tmp_path
    write_pages(tmp_path / "pages", NAMES, sections=2, words=20)
    return make_source("pages")


def test_a_real_server_stopped_and_started_again(source: Source) -> None:
    pid = _stop_in_the_middle(source)
    row = SourceRun.objects.get(pk=pid)
    assert (row.state, row.attempt) == ("waiting", 0)
    assert 0 < row.added < len(NAMES)
    stored = digest()
    _up()
    recovery.wake(row.resume_at)
    supervisor.supervise(row.pk)
    row.refresh_from_db()
    assert (row.state, row.documents, row.failures) == ("succeeded", len(NAMES), 0)
    assert stored <= digest()
    assert not wrong(but=())


def _stop_in_the_middle(source: Source) -> int:
    """Read; the server is stopped by a child process as soon as there is a document."""
    row = ask(source)
    connections.close_all()  # no process may share a connection with another
    watcher = os.fork()
    if watcher == 0:
        code = 1
        try:
            _stop_when_stored()
            code = 0
        finally:
            os._exit(code)
    supervisor.supervise(row.pk)
    os.waitpid(watcher, 0)
    return row.pk


def _stop_when_stored() -> None:
    until(Chunk.objects.exists)
    _up("--stop")


def test_texts_beyond_the_context_of_the_model_are_cut_finer(
    source: Source, tmp_path: Path
) -> None:
    dense = " ".join(f"{number:x}/=_{number * 7919:b}" for number in range(400))
    (tmp_path / "pages" / "dense.md").write_text(f"---\ntitle: Dense\n---\n\n{dense}\n")
    row = read(source)
    assert (row.state, row.failures) == ("succeeded", 0), row.error
    chunks = Chunk.objects.filter(document__url="pages://dense.md").order_by("ordinal")
    found = " ".join(chunks.values_list("content", flat=True)).split()
    assert set(dense.split()) <= set(found)
    assert httpx.get(f"{HOST}/api/version").status_code == 200
    assert not wrong(but=())


@pytest.fixture
def unbounded(ollama: str) -> str:
    """The model without its `num_ctx`: such a one's runner dies of a text beyond its context."""
    shown = httpx.post(f"{ollama}/api/show", json={"model": MODEL}, timeout=60).json()
    digest = shown["modelfile"].partition("/blobs/sha256-")[2][:64]
    made = {
        "model": UNBOUNDED,
        "modelfile": f"FROM @sha256:{digest}\n",  # servers before 0.5.5
        "files": {"model.gguf": f"sha256:{digest}"},
        "stream": False,
    }
    httpx.post(f"{ollama}/api/create", json=made, timeout=300).raise_for_status()
    shown = httpx.post(f"{ollama}/api/show", json={"model": UNBOUNDED}, timeout=60).json()
    assert "num_ctx" not in shown.get("parameters", "")
    return UNBOUNDED


def _too_long(model: str) -> httpx.Response:
    """What the server answers to a text beyond the model's context, sent without options."""
    body = {"model": model, "input": ["0x1f=_/ " * 1500]}
    return httpx.post(f"{HOST}/api/embed", json=body, timeout=120)


def test_no_text_of_ours_kills_the_runner_of_a_model_without_num_ctx(
    source: Source, settings: Settings, tmp_path: Path, unbounded: str
) -> None:
    if _too_long(unbounded).status_code == 200:
        pytest.skip("this server reads any text without its runner dying")
    settings.EMBEDDING_MODEL = unbounded
    settings.CHUNK_SIZE, settings.CHUNK_OVERLAP = 2000, 20
    dense = " ".join(f"{number:x}/=_{number * 7919:b}" for number in range(1500))
    (tmp_path / "pages" / "dense.md").write_text(f"---\ntitle: Dense\n---\n\n{dense}\n")
    row = read(source)
    assert (row.state, row.failures, row.documents) == ("succeeded", 0, len(NAMES) + 1), row.error
    found = Chunk.objects.filter(document__url="pages://dense.md").values_list("content", flat=True)
    assert set(dense.split()) <= set(" ".join(found).split())
    assert not wrong(but=())


def test_a_runner_killed_by_somebody_elses_text_costs_no_document(
    source: Source, settings: Settings, unbounded: str
) -> None:
    """Whoever shares the server may send what its runner dies of, again and again."""
    settings.EMBEDDING_MODEL = unbounded
    assert read(source).state == "succeeded"
    undisturbed = digest()
    row = ask(source, clean=True)
    connections.close_all()  # no process may share a connection with another
    neighbour = os.fork()
    if neighbour == 0:
        try:
            for _ in range(50):
                _too_long(unbounded)
        finally:
            os._exit(0)
    try:
        supervisor.supervise(row.pk)
        row.refresh_from_db()
        while row.state == "waiting":
            recovery.wake(row.resume_at)
            supervisor.supervise(row.pk)
            row.refresh_from_db()
    finally:
        os.kill(neighbour, signal.SIGKILL)
        os.waitpid(neighbour, 0)
    assert row.state in ("succeeded", "partial"), row.error
    if row.state == "partial":
        row = read(source)
    assert (row.state, row.failures, row.documents) == ("succeeded", 0, len(NAMES)), row.error
    assert {item[:-1] for item in digest()} == {item[:-1] for item in undisturbed}
    assert not wrong(but=())


def test_a_model_that_is_gone_says_how_to_get_it(source: Source, settings: Settings) -> None:
    settings.EMBEDDING_MODEL = "no-such-model"
    row = read(source)
    assert row.state == "failed"
    assert "ollama pull no-such-model" in row.error
    assert not wrong()
