"""The page of a run: its total and a line for each source, all of it from the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from ingestion.admin import reports
from ingestion.admin.display import seconds
from ingestion.models import OPEN_STATES, Run, SourceRun, State
from ingestion.monitoring import health
from ingestion.runs.state_machine import status_of

PAUSE = 1500  # milliseconds between two refreshes, of a run with few sources
PAUSE_EACH = 60  # milliseconds for each source, if that is more
WATCHED = timedelta(minutes=5)  # an interrupted run may be queued again by itself for so long
# What needs a look comes first.
ORDER = (
    *(State.RUNNING, State.FAILED, State.INTERRUPTED, State.NEEDS_APPROVAL, State.WAITING),
    *(State.QUEUED, State.PARTIAL, State.SUCCEEDED, State.CANCELLED),
)
BROKEN_OFF = (State.FAILED, State.INTERRUPTED, State.CANCELLED)
# The colour of each stage in the bar: looking up vectors belongs to embedding.
FILLS = {"parse": "parse", "chunk": "chunk", "look up": "embed", "embed": "embed"}
FILLS |= {"store": "store", "index": "index", "finish": "index"}


@dataclass(frozen=True)
class Segment:
    """A part of the bar of a line, in percent of its width."""

    fill: str
    x: float
    width: float


@dataclass(frozen=True)
class Line:
    """One source in a run. `about` is how many documents it will have read, if that is known."""

    row: SourceRun
    about: int | None
    note: str
    report: reports.Report
    is_open: bool

    @property
    def part(self) -> float:
        """How much of it is done, from 0 to 1."""
        if not self.row.is_open and self.row.state not in BROKEN_OFF:
            return 1.0
        expected = self.row.expected or self.about
        return min(self.row.read / expected, 1.0) if expected else 0.0

    @property
    def far(self) -> str:
        """How far it is, beside its state."""
        if self.row.state == State.RUNNING:
            left = time_left(self.row.read, self.about, elapsed([self.row]))
            return f"{100 * self.part:.0f} %, {seconds(left)} left" if left else self.row.stage
        return f"in {seconds(self.row.seconds)}" if self.row.seconds is not None else ""

    @property
    def is_unknown(self) -> bool:
        """Whether nobody can say how much there is to read."""
        return self.row.is_open and not self.about

    @property
    def segments(self) -> list[Segment]:
        """The bar: as long as it is done, divided as its time so far is among the stages. Its whole
        length is divided if nobody knows how much there is."""
        spent = {name: float(value) for name, value in self.row.timings.items() if name in FILLS}
        whole = sum(spent.values())
        scale = 100 * (1.0 if self.is_unknown else self.part) / whole if whole else 0
        found, x = [], 0.0
        for name, fill in FILLS.items():
            if width := scale * spent.get(name, 0):
                found.append(Segment(fill, x, width))
                x += width
        return found

    @property
    def spent(self) -> str:
        stages = (bar.label for bar in self.report.stages)
        return ", ".join(stages) or "no stage has been timed yet"


@dataclass(frozen=True)
class Total:
    """The sums over all lines of a run. `about` and `left` are None while they cannot be known."""

    state: State
    sources: int
    done: int
    read: int
    about: int | None
    embedded: int
    took: float
    left: float | None
    added: int
    changed: int
    moved: int
    removed: int
    errors: int
    warnings: int

    @property
    def rate(self) -> float:
        """Chunks embedded in a second."""
        return self.embedded / max(self.took, 0.1)

    @property
    def is_open(self) -> bool:
        return self.done < self.sources and self.state in OPEN_STATES


def shown(run: Run, level: str = "") -> dict[str, Any]:
    """Everything on the page of a run; `level` narrows the logs."""
    rows = rows_of(run)
    notes, found = notes_of(rows), reports.reports(rows.mine, level)
    lines = [
        line(run, row, notes[row.pk], found[row.pk], alone=len(notes) == 1) for row in rows.mine
    ]
    total = total_of(lines)
    return {
        "original": run,
        "lines": lines,
        "total": total,
        "can_cancel": any(one.row.is_open and not one.row.cancel_requested for one in lines),
        "level": level if level in reports.LEVELS else "",
        "pause": max(PAUSE, PAUSE_EACH * len(lines)),
        "ended": not any(map(may_go_on, rows.mine)),
    }


@dataclass(frozen=True)
class Rows:
    """The rows of a run as they are at one time, and why each of them does not go on now."""

    mine: Sequence[SourceRun]
    why: dict[int, str]


def rows_of(run: Run) -> Rows:
    wanted = Q(run=run) | Q(state__in=OPEN_STATES)
    rows = SourceRun.objects.filter(wanted).select_related("source")
    rows = rows.defer("vanished", "moves", "quality")
    found = list(rows.order_by("source_name"))
    mine = [row for row in found if row.run_id == run.pk]
    mine.sort(key=lambda row: ORDER.index(State(row.state)))
    waiting = [row for row in found if row.is_open]
    why = dict(health.why_waiting(waiting)) if any(row.is_open for row in mine) else {}
    return Rows(mine, why)


def notes_of(rows: Rows) -> dict[int, str]:
    """A sentence below each line, for what waits or went wrong. What holds for the line above too
    is not repeated."""
    found, above = {}, ""
    for row in rows.mine:
        note = _note(row, rows.why.get(row.pk, ""))
        found[row.pk] = "" if note == above else note
        above = note
    return found


def _note(row: SourceRun, why: str) -> str:
    if row.cancel_requested or row.state in BROKEN_OFF:
        return row.error or row.last_line
    return row.last_line if row.state == State.NEEDS_APPROVAL else why


def line(run: Run, row: SourceRun, note: str, report: reports.Report, *, alone: bool) -> Line:
    needed = row.state == State.NEEDS_APPROVAL
    return Line(row, about(run, row), note, report, needed or alone)


def about(run: Run, row: SourceRun) -> int | None:
    """How many documents it will have read: as many as it has, at the end."""
    if not row.is_open:
        return row.read
    if run.options.get("retry_failed"):
        chosen = len(run.options.get("addresses", ()))
        return max(chosen, row.read) if chosen else None
    return max(row.expected, row.read) if row.expected else None


def total_of(lines: Sequence[Line]) -> Total:
    rows = [one.row for one in lines]
    known = [one.about for one in lines if one.about is not None]
    expected = sum(known) if len(known) == len(lines) else None
    read, took = summed(rows, "read"), elapsed(rows)
    return Total(
        state=State(status_of(row.state for row in rows)),
        sources=len(rows),
        done=sum(not row.is_open for row in rows),
        read=read,
        about=expected,
        embedded=summed(rows, "embedded"),
        took=took,
        left=time_left(read, expected, took),
        errors=summed(rows, "failures"),
        warnings=summed(rows, "warnings"),
        **{name: summed(rows, name) for name in ("added", "changed", "moved", "removed")},
    )


def summed(rows: Iterable[SourceRun], name: str) -> int:
    return sum(getattr(row, name) for row in rows)


def elapsed(rows: Iterable[SourceRun]) -> float:
    """Seconds from the first start to the last end, or until now."""
    begun = [row for row in rows if row.started_at]
    if not begun:
        return 0.0
    first = min(row.started_at for row in begun if row.started_at)
    return (max(map(_end, begun)) - first).total_seconds()


def _end(row: SourceRun) -> datetime:
    return row.finished_at if row.finished_at and not row.is_open else timezone.now()


def time_left(read: int, expected: int | None, took: float) -> float | None:
    if not expected or not read or read >= expected:
        return None
    return took * (expected - read) / read


def may_go_on(row: SourceRun) -> bool:
    """Whether the page has to look again."""
    if row.state != State.INTERRUPTED:
        return row.is_open
    return row.finished_at is not None and timezone.now() - row.finished_at < WATCHED
