"""An advisory lock of this connection, which goes back whatever ends the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def session_lock(key: int, number: int) -> Iterator[bool]:
    """Try to hold a lock during the `with` block, without waiting; whether it is held."""
    is_held = _ask("SELECT pg_try_advisory_lock(%s, %s)", key, number)
    try:
        yield is_held
    finally:
        if is_held:
            _ask("SELECT pg_advisory_unlock(%s, %s)", key, number)


def _ask(sql: str, key: int, number: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(sql, [key, number])
        return bool(cursor.fetchone()[0])
