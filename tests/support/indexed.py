"""Small documents, stored as a run stores them: cut, embedded by the embedded model, counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connection
from django.utils import timezone

from ingestion.chunking.chunker import Chunker
from ingestion.documents import ParsedDocument
from ingestion.embedding.base import Embedder, EmbedderSettings
from ingestion.embedding.registry import open_embedder
from ingestion.embedding.stage import pack_vector
from ingestion.index import term_statistics
from ingestion.index.writer import CHUNK_COLUMNS, profile_of
from ingestion.models import Document as Row
from ingestion.models import EmbeddingProfile
from ingestion.text import analyzer
from sources.models import Source


def document(name: str, content: str, **fields: Any) -> ParsedDocument:
    fields = {"title": name, "doc_type": "concept", "generations": ("bbj",), **fields}
    return ParsedDocument(url=f"docs://{name}", content=content, **fields)


def source(name: str = "docs") -> Source:
    fields = {"title": name, "parser": "MdxParser", "paths": [name]}
    return Source.objects.get_or_create(name=name, defaults=fields)[0]


def index(*documents: ParsedDocument, into: str = "docs", count: bool = True) -> EmbeddingProfile:
    """Store the documents in a source; without `count`, as in the middle of a run."""
    embedder = open_embedder(EmbedderSettings())
    profile = profile_of(embedder)
    owner = source(into)
    columns = ", ".join(CHUNK_COLUMNS)
    sql = f"COPY ingestion_chunk ({columns}) FROM STDIN (FORMAT BINARY)"
    rows = [(_row(one, owner), one) for one in documents]
    with connection.cursor() as cursor, cursor.copy(sql) as copy:
        copy.set_types(list(CHUNK_COLUMNS.values()))
        for row, one in rows:
            for record in _records(row, one, embedder, profile):
                copy.write_row([record[column] for column in CHUNK_COLUMNS])
    if count:
        term_statistics.rebuild()
    return profile


def _row(one: ParsedDocument, owner: Source) -> Row:
    now = timezone.now()
    return Row.objects.create(
        source=owner,
        url=one.url,
        display_url=one.display_url,
        title=one.title,
        doc_type=one.doc_type,
        generations=list(one.generations),
        deprecated=one.deprecated,
        breadcrumb=list(one.breadcrumb),
        first_seen=now,
        last_seen=now,
        changed_at=now,
    )


def _records(
    row: Row, one: ParsedDocument, embedder: Embedder, profile: EmbeddingProfile
) -> Iterator[dict[str, Any]]:
    chunks = Chunker().chunk(one)
    vectors = embedder.embed([chunk.embedded_text for chunk in chunks])
    for chunk, vector in zip(chunks, vectors, strict=True):
        taken = {name: getattr(chunk, name) for name in CHUNK_COLUMNS if hasattr(chunk, name)}
        yield taken | {
            "document_id": row.pk,
            "title": row.title,
            "heading_path": list(chunk.heading_path),
            "profile_id": profile.pk,
            "embedding": pack_vector(vector),
            "search_vector": analyzer.vector(row.title, chunk.context_header, chunk.content),
            "enrichment_id": None,
        }


def pages(number: int, about: str) -> Iterable[ParsedDocument]:
    """Pages to search among, each about something else."""
    for place in range(number):
        yield document(f"{about}-{place}.md", f"Page {place} is about {about} number {place}.")
