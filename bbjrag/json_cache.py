"""Django's database cache, with JSON in place of pickles."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.db import DatabaseCache
from django.db import DatabaseError, connection, transaction

logger = logging.getLogger(__name__)

NEVER = datetime(9999, 12, 31, tzinfo=UTC)  # when a value without a timeout expires
WRITE = {
    "set": (
        "INSERT INTO {0} (cache_key, value, expires) VALUES (%(key)s, %(value)s, %(expires)s)"
        " ON CONFLICT (cache_key) DO UPDATE SET value = excluded.value, expires = excluded.expires"
    ),
    "add": (
        "INSERT INTO {0} AS kept (cache_key, value, expires)"
        " VALUES (%(key)s, %(value)s, %(expires)s)"
        " ON CONFLICT (cache_key) DO UPDATE SET value = excluded.value, expires = excluded.expires"
        " WHERE kept.expires < now()"
    ),
    "touch": "UPDATE {0} SET expires = %(expires)s WHERE cache_key = %(key)s AND expires > now()",
}


class JSONCache(DatabaseCache):
    """Whoever can write a row of the cache can make its reader see another value, and no more: a
    pickle would run their code. Tuples come back as lists; what JSON cannot hold is a TypeError.
    """

    _table: str

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        names = {self.make_and_validate_key(key, version=version): key for key in keys}
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT cache_key, value FROM {self._quoted()}"
                " WHERE cache_key = ANY(%s) AND expires > now()",
                [list(names)],
            )
            rows = cursor.fetchall()
        return {names[key]: value for key, text in rows for value in _decoded(text)}

    def _base_set(self, mode: str, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT) -> bool:
        """What `set`, `add` and `touch` of the parent class call: whether the row was written."""
        row: dict[str, str | datetime] = {
            "key": key,
            "value": json.dumps(value),
            "expires": self._expires(timeout),
        }
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                self._make_room(cursor)
                cursor.execute(WRITE[mode].format(self._quoted()), row)
                return bool(cursor.rowcount)
        except DatabaseError as error:
            logger.warning("The cache does not keep %s: %s", key, error)
            return False

    def _make_room(self, cursor: Any) -> None:
        """In a full table, delete a part of it: what has expired, then what expires first."""
        cursor.execute(f"SELECT count(*) FROM {self._quoted()}")
        (number,) = cursor.fetchone()
        if number > self._max_entries:
            cursor.execute(
                f"DELETE FROM {self._quoted()} WHERE cache_key IN"
                f" (SELECT cache_key FROM {self._quoted()} ORDER BY expires LIMIT %s)",
                [number // (self._cull_frequency or 1)],
            )

    def _expires(self, timeout: Any) -> datetime:
        moment = self.get_backend_timeout(timeout)
        return NEVER if moment is None else datetime.fromtimestamp(moment, tz=UTC)

    def _quoted(self) -> str:
        return connection.ops.quote_name(self._table)


def _decoded(text: str) -> Iterator[Any]:
    """The value, or nothing if this is not JSON, as the pickles of earlier releases are not."""
    try:
        yield json.loads(text)
    except (ValueError, RecursionError):
        return
