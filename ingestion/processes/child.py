"""A forked process that applies a function to what it is sent: both ends of its pipe.

It holds nothing of its parent's: no connection, no file, only its end of a pair of sockets. It ends
when the other end is closed, and with its parent, whatever ends that.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import pickle
import resource
import select
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from ingestion.processes.parent_death import die_with_parent

_LENGTH = 8  # bytes before each message
_MEGABYTE = 2**20

Work = Callable[[Any], Iterable[Any]]


class Kind(Enum):
    """What a message from a child process is."""

    RESULT = "one result of the item in hand"
    STEP = "no result, but the work gets on"
    END = "the item in hand is finished"
    ERROR = "the item in hand ended with this exception"
    MEMORY = "memory ran out: the process ends"
    LOG = "a log record"


class Lost(Exception):
    """The child process is gone, or is to be ended. `reason` says why; empty if it died."""

    def __init__(self, reason: str = "", final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class Child:
    """A process forked from this one, which applies `work` to each item that it is sent."""

    def __init__(self, work: Work, memory_mb: int = 0) -> None:
        gc.freeze()  # what is there by now stays shared: no collection touches it
        self.pipe, theirs = socket.socketpair()
        self.lock = threading.Lock()
        parent = os.getpid()
        with warnings.catch_warnings():
            # Its threads are not needed: what runs in the child takes none of their locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            _serve(theirs, work, parent, memory_mb)
        theirs.close()
        self.is_alive = True

    def send(self, items: Sequence[Any]) -> None:
        """Hand over items. Raises Lost if the process is gone."""
        try:
            _send(self.pipe, items)
        except OSError:
            raise Lost from None

    def receive(self, seconds: float, check: Callable[[], None]) -> tuple[Kind, Any]:
        """The next message. While none comes, `check` is called every so many seconds; it may raise
        Lost. Raises Lost if the process is gone."""
        while not select.select([self.pipe], [], [], seconds)[0]:
            check()
        try:
            kind, value = _receive(self.pipe)
        except (EOFError, OSError):
            raise Lost from None
        return kind, value

    def kill(self) -> None:
        with self.lock:
            if self.is_alive:
                os.kill(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Kill the process if it lives, and return its wait status."""
        self.kill()
        with self.lock:
            self.is_alive = False
            self.pipe.close()
            return os.waitpid(self.pid, 0)[1]


def _serve(pipe: socket.socket, work: Work, parent: int, memory_mb: int) -> None:
    """The life of a child. It lets go of all that it inherited, the database's socket above all:
    a server takes a client for alive as long as any process holds that."""
    code = 1
    try:
        die_with_parent(parent)  # an item that is worked on for ever does not outlive its parent
        os.closerange(3, pipe.fileno())
        os.closerange(pipe.fileno() + 1, 1 << 20)
        _forward_logs(pipe)
        limit_memory(memory_mb)
        while True:
            for item in _receive(pipe):
                _apply(pipe, work, item)
    except (EOFError, OSError, MemoryError):
        code = 0
    finally:
        os._exit(code)


def _apply(pipe: socket.socket, work: Work, item: Any) -> None:
    """Send what `work` yields for one item, and how it ended."""
    try:
        for result in work(item):
            _send(pipe, (Kind.STEP, None) if result is None else (Kind.RESULT, result))
    except BrokenPipeError:
        raise
    except MemoryError:
        _send(pipe, (Kind.MEMORY, None))
        raise
    except Exception as error:  # noqa: BLE001 - raised again by the parent
        _send(pipe, (Kind.ERROR, _portable(error)))
        return
    _send(pipe, (Kind.END, None))


def _portable(error: Exception) -> Exception:
    """The error as it can be sent, with where it came from."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an exception class may do anything here
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error.with_traceback(None)


class _Forward(logging.Handler):
    """Sends what is logged to the parent, whose handlers know the run."""

    def __init__(self, pipe: socket.socket) -> None:
        super().__init__()
        self.pipe = pipe
        self.formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        _send(self.pipe, (Kind.LOG, record))


def _forward_logs(pipe: socket.socket) -> None:
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.root.handlers = [_Forward(pipe)]


def limit_memory(megabytes: int) -> None:
    """Have allocations fail once the process has so many megabytes more than now (Linux)."""
    if not megabytes or sys.platform != "linux":
        return
    most = _data_size() + megabytes * _MEGABYTE
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [most, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))


def _data_size() -> int:
    """Bytes of private data that this process has mapped."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def _send(pipe: socket.socket, value: object) -> None:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    pipe.sendall(len(data).to_bytes(_LENGTH, "big"))
    pipe.sendall(data)


def _receive(pipe: socket.socket) -> Any:
    length = int.from_bytes(_exactly(pipe, _LENGTH), "big")
    return pickle.loads(_exactly(pipe, length))


def _exactly(pipe: socket.socket, length: int) -> bytearray:
    data = bytearray(length)
    view, filled = memoryview(data), 0
    while filled < length:
        count = pipe.recv_into(view[filled:])
        if not count:
            raise EOFError
        filled += count
    return data
