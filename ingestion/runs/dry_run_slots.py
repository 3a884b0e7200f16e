"""Limit the dry runs at the same time: one per person, and PREVIEWS in all web processes.

A slot is an advisory lock of the connection, so it is released whatever ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.conf import settings

from ingestion.exceptions import BbjragError
from ingestion.index.session_lock import session_lock

# The first keys of the locks; the second are the person's id, and the number of the slot.
PEOPLE = 0x62626B
SLOTS = 0x62626C


class NoSlot(BbjragError):
    """A dry run has to wait for others; the message names them."""


@contextmanager
def slot(person: int) -> Iterator[None]:
    """Hold a slot for a dry run of this person. Raises NoSlot at once if none is free."""
    with ExitStack() as held:
        if not held.enter_context(session_lock(PEOPLE, person)):
            raise NoSlot(
                "Your last preview is still under way: cancel it, or wait until it has ended, at "
                "most two minutes, then try again."
            )
        slots = (held.enter_context(session_lock(SLOTS, n)) for n in range(settings.PREVIEWS))
        if not any(slots):
            raise NoSlot(
                "Others preview sources now, and no more than "
                f"{settings.PREVIEWS} may at once (PREVIEWS): try again in a minute."
            )
        yield
