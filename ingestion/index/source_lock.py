"""The source lock: a PostgreSQL advisory lock on the connection that writes.

A process that loses the connection loses the lock, and cannot write with another connection.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from ingestion.exceptions import BbjragError

SOURCE_LOCKS = 0x62626A  # the first key of each source lock; the second is the source's id

_HELD = (
    "FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid = %s"
)


class SourceLockLost(BbjragError):
    """This process may not write any more: another one reads the source, or will."""


class SourceLockTaken(BbjragError):
    """Another process reads the source now."""


class SourceLock:
    def __init__(self, connection: BaseDatabaseWrapper, source_id: int) -> None:
        self.connection = connection
        self.source_id = source_id

    def acquire(self) -> bool:
        """Take the lock until the connection ends.

        From then on, the server checks every second whether the client process is still alive, also
        during a statement.
        """
        self._notice_death()
        return self._ask("SELECT pg_try_advisory_lock(%s, %s)")

    def acquire_for_transaction(self) -> bool:
        """Like `acquire`, but released at the end of the transaction."""
        return self._ask("SELECT pg_try_advisory_xact_lock(%s, %s)")

    def release(self) -> bool:
        return self._ask("SELECT pg_advisory_unlock(%s, %s)")

    def _notice_death(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config(name, '1000', false) FROM pg_settings"
                " WHERE name = 'client_connection_check_interval'"  # PostgreSQL 14 and later
            )

    def check(self) -> None:
        """Raise SourceLockLost unless this connection holds the lock."""
        held = f"SELECT EXISTS (SELECT {_HELD} AND objid = %s AND pid = pg_backend_pid())"
        if not self._ask(held):
            raise SourceLockLost(
                "The connection to the database was lost, and with it the source lock."
            )

    def _ask(self, sql: str) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [SOURCE_LOCKS, self.source_id])
            return bool(cursor.fetchone()[0])


def held(connection: BaseDatabaseWrapper) -> set[int]:
    """The ids of the sources whose lock is held, and the other advisory locks that are held."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT objid {_HELD}", [SOURCE_LOCKS])
        return {key for (key,) in cursor.fetchall()}


def is_free(connection: BaseDatabaseWrapper, source_id: int) -> bool:
    """Whether nobody holds the source lock."""
    return source_id not in held(connection)
