"""Quality figures of what is stored. They are computed at the end of each run, because some are too
slow to compute while somebody waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Func, Max, QuerySet, Sum, TextField, Value

from ingestion.enrichment.generations import UNTAGGED
from ingestion.models import Chunk, Document, SourceRun

VERSION = 2  # version of the figures; raise it to have all of them computed again
SMALL = 15  # tokens; a chunk of fewer is hardly more than a heading
BUCKET = 50  # tokens, the width of a bar in the histogram
NAMED = 2000  # most chunks listed for a figure

# Code may contain anything; outside of it, MARKUP does not belong in a chunk. In PostgreSQL, the
# first quantifier of FENCED makes the whole pattern non-greedy.
FENCED = r"(?n)^[ \t]*?(`{3,}|~{3,})[^\n]*\n(.*\n)*?[ \t]*\1"
INLINE = r"`[^`\n]+`"
MARKUP = (
    r"</?(div|span|p|br|hr|tr|t[dh]|table|tbody|thead|font|img|[uo]l|li|a|b|i|u|em|strong|h[1-6]"
    r"|script|style|link|meta|madcap:\w+)(\s[^<>]*)?/?>"
    r"|\yclassName=|&(nbsp|lt|gt|amp|quot|#\d+);|\{#[\w-]+\}|^import \w.* from ['\"]"
)

_DOCUMENTS = """
    SELECT count(*) FILTER (WHERE generations <@ ARRAY[%s]::varchar[]),
           count(*) FILTER (WHERE deprecated),
           count(*) FILTER (WHERE NOT EXISTS (
               SELECT FROM ingestion_chunk c WHERE c.document_id = d.id))
    FROM ingestion_document d WHERE source_id = %s"""
_BY_TYPE = """
    SELECT d.doc_type, count(*) FROM ingestion_chunk c JOIN ingestion_document d
    ON d.id = c.document_id WHERE d.source_id = %s GROUP BY 1"""
_BY_GENERATION = """
    SELECT tag, sum(number) FROM (
        SELECT d.generations, count(*) AS number FROM ingestion_chunk c JOIN ingestion_document d
        ON d.id = c.document_id WHERE d.source_id = %s GROUP BY d.id
    ) AS documents, unnest(generations) AS tag GROUP BY 1"""
_LENGTHS = """
    SELECT c.tokens / %s * %s, count(*) FROM ingestion_chunk c JOIN ingestion_document d
    ON d.id = c.document_id WHERE d.source_id = %s GROUP BY 1"""
_ODD = """
    SELECT count(*) FILTER (WHERE c.tokens < %s), count(*) FILTER (WHERE c.tokens > %s),
           coalesce(sum(c.tokens), 0)
    FROM ingestion_chunk c JOIN ingestion_document d
    ON d.id = c.document_id WHERE d.source_id = %s"""


def keep(source_run: SourceRun) -> None:
    """Store the source's figures with its run, unless those of an earlier run still hold: computing
    them means reading every chunk."""
    if not source_run.source_id:
        return
    earlier, basis = _newest(source_run.source_id), _basis(source_run.source_id)
    if {name: earlier.get(name) for name in basis} != basis:
        found = figures(source_run.source_id, earlier, basis)
        SourceRun.objects.filter(pk=source_run.pk).update(quality=found)


def _newest(source_id: int) -> dict[str, Any]:
    """The latest figures; empty if there are none."""
    rows = SourceRun.objects.filter(source=source_id, quality__has_key="chunks").order_by("-pk")
    return rows.values_list("quality", flat=True).first() or {}


def _basis(source_id: int) -> dict[str, Any]:
    """The state that the figures are based on. A changed document gets new chunks, so every change
    shows."""
    mine = Chunk.objects.filter(document__source=source_id)
    counted = mine.aggregate(chunks=Count("pk"), newest_chunk=Max("pk"))
    documents = Document.objects.filter(source=source_id).count()
    return {"version": VERSION, "limit": settings.CHUNK_SIZE, "documents": documents, **counted}


def figures(
    source_id: int,
    earlier: Mapping[str, Any] | None = None,
    basis: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The figures of a source. With `earlier` ones, only newer chunks are searched for markup.
    `basis` is given if it is known already."""
    basis = basis or _basis(source_id)
    untagged, deprecated, empty = _row(_DOCUMENTS, UNTAGGED, source_id)
    small, large, tokens = _row(_ODD, SMALL, basis["limit"], source_id)
    markup_ids = _markup_ids(source_id, earlier or {})
    return {
        **basis,
        "untagged": untagged,
        "deprecated": deprecated,
        "empty": empty,
        "tokens": int(tokens),
        "small": small,
        "large": large,
        "markup": len(markup_ids),
        "markup_ids": markup_ids[:NAMED],
        "by_type": _counts(_BY_TYPE, source_id),
        "by_generation": _counts(_BY_GENERATION, source_id),
        "lengths": _counts(_LENGTHS, BUCKET, BUCKET, source_id),
    }


def _markup_ids(source_id: int, earlier: Mapping[str, Any]) -> list[int]:
    """The ids of chunks with leftover markup. Chunks are never edited, so earlier findings hold."""
    chunks = Chunk.objects.filter(document__source=source_id)
    known: list[int] = []
    all_named = earlier.get("version") == VERSION and earlier.get("markup", NAMED) < NAMED
    if all_named and earlier.get("newest_chunk"):
        kept = chunks.filter(pk__in=earlier["markup_ids"])
        known = list(kept.order_by("pk").values_list("pk", flat=True))
        chunks = chunks.filter(pk__gt=earlier["newest_chunk"])
    return [*known, *with_markup(chunks).order_by("pk").values_list("pk", flat=True)]


def with_markup(chunks: QuerySet[Chunk]) -> QuerySet[Chunk]:
    """The chunks with leftover tags, entities or imports outside of code."""
    suspects = chunks.filter(content__iregex=MARKUP)
    prose: Any = F("content")
    for pattern in (FENCED, INLINE):
        prose = Func(prose, Value(pattern), Value(""), Value("g"), function="regexp_replace")
    prose.output_field = TextField()
    return suspects.annotate(prose=prose).filter(prose__iregex=MARKUP)


def without_generation(documents: QuerySet[Document]) -> QuerySet[Document]:
    """The chunks without a generation from their parser or source."""
    return documents.filter(generations__contained_by=[UNTAGGED])


def with_duplicates(chunks: QuerySet[Chunk]) -> QuerySet[Chunk]:
    """The chunks whose text is also in another chunk."""
    keys = _repeated().values_list("content_hash", flat=True)
    return chunks.filter(content_hash__in=list(keys[:NAMED]))


def _repeated() -> QuerySet[Chunk, Any]:
    """The hashes that occur more than once. An index begins with profile and hash."""
    by_hash = Chunk.objects.order_by().values("profile", "content_hash")
    return by_hash.annotate(number=Count("*")).filter(number__gt=1)


def duplicates() -> tuple[int, int]:
    """How many texts are in more than one chunk, and in how many chunks."""
    repeated = _repeated().aggregate(texts=Count("number"), chunks=Sum("number"))
    return repeated["texts"], repeated["chunks"] or 0


def _row(sql: str, *parameters: Any) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return tuple(cursor.fetchone())


def _counts(sql: str, *parameters: Any) -> Mapping[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return {str(key): int(number) for key, number in cursor.fetchall()}
