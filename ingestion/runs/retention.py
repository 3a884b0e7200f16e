"""Retention: remove old runs with their log lines and failures, the texts before a document's last
change, evaluations, the admin log, sessions, cache rows and task results (setting RETENTION_DAYS);
the previews of sources, which are kept for a day, and what was asked (QUERY_LOG_DAYS).

What is still needed stays, however old it is. Rows are deleted in batches, each in its own
transaction, so that nobody waits for long; the next pruning continues an interrupted one.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django_q.models import Task

from ingestion.index import texts
from ingestion.index.session_lock import session_lock
from ingestion.models import (
    AskedQuery,
    DocumentText,
    Evaluation,
    Failure,
    LogLine,
    Notification,
    Preview,
    Run,
    SourceRun,
    State,
)
from ingestion.runs import token_vectors
from ingestion.runs.state_machine import DONE_STATES
from sources.models import Source

RUNS_KEPT = 10  # of each source, the newest
EVALUATIONS_KEPT = 10  # the newest
BATCH = 5000  # rows of one transaction
SOURCE_RUNS = 200  # whose log lines and failures are selected at once
PREVIEWS_KEPT = timedelta(days=1)
INTERVAL = 3600  # seconds between two prunings
AT_ONCE = 2.0  # seconds of pruning between two checks of the processes
MADE = {Failure: "created_at", Run: "created_at", SourceRun: "queued_at"}
OVER_STATES = [*DONE_STATES, State.INTERRUPTED]
READ_STATES = [State.SUCCEEDED, State.PARTIAL]
PRUNED = "ingestion.runs.retention.pruned"
PRUNING = 0x627070  # the first key of the advisory lock for pruning; the second is 0


class Pruning:
    """Deletes rows in batches until its time is over.

    `removed` counts them by table; `finished` says whether nothing was left.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self.seconds = seconds
        self.deadline = math.inf
        self.removed: Counter[str] = Counter()
        self.finished = True

    def __str__(self) -> str:
        counted = ", ".join(f"{name}: {number}" for name, number in self.removed.items() if number)
        rest = "" if self.finished else " More is left."
        return f"Pruned what is older than {_days()}: {counted or 'nothing'}.{rest}"

    def remove(self, rows: QuerySet[Any]) -> None:
        model = rows.model
        name = str(model._meta.verbose_name_plural).lower()
        for keys in self._batches(rows, BATCH):
            if not self._has_time():
                return
            _, deleted = model._default_manager.filter(pk__in=keys).only("pk").delete()
            self.removed[name] += deleted.get(model._meta.label, 0)

    def _batches(self, rows: QuerySet[Any], size: int) -> Iterator[list[Any]]:
        """The keys of the rows in order, `size` at a time."""
        left = rows.order_by("pk").values_list("pk", flat=True)
        found = list(left[:size])
        while found and self.finished:
            yield found
            found = list(left.filter(pk__gt=found[-1])[:size])

    def _has_time(self) -> bool:
        now = time.monotonic()
        self.deadline = min(self.deadline, now + self.seconds)
        self.finished = self.finished and now <= self.deadline
        return self.finished

    def remove_source_runs(self, rows: QuerySet[SourceRun]) -> None:
        """Delete source runs; their log lines and failures first, in batches too."""
        for keys in self._batches(rows, SOURCE_RUNS):
            self.remove(LogLine.objects.filter(source_run__in=keys))
            self.remove(Failure.objects.filter(source_run__in=keys))
            self.remove(SourceRun.objects.filter(pk__in=keys))

    def remove_previous_texts(self, moment: datetime) -> None:
        """Remove what a change before the moment replaced, and files that nothing refers to."""
        for keys in self._batches(DocumentText.objects.filter(replaced_at__lt=moment), BATCH):
            if not self._has_time():
                return
            rows = DocumentText.objects.filter(pk__in=keys)
            self.removed["previous texts"] += rows.update(previous=None, replaced_at=None)
        self.removed["originals"] += texts.forget_unused()

    def remove_cache_rows(self, now: datetime) -> None:
        """Delete the expired rows of the cache, whose table has no model."""
        table = connection.ops.quote_name(str(settings.CACHES["default"]["LOCATION"]))
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE expires < %s", [now])
            self.removed["cache rows"] += cursor.rowcount


def prune(seconds: float = math.inf) -> Pruning | None:
    """Remove what is older than RETENTION_DAYS, for at most so many seconds; None if another
    process is pruning."""
    pruning = Pruning(seconds)
    now = timezone.now()
    pruning.remove(Preview.objects.filter(created_at__lt=now - PREVIEWS_KEPT))
    asked = AskedQuery.objects.filter(at__lt=now - timedelta(days=settings.QUERY_LOG_DAYS))
    pruning.remove(asked)
    if not settings.RETENTION_DAYS:
        return pruning
    with session_lock(PRUNING, 0) as is_held:
        if is_held:
            _prune(pruning, now, now - timedelta(days=settings.RETENTION_DAYS))
    return pruning if is_held else None


def _prune(pruning: Pruning, now: datetime, moment: datetime) -> None:
    pruning.remove(_before(Failure.objects.filter(Q(resolved=True) | Q(source=None)), moment))
    pruning.remove(_repeated_failures(moment))
    pruning.remove_source_runs(_source_runs(moment))
    parts = SourceRun.objects.filter(run=OuterRef("pk"))
    pruning.remove(_before(Run.objects.filter(~Exists(parts)), moment))
    pruning.remove(_evaluations(moment))
    pruning.remove(LogEntry.objects.filter(action_time__lt=moment))
    pruning.remove(Task.objects.filter(stopped__lt=moment))
    pruning.remove(Notification.objects.filter(over__lt=moment))
    pruning.remove(Session.objects.filter(expire_date__lt=now))
    pruning.remove_cache_rows(now)
    pruning.remove_previous_texts(moment)
    pruning.remove(token_vectors.unused())


def prune_hourly() -> str:
    """Prune for a moment if nobody has in the last hour; what was removed, if anything.

    If more is left, the next call continues.
    """
    if not cache.add(PRUNED, True, INTERVAL):
        return ""
    pruning = prune(AT_ONCE)
    if pruning and not pruning.finished:
        cache.delete(PRUNED)
    return str(pruning) if pruning and any(pruning.removed.values()) else ""


def promise() -> str:
    """A sentence for people on what is kept."""
    if not settings.RETENTION_DAYS:
        return "Runs are kept for ever."
    return f"Runs are kept for {_days()}, and the last {RUNS_KEPT} of each source always."


def _days() -> str:
    days = settings.RETENTION_DAYS
    return "1 day" if days == 1 else f"{days} days"


def _before(rows: QuerySet[Any], moment: datetime) -> QuerySet[Any]:
    """The rows made before a moment. Keys grow with time, so the search ends at the first younger
    row; there are many rows, and no index on their times."""
    field = MADE[rows.model]
    younger = rows.model._default_manager.filter(**{f"{field}__gte": moment}).order_by("pk")
    first = younger.values_list("pk", flat=True).first()
    older = rows.filter(**{f"{field}__lt": moment})
    return older if first is None else older.filter(pk__lt=first)


def _repeated_failures(moment: datetime) -> QuerySet[Failure]:
    """Open failures that a later run of the source has met again; the later ones stay. Otherwise a
    source that fails at each run would keep all its runs."""
    same = {name: OuterRef(name) for name in ("source", "level", "document_url", "stage")}
    again = Failure.objects.open().filter(**same, source_run__gt=OuterRef("source_run"))
    return _before(Failure.objects.open().filter(Exists(again)), moment)


def _source_runs(moment: datetime) -> QuerySet[SourceRun]:
    """Ended source runs without open failures that are not in `_kept`."""
    old = _before(SourceRun.objects.filter(state__in=OVER_STATES), moment)
    if not old.exists():
        return old
    needed = Failure.objects.filter(source_run=OuterRef("pk"), resolved=False)
    return old.filter(~Exists(needed)).exclude(pk__in=_kept())


def _evaluations(moment: datetime) -> QuerySet[Evaluation]:
    kept = Evaluation.objects.order_by("-pk").values_list("pk", flat=True)[:EVALUATIONS_KEPT]
    return Evaluation.objects.filter(created_at__lt=moment).exclude(pk__in=list(kept))


def _kept() -> set[int]:
    return {key for pk in Source.objects.values_list("pk", flat=True) for key in _kept_of(pk)}


def _kept_of(source: int) -> set[int]:
    """The newest runs of a source, and the latest that say when it was read, when without failures,
    and what is stored."""
    mine = SourceRun.objects.filter(source=source).order_by("-pk").values_list("pk", flat=True)
    last = (
        mine.filter(state__in=READ_STATES),
        mine.filter(state=State.SUCCEEDED),
        mine.filter(quality__has_key="chunks"),
    )
    return {*mine[:RUNS_KEPT], *(key for rows in last for key in rows[:1])}
