"""What people are told of, as it is now: by the tables, and by whether the parts answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Max

from ingestion.documents import counted, shortened
from ingestion.models import Failure, SourceRun, State
from ingestion.monitoring import health
from ingestion.monitoring.readiness import worker_problem
from sources.models import Source

JUDGED = [State.SUCCEEDED, State.PARTIAL, State.FAILED, State.NEEDS_APPROVAL]
READ = [State.SUCCEEDED, State.PARTIAL, State.NEEDS_APPROVAL]
LONGEST = 1000  # characters of a text
WORKER, EMBEDDER = "worker", "embedder"


@dataclass(frozen=True)
class Cause:
    """`key` is the same as long as it is the same cause. It is told of when it has lasted for its
    `patience`, and `since` is when it began; None: when it is seen first."""

    key: str
    title: str
    text: str
    source_name: str = ""
    since: datetime | None = None
    patience: timedelta = timedelta()


def present(now: datetime) -> Iterator[Cause]:
    """All that is wrong now."""
    yield from _of_runs()
    yield from _not_read(now)
    yield from _away()


def is_unknown(key: str) -> bool:
    """Whether it cannot be said at the moment if a cause is over."""
    return key == EMBEDDER and health.embedder_now().state == "unknown"


def _of_runs() -> Iterator[Cause]:
    """By the last run of each source that came to a judgement; not those under way."""
    judged = SourceRun.objects.filter(state__in=JUDGED).exclude(source=None)
    rows = judged.order_by("source_id", "-pk").distinct("source_id")
    problems = _problems()
    for row in rows.only("source_id", "source_name", "state", "error", "last_line", "finished_at"):
        if row.state == State.FAILED:
            yield _cause("failed", row, "failed", row.error)
        elif number := problems.get(row.source_id or 0, 0):
            yield _cause("failures", row, "finished with failures", _first_problem(row, number))
        if row.state == State.NEEDS_APPROVAL:
            yield _cause("approval", row, "needs approval", row.last_line)


def _cause(kind: str, row: SourceRun, words: str, text: str) -> Cause:
    key, title = f"{kind}:{row.source_id}", f"{row.source_name} {words}"
    return Cause(key, title, shortened(text, LONGEST), row.source_name, row.finished_at)


def _problems() -> dict[int, int]:
    """The number of errors that nobody ignores, by source. Those of a run under way may mend."""
    rows = Failure.objects.waiting().errors().filter(source_run__state__in=JUDGED).order_by()
    return dict(rows.values_list("source_id").annotate(number=Count("pk")))


def _first_problem(row: SourceRun, number: int) -> str:
    rows = Failure.objects.waiting().errors().filter(source=row.source_id)
    first = rows.filter(source_run__state__in=JUDGED).order_by("pk").first()
    said = f"{counted(number, 'problem')} in what was read; the rest is stored."
    return f"{said} The first: {first}" if first else said


def _not_read(now: datetime) -> Iterator[Cause]:
    days = settings.NOTIFY_NOT_READ_DAYS
    if not days:
        return
    done = SourceRun.objects.filter(state__in=READ).order_by()
    last = dict(done.values_list("source_id").annotate(at=Max("finished_at")))
    for source in Source.objects.filter(enabled=True):
        since = last.get(source.pk) or source.updated_at
        if now - since > timedelta(days=days):
            title = f"{source.name} has not been read for {days:g} days"
            text = (
                "See what became of its last run and whether its schedule is right, or ingest it."
            )
            yield Cause(f"not-read:{source.pk}", title, text, source.name, since)


def _away() -> Iterator[Cause]:
    patience = timedelta(minutes=settings.NOTIFY_AWAY_MINUTES)
    if text := worker_problem():
        yield Cause(WORKER, "No worker is alive", text, patience=patience)
    check = health.embedder_now()
    if check.state in ("bad", "warn"):
        yield Cause(EMBEDDER, "The embedder does not answer", check.text, patience=patience)
