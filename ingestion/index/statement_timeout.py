"""The time that the database gives a statement, as the connections of the web have one."""

from __future__ import annotations

import psycopg
from django.db import DatabaseError, connection

LONG = "10min"


def ended(error: BaseException) -> bool:
    """Whether the database ended a statement because it took too long."""
    return isinstance(error, DatabaseError) and isinstance(
        error.__cause__, psycopg.errors.QueryCanceled
    )


def extend() -> None:
    """Give the statements of this transaction, which somebody asked for, as long as they need."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{LONG}'")
