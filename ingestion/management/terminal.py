"""What a person at a terminal sees of a run: a bar per source, or plain lines; then the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from ingestion.models import SourceRun, State
from ingestion.runs.state_machine import DONE_STATES

COLOURS = {
    State.SUCCEEDED: "green",
    State.PARTIAL: "yellow",
    State.NEEDS_APPROVAL: "yellow",
    State.WAITING: "yellow",
    State.FAILED: "red",
    State.CANCELLED: "red",
    State.INTERRUPTED: "red",
}
COUNTERS = ("documents", "chunks", "embedded", "reused", "removed", "failures")


class Bars:
    """A bar per source, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[line]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self.tasks: dict[int, TaskID] = {}

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, source_runs: Sequence[SourceRun]) -> None:
        for row in source_runs:
            if row.pk not in self.tasks:
                self.tasks[row.pk] = self.progress.add_task(row.source_name, total=None, line="")
            done = row.state in COLOURS and row.state != State.WAITING
            self.progress.update(
                self.tasks[row.pk],
                total=1 if done else row.expected,
                completed=1 if done else min(row.read, row.expected or row.read),
                line=line_of(row),
            )


class Lines:
    """A line whenever a source has moved on; for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.shown: dict[int, str] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, source_runs: Sequence[SourceRun]) -> None:
        for row in source_runs:
            key = f"{row.state}{row.read // 500}"
            if self.shown.get(row.pk) != key and row.state != State.QUEUED:
                self.shown[row.pk] = key
                self.out.write(f"{row.source_name}: {line_of(row)}\n")
                self.out.flush()


def line_of(row: SourceRun) -> str:
    """Where a source run is, in a few words."""
    if row.state == State.RUNNING:
        return f"{row.stage or 'starting'}: {row.read} documents, {row.embedded} chunks embedded"
    text = row.get_state_display()
    if (row.state in DONE_STATES and row.state != State.SUCCEEDED) or row.state == State.WAITING:
        return f"{text}: {row.error or row.last_line}"
    return f"{text}: {row.last_line}" if row.last_line and row.state != State.QUEUED else text


def summary(rows: Sequence[SourceRun]) -> Table:
    """The table at the end of a run, with totals."""
    table = Table(show_footer=True)
    totals = totals_of(rows)
    table.add_column("Source", footer="Total", no_wrap=True)
    for name in COUNTERS:
        table.add_column(name.capitalize(), footer=f"{totals[name]:,}", justify="right")
    table.add_column("Duration", footer=f"{totals['seconds']:.1f} s", justify="right")
    table.add_column("Status")
    for row in rows:
        colour = COLOURS.get(State(row.state), "")
        status = f"[{colour}]{row.state}[/]" if colour else str(row.state)
        figures = [f"{getattr(row, name):,}" for name in COUNTERS]
        table.add_row(row.source_name, *figures, f"{row.seconds or 0:.1f} s", status)
    return table


def totals_of(rows: Sequence[SourceRun]) -> dict[str, float]:
    totals: dict[str, float] = {name: sum(getattr(row, name) for row in rows) for name in COUNTERS}
    return totals | {"seconds": round(sum(row.seconds or 0 for row in rows), 1)}


def as_json(rows: Sequence[SourceRun], run: int | None, status: str) -> dict[str, object]:
    return {
        "run": run,
        "status": status,
        "sources": [
            {
                "name": row.source_name,
                "status": row.state,
                **{name: getattr(row, name) for name in COUNTERS},
                "seconds": round(row.seconds or 0, 1),
            }
            for row in rows
        ],
        "totals": totals_of(rows),
    }
