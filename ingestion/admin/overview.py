"""The admin's first page: the state of each source, what runs, what waits and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, OuterRef, QuerySet, Subquery
from django.utils import timezone

from ingestion.models import Chunk, Document, Failure, SourceRun, State
from ingestion.monitoring import health
from ingestion.runs.schedules import next_time
from sources.models import Source

READ_STATES = [State.SUCCEEDED, State.PARTIAL, State.NEEDS_APPROVAL]
BUSY_PAUSE = 2000  # milliseconds until the page refreshes while something is running
QUIET_PAUSE = 15000


@dataclass(frozen=True)
class Standing:
    """The state of one source."""

    source: Source
    last: SourceRun | None
    read_at: datetime | None
    documents: int
    chunks: int
    failures: int
    due: datetime | None


@dataclass(frozen=True)
class Progress:
    """The progress of a source run. Rates are per second since its start; `left` is in seconds."""

    row: SourceRun
    why: str
    document_rate: float | None = None
    chunk_rate: float | None = None
    left: float | None = None

    @property
    def is_running(self) -> bool:
        return bool(self.row.state == State.RUNNING)


def overview() -> dict[str, Any]:
    open_runs = list(
        SourceRun.objects.open()
        .select_related("source", "run")
        .defer("vanished", "moves")
        .order_by("pk")
    )
    held = SourceRun.objects.filter(state=State.NEEDS_APPROVAL).select_related("source")
    why = health.why_waiting(open_runs)
    return {
        "standings": standings(),
        "progress": [progress(row, why.get(row.pk, "")) for row in open_runs],
        "approvals": list(held),
        "pause": BUSY_PAUSE if open_runs else QUIET_PAUSE,
    }


def standings() -> list[Standing]:
    """The state of each source, in seven queries for any number of sources."""
    now = timezone.now()
    last = {row.source_id: row for row in newest_runs()}
    read = SourceRun.objects.filter(state__in=READ_STATES).order_by().values_list("source")
    read_at = dict(read.annotate(Max("finished_at")))
    documents = numbers(Document.objects.all(), "source")
    chunks = numbers(Chunk.objects.all(), "document__source")
    failures = numbers(open_failures(), "source")
    return [
        Standing(
            source=source,
            last=last.get(source.pk),
            read_at=read_at.get(source.pk),
            documents=documents.get(source.pk, 0),
            chunks=chunks.get(source.pk, 0),
            failures=failures.get(source.pk, 0),
            due=next_time(source.schedule, now) if source.schedule and source.enabled else None,
        )
        for source in Source.objects.all()
    ]


def newest_runs() -> QuerySet[SourceRun]:
    """The newest SourceRun of each source."""
    mine = SourceRun.objects.filter(source=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    newest = Source.objects.order_by().values_list(Subquery(mine))
    return SourceRun.objects.filter(pk__in=newest).defer("vanished", "moves")


def open_failures() -> QuerySet[Failure]:
    return Failure.objects.open().errors()


def numbers(rows: QuerySet[Any], group: str) -> dict[Any, int]:
    """The number of rows for each value of `group`; counts no column, so an index is enough."""
    return dict(rows.order_by().values_list(group).annotate(number=Count("*")))


def progress(row: SourceRun, why: str) -> Progress:
    if row.state != State.RUNNING or row.started_at is None:
        return Progress(row, why)
    elapsed = max((timezone.now() - row.started_at).total_seconds(), 0.1)
    rate = row.read / elapsed
    left = None
    if row.expected and rate and row.expected >= row.read:
        left = (row.expected - row.read) / rate
    return Progress(row, why, rate, row.embedded / elapsed, left)
