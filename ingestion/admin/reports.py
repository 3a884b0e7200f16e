"""The reports of sources on a run's page: problems by cause, what changed, log, times. Those of all
sources are read together, in a number of queries that does not grow with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from ingestion.admin import causes
from ingestion.admin.charts import Bar, bars
from ingestion.admin.display import seconds
from ingestion.admin.lookups import number_in
from ingestion.models import Document, Failure, LogLine, SourceRun, State
from ingestion.pipeline import STAGES

SHOWN_LINES = 100
# The levels that the log can be filtered by, by the value in the page's address.
LEVELS = {
    "warning": [LogLine.Level.WARNING, LogLine.Level.ERROR],
    "error": [LogLine.Level.ERROR],
}
SHOWN = 50  # documents or addresses in one list
SHOWN_GROUPS = 10  # of one source
NAMED = 5  # documents of one group; the newest alone if there are very many problems
MANY = 5000  # problems of all sources of a run
GROUP = ("source_run", *causes.KEY)

Parts = Mapping[int, Any]


@dataclass(frozen=True)
class Group:
    """Problems of one cause; `rows` are the first, `retryable` counts the documents that a
    retry could read."""

    level: str
    stage: str
    reason: str
    number: int
    retryable: int
    newest: int
    rows: Sequence[Any] = ()

    @property
    def text(self) -> str:
        return str(self.rows[0].beginning) if self.rows else ""


@dataclass(frozen=True)
class Change:
    """Documents that a run added, changed, moved or removed; only some of `number` are named."""

    kind: str
    number: int
    documents: Sequence[Document] = ()
    urls: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """The report of one source run."""

    row: SourceRun
    times: Sequence[tuple[str, datetime]]
    stages: Sequence[Bar]
    lines: Sequence[LogLine] = ()
    groups: Sequence[Group] = ()
    more_groups: int = 0
    changes: Sequence[Change] = ()
    waiting: Sequence[str] = field(default_factory=list)
    can_retry: bool = False
    """Whether the source has open errors, of this run or another."""


def reports(rows: Sequence[SourceRun], level: str = "") -> dict[int, Report]:
    """The report of each row, by its key."""
    log, found, failing = lines(rows, level), groups(rows), _failing(rows)
    added, changed, lists = _documents(rows, "gte"), _documents(rows, "lt"), _lists(rows)
    return {
        row.pk: Report(
            row=row,
            times=times(row),
            stages=stages(row),
            lines=log[row.pk],
            groups=found.get(row.pk, [])[:SHOWN_GROUPS],
            more_groups=max(len(found.get(row.pk, [])) - SHOWN_GROUPS, 0),
            changes=changes(row, added, changed, lists),
            waiting=lists[row.pk][0] if row.state == State.NEEDS_APPROVAL else [],
            can_retry=row.source_id in failing,
        )
        for row in rows
    }


def lines(rows: Iterable[SourceRun], level: str = "") -> Mapping[int, list[LogLine]]:
    """The newest lines of each log, newest first; with a level, of it and above."""
    wanted = LogLine.objects.filter(level__in=LEVELS[level]) if level in LEVELS else LogLine.objects
    parts = [
        wanted.filter(source_run=row).order_by("-pk")[:SHOWN_LINES]  # as many for each
        for row in rows
    ]
    return by_run(_together(parts))


def _together(parts: Sequence[QuerySet[Any]]) -> Iterable[Any]:
    """The rows of all, in one query."""
    return parts[0].union(*parts[1:], all=True) if parts else ()


def by_run(found: Iterable[Any]) -> Mapping[int, list[Any]]:
    grouped: dict[int, list[Any]] = defaultdict(list)
    for one in found:
        grouped[one.source_run_id].append(one)
    return grouped


def times(row: SourceRun) -> list[tuple[str, datetime]]:
    named = {
        "Queued": row.queued_at,
        "Started": row.started_at,
        "Waiting since": row.waiting_since,
        "Last sign of life": row.heartbeat if row.state == State.RUNNING else None,
        "Ended": row.finished_at,
    }
    return [(name, moment) for name, moment in named.items() if moment]


def stages(row: SourceRun) -> list[Bar]:
    """The time of each stage, in order; stages overlap, so the sum may be larger."""
    spent = {name: float(row.timings[name]) for name in STAGES if name in row.timings}
    drawn = bars((name, round(value * 1000), "") for name, value in spent.items())
    return [
        Bar(f"{name}: {seconds(value)}", bar.value, bar.length)
        for bar, (name, value) in zip(drawn, spent.items(), strict=True)
    ]


def groups(rows: Iterable[SourceRun]) -> Mapping[int, list[Group]]:
    """The problems of each row by cause: errors first, then the most frequent."""
    mine = Failure.objects.filter(source_run__in=[row.pk for row in rows]).order_by()
    could = Q(level=Failure.Level.ERROR, resolved=False) & ~Q(document_url="")
    counted = mine.values(*GROUP).annotate(
        number=Count("pk"),
        retryable=Count("document_url", distinct=True, filter=could),
        newest=Max("pk"),
    )
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for group in counted.order_by("level", "-number", "newest"):
        found[group.pop("source_run")].append(group)
    named = _named(mine, [group for part in found.values() for group in part[:SHOWN_GROUPS]])
    return {
        run: [
            Group(**group, rows=named[run, *(group[name] for name in causes.KEY)]) for group in part
        ]
        for run, part in found.items()
    }


def _named(
    mine: QuerySet[Failure], shown: Sequence[Mapping[str, Any]]
) -> Mapping[tuple[Any, ...], list[Any]]:
    """The first rows of each group that is shown."""
    rows: QuerySet[Any]
    if sum(group["number"] for group in shown) > MANY:
        rows = Failure.objects.filter(pk__in=[group["newest"] for group in shown])
    else:
        parts = [F(name) for name in GROUP]
        place = Window(RowNumber(), partition_by=parts, order_by=F("pk").desc())
        mine = mine.filter(reason__in={group["reason"] for group in shown})
        rows = mine.annotate(place=place).filter(place__lte=NAMED)
    found: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for row in causes.brief(rows).order_by("-pk"):
        found[row.source_run_id, *causes.key_of(row)].append(row)
    return found


def addresses_like(row: SourceRun, failure: str) -> set[str]:
    """The open addresses of the group that contains a failure, given by its key."""
    mine = Failure.objects.filter(source_run=row)
    one = mine.filter(pk=number_in(failure) or 0).first()
    if one is None:
        return set()
    same = mine.open().errors().filter(**{name: getattr(one, name) for name in causes.KEY})
    return set(same.exclude(document_url="").values_list("document_url", flat=True))


def _failing(rows: Iterable[SourceRun]) -> set[int]:
    """The sources with open errors."""
    failing = Failure.objects.open().errors().filter(source__in=[row.source_id for row in rows])
    return set(failing.order_by().values_list("source", flat=True).distinct())


def _documents(rows: Iterable[SourceRun], seen: str) -> Mapping[int, list[Document]]:
    """The first documents that each ended row added (`seen` is "gte") or changed ("lt"), by their
    source."""
    ended = [row for row in rows if row.finished_at and row.source_id]
    asked = [row for row in ended if (row.added if seen == "gte" else row.changed)]
    parts = [_changed_by(row, seen)[:SHOWN] for row in asked if row.started_at]
    found: dict[int, list[Document]] = defaultdict(list)
    for document in _together(parts):
        found[document.source_id].append(document)
    return found


def _changed_by(row: SourceRun, seen: str) -> QuerySet[Document]:
    period = {"changed_at__gte": row.started_at, "changed_at__lte": row.finished_at}
    mine = Document.objects.filter(source=row.source_id, **period)
    return mine.filter(**{f"first_seen__{seen}": row.started_at}).only(
        "pk", "source", "title", "url"
    )


def _lists(rows: Iterable[SourceRun]) -> Mapping[int, tuple[list[str], list[list[str]]]]:
    """What vanished and what moved in each row, for those where something did."""
    asked = [row.pk for row in rows if not row.is_open and _has_lists(row)]
    found: dict[int, tuple[list[str], list[list[str]]]] = defaultdict(lambda: ([], []))
    if asked:
        listed = SourceRun.objects.filter(pk__in=asked).values_list("pk", "vanished", "moves")
        found.update({pk: (vanished, moves) for pk, vanished, moves in listed})
    return found


def _has_lists(row: SourceRun) -> bool:
    return bool(row.removed or row.moved or row.state == State.NEEDS_APPROVAL)


def changes(row: SourceRun, added: Parts, changed: Parts, lists: Parts) -> list[Change]:
    """The documents that the run added, changed, moved and removed, as far as still known.

    A document that a later run changed again is listed there.
    """
    vanished, moves = lists[row.pk]
    removed = vanished if row.removed and row.state != State.NEEDS_APPROVAL else []
    found = [
        Change("Added", row.added, added.get(row.source_id or 0, [])),
        Change("Changed", row.changed, changed.get(row.source_id or 0, [])),
        Change("Moved", row.moved, urls=[f"{old} → {new}" for old, new in moves[:SHOWN]]),
        Change("Removed", row.removed, urls=removed[:SHOWN]),
    ]
    return [change for change in found if change.number and not row.is_open]
