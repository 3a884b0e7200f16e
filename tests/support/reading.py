"""What the tests of runs share: sources with pages to read, real readings of them, and what must
hold whatever happened in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from django.db import connection, connections
from django_q.models import OrmQ

from ingestion.models import OPEN_STATES, Chunk, Document, Failure, Run, SourceRun, State
from ingestion.monitoring import consistency
from ingestion.runs import requests, state_machine
from ingestion.worker import supervisor
from sources.models import Source
from tests.support.pages import page

LEGAL_END = {*state_machine.ENDED_STATES, State.WAITING}


def write_pages(folder: Path, names: list[str], **shape: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.md").write_text(page(name, **shape))


def make_source(name: str, folder: str = "", **fields: Any) -> Source:
    fields = {"parser": "MdxParser", "paths": [folder or name], "title": name, **fields}
    return Source.objects.create(name=name, **fields)


def ask(source: Source, **options: Any) -> SourceRun:
    """Request a run, as the command does."""
    return requests.request([source], origin=Run.Origin.COMMAND, **options).source_runs[0]


def read(source: Source, **options: Any) -> SourceRun:
    """Request a run, and read the source in a real child process, once."""
    row = ask(source, **options)
    supervisor.supervise(row.pk)
    row.refresh_from_db()
    return row


def digest() -> set[tuple[Any, ...]]:
    """What a search can find: every chunk, by what it says and where, with its vector."""
    fields = ("document__url", "ordinal", "content", "content_hash", "start_line", "profile")
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, embedding::text FROM ingestion_chunk")
        vectors = dict(cursor.fetchall())
    return {(*row[1:], vectors[row[0]]) for row in Chunk.objects.values_list("pk", *fields)}


def physical_rows() -> dict[int, tuple[str, str]]:
    """Where each chunk row lies and which transaction wrote it: unchanged unless it was touched."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, ctid::text, xmin::text FROM ingestion_chunk")
        return {pk: (ctid, xmin) for pk, ctid, xmin in cursor.fetchall()}


def wrong(*, but: tuple[str, ...] = ("profiles without an index",)) -> list[str]:
    """What `manage.py sanity` would find, and what else breaks the promises of runs."""
    found = [f for f in consistency.examine() if f.number and f.check.name not in but]
    said = [f"{f.check.name}: {f.examples}" for f in found]
    for row in SourceRun.objects.all():
        if row.state not in LEGAL_END and row.state not in (State.QUEUED, State.RUNNING):
            said.append(f"{row} is {row.state}")
        if row.state in (State.FAILED, State.INTERRUPTED, State.WAITING) and not row.error:
            said.append(f"{row} is {row.state} without a reason")
    open_ones = list(
        SourceRun.objects.filter(state__in=OPEN_STATES).values_list("source", flat=True)
    )
    if len(open_ones) != len(set(open_ones)):
        said.append("a source has two open runs")
    return said


def until(condition: Callable[[], object], seconds: float = 30.0) -> float:
    """Wait for a condition; the seconds that took. Fails when it does not come true."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - started


def state_of(row: SourceRun) -> str:
    return str(SourceRun.objects.values_list("state", flat=True).get(pk=row.pk))


def in_state(row: SourceRun, *states: str) -> Callable[[], bool]:
    return lambda: state_of(row) in states


def below(pid: int) -> list[psutil.Process]:
    """The processes that a process started, theirs included."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def readings(pid: int | None = None) -> list[psutil.Process]:
    """The processes that read, below a worker: its grandchildren."""
    workers = psutil.Process(pid or os.getpid()).children()
    return [child for member in workers for child in member.children()]


def errors_of(row: SourceRun) -> list[str]:
    rows = Failure.objects.filter(source_run=row, level=Failure.Level.ERROR)
    return list(rows.order_by("pk").values_list("message", flat=True))


def urls() -> set[str]:
    return set(Document.objects.values_list("url", flat=True))


def nothing_left_behind() -> None:
    """Connections of killed processes go away before the next test empties the tables."""
    OrmQ.objects.all().delete()
    connections.close_all()
