"""A real Ollama that goes away in the middle of a run, and texts that are too much for its model.

OLLAMA_UP names a program that starts a server of the tests' own (`--port`) and stops it (`--stop`).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.db import connections
from pytest_django import Settings

from ingestion import process, runs
from ingestion.models import Chunk, SourceRun
from sources.models import Source
from tests.reading import ask, digest, make_source, read, until, write_pages, wrong

pytestmark = [
    pytest.mark.faults,
    pytest.mark.ollama,
    pytest.mark.django_db(transaction=True),
]

PORT = 11687
HOST = f"http://127.0.0.1:{PORT}"
MODEL = "all-minilm"
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
    runs.wake(row.resume_at)
    process.supervise(row.pk)
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
    process.supervise(row.pk)
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


def test_a_model_that_is_gone_says_how_to_get_it(source: Source, settings: Settings) -> None:
    settings.EMBEDDING_MODEL = "no-such-model"
    row = read(source)
    assert row.state == "failed"
    assert "ollama pull no-such-model" in row.error
    assert not wrong()
