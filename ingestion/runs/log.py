"""The log lines of a source run, shown on the run's page.

Each state change adds a line. The reading process adds its own lines, and the warnings logged in
it, in batches together with its progress. Failed documents are Failures, not lines. Only the newest
KEPT lines of each level are kept, and a problem with the log never ends a reading.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django import db
from django.db import connection, transaction
from django.utils import timezone

from ingestion.documents import shortened
from ingestion.models import LogLine, State

logger = logging.getLogger(__name__)

KEPT = 300  # lines of each level and source run; the newest
AT_ONCE = 50  # lines of one batch; the newest
LONGEST = 2000  # characters of a line

LEVELS = {
    State.FAILED: LogLine.Level.ERROR,
    State.INTERRUPTED: LogLine.Level.ERROR,
    State.WAITING: LogLine.Level.WARNING,
    State.PARTIAL: LogLine.Level.WARNING,
    State.CANCELLED: LogLine.Level.WARNING,
    State.NEEDS_APPROVAL: LogLine.Level.WARNING,
}


def note_move(source_run: int, state: str, fields: Mapping[str, Any]) -> None:
    """Log that a source run moved to a state, with the message of its row."""
    label = State(state).label.capitalize()
    text = fields.get("error") or fields.get("last_line") or fields.get("worker") or ""
    message = f"{label}: {text}" if text else f"{label}."
    write(source_run, [line(message, LEVELS.get(State(state), LogLine.Level.INFO))])


def note(source_run: int, message: str) -> None:
    write(source_run, [line(message)])


def line(message: str, level: str = LogLine.Level.INFO) -> LogLine:
    """A line with the current time, for no source run yet."""
    text = message.replace("\x00", "").encode("utf-8", "replace").decode()
    return LogLine(at=timezone.now(), level=level, message=shortened(text, LONGEST))


def write(source_run: int, lines: Iterable[LogLine]) -> None:
    """Add lines to a source run, and delete the oldest beyond KEPT of each level."""
    added = list(lines)
    for new in added:
        new.source_run_id = source_run
    LogLine.objects.bulk_create(added)
    for level in {new.level for new in added}:
        mine = LogLine.objects.filter(source_run=source_run, level=level)
        oldest = mine.order_by("-pk").values_list("pk", flat=True)[KEPT : KEPT + 1]
        if beyond := oldest.first():
            mine.filter(pk__lte=beyond).delete()


class RunLog(logging.Handler):
    """Collects what is logged in this process, in any thread, until `keep` writes it."""

    def __init__(self, source_run: int) -> None:
        super().__init__(logging.WARNING)
        self.source_run = source_run
        self.pending: deque[LogLine] = deque()
        self.left_out = 0
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == __name__:
            return  # about a batch that could not be written
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            self.handleError(record)
            return
        error = record.levelno >= logging.ERROR
        self._add(line(message, LogLine.Level.ERROR if error else LogLine.Level.WARNING))

    def say(self, message: str) -> None:
        self._add(line(message))

    def _add(self, new: LogLine) -> None:
        """Add a line, unless it repeats the last one (as when several threads log the same)."""
        if new.message == self.last:
            return
        self.last = new.message
        self.pending.append(new)
        if len(self.pending) > AT_ONCE:
            self.pending.popleft()
            self.left_out += 1

    def keep(self) -> None:
        """Write what has been collected; not in a transaction, which an error would abort."""
        if not self.pending or connection.in_atomic_block:
            return
        try:
            with transaction.atomic():
                write(self.source_run, self._taken())
        except db.Error as error:
            logger.warning("Log lines of source run %s are lost: %s", self.source_run, error)

    def _taken(self) -> list[LogLine]:
        taken = [self.pending.popleft() for _ in range(len(self.pending))]
        if self.left_out:
            text = f"{self.left_out} lines before this one were left out: the worker's log has all."
            taken.insert(0, line(text, LogLine.Level.WARNING))
            self.left_out = 0
        return taken


@contextlib.contextmanager
def collected(log: RunLog) -> Iterator[None]:
    """Send the warnings of everything below `ingestion` to the log as well."""
    root = logging.getLogger("ingestion")
    root.addHandler(log)
    try:
        yield
    finally:
        root.removeHandler(log)
        log.keep()
