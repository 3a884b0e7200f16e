"""The process around a reading: forked for one attempt, watched until it ends.

The worker that watches holds nothing the reading needs: whatever kills the reading (a crash, the
memory limit, a cancel) leaves the worker and its queue alone, and the reading dies with its worker.
"""

from __future__ import annotations

import ctypes
import logging
import mmap
import os
import resource
import signal
import socket
import sys
import time

import psutil
from django.conf import settings
from django.db import connection, connections
from django.utils import timezone

from ingestion import runs
from ingestion.execution import execute
from ingestion.models import SourceRun, State

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1


class Flag:
    """A flag that processes share by fork. Unlike multiprocessing's Event it needs no lock, so a
    process killed while it waits leaves nobody hanging."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 1)

    def set(self) -> None:
        self.memory[0] = 1

    def clear(self) -> None:
        self.memory[0] = 0

    def is_set(self) -> bool:
        return self.memory[0] == 1

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self.is_set() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.is_set()


stopping = Flag()  # set when the worker is to stop


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Note:
    """What the reading leaves for its watcher, in memory both share: the document in hand, and the
    exception that ended it."""

    SLOT = 4096

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 2 * self.SLOT)

    def hold(self, url: str) -> None:
        self._write(0, url)

    def fail(self, error: BaseException) -> None:
        self._write(self.SLOT, f"{type(error).__name__}: {error}")

    @property
    def url(self) -> str:
        return self._read(0)

    @property
    def error(self) -> str:
        return self._read(self.SLOT)

    def _write(self, slot: int, text: str) -> None:
        data = text.encode("utf-8", "replace")[: self.SLOT - 2]
        self.memory[slot : slot + 2 + len(data)] = len(data).to_bytes(2, "big") + data

    def _read(self, slot: int) -> str:
        length = int.from_bytes(self.memory[slot : slot + 2], "big")
        return self.memory[slot + 2 : slot + 2 + length].decode("utf-8", "replace")


def supervise(pk: int) -> str:
    """Claim a SourceRun, read it in a child process, and see to it that the row tells how it ended."""
    claimed = runs.claim(pk, f"{socket.gethostname()} {os.getpid()}")
    if isinstance(claimed, str):
        return claimed
    note = Note()
    connections.close_all()  # the child must never share a connection with this process
    child = _fork(claimed, note)
    end = _watch(claimed, child)
    return _settle(claimed, end, note)


def _fork(source_run: SourceRun, note: Note) -> int:
    watcher = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _become_child(watcher)
        execute(source_run, note.hold)
        code = 0
    except BaseException as error:
        note.fail(error)
        logger.exception("%s failed in %s", source_run, os.getpid())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become_child(watcher: int) -> None:
    die_with_parent()
    if os.getppid() != watcher:
        os._exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection.settings_dict["CONN_MAX_AGE"] = None
    if limit := settings.RUN_MEMORY_LIMIT_MB:
        most = int(limit * 1.5) * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _watch(source_run: SourceRun, child: int) -> str:
    """Wait for the child, passing on cancels and limits; why it ended, empty when by itself."""
    asked = ""
    killed_after = float("inf")
    last_look = last_beat = time.monotonic()
    pause = 0.005
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return asked or _death(status)
        now = time.monotonic()
        if now - last_look >= settings.RUN_POLL:
            last_look = now
            beat = now - last_beat >= settings.RUN_HEARTBEAT
            last_beat = now if beat else last_beat
            if not asked and (asked := _reason_to_stop(source_run, child, beat)):
                os.kill(child, signal.SIGTERM)
                killed_after = now + settings.RUN_CANCEL_GRACE
        if now > killed_after:
            os.kill(child, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _death(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"The reading was killed by {signal.Signals(os.WTERMSIG(status)).name}."
    code = os.waitstatus_to_exitcode(status)
    return "" if code == 0 else f"The reading ended with exit code {code}: see the worker's log."


def _reason_to_stop(source_run: SourceRun, child: int, beat: bool) -> str:
    if stopping.is_set():
        return "stopping"
    limit = settings.RUN_MEMORY_LIMIT_MB
    try:
        used = psutil.Process(child).memory_info().rss // (1024 * 1024)
    except psutil.NoSuchProcess:
        return ""
    if limit and used > limit:
        return (
            f"The reading took {used} MB of memory; the limit (RUN_MEMORY_LIMIT_MB) is {limit} MB."
        )
    if beat:
        mine = SourceRun.objects.filter(pk=source_run.pk, state=State.RUNNING)
        mine.update(heartbeat=timezone.now())
    asked = SourceRun.objects.filter(pk=source_run.pk).values_list("cancel_requested", flat=True)
    return "cancelled" if asked.first() else ""


def _settle(source_run: SourceRun, end: str, note: Note) -> str:
    """See to it that the row of an ended child says how it ended."""
    source_run = SourceRun.objects.select_related("source").get(pk=source_run.pk)
    if source_run.state != State.RUNNING:
        return f"{source_run}: {source_run.get_state_display()}"
    source_run.current_url = note.url
    if end == "cancelled":
        note = "Cancelled. What was stored stays; start it again to go on from there."
        runs.move(source_run, State.CANCELLED, during=source_run.attempt, error=note)
        return f"{source_run}: cancelled"
    if end == "stopping":
        return runs.give_back(source_run)
    SourceRun.objects.filter(pk=source_run.pk).update(current_url=source_run.current_url[:2000])
    return runs.crashed(source_run, note.error or end or "The reading ended without a word.")
