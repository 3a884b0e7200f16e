"""The run's state machine: request, claim, finish, cancel, resume, approve.

Rows are the truth; a queued task is only a doorbell for one. Every move names the states it leaves
from and changes the row in one statement, so two processes cannot both make it.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task

from ingestion.index.source_lock import SourceLock, is_free
from ingestion.models import OPEN_STATES, Chunk, Document, Failure, Run, SourceRun, State
from ingestion.runs import log
from sources.models import Source

logger = logging.getLogger(__name__)

TRANSITIONS: dict[str, frozenset[str]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED, State.INTERRUPTED}),
    State.RUNNING: frozenset(
        {
            State.QUEUED,
            State.WAITING,
            State.SUCCEEDED,
            State.PARTIAL,
            State.FAILED,
            State.CANCELLED,
            State.INTERRUPTED,
            State.NEEDS_APPROVAL,
        }
    ),
    State.WAITING: frozenset({State.QUEUED, State.CANCELLED, State.INTERRUPTED}),
    State.INTERRUPTED: frozenset({State.QUEUED, State.FAILED}),
    State.NEEDS_APPROVAL: frozenset({State.SUCCEEDED, State.PARTIAL}),
}
DONE_STATES = [State.SUCCEEDED, State.PARTIAL, State.FAILED, State.CANCELLED]
ENDED_STATES = [*DONE_STATES, State.INTERRUPTED, State.NEEDS_APPROVAL]
CLAIMED_WITHIN = timedelta(seconds=10)  # of taking its task, a source run
RUN_SOURCE = "ingestion.tasks.run_source"
DELETED = "The source was deleted, and its documents with it."


def move(source_run: SourceRun | int, to: str, *, during: int | None = None, **fields: Any) -> bool:
    """Move a SourceRun to another state, from where that is allowed; whether it moved.

    With `during`, only while the row is in that attempt. A state that ends the run gets its time.
    """
    pk = source_run if isinstance(source_run, int) else source_run.pk
    origins = [state for state, targets in TRANSITIONS.items() if to in targets]
    rows = SourceRun.objects.filter(pk=pk, state__in=origins)
    if during is not None:
        rows = rows.filter(attempt=during)
    if to in ENDED_STATES:
        fields.setdefault("finished_at", timezone.now())
    moved = bool(rows.update(state=to, **fields))
    if moved:
        logger.info("source run %s: %s %s", pk, to, fields.get("error", ""))
        log.told_move(pk, to, fields)
    return moved


@dataclass(frozen=True)
class Request:
    """The answer to a request: the run, its new source runs, and those that were open already."""

    run: Run
    started: list[SourceRun]
    joined: list[SourceRun]

    @property
    def source_runs(self) -> list[SourceRun]:
        return sorted([*self.started, *self.joined], key=lambda item: item.source_name)


@transaction.atomic
def request(
    sources: Iterable[Source],
    *,
    origin: str,
    requested_by: Any = None,
    clean: bool = False,
    retry_failed: bool = False,
    addresses: Iterable[str] = (),
    data_dir: Path | None = None,
) -> Request:
    """Queue a reading of each source; one that is queued or running already is joined instead.

    With `retry_failed` only documents with open failures are read, with `addresses` only those.
    The rows and the tasks are written in one transaction: either all of it stands, or nothing.
    """
    options: dict[str, Any] = {"clean": clean, "retry_failed": retry_failed}
    if chosen := sorted(set(addresses)):
        options["addresses"] = chosen
    if data_dir is not None:
        options["data_dir"] = str(data_dir)
    run = Run.objects.create(origin=origin, requested_by=requested_by, options=options)
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
    """The sources that still exist, in one order for all: two requests for one of them take turns,
    and it cannot be deleted meanwhile. The reading of it goes on."""
    pks = [source.pk for source in sources]
    return list(Source.objects.filter(pk__in=pks).order_by("pk").select_for_update(no_key=True))


def _open(run: Run, source: Source) -> SourceRun:
    documents = Document.objects.filter(source=source).count()
    return SourceRun.objects.create(
        run=run,
        source=source,
        source_name=source.name,
        documents=documents,
        chunks=Chunk.objects.filter(document__source=source).count(),
        expected=documents or None,
    )


def ring(source_run: SourceRun | int) -> None:
    """Queue the task that looks at the row. One ring too many does no harm."""
    pk = source_run if isinstance(source_run, int) else source_run.pk
    async_task(RUN_SOURCE, pk, task_name=f"source run {pk}", save=False)


def claim(pk: int, worker: str) -> SourceRun | str:
    """Start the next attempt of a queued SourceRun; or say why there is nothing to do.

    The attempt is counted before it starts, so a document that kills its reader cannot loop.
    """
    source_run = SourceRun.objects.select_related("source", "run").filter(pk=pk).first()
    if source_run is None:
        return f"Source run {pk} is gone."
    if source_run.state != State.QUEUED:
        return f"{source_run} is {source_run.state}: nothing to start."
    if refusal := _refusal(source_run):
        move(source_run, State.CANCELLED, error=refusal)
        return f"{source_run}: {refusal}"
    now = timezone.now()
    fields: dict[str, Any] = {"attempt": F("attempt") + 1, "worker": worker, "heartbeat": now}
    fields |= {"stage": "starting", "error": "", "current_url": "", "read": 0}
    if source_run.started_at is None:
        fields["started_at"] = now
    if not move(source_run, State.RUNNING, **fields):
        return f"{source_run} was started by another worker."
    source_run.refresh_from_db()
    return source_run


def _refusal(source_run: SourceRun) -> str:
    if source_run.source is None:
        return DELETED
    if not source_run.source.enabled:
        return "The source was disabled: enable it and start it again."
    if source_run.cancel_requested:
        return "Cancelled before it began."
    return ""


def cancel(source_run: SourceRun, who: str = "") -> str:
    """Ask a source run to stop; a sentence on what happens next. What is stored stays."""
    by = f" by {who}" if who else ""
    note = f"Cancelled{by}. What was stored stays; start it again to go on from there."
    waiting = SourceRun.objects.filter(pk=source_run.pk, state__in=[State.QUEUED, State.WAITING])
    if waiting.update(state=State.CANCELLED, error=note, finished_at=timezone.now()):
        log.told_move(source_run.pk, State.CANCELLED, {"error": note})
        return f"{source_run.source_name} was cancelled before it ran on."
    running = SourceRun.objects.filter(pk=source_run.pk, state=State.RUNNING)
    if running.update(cancel_requested=True, last_line=f"Cancel requested{by}."):
        log.told(source_run.pk, f"Cancel requested{by}.")
        return f"{source_run.source_name} stops within seconds; what was stored stays."
    source_run.refresh_from_db(fields=["state"])
    return f"{source_run.source_name} has ended already ({source_run.get_state_display()})."


@transaction.atomic
def crashed(source_run: SourceRun, reason: str) -> str:
    """The reading died: queue it again, or give up after the last attempt; what was done."""
    attempt, limit = source_run.attempt, settings.RUN_ATTEMPTS
    hand = f" Document in hand: {source_run.current_url}." if source_run.current_url else ""
    if not move(source_run, State.INTERRUPTED, during=attempt, error=f"{reason}{hand}"):
        return f"{source_run} ended otherwise meanwhile."
    if attempt >= limit:
        error = (
            f"Given up after {attempt} attempts. The last one: {reason}{hand} "
            "Mend or exclude that document, then start the source again."
        )
        _record_crash(source_run, error)
        move(source_run, State.FAILED, error=error, stage="")
        return error
    return requeue(source_run, f"{reason}{hand} Attempt {attempt + 1} of {limit} follows.")


def _record_crash(source_run: SourceRun, message: str) -> None:
    Failure.objects.create(
        source_run=source_run,
        source=Source.objects.filter(source_runs=source_run).first(),
        document_url=source_run.current_url[:2000],
        stage=source_run.stage or "run",
        message=message,
    )
    SourceRun.objects.filter(pk=source_run.pk).update(failures=F("failures") + 1)


def requeue(source_run: SourceRun, line: str, **fields: Any) -> str:
    """Queue an interrupted or waiting source run again, unless another one has been opened."""
    fields = {"last_line": line, "stage": "", "finished_at": None, **fields}
    try:
        with transaction.atomic():
            if move(source_run, State.QUEUED, **fields):
                ring(source_run)
    except IntegrityError:
        return f"{source_run.source_name} has a newer run already."
    return line


def give_back(source_run: SourceRun, line: str, *, at_once: bool = True) -> str:
    """Put a running source run back into the queue, no attempt burnt.

    Unless `at_once`, it is the reaper that has it tried again.
    """
    fields = {"attempt": F("attempt") - 1, "last_line": line, "stage": ""}
    with transaction.atomic():
        if move(source_run, State.QUEUED, during=source_run.attempt, **fields) and at_once:
            ring(source_run)
    return line


def end_cancelled(source_run: SourceRun) -> str:
    error = "Cancelled. What was stored stays; start it again to go on from there."
    move(source_run, State.CANCELLED, during=source_run.attempt, error=error, stage="")
    return f"{source_run}: cancelled."


@transaction.atomic
def put_to_wait(source_run: SourceRun, reason: str, what: str = "the embedder") -> str:
    """Have a running source run wait, each time longer, up to the limit; no attempt burnt."""
    if source_run.cancel_requested:
        return end_cancelled(source_run)
    now = timezone.now()
    since = source_run.waiting_since or now
    waited = (now - since).total_seconds()
    if waited >= settings.EMBEDDER_WAIT_LIMIT:
        hours = f"{waited / 3600:.1f} hours (EMBEDDER_WAIT_LIMIT)"
        error = f"Waited {hours} for {what}: {reason} Mend that, then start the source again."
        if move(source_run, State.FAILED, during=source_run.attempt, error=error, stage=""):
            _record_crash(source_run, error)
        return error
    pause = min(max(settings.EMBEDDER_WAIT_FIRST, waited), settings.EMBEDDER_WAIT_MAX)
    line = f"Waits for {what}: {reason} It goes on by itself; cancel it to stop that."
    fields = {"error": line, "stage": "", "attempt": F("attempt") - 1, "waiting_since": since}
    fields["resume_at"] = now + timedelta(seconds=pause)
    move(source_run, State.WAITING, during=source_run.attempt, **fields)
    return f"{source_run.source_name}: {line}"


def reap(now: datetime | None = None) -> list[str]:
    """Bring every source run that stands still back to life or to an end; a sentence for each."""
    said = [*revive(now), *wake(now)]
    tasks = _tasks()
    ringing = {pk for pk, lost in tasks.values() if not lost}
    for pk in (
        SourceRun.objects.filter(state=State.QUEUED)
        .exclude(pk__in=ringing)
        .values_list("pk", flat=True)
    ):
        ring(pk)
        said.append(f"Source run {pk} was queued without a task: queued one.")
    _forget_tasks(tasks)
    return said


def revive(now: datetime | None = None) -> list[str]:
    """Queue again, or end, what is marked as running and nobody reads; a sentence for each."""
    running = SourceRun.objects.filter(state=State.RUNNING).select_related("source")
    said = [_reap_dead(source_run) for source_run in running if _is_silent(source_run, now)]
    return [line for line in said if line]


def wake(now: datetime | None = None) -> list[str]:
    """Queue what has waited long enough; a sentence for each."""
    due = SourceRun.objects.filter(state=State.WAITING, resume_at__lte=now or timezone.now())
    return [requeue(source_run, "Trying again what it waited for.") for source_run in due]


def _is_silent(source_run: SourceRun, now: datetime | None) -> bool:
    """Whether the worker has not been heard of for three heartbeats, or for half as long and seems
    to be gone: a container of the same name has processes that are not seen from here."""
    host, _, pid = source_run.worker.partition(" ")
    gone = host == socket.gethostname() and not (pid.isdigit() and _lives(int(pid)))
    beats = 1.5 if gone else 3
    stale = (now or timezone.now()) - timedelta(seconds=beats * settings.RUN_HEARTBEAT)
    return source_run.heartbeat is None or source_run.heartbeat < stale


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _reap_dead(source_run: SourceRun) -> str:
    if source_run.source_id is None:
        return end_without_source(source_run)
    if not is_free(connection, source_run.source_id):
        return ""
    if source_run.cancel_requested:
        return end_cancelled(source_run)
    return crashed(source_run, "The process that read it is gone (killed, or the machine stopped).")


def end_without_source(source_run: SourceRun) -> str:
    move(source_run, State.CANCELLED, during=source_run.attempt, error=DELETED, stage="")
    return f"{source_run}: {DELETED}"


def _tasks() -> dict[int, tuple[int, bool]]:
    """The tasks in the queue: the source run of each, and whether the worker that took it is lost.

    One that lives claims the source run at once, and removes the task when it is done.
    """
    now = timezone.now()
    taken_long_ago = now + timedelta(seconds=Conf.RETRY) - CLAIMED_WITHIN
    found = {}
    for row in OrmQ.objects.all():
        if row.task.get("func") == RUN_SOURCE:
            found[row.pk] = row.task["args"][0], now < row.lock < taken_long_ago
    return found


def _forget_tasks(tasks: dict[int, tuple[int, bool]]) -> None:
    """Remove what lost workers had taken, where there is nothing left to do for it."""
    lost = {row: pk for row, (pk, is_lost) in tasks.items() if is_lost}
    open_ = set(SourceRun.objects.open().filter(pk__in=lost.values()).values_list("pk", flat=True))
    OrmQ.objects.filter(pk__in=[row for row, pk in lost.items() if pk not in open_]).delete()


def interrupt(source_runs: Sequence[SourceRun], line: str) -> None:
    """Stop what the person who started it will not wait for; `--resume` goes on with it."""
    for source_run in source_runs:
        if source_run.state in (State.QUEUED, State.WAITING):
            move(source_run, State.INTERRUPTED, error=line)


def resumable() -> list[Source]:
    """The sources of the last run that did not get to its end, and that have not been read since.

    One that is open still is among them: a request joins it, and its worker may be gone.
    """
    unfinished = Q(state__in=[*OPEN_STATES, State.INTERRUPTED, State.CANCELLED, State.FAILED])
    last = SourceRun.objects.filter(unfinished).order_by("-run_id").first()
    if last is None:
        return []
    rows = SourceRun.objects.filter(unfinished, run_id=last.run_id).select_related("source")
    return [row.source for row in rows if row.source and row.source.enabled and _is_latest(row)]


def _is_latest(source_run: SourceRun) -> bool:
    return not SourceRun.objects.filter(source=source_run.source, pk__gt=source_run.pk).exists()


def has_failures(source: Source) -> bool:
    """Whether a retry of the source would have anything to do."""
    return Failure.objects.open().errors().filter(source=source).exists()


def sources_with_failures() -> list[Source]:
    failing = Failure.objects.open().errors().values("source")
    return list(Source.objects.filter(pk__in=failing, enabled=True))


def decide_removal(source_run: SourceRun, *, approve: bool, who: str) -> str:
    """Answer a source run that waits for approval: remove what vanished, or keep it."""
    source = source_run.source
    if source is None:
        _close_approval(source_run, DELETED)
        return DELETED
    with transaction.atomic():
        verb = "approved" if approve else "refused"
        if not _close_approval(source_run, f"Removal {verb} by {who}."):
            return f"{source_run} does not wait for approval any more."
        if not approve:
            return f"{len(source_run.vanished)} documents of {source.name} are kept."
        if not SourceLock(connection, source.pk).acquire_for_transaction():
            transaction.set_rollback(True)
            return f"{source.name} is being read now: decide when that has ended."
        removed = remove_vanished(source_run)
    return f"{removed} documents of {source.name} were removed."


def _close_approval(source_run: SourceRun, line: str) -> bool:
    """End what waits for approval; its duration stays that of the reading."""
    final = State.PARTIAL if source_run.failures else State.SUCCEEDED
    kept = source_run.finished_at
    waiting = SourceRun.objects.filter(pk=source_run.pk, state=State.NEEDS_APPROVAL)
    return bool(waiting) and move(source_run, final, last_line=line, finished_at=kept)


def supersede_approvals(source_run: SourceRun) -> None:
    """A newer complete reading has judged anew what earlier ones found vanished."""
    earlier = SourceRun.objects.filter(source=source_run.source_id, state=State.NEEDS_APPROVAL)
    for row in earlier.exclude(pk=source_run.pk):
        _close_approval(row, f"Run {source_run.run_id} has read the source again since.")


def delete_source(source: Source, who: str = "") -> str:
    """Delete a source with its documents, also while it is read: the reading ends by itself."""
    with transaction.atomic():
        Source.objects.select_for_update().filter(pk=source.pk).first()
        for open_run in SourceRun.objects.open().filter(source=source.pk):
            cancel(open_run, who)
        for held in SourceRun.objects.filter(source=source.pk, state=State.NEEDS_APPROVAL):
            _close_approval(held, DELETED)
        source.delete()
    return f"{source.name} was deleted with its documents."


def remove_vanished(source_run: SourceRun) -> int:
    """Remove the listed documents, save those a later reading has met again."""
    gone = Document.objects.filter(
        source=source_run.source,
        url__in=source_run.vanished,
        last_seen__lt=source_run.started_at or source_run.queued_at,
    )
    _, removed = gone.delete()
    number = removed.get("ingestion.Document", 0)
    documents = Document.objects.filter(source=source_run.source)
    SourceRun.objects.filter(pk=source_run.pk).update(
        removed=F("removed") + number,
        documents=documents.count(),
        chunks=Chunk.objects.filter(document__source=source_run.source).count(),
    )
    return number


def status_of(states: Iterable[str]) -> str:
    """One word for several source runs: the open ones first, then the worst."""
    found = set(states)
    for state in (State.RUNNING, State.WAITING, State.QUEUED, State.NEEDS_APPROVAL):
        if state in found:
            return str(state)
    if len(found) == 1:
        return str(found.pop())
    return str(State.PARTIAL) if found else str(State.SUCCEEDED)
