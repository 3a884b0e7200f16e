"""The state of each source: its last runs, its numbers, and how far an open run is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, OuterRef, QuerySet, Subquery, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from ingestion.models import Chunk, Document, Failure, SourceRun, State
from ingestion.runs.schedules import next_time
from sources.models import Source

READ_STATES = [State.SUCCEEDED, State.PARTIAL, State.NEEDS_APPROVAL]
STRIP = 30  # runs of a source that are drawn
COLUMN = 7  # width of one of them and its gap, in the drawing's units
OLD = timedelta(days=30)  # a source that was not read for so long is old


@dataclass(frozen=True)
class Mark:
    """A run in the strip of its source: `x` from the left; `state` is "none" for no run."""

    x: int
    state: str
    text: str


@dataclass(frozen=True)
class Standing:
    """The state of one source."""

    source: Source
    last: SourceRun | None
    read_at: datetime | None
    documents: int
    chunks: int
    failures: int
    warnings: int
    due: datetime | None
    strip: Sequence[Mark] = ()

    @property
    def look(self) -> tuple[str, str]:
        """The colour of its state, and the state in words."""
        if not self.last:
            return "off", "never run"
        if self.last.is_open:
            return str(self.last.state), _going_on(self.last)
        if self.last.state in (State.FAILED, State.NEEDS_APPROVAL, State.CANCELLED):
            return str(self.last.state), self.last.get_state_display()
        if self.failures:
            return "warn", f"{self.failures:,} problem{'s' if self.failures > 1 else ''}"
        if self.read_at and timezone.now() - self.read_at > OLD:
            return "warn", "old"
        return str(self.last.state), self.last.get_state_display()


def _going_on(row: SourceRun) -> str:
    if row.state == State.RUNNING and row.expected and row.expected >= row.read:
        return f"running {100 * row.read // row.expected} %"
    return str(row.get_state_display())


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


def standings(only: Source | None = None) -> list[Standing]:
    """The state of each source, or of one, in nine queries for any number of sources."""
    now = timezone.now()
    last = {row.source_id: row for row in newest_runs(only)}
    read = _of(SourceRun.objects.filter(state__in=READ_STATES), "source", only)
    read_at = dict(read.order_by().values_list("source").annotate(Max("finished_at")))
    documents = numbers(_of(Document.objects.all(), "source", only), "source")
    chunk_rows = _of(Chunk.objects.all(), "document__source", only)
    chunks = numbers(chunk_rows, "document__source")
    failures = numbers(_of(open_failures(), "source", only), "source")
    warnings = numbers(_of(open_warnings(), "source", only), "source")
    marks = strips(only)
    return [
        Standing(
            source=source,
            last=last.get(source.pk),
            read_at=read_at.get(source.pk),
            documents=documents.get(source.pk, 0),
            chunks=chunks.get(source.pk, 0),
            failures=failures.get(source.pk, 0),
            warnings=warnings.get(source.pk, 0),
            strip=marks.get(source.pk, ()),
            due=next_time(source.schedule, now) if source.schedule and source.enabled else None,
        )
        for source in ([only] if only else Source.objects.all())
    ]


def _of(rows: QuerySet[Any], field: str, only: Source | None) -> QuerySet[Any]:
    return rows.filter(**{field: only}) if only else rows


def newest_runs(only: Source | None = None) -> QuerySet[SourceRun]:
    """The newest SourceRun of each source, or of one."""
    mine = SourceRun.objects.filter(source=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    sources = Source.objects.order_by()
    sources = sources.filter(pk=only.pk) if only else sources
    newest = sources.values_list(Subquery(mine))
    return SourceRun.objects.filter(pk__in=newest).defer("vanished", "moves")


def strips(only: Source | None = None) -> dict[int, list[Mark]]:
    """The last STRIP runs of each source, or of one, the oldest at the left."""
    place = Window(RowNumber(), partition_by=[F("source")], order_by=F("pk").desc())
    rows = (
        _of(SourceRun.objects.filter(source__isnull=False), "source", only)
        .annotate(place=place)
        .filter(place__lte=STRIP)
        .order_by("pk")
        .values_list("source", "place", "state", "run_id")
    )
    found: dict[int, list[Mark]] = {}
    for source, at, state, run in rows:
        text = f"Run {run}: {State(state).label}"
        found.setdefault(source, []).append(Mark(COLUMN * (STRIP - at), state, text))
    return found


def open_failures() -> QuerySet[Failure]:
    """The errors that need somebody, as every page counts them."""
    return Failure.objects.waiting().errors()


def open_warnings() -> QuerySet[Failure]:
    return Failure.objects.waiting().filter(level=Failure.Level.WARNING)


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
