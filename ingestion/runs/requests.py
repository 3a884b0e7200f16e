"""Requests of people and schedules: start, claim, cancel, resume or retry runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django_q.tasks import async_task

from ingestion.models import (
    OPEN_STATES,
    ApiToken,
    Chunk,
    Document,
    Failure,
    Run,
    SourceRun,
    State,
)
from ingestion.runs import log
from ingestion.runs.state_machine import DELETED, move
from sources.models import Source

RUN_SOURCE = "ingestion.tasks.run_source"
NOT_RUNNING = (State.QUEUED, State.WAITING)


@dataclass(frozen=True)
class Request:
    """The result of a request: the run, its new source runs, and the open ones it joined."""

    run: Run
    started: list[SourceRun]
    joined: list[SourceRun]

    @property
    def source_runs(self) -> list[SourceRun]:
        return sorted([*self.started, *self.joined], key=lambda item: item.source_name)


def unready(source: Source) -> str:
    """Why a run cannot read the source now, and what to do; empty if it can."""
    if not source.enabled:
        return "It is disabled: enable it."
    return " ".join(text for texts in source.problems().values() for text in texts)


@transaction.atomic
def request(
    sources: Iterable[Source],
    *,
    origin: str,
    requested_by: Any = None,
    token: ApiToken | None = None,
    clean: bool = False,
    retry_failed: bool = False,
    addresses: Iterable[str] = (),
    data_dir: Path | None = None,
    since: datetime | None = None,
) -> Request:
    """Queue a reading of each source; join it if one is queued or running already.

    With `retry_failed` only documents with open failures are read, with `addresses` only those,
    with `clean` and `since` only what was not made since then. Rows and tasks are
    written in one transaction.
    """
    options: dict[str, Any] = {"clean": clean, "retry_failed": retry_failed}
    if chosen := sorted(set(addresses)):
        options["addresses"] = chosen
    if data_dir is not None:
        options["data_dir"] = str(data_dir)
    if since is not None:
        options["since"] = since.isoformat()
    run = Run.objects.create(origin=origin, requested_by=requested_by, token=token, options=options)
    started, joined = [], []
    for source in _locked(sources):
        if open_run := SourceRun.objects.open().filter(source=source).first():
            joined.append(open_run)
        else:
            started.append(_open(run, source))
            ring(started[-1])
    if joined and not started:
        run.delete()
        run = joined[0].run
    return Request(run, started, joined)


def _locked(sources: Iterable[Source]) -> list[Source]:
    """Lock the sources that still exist, always in the same order: two requests for one of them
    take turns, and it cannot be deleted meanwhile. A reading of it goes on."""
    pks = [source.pk for source in sources]
    return list(Source.objects.filter(pk__in=pks).order_by("pk").select_for_update(no_key=True))


def _open(run: Run, source: Source) -> SourceRun:
    stored = _stored(source)
    expected = stored["documents"] or None
    return SourceRun.objects.create(
        run=run, source=source, source_name=source.name, expected=expected, **stored
    )


def _stored(source: Source | None) -> dict[str, int]:
    """The figures of a source run about what its source holds now."""
    return {
        "documents": Document.objects.filter(source=source).count(),
        "chunks": Chunk.objects.filter(document__source=source).count(),
    }


def ring(source_run: SourceRun | int) -> None:
    """Queue the task that looks at the row. Queueing it twice does no harm."""
    pk = source_run if isinstance(source_run, int) else source_run.pk
    async_task(RUN_SOURCE, pk, task_name=f"source run {pk}", save=False)


@dataclass(frozen=True)
class Claim:
    """A source run that this process may read; without one, `refusal` says why."""

    source_run: SourceRun | None = None
    refusal: str = ""


def claim(pk: int, worker: str) -> Claim:
    """Start the next attempt of a queued SourceRun.

    The attempt is counted before it starts, so a document that kills its process cannot loop
    forever.
    """
    source_run = SourceRun.objects.select_related("source", "run").filter(pk=pk).first()
    if source_run is None:
        return Claim(refusal=f"Source run {pk} is gone.")
    if source_run.state != State.QUEUED:
        return Claim(refusal=f"{source_run} is {source_run.state}: nothing to start.")
    if refusal := _refusal(source_run):
        move(source_run, State.CANCELLED, error=refusal)
        return Claim(refusal=f"{source_run}: {refusal}")
    now = timezone.now()
    fields: dict[str, Any] = {"attempt": F("attempt") + 1, "worker": worker, "heartbeat": now}
    fields |= {"stage": "starting", "error": "", "current_url": "", "read": 0}
    if source_run.started_at is None:
        fields["started_at"] = now
    if not move(source_run, State.RUNNING, **fields):
        return Claim(refusal=f"{source_run} was started by another worker.")
    source_run.refresh_from_db()
    return Claim(source_run)


def _refusal(source_run: SourceRun) -> str:
    if source_run.source is None:
        return DELETED
    if not source_run.source.enabled:
        return "The source was disabled: enable it and start it again."
    if source_run.cancel_requested:
        return "Cancelled before it began."
    return ""


def cancelled_note(source_run: SourceRun, by: str = "") -> str:
    """What becomes of a source run that was cancelled, and how to go on."""
    if source_run.run.options.get("clean"):
        on = "`ingest_all --resume` goes on from scratch, a start reads only what has changed."
    else:
        on = "start it again to go on from there."
    return f"Cancelled{by}. What was stored stays; {on}"


def cancel(source_run: SourceRun, who: str = "") -> str:
    """Ask a source run to stop; a sentence on what happens next. What is stored stays."""
    by = f" by {who}" if who else ""
    note = cancelled_note(source_run, by)
    if move(source_run, State.CANCELLED, leaving=NOT_RUNNING, error=note):
        return f"{source_run.source_name} was cancelled before it ran on."
    running = SourceRun.objects.filter(pk=source_run.pk, state=State.RUNNING)
    if running.update(cancel_requested=True, last_line=f"Cancel requested{by}."):
        log.note(source_run.pk, f"Cancel requested{by}.")
        return f"{source_run.source_name} stops within seconds; what was stored stays."
    source_run.refresh_from_db(fields=["state"])
    return f"{source_run.source_name} has ended already ({source_run.get_state_display()})."


def interrupt(source_runs: Sequence[SourceRun], line: str) -> None:
    """Stop a run that its caller does not wait for any more; `--resume` continues it."""
    for source_run in source_runs:
        stored = _stored(source_run.source)
        move(source_run, State.INTERRUPTED, leaving=NOT_RUNNING, error=line, **stored)


_UNFINISHED = Q(state__in=[*OPEN_STATES, State.INTERRUPTED, State.CANCELLED, State.FAILED])


def last_unfinished() -> Run | None:
    """The run that is resumed."""
    last = SourceRun.objects.filter(_UNFINISHED).select_related("run").order_by("-run_id").first()
    return last.run if last else None


def resumable() -> list[Source]:
    """The sources of the last run that did not finish and have not been read since.

    Open ones are included: a request joins them, and their worker may be gone.
    """
    if (run := last_unfinished()) is None:
        return []
    rows = SourceRun.objects.filter(_UNFINISHED, run=run).select_related("source")
    return [row.source for row in rows if row.source and row.source.enabled and _is_latest(row)]


def _is_latest(source_run: SourceRun) -> bool:
    return not SourceRun.objects.filter(source=source_run.source, pk__gt=source_run.pk).exists()


def has_failures(source: Source) -> bool:
    """Whether a retry of the source would have anything to do."""
    return Failure.objects.open().errors().filter(source=source).exists()


def sources_with_failures() -> list[Source]:
    failing = Failure.objects.open().errors().values("source")
    return list(Source.objects.filter(pk__in=failing, enabled=True))
