"""Invariants of the tables that hold whatever was killed or started twice, and their repair.

A document that is not whole is repaired by clearing its fingerprint: the next run makes it again,
and what is stored is found until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from ingestion.index import hnsw
from ingestion.index.source_lock import is_free
from ingestion.models import Chunk, Document, EmbeddingProfile, Failure, SourceRun, State
from ingestion.runs import recovery
from ingestion.runs.failures import FAILURES_KEPT

EXAMPLES = 3
NORM_TOLERANCE = 0.01


@dataclass(frozen=True)
class Check:
    """`find` yields what is wrong: (key, text for people); `fix` gets the keys."""

    name: str
    find: Callable[[], list[tuple[Any, str]]]
    remedy: str
    fix: Callable[[list[Any]], object] | None = None


@dataclass(frozen=True)
class Finding:
    check: Check
    number: int
    examples: list[str]
    fixed: bool


def examine(*, fix: bool = False) -> list[Finding]:
    """A Finding for each check, in order; with `fix`, repair what can be repaired safely."""
    return [_examine(check, fix) for check in CHECKS]


def _examine(check: Check, fix: bool) -> Finding:
    found = check.find()
    fixed = bool(fix and found and check.fix)
    if fixed and check.fix:
        check.fix([key for key, _ in found])
    return Finding(check, len(found), [words for _, words in found[:EXAMPLES]], fixed)


def _rows(sql: str, *parameters: float) -> list[tuple[Any, str]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [(key, str(words)) for key, words in cursor.fetchall()]


def _chunks_without_document() -> list[tuple[Any, str]]:
    return _rows(
        "SELECT c.id, 'chunk ' || c.id FROM ingestion_chunk c"
        " LEFT JOIN ingestion_document d ON d.id = c.document_id WHERE d.id IS NULL"
    )


def _documents_without_source() -> list[tuple[Any, str]]:
    return _rows(
        "SELECT d.id, d.url FROM ingestion_document d"
        " LEFT JOIN sources_source s ON s.id = d.source_id WHERE s.id IS NULL"
    )


def _bad_vectors() -> list[tuple[Any, str]]:
    return _rows(
        "SELECT c.id, d.url FROM ingestion_chunk c"
        " JOIN ingestion_document d ON d.id = c.document_id"
        " JOIN ingestion_embeddingprofile p ON p.id = c.profile_id"
        " WHERE c.embedding IS NULL OR vector_dims(c.embedding) <> p.dimensions"
        " OR NOT (abs(vector_norm(c.embedding) - 1) <= %s)",  # finds NaN as well
        NORM_TOLERANCE,
    )


def _torn_documents() -> list[tuple[Any, str]]:
    """Documents whose chunks have gaps in their numbers, or several profiles."""
    return _rows(
        "SELECT d.id, d.url FROM ingestion_document d"
        " JOIN ingestion_chunk c ON c.document_id = d.id GROUP BY d.id"
        " HAVING min(c.ordinal) <> 0 OR max(c.ordinal) <> count(*) - 1"
        " OR min(c.profile_id) <> max(c.profile_id)"
    )


def _foreign_texts() -> list[tuple[Any, str]]:
    return _rows(
        "SELECT DISTINCT d.id, d.url FROM ingestion_chunk c"
        " JOIN ingestion_document d ON d.id = c.document_id"
        " LEFT JOIN ingestion_enrichment e ON e.id = c.enrichment_id"
        " WHERE c.search_vector IS NULL"
        " OR coalesce(e.text_hash, c.content_hash) <> encode(sha256(convert_to(CASE"
        " WHEN c.context_header = '' THEN c.content"
        " ELSE c.context_header || E'\\n\\n' || c.content END, 'UTF8')), 'hex')"
    )


def _empty_documents() -> list[tuple[Any, str]]:
    """Documents that lost their chunks. (One without text has a warning.)"""
    warned = Failure.objects.filter(level=Failure.Level.WARNING, stage="chunk")
    rows = Document.objects.filter(chunks__isnull=True).exclude(fingerprint="")
    return list(rows.exclude(url__in=warned.values("document_url")).values_list("pk", "url"))


def _profiles_without_index() -> list[tuple[Any, str]]:
    return [(profile.pk, str(profile)) for profile in hnsw.missing()]


def _wrong_counters() -> list[tuple[Any, str]]:
    """Sources whose last finished run has other counters than the tables."""
    ended = [State.SUCCEEDED, State.PARTIAL, State.NEEDS_APPROVAL]
    last = SourceRun.objects.exclude(source=None).order_by("source_id", "-pk").distinct("source_id")
    return [
        (row.pk, f"{row}: {difference}")
        for row in last
        if row.state in ended and (difference := _difference(row))
    ]


def _difference(row: SourceRun) -> str:
    stored = stored_counters(row)
    counted = {name: getattr(row, name) for name in stored}
    wrong = [f"{name} {counted[name]}, stored {stored[name]}" for name in stored]
    return "; ".join(wrong) if counted != stored else ""


def stored_counters(row: SourceRun) -> dict[str, int]:
    """The counters of a source run, recounted from the tables if possible."""
    counters = {
        "documents": Document.objects.filter(source=row.source_id).count(),
        "chunks": Chunk.objects.filter(document__source=row.source_id).count(),
    }
    levels = {"failures": Failure.Level.ERROR, "warnings": Failure.Level.WARNING}
    for name, level in levels.items():
        kept = Failure.objects.filter(source_run=row, level=level).count()
        if max(kept, getattr(row, name)) <= FAILURES_KEPT:
            counters[name] = kept
    return counters


def _fix_counters(pks: list[Any]) -> None:
    for row in SourceRun.objects.filter(pk__in=pks):
        SourceRun.objects.filter(pk=row.pk).update(**stored_counters(row))


def _standing_runs() -> list[tuple[Any, str]]:
    """Source runs marked as running that nobody reads."""
    stale = timezone.now() - timedelta(seconds=3 * settings.RUN_HEARTBEAT)
    rows = SourceRun.objects.filter(state=State.RUNNING, heartbeat__lt=stale)
    return [
        (row.pk, str(row))
        for row in rows
        if row.source_id is None or is_free(connection, row.source_id)
    ]


def _forget_fingerprints(pks: Iterable[Any]) -> None:
    Document.objects.filter(pk__in=list(pks)).update(fingerprint="")


def _build_indexes(pks: Iterable[Any]) -> None:
    for profile in EmbeddingProfile.objects.filter(pk__in=list(pks)):
        hnsw.build(profile)


def _rebuild_without(chunks: list[Any]) -> None:
    """Delete the chunks: a bad vector breaks searches, and the next run would reuse it."""
    documents = list(Chunk.objects.filter(pk__in=chunks).values_list("document", flat=True))
    _forget_fingerprints(documents)
    _delete_chunks(chunks)


def _delete_chunks(pks: list[Any]) -> None:
    Chunk.objects.filter(pk__in=pks).delete()


def _delete_documents(pks: list[Any]) -> None:
    Chunk.objects.filter(document__in=pks).delete()
    Document.objects.filter(pk__in=pks).delete()


REMOVED = "removed; the next run makes its document again"
AGAIN = "made again by the next run of its source"
CHECKS = (
    Check("chunks without a document", _chunks_without_document, "removed", _delete_chunks),
    Check("documents without a source", _documents_without_source, "removed", _delete_documents),
    Check("vectors of wrong length or norm", _bad_vectors, REMOVED, _rebuild_without),
    Check("documents that are not whole", _torn_documents, AGAIN, _forget_fingerprints),
    Check("chunks whose text is another", _foreign_texts, AGAIN, _forget_fingerprints),
    Check("documents without a chunk", _empty_documents, AGAIN, _forget_fingerprints),
    Check("profiles without an index", _profiles_without_index, "built", _build_indexes),
    Check("counters that disagree", _wrong_counters, "counted again", _fix_counters),
    Check(
        "runs that hang",
        _standing_runs,
        "queued again, or ended",
        lambda pks: recovery.reap(),
    ),
)
