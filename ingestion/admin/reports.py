"""The report of each source on a run's page: times, stages, failures by reason, what changed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Left

from ingestion.admin.charts import Bar, bars
from ingestion.admin.display import seconds
from ingestion.models import Document, Failure, LogLine, SourceRun, State
from ingestion.pipeline import STAGES
from ingestion.runs.requests import has_failures

SHOWN_LINES = 200
# The levels that the log can be filtered by, by the value in the page's address.
LEVELS = {
    "warning": [LogLine.Level.WARNING, LogLine.Level.ERROR],
    "error": [LogLine.Level.ERROR],
}
SHOWN = 200  # documents, failures of one reason or addresses in one list
READ_FAILURES = 2000
LISTED_MESSAGE = 500  # characters of a message in the list of all failures
SHOWN_MESSAGE = 2000  # characters of a failure; those that older versions stored may be longer
# Each character belongs to one piece, so that the time grows with the length alone.
_PIECE = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|[^\s'\"`]+")
_NUMBER = re.compile(r"\d+")


@dataclass
class Group:
    """Failures that differ only in names and numbers; `text` is the first one's."""

    text: str
    level: str
    stage: str
    rows: list[Failure] = field(default_factory=list)

    @property
    def addresses(self) -> set[str]:
        """The addresses of the documents that a retry could fix."""
        errors = (row for row in self.rows if row.level == Failure.Level.ERROR)
        return {row.document_url for row in errors if row.document_url and not row.resolved}


@dataclass(frozen=True)
class Change:
    kind: str
    number: int
    documents: list[Document]
    urls: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """The report of one source run."""

    row: SourceRun
    times: list[tuple[str, datetime]]
    stages: list[Bar]
    groups: list[Group]
    changes: list[Change]
    waiting: list[str]
    lines: list[LogLine]
    can_retry: bool
    """Whether the source has open failures, of this run or another."""


def report(row: SourceRun, level: str = "") -> Report:
    held = row.state == State.NEEDS_APPROVAL
    return Report(
        row=row,
        times=times(row),
        stages=stages(row),
        groups=groups(row),
        changes=changes(row),
        waiting=row.vanished if held else [],
        lines=lines(row, level),
        can_retry=row.source is not None and has_failures(row.source),
    )


def lines(row: SourceRun, level: str = "") -> list[LogLine]:
    """The newest lines of the log, newest first; with a level, of it and above."""
    mine = LogLine.objects.filter(source_run=row)
    if levels := LEVELS.get(level):
        mine = mine.filter(level__in=levels)
    return list(mine.order_by("-pk")[:SHOWN_LINES])


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


def groups(row: SourceRun) -> list[Group]:
    return grouped(brief(row.failure_rows.order_by("level", "pk"))[:READ_FAILURES])


def brief(failures: QuerySet[Failure]) -> QuerySet[Any]:
    """The failures with the `beginning` of each message, and without the whole of it."""
    return failures.defer("message").annotate(beginning=Left("message", SHOWN_MESSAGE))


def addresses_like(row: SourceRun, failure: str) -> set[str]:
    """The open addresses of the group that contains a failure, given by its key."""
    for group in groups(row):
        if any(str(member.pk) == failure for member in group.rows):
            return group.addresses
    return set()


def grouped(failures: Iterable[Any]) -> list[Group]:
    """By reason, the most frequent first, errors before warnings."""
    found: dict[tuple[str, str, str], Group] = {}
    for failure in failures:
        key = (failure.level, failure.stage, reason(failure))
        group = found.setdefault(key, Group(failure.beginning, failure.level, failure.stage))
        group.rows.append(failure)
    return sorted(found.values(), key=lambda group: (group.level, -len(group.rows)))


def reason(failure: Any) -> str:
    """The message without what is specific to its document: file name, quotes, addresses,
    numbers."""
    head, colon, rest = failure.beginning.partition(": ")
    text = rest if colon and head in failure.document_url else failure.beginning
    return _PIECE.sub(_general, text)


def _general(piece: re.Match[str]) -> str:
    text = piece[0]
    return "*" if text[0] in "'\"`" or "/" in text[:-1] else _NUMBER.sub("*", text)


def changes(row: SourceRun) -> list[Change]:
    """The documents that the run added, changed, moved and removed, as far as still known.

    A document that a later run changed again is listed there.
    """
    if row.source_id is None or row.started_at is None:
        return []
    mine = Document.objects.filter(source=row.source_id, changed_at__gte=row.started_at)
    if row.finished_at:
        mine = mine.filter(changed_at__lte=row.finished_at)
    mine = mine.only("pk", "title", "url").order_by("url")
    added = mine.filter(first_seen__gte=row.started_at)
    changed = mine.filter(first_seen__lt=row.started_at)
    removed = row.vanished if row.removed and row.state != State.NEEDS_APPROVAL else []
    found = [
        Change("Added", row.added, list(added[:SHOWN])),
        Change("Changed", row.changed, list(changed[:SHOWN])),
        Change("Moved", row.moved, [], [f"{old} → {new}" for old, new in row.moves[:SHOWN]]),
        Change("Removed", row.removed, [], removed[:SHOWN]),
    ]
    return [change for change in found if change.number]
