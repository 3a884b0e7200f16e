"""EMBEDDING_PROVIDER=auto and minilm as a person uses them: commands, a worker, kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.installation import NAMES, Home
from tests.support.ollama_server import OllamaServer

pytestmark = [pytest.mark.slow]

SETTINGS = {"EMBEDDING_MODEL": "", "CHUNK_SIZE": "400", "REAPER_INTERVAL": "1"}
PATIENCE = 90.0


@contextmanager
def installed(folder: Path, provider: str) -> Iterator[Home]:
    with OllamaServer() as unused:
        home = Home(folder, unused, SETTINGS | {"EMBEDDING_PROVIDER": provider})
        yield home
        home.run("postgres", "stop")


@pytest.fixture
def auto(tmp_path: Path) -> Iterator[Home]:
    with installed(tmp_path, "auto") as home:
        yield home


def number(home: Home, provider: str) -> int:
    counted: Any = home.ask(
        "SELECT count(*) FROM ingestion_chunk c JOIN ingestion_embeddingprofile p"
        f" ON p.id = c.profile_id WHERE p.provider = '{provider}'"
    )
    return int(counted)


def wait_for_meaning(home: Home, chunks: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while number(home, "minilm") < chunks:
        assert time.monotonic() < deadline, "nothing is embedded again"
        time.sleep(0.1)


def kill(process: subprocess.Popen[str]) -> None:
    """The process and all that it started, as the kernel or a power cut would."""
    members = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    psutil.wait_procs(members, PATIENCE)


def test_words_then_meaning_by_a_worker_that_is_killed(auto: Home) -> None:
    said = auto.run("ingest_all")
    total = number(auto, "wordllama")
    assert total >= len(NAMES)
    assert f"{total} chunks are found by the words in them" in said
    assert "manage.py reembed" in said
    assert "Page page7" in auto.run("search", "Section page7")

    worker = auto.start("worker")
    wait_for_meaning(auto, 1)
    kill(worker)
    assert "Page page7" in auto.run("search", "Section page7")

    worker = auto.start("worker")
    wait_for_meaning(auto, total)
    said = auto.run("ingest_all", "--json")
    assert '"embedded": 0' in said
    assert number(auto, "minilm") == total
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0
    assert auto.ask("SELECT count(*) FROM pg_class WHERE relname LIKE 'chunk_hnsw_profile_%'") == 1
    auto.is_sound()


def test_words_then_meaning_by_a_command_that_is_interrupted(auto: Home) -> None:
    auto.run("ingest_all")
    total = number(auto, "wordllama")
    command = auto.start("reembed")
    wait_for_meaning(auto, 1)
    command.send_signal(signal.SIGINT)
    said, _ = command.communicate(timeout=PATIENCE)
    assert command.returncode == 0
    assert "Interrupted by hand" in said or "are found by their meaning" in said
    assert number(auto, "minilm") + number(auto, "wordllama") == total

    assert f"{total} of {total} chunks are found by their meaning" in auto.run("reembed")
    assert "Nothing is left" in auto.run("reembed")


def test_minilm_alone(tmp_path: Path) -> None:
    with installed(tmp_path, "minilm") as home:
        assert "until minilm" not in home.run("ingest_all")
        assert number(home, "minilm") >= len(NAMES)
        assert "Page page7" in home.run("search", "Section page7")
        assert '"embedded": 0' in home.run("ingest_all", "--json")
