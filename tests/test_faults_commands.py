"""The commands as a person runs them, on a database server of their own, which is stopped, starved
and filled up while they run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bbjrag.postgres import EmbeddedPostgres
from tests.ollama_server import MODEL, OllamaServer, hanging
from tests.reading import page, until

pytestmark = pytest.mark.faults

ROOT = Path(__file__).resolve().parent.parent
NAMES = [f"page{number}" for number in range(40)]
SETTINGS = "fsync=off,max_connections=20,superuser_reserved_connections=3"


class Home:
    """An installation of its own: state, data, and a source of 40 pages."""

    def __init__(self, folder: Path, ollama: OllamaServer) -> None:
        self.data = folder / "data"
        self.ollama = ollama
        self.environment = {
            **os.environ,
            "ENV_FILE": os.devnull,
            "STATE_DIR": str(folder / "state"),
            "DATA_DIR": str(self.data),
            "EMBEDDED_POSTGRES_SETTINGS": SETTINGS,
            "EMBEDDING_PROVIDER": "ollama",
            "EMBEDDING_MODEL": MODEL,
            "OLLAMA_HOST": ollama.host,
            "EMBEDDING_BATCH_SIZE": "4",
            "EMBEDDING_CONCURRENCY": "1",
            "CHUNK_SIZE": "100",
            "CHUNK_OVERLAP": "10",
            "RUN_HEARTBEAT": "0.5",
            "REAPER_INTERVAL": "1",
            "EMBEDDER_WAIT_FIRST": "0.5",
            "EMBEDDER_WAIT_MAX": "1",
        }
        self.server = EmbeddedPostgres(folder / "state" / "postgres")
        self.write(NAMES)
        self.run("migrate", "--verbosity", "0")
        with self.connect() as connection:
            connection.execute("UPDATE sources_source SET enabled = false")
            connection.execute(
                "UPDATE sources_source SET enabled = true, paths = '{pages}',"
                " parser = 'MdxParser' WHERE name = 'mdx-dwc'"
            )

    def write(self, names: list[str]) -> None:
        (self.data / "pages").mkdir(parents=True, exist_ok=True)
        for name in names:
            (self.data / "pages" / f"{name}.md").write_text(page(name, sections=2))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        out, errors = process.communicate(timeout=120)
        assert process.returncode == code, (out, errors)
        return out

    def end(self, process: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == code, (out, errors)
        said: dict[str, Any] = json.loads(out)
        return said

    def connect(self) -> psycopg.Connection[Any]:
        params: dict[str, Any] = {**self.server.connection_params(), "user": "postgres"}
        return psycopg.connect(**params, dbname="bbjrag", autocommit=True)

    def ask(self, sql: str) -> Any:
        try:
            with self.connect() as connection:
                row = connection.execute(sql).fetchone()
                return row[0] if row else None
        except psycopg.Error:
            return None

    def state(self) -> Any:
        return self.ask("SELECT state FROM ingestion_sourcerun ORDER BY id DESC LIMIT 1")

    def documents(self) -> int:
        return int(self.ask("SELECT count(*) FROM ingestion_document") or 0)

    def is_sound(self) -> None:
        self.run("sanity")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with OllamaServer() as ollama:
        home = Home(tmp_path, ollama)
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
    hogs = _take_all_connections(slow)
    time.sleep(3.0)
    for hog in hogs:
        hog.close()
    said = slow.end(command)
    assert (said["status"], said["sources"][0]["documents"]) == ("succeeded", len(NAMES))
    slow.is_sound()


def _take_all_connections(home: Home) -> list[psycopg.Connection[Any]]:
    params: dict[str, Any] = {**home.server.connection_params()}
    hogs: list[psycopg.Connection[Any]] = []
    with contextlib.suppress(psycopg.OperationalError):
        while len(hogs) < 30:
            hogs.append(psycopg.connect(**params, dbname="bbjrag"))
    assert len(hogs) < 30
    return hogs


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
