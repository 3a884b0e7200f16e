"""The statement timeout of the web server's connections."""

from __future__ import annotations

import psycopg
from django.db import DatabaseError, connection

LONG = "10min"


def ended(error: BaseException) -> bool:
    """Whether the database cancelled a statement because of the timeout."""
    return isinstance(error, DatabaseError) and isinstance(
        error.__cause__, psycopg.errors.QueryCanceled
    )


def extend() -> None:
    """Give the statements of this transaction more time: somebody asked for it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{LONG}'")
