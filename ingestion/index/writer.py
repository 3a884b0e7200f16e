"""Write the documents of a source to the tables. Each document is replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from ingestion import documents
from ingestion.chunking.added_words import EnrichedChunk
from ingestion.embedding.stage import EmbeddedDocument, dimensions_of
from ingestion.index.change_detection import Stored
from ingestion.index.enrichments import TEXT_HASH
from ingestion.index.source_lock import SourceLock, SourceLockLost
from ingestion.index.texts import Cut, Texts
from ingestion.models import Chunk, Document, EmbeddingProfile
from ingestion.parsers.permalinks import at_commit
from sources.models import Source

CHUNK_COLUMNS = {
    "document_id": "int8",
    "ordinal": "int4",
    "title": "text",
    "heading_path": "text[]",
    "context_header": "text",
    "content": "text",
    "content_hash": "text",
    "tokens": "int4",
    "start_line": "int4",
    "start_page": "int4",
    "profile_id": "int8",
    "embedding": "bytea",  # pgvector's own wire format, see `embedding.stage.pack_vector`
    "search_vector": "bytea",  # PostgreSQL's own, packed by `text.analyzer.vector`
    "enrichment_id": "int8",
}


def profile_of(embedder: Any) -> EmbeddingProfile:
    """The profile of an open embedder; created if it is new."""
    profile, _ = EmbeddingProfile.objects.get_or_create(
        provider=embedder.provider,
        model=embedder.model,
        digest=embedder.digest,
        dimensions=embedder.dimensions,
        document_prefix=embedder.document_prefix,
        defaults={"query_prefix": embedder.query_prefix},
    )
    if profile.query_prefix != embedder.query_prefix:
        EmbeddingProfile.objects.filter(pk=profile.pk).update(query_prefix=embedder.query_prefix)
    return profile


def stored_vectors(profiles: Sequence[EmbeddingProfile], hashes: Iterable[str]) -> dict[str, bytes]:
    """The packed vectors that the profiles already have for these content hashes; the first profile
    that has one wins."""
    found: dict[str, bytes] = {}
    for profile in profiles:
        found |= _stored_vectors(profile, [key for key in hashes if key not in found])
    return found


def _stored_vectors(profile: EmbeddingProfile, hashes: list[str]) -> dict[str, bytes]:
    """The packed vectors of one profile.

    Each hash is looked up on its own, so that the plan does not depend on the table's statistics,
    which are missing during a first load.
    """
    sql = (
        "SELECT asked.hash, vector_send(stored.embedding) FROM unnest(%s::text[]) AS asked(hash)"
        " CROSS JOIN LATERAL (SELECT embedding FROM ingestion_chunk"
        " WHERE profile_id = %s AND content_hash = asked.hash LIMIT 1) AS stored"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [hashes, profile.pk])
        return {key: bytes(vector) for key, vector in cursor.fetchall()}


class Taken(Exception):
    """Some addresses belong to another source; `owners` maps each to its name."""

    def __init__(self, owners: Mapping[str, str]) -> None:
        super().__init__(", ".join(owners))
        self.owners = owners


class Writer:
    """Replaces documents as a whole.

    Every write first checks that the source lock is still held, and keeps the source from being
    deleted meanwhile. `profiles` are those of the models that make its vectors, the best first; the
    length of a vector says which made it. `settle` is called last in each transaction; it may raise
    to roll it back. Links to a host of Git are stored with the `commit` that is read.
    """

    def __init__(
        self,
        source: Source,
        profiles: Sequence[EmbeddingProfile],
        source_lock: SourceLock,
        key: str,
        now: datetime,
        settle: Callable[[], None],
        texts: Texts,
        commit: str = "",
    ) -> None:
        self.source = source
        self.profiles = profiles
        self.by_dimensions = {profile.dimensions: profile.pk for profile in profiles}
        self.source_lock = source_lock
        self.key = key
        self.now = now
        self.settle = settle
        self.texts = texts
        self.commit = commit

    def guard(self) -> None:
        """Raise SourceLockLost if this process may not write any more. Call it in a transaction."""
        self.source_lock.check()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT FROM sources_source WHERE id = %s FOR KEY SHARE", [self.source.pk]
            )
            if not cursor.rowcount:
                raise SourceLockLost("The source was deleted.")

    def _owners(self, rows: Iterable[Document]) -> dict[str, str]:
        """The addresses that belong to another source, with its name."""
        stored = Document.objects.filter(pk__in=[row.pk for row in rows])
        stored = stored.exclude(source=self.source).order_by()
        return dict(stored.values_list("url", "source__name"))

    def swap(
        self, ready: Sequence[EmbeddedDocument], count: Callable[[], None] = lambda: None
    ) -> None:
        """Replace the stored chunks and text of each document by its new ones, in one transaction.

        `count` is called before `settle`. If a document's address belongs to another source, raises
        Taken and replaces nothing.
        """
        self.texts.keep_originals(item.document for item in ready)
        with transaction.atomic():
            self.guard()
            self._swap(ready)
            count()
            self.settle()

    def _swap(self, ready: Sequence[EmbeddedDocument]) -> None:
        rows = Document.objects.bulk_create(
            [self._row(item) for item in ready],
            update_conflicts=True,
            unique_fields=["url"],
            update_fields=[
                *("display_url", "title", "doc_type", "generations", "deprecated", "breadcrumb"),
                *("metadata", "fingerprint", "read_key", "http_validators", "inputs"),
                *("last_seen", "changed_at"),
            ],
        )
        if owners := self._owners(rows):
            raise Taken(owners)
        self._drop([row.pk for row in rows])
        self._copy(
            record
            for row, item in zip(rows, ready, strict=True)
            for record in self._chunk_records(row, item)
        )
        self.texts.replace({row.pk: _cut(item) for row, item in zip(rows, ready, strict=True)})

    def _drop(self, documents: Sequence[int]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM ingestion_chunk WHERE document_id = ANY(%s)", [list(documents)]
            )

    def _row(self, item: EmbeddedDocument) -> Document:
        document = item.document
        return Document(
            source=self.source,
            url=document.url,
            display_url=at_commit(document.display_url, self.commit)[:2000],
            title=document.title[:1000],
            doc_type=document.doc_type,
            generations=list(document.generations),
            deprecated=document.deprecated,
            breadcrumb=list(document.breadcrumb),
            metadata=dict(document.metadata),
            fingerprint="" if item.rejected else item.fingerprint,
            read_key=self.key,
            http_validators=dict(document.validators),
            inputs=[list(entry) for entry in document.inputs],
            first_seen=self.now,
            last_seen=self.now,
            changed_at=timezone.now(),
        )

    def _chunk_records(self, row: Document, item: EmbeddedDocument) -> Iterator[tuple[Any, ...]]:
        both = zip(item.chunks, item.terms, strict=True)
        kept = [pair for pair in both if pair[0].content_hash not in item.rejected]
        for ordinal, (chunk, terms) in enumerate(kept):
            vector = item.vectors[chunk.content_hash]
            yield (
                row.pk,
                ordinal,
                row.title,
                list(chunk.heading_path),
                chunk.context_header,
                chunk.content,
                chunk.content_hash,
                chunk.tokens,
                chunk.start_line,
                chunk.start_page,
                self.by_dimensions[dimensions_of(vector)],
                vector,
                terms,
                chunk.enrichment if isinstance(chunk, EnrichedChunk) else None,
            )

    def _copy(self, records: Iterable[tuple[Any, ...]]) -> None:
        columns = ", ".join(CHUNK_COLUMNS)
        sql = f"COPY ingestion_chunk ({columns}) FROM STDIN (FORMAT BINARY)"
        wrapped = connection.wrap_database_errors  # the rows bypass Django
        with wrapped, connection.cursor() as cursor, cursor.copy(sql) as copy:
            copy.set_types(list(CHUNK_COLUMNS.values()))
            for record in records:
                copy.write_row(record)

    def refresh(self, unchanged: Sequence[tuple[Stored, documents.ParsedDocument]]) -> None:
        """Note where unchanged documents were read from, and store their files; their chunks stay
        untouched."""
        self.texts.keep_originals(document for _, document in unchanged)
        with transaction.atomic():
            self.guard()
            self._note_inputs(unchanged)
            self.texts.refresh({stored.pk: document for stored, document in unchanged})

    def _note_inputs(self, unchanged: Sequence[tuple[Stored, documents.ParsedDocument]]) -> None:
        rows = [
            (
                stored.pk,
                json.dumps([list(entry) for entry in document.inputs]),
                json.dumps(dict(document.validators)),
            )
            for stored, document in unchanged
        ]
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE ingestion_document d SET read_key = %s, inputs = v.inputs::jsonb,"
                " http_validators = v.validators::jsonb"
                " FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS v(id, inputs, validators)"
                " WHERE d.id = v.id",
                [self.key, *map(list, zip(*rows, strict=True))],
            )

    def is_fresh(self, stored: Stored, document: documents.ParsedDocument) -> bool:
        """Whether the noted inputs and validators of the document are up to date."""
        read = (self.key, document.inputs, dict(document.validators))
        noted = (stored.read_key, stored.inputs, stored.validators)
        return stored.has_original and noted == read

    def keep_texts(self, cut: Mapping[int, Cut]) -> None:
        """Store the texts of unchanged documents, by their keys; their chunks stay untouched."""
        self.texts.keep_originals(document for document, _ in cut.values())
        with transaction.atomic():
            self.guard()
            hashes = _hashes(list(cut))
            self.texts.replace({pk: one.if_cut_into(hashes[pk]) for pk, one in cut.items()})

    def mark_seen(self, pks: Sequence[int]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE ingestion_document SET last_seen = %s WHERE id = ANY(%s)",
                [self.now, list(pks)],
            )

    def remove(self, urls: Sequence[str]) -> int:
        """Remove documents and their chunks; return the number of documents."""
        self.guard()
        _, removed = Document.objects.filter(source=self.source, url__in=urls).delete()
        return removed.get("ingestion.Document", 0)


def _cut(item: EmbeddedDocument) -> Cut:
    kept = [chunk for chunk in item.chunks if chunk.content_hash not in item.rejected]
    return Cut(item.document, kept)


def _hashes(keys: Sequence[int]) -> dict[int, list[str]]:
    """The hashes of the stored chunks of documents as they were cut, in their order."""
    hashes: dict[int, list[str]] = {pk: [] for pk in keys}
    rows = Chunk.objects.filter(document__in=keys).order_by("document", "ordinal")
    for pk, text_hash in rows.values_list("document", TEXT_HASH):
        hashes[pk].append(text_hash)
    return hashes
