"""Runs `manage.py ingest_all` as a person would, and watches its memory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.core.management import call_command
from django.db import connection

from ingestion.models import Chunk, SourceRun
from ingestion.worker.cluster import Presence
from ingestion.worker.supervisor import EXPENDABLE
from sources.models import Source

ROOT = Path(__file__).resolve().parent.parent
LOOK_EVERY = 0.5  # seconds between two looks at the memory
TABLES = "ingestion_document, ingestion_run, ingestion_embeddingprofile, sources_source"


@dataclass
class Ingested:
    """One run. `seconds` is from the first source's start to the last one's end, `command` that of
    the whole command, `peak_mb` the memory of the process that reads, with what its helpers do not
    share with it."""

    seconds: float
    command: float
    peak_mb: float
    counters: dict[str, int]
    timings: dict[str, float] = field(default_factory=dict)

    def __getattr__(self, name: str) -> int:
        return self.counters[name]


def prepare() -> None:
    """The database of the benchmark, with all tables and nothing in them."""
    call_command("migrate", verbosity=0)
    empty()


def empty() -> None:
    """Forget everything, indexes over vectors included."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'chunk_hnsw%'")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute(f"TRUNCATE {TABLES} CASCADE")
        cursor.execute("CHECKPOINT") if _may_checkpoint() else None


def _may_checkpoint() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_has_role(current_user, 'pg_checkpoint', 'usage')")
        return bool(cursor.fetchone()[0])


def add_source(name: str, parser: str = "FlareParser") -> Source:
    """A source that reads the folder of its name."""
    return Source.objects.create(name=name, title=name, parser=parser, paths=[name])


def ingest(
    sources: Sequence[Source],
    environment: Mapping[str, str] | None = None,
    *,
    workers: int = 1,
    clean: bool = False,
) -> Ingested:
    """Read the sources; raises RuntimeError unless every one of them was read well."""
    command = [sys.executable, "manage.py", "ingest_all", "--json", "--workers", str(workers)]
    command += [part for source in sources for part in ("--source", source.name)]
    command += ["--clean"] if clean else []
    connection.close()
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch = Watch(process.pid)
    out, errors = process.communicate()
    seconds = time.monotonic() - started
    peak = watch.end()
    if process.returncode or json.loads(out)["status"] != "succeeded":
        raise RuntimeError(f"{' '.join(command)} failed:\n{out[-2000:]}\n{errors[-4000:]}")
    return _measured(json.loads(out)["run"], seconds, peak)


@contextmanager
def workers(number: int) -> Iterator[None]:
    """So many workers, each with its own command, as on hosts of their own."""
    command = [sys.executable, "manage.py", "worker", "--workers", "1"]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(number)
    ]
    try:
        while number and not Presence.anybody():
            time.sleep(0.1)
        yield
    finally:
        for worker in started:
            worker.terminate()
        for worker in started:
            worker.wait()


def _measured(run: int, command: float, peak: float) -> Ingested:
    rows = list(SourceRun.objects.filter(run=run))
    started = min(row.started_at for row in rows if row.started_at)
    finished = max(row.finished_at for row in rows if row.finished_at)
    names = ("documents", "chunks", "added", "changed", "unchanged", "embedded", "reused")
    counters = {name: sum(getattr(row, name) for row in rows) for name in names}
    stages = {stage for row in rows for stage in row.timings}
    timings = {s: round(sum(row.timings.get(s, 0.0) for row in rows), 2) for s in sorted(stages)}
    seconds = (finished - started).total_seconds()
    return Ingested(seconds, round(command, 2), round(peak, 1), counters, timings)


def written() -> dict[str, int]:
    """Rows written to the chunk table since it was made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables WHERE relname = %s",
            [Chunk._meta.db_table],
        )
        return dict(zip(("inserted", "updated", "deleted"), cursor.fetchone(), strict=True))


class Watch:
    """The most memory that the reading processes below a command took at once."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.peak = 0.0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def end(self) -> float:
        self.done.set()
        self.thread.join()
        return self.peak

    def _look(self) -> None:
        while not self.done.wait(LOOK_EVERY):
            self.peak = max(self.peak, *map(_tree_mb, self._readings()), 0.0)

    def _readings(self) -> list[int]:
        """The topmost processes that the kernel may take first: so a reading is marked."""
        found, level = [], [self.pid]
        while level:
            below = [child for pid in level for child in _children(pid)]
            found += [pid for pid in below if is_expendable(pid)]
            level = [pid for pid in below if pid not in found]
        return found


def is_expendable(pid: int) -> bool:
    """Whether the kernel may take the process first: so are those that read marked."""
    try:
        return Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == EXPENDABLE
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    """As Linux lists them: looking through all processes would slow down what is measured."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def _tree_mb(pid: int) -> float:
    return _memory_mb(pid, "Rss") + sum(
        _memory_mb(child, "Private_Dirty") for child in _children(pid)
    )


def _memory_mb(pid: int, kind: str) -> float:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    found = re.search(rf"^{kind}:\s+(\d+)", rollup, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
