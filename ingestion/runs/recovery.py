"""Source runs that did not end by themselves: queue them again, let them wait, or end them."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta
from typing import Any

import psutil
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ

from ingestion.index.source_lock import is_free
from ingestion.models import Failure, SourceRun, State
from ingestion.runs.failures import stored_message
from ingestion.runs.requests import RUN_SOURCE, cancelled_note, ring
from ingestion.runs.state_machine import DELETED, move
from sources.models import Source

NO_DOCUMENT = "No document is known to be the cause: see the worker's log"
CLAIMED_WITHIN = timedelta(seconds=10)  # after taking its task, a source run


@transaction.atomic
def crashed(source_run: SourceRun, reason: str) -> str:
    """Queue a source run whose process died, or give up after the last attempt; a sentence."""
    attempt, limit = source_run.attempt, settings.RUN_ATTEMPTS
    hand = f" Document in hand: {source_run.current_url}." if source_run.current_url else ""
    if not move(source_run, State.INTERRUPTED, during=attempt, error=f"{reason}{hand}"):
        return f"{source_run} ended otherwise meanwhile."
    if attempt >= limit:
        step = "Fix or exclude that document" if hand else NO_DOCUMENT
        error = (
            f"Given up after {attempt} attempts. The last one: {reason}{hand} "
            f"{step}, then start the source again."
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
        message=stored_message(message),
    )
    SourceRun.objects.filter(pk=source_run.pk).update(failures=F("failures") + 1)


def requeue(source_run: SourceRun, line: str, **fields: Any) -> str:
    """Queue an interrupted or waiting source run again, unless there is a newer one."""
    fields = {"last_line": line, "stage": "", "finished_at": None, **fields}
    try:
        with transaction.atomic():
            if move(source_run, State.QUEUED, **fields):
                ring(source_run)
    except IntegrityError:
        return f"{source_run.source_name} has a newer run already."
    return line


def give_back(source_run: SourceRun, line: str, *, at_once: bool = True) -> str:
    """Put a running source run back into the queue without using up an attempt.

    Unless `at_once`, the reaper queues it later.
    """
    fields: dict[str, Any] = {"attempt": F("attempt") - 1, "last_line": line, "stage": ""}
    with transaction.atomic():
        if move(source_run, State.QUEUED, during=source_run.attempt, **fields) and at_once:
            ring(source_run)
    return line


def end_cancelled(source_run: SourceRun) -> str:
    error = cancelled_note(source_run)
    move(source_run, State.CANCELLED, during=source_run.attempt, error=error, stage="")
    return f"{source_run}: cancelled."


@transaction.atomic
def put_to_wait(source_run: SourceRun, reason: str, what: str = "the embedder") -> str:
    """Let a running source run wait, longer each time, up to the limit, without using up an
    attempt."""
    if source_run.cancel_requested:
        return end_cancelled(source_run)
    now = timezone.now()
    since = source_run.waiting_since or now
    waited = (now - since).total_seconds()
    if waited >= settings.EMBEDDER_WAIT_LIMIT:
        hours = f"{waited / 3600:.1f} hours (EMBEDDER_WAIT_LIMIT)"
        error = f"Waited {hours} for {what}: {reason} Fix that, then start the source again."
        if move(source_run, State.FAILED, during=source_run.attempt, error=error, stage=""):
            _record_crash(source_run, error)
        return error
    pause = min(max(settings.EMBEDDER_WAIT_FIRST, waited), settings.EMBEDDER_WAIT_MAX)
    line = f"Waits for {what}: {reason} It goes on by itself; cancel it to stop that."
    fields: dict[str, Any] = {
        "error": line,
        "stage": "",
        "attempt": F("attempt") - 1,
        "waiting_since": since,
    }
    fields["resume_at"] = now + timedelta(seconds=pause)
    move(source_run, State.WAITING, during=source_run.attempt, **fields)
    return f"{source_run.source_name}: {line}"


def reap(now: datetime | None = None) -> list[str]:
    """Queue or end every source run that is stuck; a sentence for each."""
    messages = [*revive(now), *wake(now)]
    tasks = tasks_of(RUN_SOURCE)
    ringing = {pk for pk, lost in tasks.values() if not lost}
    for pk in (
        SourceRun.objects.filter(state=State.QUEUED)
        .exclude(pk__in=ringing)
        .values_list("pk", flat=True)
    ):
        ring(pk)
        messages.append(f"Source run {pk} was queued without a task: queued one.")
    _forget_tasks(tasks)
    return messages


def revive(now: datetime | None = None) -> list[str]:
    """Queue again, or end, source runs marked as running that nobody reads; a sentence for each."""
    running = SourceRun.objects.filter(state=State.RUNNING).select_related("source")
    messages = [_reap_dead(source_run) for source_run in running if _is_silent(source_run, now)]
    return [line for line in messages if line]


def wake(now: datetime | None = None) -> list[str]:
    """Queue source runs that have waited long enough; a sentence for each."""
    due = SourceRun.objects.filter(state=State.WAITING, resume_at__lte=now or timezone.now())
    return [requeue(source_run, "Trying again what it waited for.") for source_run in due]


def _is_silent(source_run: SourceRun, now: datetime | None) -> bool:
    """Whether the worker missed three heartbeats, or half as many if its process seems to be gone.
    (A container of the same host name has processes that cannot be seen from here.)"""
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


def tasks_of(name: str) -> dict[int, tuple[int, bool]]:
    """The queued tasks of one name: the row that each is about, and whether the worker that took it
    is lost.

    A living worker claims the row at once, and removes the task when it is done.
    """
    now = timezone.now()
    taken_long_ago = now + timedelta(seconds=Conf.RETRY) - CLAIMED_WITHIN
    found = {}
    for row in OrmQ.objects.all():
        if row.task.get("func") == name:
            found[row.pk] = row.task["args"][0], now < row.lock < taken_long_ago
    return found


def _forget_tasks(tasks: dict[int, tuple[int, bool]]) -> None:
    """Remove the tasks that lost workers had taken, if nothing is left to do for them."""
    lost = {row: pk for row, (pk, is_lost) in tasks.items() if is_lost}
    open_ = set(SourceRun.objects.open().filter(pk__in=lost.values()).values_list("pk", flat=True))
    OrmQ.objects.filter(pk__in=[row for row, pk in lost.items() if pk not in open_]).delete()
