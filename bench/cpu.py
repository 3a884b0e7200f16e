"""The CPU time of a first load: of the command and all processes below it, and of the database.

The load runs in a checkout, this one or another, with a database of its own, so that two commits
can be compared in one run, in turn.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import workspace
from bench.ingest import is_expendable

LOOK_EVERY = 0.2  # seconds between two looks at the processes

_EMPTY = """
from django.db import connection
from sources.models import Source
with connection.cursor() as cursor:
    cursor.execute("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'chunk_hnsw%'")
    for (name,) in cursor.fetchall():
        cursor.execute(f"DROP INDEX {name}")
    cursor.execute("TRUNCATE ingestion_document, ingestion_run, ingestion_embeddingprofile,"
                   " ingestion_original, sources_source CASCADE")
"""


@dataclass(frozen=True)
class Load:
    """A first load. `cpu` are the seconds of all processes, of which the database's (`database`)
    and those of the process that coordinates the reading (`coordinator`) are a part."""

    seconds: float
    cpu: float
    database: float
    coordinator: float
    chunks: int

    @property
    def per_thousand(self) -> float:
        return 1000 * self.cpu / self.chunks


@dataclass(frozen=True)
class Checkout:
    """A checkout with a database of its own, below the folder of the benchmark."""

    root: Path

    def load(self, folder: str, parser: str, environment: Mapping[str, str]) -> Load:
        """Read a folder of the benchmark's material for the first time."""
        self._manage("migrate", "--verbosity", "0")
        fields = {"name": folder, "title": folder, "parser": parser, "paths": [folder]}
        self._manage("shell", "-c", f"{_EMPTY}\nSource.objects.create(**{fields!r})")
        try:
            return self._timed(["ingest_all", "--json", "--source", folder], environment)
        finally:
            self._manage("postgres", "stop")

    def _timed(self, arguments: list[str], environment: Mapping[str, str]) -> Load:
        server, before = self._server(), resource.getrusage(resource.RUSAGE_CHILDREN)
        database, begun = tree_seconds(server), time.monotonic()
        with _watched() as most:
            answer = json.loads(self._manage(*arguments, **environment))
        seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        database = tree_seconds(server) - database
        chunks = answer["sources"][0]["chunks"]
        return Load(seconds, own + database, database, max(most.values(), default=0.0), chunks)

    def _manage(self, *arguments: str, **environment: str) -> str:
        made = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.root,
            env=os.environ | {"STATE_DIR": str(self._state)} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise RuntimeError(f"{arguments[0]} failed in {self.root}: {made.stderr[-4000:]}")
        return made.stdout

    @property
    def _state(self) -> Path:
        return workspace.FOLDER / f"cpu-{self.root.resolve().name}"

    def _server(self) -> psutil.Process:
        (file,) = self._state.rglob("postmaster.pid")
        return psutil.Process(int(file.read_text().split()[0]))


def tree_seconds(process: psutil.Process) -> float:
    """The CPU seconds of a process, of those that it has seen end, and of those below it."""
    times = process.cpu_times()
    seconds = times.user + times.system + times.children_user + times.children_system
    return seconds + sum(map(_own_seconds, process.children(recursive=True)))


def _own_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


@contextmanager
def _watched() -> Iterator[dict[int, float]]:
    """The CPU seconds of each process that reads, which the kernel may take first, by its id. It is
    the topmost of those: its own time is what only the coordinator can do."""
    most: dict[int, float] = {}
    done = threading.Event()

    def look() -> None:
        while not done.wait(LOOK_EVERY):
            for process in _readings():
                most[process.pid] = _own_seconds(process)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        done.set()
        watcher.join()


def _readings() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if is_expendable(process.pid) and not is_expendable(process.ppid()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
