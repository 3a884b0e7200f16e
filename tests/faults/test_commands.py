"""The commands as a person runs them, on a database server of their own, which is stopped, starved
and filled up while they run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.installation import NAMES, Home
from tests.support.ollama_server import OllamaServer, hanging
from tests.support.reading import until

pytestmark = pytest.mark.faults

SHORT = {
    "RUN_HEARTBEAT": "0.5",
    "REAPER_INTERVAL": "1",
    "EMBEDDER_WAIT_FIRST": "0.5",
    "EMBEDDER_WAIT_MAX": "1",
}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with OllamaServer() as ollama:
        home = Home(tmp_path, ollama, SHORT)
        try:
            yield home
        finally:
            home.server.stop()


@pytest.fixture
def slow(home: Home) -> Home:
    """The embedder answers after a tenth of a second, so that a run takes a few."""
    home.ollama.for_text("word", hanging(0.15))
    return home


def test_postgres_restarted_in_the_middle_of_a_run(slow: Home) -> None:
    command = slow.start("ingest_all", "--json")
    until(lambda: slow.documents() > 0, 60)
    assert slow.server.stop()
    said = slow.end(command)
    assert said["status"] == "succeeded"
    assert said["sources"][0]["documents"] == len(NAMES)
    slow.is_sound()
    assert json.loads(slow.run("ingest_all", "--json"))["totals"]["embedded"] == 0


def test_no_connection_left_for_a_while(slow: Home) -> None:
    command = slow.start("ingest_all", "--json")
    until(lambda: slow.documents() > 0, 60)
    with slow.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bbjrag'"
        )
    hogs = slow.take_all_connections()
    time.sleep(3.0)
    for hog in hogs:
        hog.close()
    said = slow.end(command)
    assert (said["status"], said["sources"][0]["documents"]) == ("succeeded", len(NAMES))
    slow.is_sound()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB; needs the right to mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_is_waited_for(home: Home, small_disk: Path) -> None:
    place = small_disk / "space"
    place.mkdir()
    os.chown(place, home.server.data.stat().st_uid, home.server.data.stat().st_gid)
    for folder in [small_disk, *small_disk.parents][:4]:
        os.chmod(folder, os.stat(folder).st_mode | 0o711)
    with home.connect() as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        connection.execute("ALTER TABLE ingestion_chunk SET TABLESPACE small")
    filling = small_disk / "filling"
    _fill(filling)
    command = home.start("ingest_all", "--json")
    until(lambda: home.state() not in (None, "queued", "running"), 60)
    error = home.ask("SELECT error FROM ingestion_sourcerun ORDER BY id DESC LIMIT 1")
    assert home.state() == "waiting", error
    error = home.ask("SELECT error FROM ingestion_sourcerun ORDER BY id DESC LIMIT 1")
    assert "No space left" in error
    filling.unlink()
    said = home.end(command)
    assert (said["status"], said["sources"][0]["documents"]) == ("succeeded", len(NAMES))
    home.is_sound()
    with home.connect() as connection:
        connection.execute("ALTER TABLE ingestion_chunk SET TABLESPACE pg_default")
        connection.execute("DROP TABLESPACE small")


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 65536)


Ending = Callable[[subprocess.Popen[str]], None]


def _kill(command: subprocess.Popen[str]) -> None:
    command.kill()
    command.communicate()


def _interrupt(command: subprocess.Popen[str]) -> None:
    os.killpg(command.pid, signal.SIGINT)
    out, errors = command.communicate(timeout=30)
    assert command.returncode == 1, errors
    assert json.loads(out)["status"] == "interrupted"
    assert "--resume" in errors


@pytest.mark.parametrize("ending", [_kill, _interrupt])
def test_a_command_that_was_ended_is_resumed(slow: Home, ending: Ending) -> None:
    command = slow.start("ingest_all", "--json")
    until(lambda: slow.documents() > 0, 60)
    ending(command)
    stored = slow.documents()
    assert 0 < stored < len(NAMES)
    said = json.loads(slow.run("ingest_all", "--resume", "--json"))
    assert (said["status"], said["sources"][0]["documents"]) == ("succeeded", len(NAMES))
    slow.is_sound()
    texts = [n for text, n in slow.ollama.embedded.items() if "word" in text]
    assert sum(texts) <= 2 * len(NAMES) + 24
    assert "nothing to resume" in slow.run("ingest_all", "--resume")


def test_a_worker_told_to_stop_goes_on_after_its_restart(slow: Home) -> None:
    worker = slow.start("worker")
    slow.run("ingest_all", "--no-wait")
    until(lambda: slow.documents() > 0, 60)
    worker.terminate()
    worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert slow.state() == "queued"
    worker = slow.start("worker")
    try:
        until(lambda: slow.state() == "succeeded", 60)
    finally:
        worker.terminate()
        worker.communicate(timeout=30)
    slow.is_sound()


def test_the_sanity_check_finds_and_mends_what_was_broken(home: Home) -> None:
    home.run("ingest_all")
    home.is_sound()
    with home.connect() as connection:
        connection.execute("DELETE FROM ingestion_chunk WHERE id % 7 = 0")
        connection.execute("UPDATE ingestion_chunk SET content = 'x' WHERE id % 11 = 0")
        connection.execute("UPDATE ingestion_chunk SET embedding = embedding + embedding")
        connection.execute("UPDATE ingestion_sourcerun SET documents = 7")
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM ingestion_document WHERE url LIKE '%page7.md'")
        index = "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'chunk_hnsw%'"
        for (name,) in connection.execute(index).fetchall():
            connection.execute(f"DROP INDEX {name}")
    said = home.run("sanity", code=1)
    for name in ("without a document", "wrong length or norm", "not whole", "text is another"):
        assert name in said
    home.run("sanity", "--fix")
    home.run("ingest_all")
    home.is_sound()
    assert home.documents() == len(NAMES)
