"""Which run and source a log line belongs to: for logs that machines read."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

# Global to the process, which reads one source, so that the embedding threads see it too.
_current: dict[str, object] = {}


@contextlib.contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Have every log record of this process carry the fields, such as run=7, source="kb"."""
    before = dict(_current)
    _current.update(fields)
    try:
        yield
    finally:
        _current.clear()
        _current.update(before)


class RunContext(logging.Filter):
    """Puts the current fields on each record; lets all of them pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.__dict__.update(_current)
        return True
