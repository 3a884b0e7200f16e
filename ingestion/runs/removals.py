"""Decisions on documents that vanished at their source, or whose source is deleted."""

from __future__ import annotations

from django.db import connection, transaction
from django.db.models import F

from ingestion.index import statement_timeout
from ingestion.index.source_lock import SourceLock
from ingestion.models import Chunk, Document, SourceRun, State
from ingestion.runs.requests import cancel
from ingestion.runs.state_machine import DELETED, move
from sources.models import Source


def decide_removal(source_run: SourceRun, *, approve: bool, who: str) -> str:
    """Answer a source run that needs approval: remove the vanished documents, or keep them."""
    source = source_run.source
    if source is None:
        _close_approval(source_run, DELETED)
        return DELETED
    with transaction.atomic():
        statement_timeout.extend()
        verb = "approved" if approve else "refused"
        if not _close_approval(source_run, f"Removal {verb} by {who}."):
            return f"{source_run} does not wait for approval any more."
        if not approve:
            return f"{len(source_run.vanished)} documents of {source.name} are kept."
        if not SourceLock(connection, source.pk).acquire_for_transaction():
            transaction.set_rollback(True)
            return f"{source.name} is being read now: decide when that has ended."
        removed = remove_vanished(source_run)
    return f"{removed} documents of {source.name} were removed."


def _close_approval(source_run: SourceRun, line: str) -> bool:
    """End a source run that needed approval; its duration stays that of the reading."""
    final = State.PARTIAL if source_run.failures else State.SUCCEEDED
    kept = source_run.finished_at
    waiting = SourceRun.objects.filter(pk=source_run.pk, state=State.NEEDS_APPROVAL)
    return bool(waiting) and move(source_run, final, last_line=line, finished_at=kept)


def supersede_approvals(source_run: SourceRun) -> None:
    """Close earlier approvals: a newer complete reading has judged the documents again."""
    earlier = SourceRun.objects.filter(source=source_run.source_id, state=State.NEEDS_APPROVAL)
    for row in earlier.exclude(pk=source_run.pk):
        _close_approval(row, f"Run {source_run.run_id} has read the source again since.")


def delete_source(source: Source, who: str = "") -> str:
    """Delete a source with its documents, also while it is read: the reading ends by itself."""
    with transaction.atomic():
        statement_timeout.extend()
        Source.objects.select_for_update().filter(pk=source.pk).first()
        for open_run in SourceRun.objects.open().filter(source=source.pk):
            cancel(open_run, who)
        for held in SourceRun.objects.filter(source=source.pk, state=State.NEEDS_APPROVAL):
            _close_approval(held, DELETED)
        source.delete()
    return f"{source.name} was deleted with its documents."


def remove_vanished(source_run: SourceRun) -> int:
    """Remove the listed documents, except those that a later reading has met again."""
    gone = Document.objects.filter(
        source=source_run.source,
        url__in=source_run.vanished,
        last_seen__lt=source_run.started_at or source_run.queued_at,
    )
    _, removed = gone.delete()
    number = removed.get("ingestion.Document", 0)
    documents = Document.objects.filter(source=source_run.source)
    SourceRun.objects.filter(pk=source_run.pk).update(
        removed=F("removed") + number,
        documents=documents.count(),
        chunks=Chunk.objects.filter(document__source=source_run.source).count(),
    )
    return number
