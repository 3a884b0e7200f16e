"""Limit the dry runs at the same time: one per person, and PREVIEWS in all web processes.

A slot is an advisory lock of the connection, so it is released whatever ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.conf import settings
from django.db import connection

from ingestion.exceptions import BbjragError

# The first keys of the locks; the second are the person's id, and the number of the slot.
PEOPLE = 0x62626B
SLOTS = 0x62626C


class NoSlot(BbjragError):
    """A dry run has to wait for others; the message names them."""


@contextmanager
def slot(person: int) -> Iterator[None]:
    """Hold a slot for a dry run of this person. Raises NoSlot at once if none is free."""
    with ExitStack() as held:
        if not _take(held, PEOPLE, person):
            raise NoSlot(
                "Your last Test or Preview is still under way: wait until it has ended, at most "
                "two minutes, then try again."
            )
        if not any(_take(held, SLOTS, number) for number in range(settings.PREVIEWS)):
            raise NoSlot(
                "Others test and preview sources now, and no more than "
                f"{settings.PREVIEWS} may at once (PREVIEWS): try again in a minute."
            )
        yield


def _take(held: ExitStack, key: int, number: int) -> bool:
    taken = _ask("SELECT pg_try_advisory_lock(%s, %s)", key, number)
    if taken:
        held.callback(_ask, "SELECT pg_advisory_unlock(%s, %s)", key, number)
    return taken


def _ask(sql: str, key: int, number: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(sql, [key, number])
        return bool(cursor.fetchone()[0])
