"""Supervise a reading: fork a process for one attempt and watch it until it ends.

The supervisor holds nothing that the reading needs. Whatever kills the reading (a crash, the memory
limit, a cancel) does not affect the worker and its queue, and the reading ends with its worker.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import psutil
from django import db
from django.conf import settings
from django.db import connection, connections
from django.utils import timezone

from ingestion.index.source_lock import SourceLockLost, SourceLockTaken
from ingestion.models import SourceRun, State
from ingestion.processes.parent_death import die_with_parent
from ingestion.processes.shared_state import ChildStatus, Fault, Flag, Pulse
from ingestion.runs import recovery, requests
from ingestion.runs.attempt import execute

logger = logging.getLogger(__name__)

SETTLE_PATIENCE = 30.0  # seconds to wait for a database that is down, to record how a reading ended
OBJECTS_BETWEEN_COLLECTIONS = 2_000
"""Documents of some parsers hold cycles: looked for as rarely as in a command, they took 250 MB."""
EXPENDABLE = "500"  # oom_score_adj: the kernel kills the reading before its worker

# SQLSTATE classes that mean trouble with the server and not with the statement: connections (08),
# conflicts with others (40), no disk, memory or connection left (53), locks held (55P03), shut down
# or starting (57P), disk errors (58).
PASSING = ("08", "40", "53", "55P03", "57P", "58")

stopping = Flag()  # set when the whole worker is to stop; each cluster has its own
pulse = Pulse()  # this process's own; its cluster looks at it


def supervise(pk: int) -> str:
    """Claim a SourceRun, read it in a child process, and record how that ended."""
    claim = requests.claim(pk, f"{socket.gethostname()} {os.getpid()}")
    claimed = claim.source_run
    if claimed is None:
        return claim.refusal
    child_status = ChildStatus()
    connections.close_all()  # the child must never share a connection with this process
    child = _fork(claimed, child_status)
    try:
        end = _watch(claimed, child, child_status)
    except BaseException:
        _kill(child)
        raise
    return _settle_patiently(claimed, end, child_status)


def _fork(source_run: SourceRun, child_status: ChildStatus) -> int:
    watcher = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _become_child(watcher)
        execute(source_run, child_status)
        code = 0
    except BaseException as error:
        child_status.fail(_fault(error), _described(error))
        logger.log(_level(error), "%s ended in %s", source_run, os.getpid(), exc_info=True)
    finally:
        with contextlib.suppress(OSError, ValueError):  # nobody listens any more
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _become_child(watcher: int) -> None:
    die_with_parent(watcher)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # what was there before is not looked through again
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    with contextlib.suppress(OSError):  # not Linux, or not allowed: then the kernel chooses
        Path("/proc/self/oom_score_adj").write_text(EXPENDABLE)
    connection.settings_dict["CONN_MAX_AGE"] = None
    if limit := settings.RUN_MEMORY_LIMIT_MB:
        most = int(limit * 1.5) * 1024 * 1024
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _fault(error: BaseException) -> Fault:
    if isinstance(error, SourceLockTaken):
        return Fault.SOURCE_LOCK
    is_database = isinstance(error, SourceLockLost) or _is_passing(error)
    return Fault.DATABASE if is_database else Fault.BUG


def _level(error: BaseException) -> int:
    return logging.ERROR if _fault(error) is Fault.BUG else logging.WARNING


def _is_passing(error: BaseException) -> bool:
    if not isinstance(error, db.OperationalError | db.InterfaceError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)  # None: the connection was lost
    return state is None or str(state).startswith(PASSING)


def _described(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        limit = settings.RUN_MEMORY_LIMIT_MB
        return f"It ran out of memory; the limit (RUN_MEMORY_LIMIT_MB) is {limit} MB."
    text = " ".join(str(error).split())
    return text if isinstance(error, SourceLockLost) else f"{type(error).__name__}: {text}"


class Ending(Enum):
    """How a child process ended."""

    BY_ITSELF = "by itself"
    WORKER_STOPS = "because the worker stops"
    CANCELLED = "because somebody cancelled the run"
    LIMIT = "because it exceeded a limit"
    DEATH = "by a signal, or with an exit code"


class End(NamedTuple):
    """How a child process ended, or is to end; `message` is a sentence about a limit or a death."""

    how: Ending
    message: str = ""


def _watch(source_run: SourceRun, child: int, child_status: ChildStatus) -> End:
    """Wait for the child; pass on cancels and enforce limits."""
    asked: End | None = None
    killed_after = float("inf")
    last_look = last_beat = time.monotonic()
    pause = 0.002
    while True:
        pulse.beat()
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return asked or _death(status)
        now = time.monotonic()
        if now - last_look >= settings.RUN_POLL:
            last_look = now
            beat = now - last_beat >= settings.RUN_HEARTBEAT
            last_beat = now if beat else last_beat
            if not asked and (asked := _reason_to_stop(source_run, child, child_status, beat)):
                os.kill(child, signal.SIGTERM)
                killed_after = now + settings.RUN_CANCEL_GRACE
        if now > killed_after:
            os.kill(child, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _kill(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _death(status: int) -> End:
    if not os.WIFSIGNALED(status):
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return End(Ending.BY_ITSELF)
        return End(Ending.DEATH, f"It ended with exit code {code}: see the worker's log.")
    number = os.WTERMSIG(status)
    if number == signal.SIGTERM and _stops_soon():
        return End(Ending.WORKER_STOPS)
    name = signal.strsignal(number) or number
    return End(Ending.DEATH, f"The reading was killed by {name} (signal {number}).")


def _stops_soon() -> bool:
    """Whether the worker is being stopped too, as when all processes are signalled at once."""
    deadline = time.monotonic() + 1.0
    while not stopping.is_set() and time.monotonic() < deadline:
        time.sleep(0.02)
    return stopping.is_set()


def _reason_to_stop(
    source_run: SourceRun, child: int, child_status: ChildStatus, beat: bool
) -> End | None:
    if stopping.is_set():
        return End(Ending.WORKER_STOPS)
    if excess := _excess(child, child_status):
        return End(Ending.LIMIT, excess)
    try:
        if beat:
            mine = SourceRun.objects.filter(pk=source_run.pk, state=State.RUNNING)
            mine.update(heartbeat=timezone.now())
        rows = SourceRun.objects.filter(pk=source_run.pk)
        asked = rows.values_list("cancel_requested", flat=True).first()
    except db.Error as error:
        logger.warning("%s: no sign of life could be given: %s", source_run, error)
        connections.close_all()
        return None
    return End(Ending.CANCELLED) if asked is not False else None  # None: the row is gone


def _excess(child: int, child_status: ChildStatus) -> str:
    """The limit that the reading exceeds, in a sentence; empty if none."""
    limit = settings.RUN_MEMORY_LIMIT_MB
    try:
        used = psutil.Process(child).memory_info().rss // (1024 * 1024)
    except psutil.NoSuchProcess:
        return ""
    if limit and used > limit:
        return f"It took {used} MB of memory; the limit (RUN_MEMORY_LIMIT_MB) is {limit} MB."
    stalled = child_status.pulse.age
    if settings.RUN_STALL_LIMIT and stalled > settings.RUN_STALL_LIMIT:
        return f"It hung for {stalled:.0f} s; the limit is RUN_STALL_LIMIT."
    return ""


def _settle_patiently(source_run: SourceRun, end: End, child_status: ChildStatus) -> str:
    """Call `_settle` until the database answers; after a while, leave it to the reaper."""
    deadline = time.monotonic() + SETTLE_PATIENCE
    while True:
        pulse.beat()
        try:
            return _settle(source_run, end, child_status)
        except db.Error as error:
            connections.close_all()
            if time.monotonic() > deadline or stopping.is_set():
                logger.warning("%s: how it ended is not in its row: %s", source_run, error)
                return f"{source_run} is left to the reaper."
            time.sleep(0.5)


def _settle(claimed: SourceRun, end: End, child_status: ChildStatus) -> str:
    """Make sure that the row of an ended child records how it ended."""
    source_run = SourceRun.objects.select_related("source").filter(pk=claimed.pk).first()
    if source_run is None:
        return f"{claimed} is gone."
    if source_run.state != State.RUNNING or source_run.attempt != claimed.attempt:
        return f"{source_run}: {source_run.get_state_display()}"
    source_run.current_url = child_status.url.read()[:2000]
    if source_run.source is None:
        return recovery.end_without_source(source_run)
    if source_run.cancel_requested:
        return recovery.end_cancelled(source_run)
    if end.how is Ending.WORKER_STOPS:
        return recovery.give_back(
            source_run, "The worker was stopped; the next one goes on from here."
        )
    return _settle_trouble(source_run, end, child_status)


def _settle_trouble(source_run: SourceRun, end: End, child_status: ChildStatus) -> str:
    fault, error = child_status.fault, child_status.error.read()
    if fault is Fault.SOURCE_LOCK:
        return recovery.give_back(source_run, f"{error} It is tried again soon.", at_once=False)
    if fault is Fault.DATABASE:
        return recovery.put_to_wait(source_run, error, "the database")
    SourceRun.objects.filter(pk=source_run.pk).update(current_url=source_run.current_url)
    reason = error or end.message or "The reading ended without a word."
    return recovery.crashed(source_run, reason)
