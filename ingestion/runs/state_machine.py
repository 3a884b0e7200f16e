"""The states of a source run, and the transitions between them.

The rows are the truth; a queued task only says that one should be looked at. Every transition names
the states it starts from and changes the row in one statement, so two processes cannot both make
it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Any

from django.utils import timezone

from ingestion.documents import shortened
from ingestion.models import SourceRun, State
from ingestion.runs import log

logger = logging.getLogger(__name__)

TRANSITIONS: dict[str, frozenset[str]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED, State.INTERRUPTED}),
    State.RUNNING: frozenset(
        {
            State.QUEUED,
            State.WAITING,
            State.SUCCEEDED,
            State.PARTIAL,
            State.FAILED,
            State.CANCELLED,
            State.INTERRUPTED,
            State.NEEDS_APPROVAL,
        }
    ),
    State.WAITING: frozenset({State.QUEUED, State.CANCELLED, State.INTERRUPTED}),
    State.INTERRUPTED: frozenset({State.QUEUED, State.FAILED}),
    State.NEEDS_APPROVAL: frozenset({State.SUCCEEDED, State.PARTIAL}),
}
DONE_STATES = [State.SUCCEEDED, State.PARTIAL, State.FAILED, State.CANCELLED]
ENDED_STATES = [*DONE_STATES, State.INTERRUPTED, State.NEEDS_APPROVAL]
SENTENCES = ("error", "last_line")  # of a row; quoted texts may be of any length
LONGEST_SENTENCE = 2000
DELETED = "The source was deleted, and its documents with it."


def move(
    source_run: SourceRun | int,
    to: str,
    *,
    during: int | None = None,
    leaving: Collection[str] = tuple(State),
    **fields: Any,
) -> bool:
    """Move a SourceRun to another state if the transition is allowed; whether it moved.

    With `during`, only in that attempt; with `leaving`, only from these states. A final state sets
    the finish time.
    """
    pk = source_run if isinstance(source_run, int) else source_run.pk
    origins = [state for state, targets in TRANSITIONS.items() if to in targets]
    origins = [state for state in origins if state in leaving]
    rows = SourceRun.objects.filter(pk=pk, state__in=origins)
    if during is not None:
        rows = rows.filter(attempt=during)
    for name in SENTENCES:
        if name in fields:
            fields[name] = shortened(fields[name], LONGEST_SENTENCE)
    if to in ENDED_STATES:
        fields.setdefault("finished_at", timezone.now())
    moved = bool(rows.update(state=to, **fields))
    if moved:
        logger.info("source run %s: %s %s", pk, to, fields.get("error", ""))
        log.note_move(pk, to, fields)
    return moved


def status_of(states: Iterable[str]) -> str:
    """One status for several source runs: an open one first, then the worst."""
    found = set(states)
    for state in (State.RUNNING, State.WAITING, State.QUEUED, State.NEEDS_APPROVAL):
        if state in found:
            return str(state)
    if len(found) == 1:
        return str(found.pop())
    return str(State.PARTIAL) if found else str(State.SUCCEEDED)
