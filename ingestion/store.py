"""What is stored of one source: known at the start of a run, and swapped document by document."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from ingestion import documents
from ingestion.embedding.stage import EmbeddedDocument
from ingestion.lease import Lease, LeaseLost
from ingestion.models import Document, EmbeddingProfile, Failure
from sources.models import Source, SourceMemory

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
    "search_vector": "bytea",  # PostgreSQL's own, packed by `terms.vector`
}


UNREAD = frozenset(("fetch", "read", "chunk"))  # the stages of failures that cost all of a document
SHARED_FILES = 4096  # looked at once for all the documents that draw from them
NO_VALIDATORS: Mapping[str, str] = {}


class Stored(NamedTuple):
    pk: int
    fingerprint: str
    read_key: str
    inputs: tuple[tuple[str, int, int], ...]
    validators: Mapping[str, str]
    changed_at: datetime


class _Shared:
    """Holds only once what many documents have in common: the files they draw from, above all."""

    def __init__(self) -> None:
        self.values: dict[Any, Any] = {}

    def stored(
        self,
        pk: int,
        fingerprint: str,
        read_key: str,
        inputs: list[list[Any]],
        validators: dict[str, str],
        changed_at: datetime,
    ) -> Stored:
        files = tuple(self._once(tuple(entry)) for entry in inputs)
        kept = validators or NO_VALIDATORS
        when = self._once(changed_at)
        return Stored(pk, fingerprint, self._once(read_key), self._once(files), kept, when)

    def _once(self, value: Any) -> Any:
        return self.values.setdefault(value, value)


def read_key(source: Source, versions: tuple[object, ...]) -> str:
    """Changes when the same files could give other chunks: the row's settings, or the `versions`
    of parser, chunker and profile.

    DATA_DIR is no part of it: the web server, each worker and the next release may reach the same
    files by another path.
    """
    facts = [
        source.parser,
        versions,
        source.paths,
        source.start_url,
        source.generation,
        source.display_base_url,
        source.options,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


class KnownDocuments:
    """The stored documents of a source, as its parser may ask for them (see `parsers.base.Known`).

    `key` covers the parser, the row's settings and the chunking: a document read under another key
    is never current. With `made_since`, only what was made since then counts as known: a run that
    makes everything anew goes on where an earlier attempt of it ended. Without `trust_times`, no
    file is current because of its size and time. `in_hand` is told what the parser asks for: that
    is what it reads next.
    """

    def __init__(
        self,
        source: Source,
        key: str,
        data_dir: Path,
        *,
        made_since: datetime | None = None,
        trust_times: bool = True,
        in_hand: Callable[[str], None] = lambda url: None,
    ) -> None:
        self.source = source
        self.key = key
        self.data_dir = data_dir.resolve()
        self.made_since = made_since
        self.trust_times = trust_times
        self.in_hand = in_hand
        self.by_url: dict[str, Stored] = {}
        self.by_file: dict[str, list[str]] = {}
        fields = ("url", "pk", "fingerprint", "read_key", "inputs", "http_validators", "changed_at")
        rows = Document.objects.filter(source=source).order_by().values_list(*fields)
        shared = _Shared()
        for url, *rest in rows.iterator():
            self.by_url[url] = shared.stored(*rest)
            if "#" in url:
                self.by_file.setdefault(url.partition("#")[0], []).append(url)
        self.failing: dict[str, list[documents.Failure]] = {}
        errors = Failure.objects.open().errors().filter(source=source)
        for row in errors.order_by("pk"):
            failure = documents.Failure(row.document_url, row.message, row.stage)
            told = self.failing.setdefault(row.document_url, [])
            if failure not in told:  # an earlier attempt of this run may have met it as well
                told.append(failure)
        self._on_disk = lru_cache(SHARED_FILES)(self._stat)

    def covered(self, url: str) -> list[str]:
        """The stored addresses that `url` is, or that are sections of it."""
        if url in self.by_url:
            return [url]
        return self.by_file.get(url, [])

    def current(self, url: str) -> bool:
        self.in_hand(url)
        urls = self.covered(url)
        return bool(urls) and all(self._is_current(u) for u in urls)

    def standing_failures(self, url: str) -> list[documents.Failure]:
        """The open failures of a file that was passed over as unchanged: they still hold, save
        those for which nothing of it could be stored."""
        if url not in self.failing or not (self.current(url) or self.validators(url)):
            return []
        return [failure for failure in self.failing[url] if failure.stage not in UNREAD]

    def validators(self, url: str) -> Mapping[str, str]:
        """Those of the document, or of the file whose sections are stored, where they all agree."""
        self.in_hand(url)
        found = [self._validators(self.by_url[covered]) for covered in self.covered(url)]
        return found[0] if found and all(item == found[0] for item in found) else {}

    def _validators(self, stored: Stored) -> Mapping[str, str]:
        return stored.validators if self._counts(stored) else NO_VALIDATORS

    def holds(self, url: str, fingerprint: str) -> Stored | None:
        """The stored document, if it is the one with this fingerprint and need not be made anew."""
        stored = self.by_url.get(url)
        if stored is None or stored.fingerprint != fingerprint:
            return None
        return stored if self._is_new_enough(stored) else None

    def _is_new_enough(self, stored: Stored) -> bool:
        return self.made_since is None or stored.changed_at >= self.made_since

    def _counts(self, stored: Stored) -> bool:
        whole = bool(stored.fingerprint) and stored.read_key == self.key
        return whole and self._is_new_enough(stored)

    def stored(self, url: str) -> bool:
        return bool(self.covered(url))

    def memory(self) -> Mapping[str, Any]:
        if self.made_since is not None:
            return {}
        kept = SourceMemory.objects.filter(source=self.source, read_key=self.key).first()
        return kept.data if kept else {}

    def remember(self, memory: Mapping[str, Any]) -> None:
        SourceMemory.objects.update_or_create(
            source=self.source, defaults={"read_key": self.key, "data": dict(memory)}
        )

    def _is_current(self, url: str) -> bool:
        stored = self.by_url[url]
        if not (self.trust_times and stored.inputs and self._counts(stored)):
            return False
        return all(self._on_disk(path) == (size, mtime) for path, size, mtime in stored.inputs)

    def _stat(self, path: str) -> tuple[int, int]:
        try:
            stat = os.stat(self.data_dir / path)
        except OSError:
            return -1, 0
        return stat.st_size, stat.st_mtime_ns


def profile_of(embedder: Any) -> EmbeddingProfile:
    """The profile of an open embedder, made when it is new."""
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


def stored_vectors(profile: EmbeddingProfile, hashes: Iterable[str]) -> dict[str, bytes]:
    """The vectors, packed, that the profile holds for these content hashes already.

    Each hash is looked up by itself: the plan is the same whatever the table's statistics say,
    which know nothing of a first load.
    """
    sql = (
        "SELECT asked.hash, vector_send(stored.embedding) FROM unnest(%s::text[]) AS asked(hash)"
        " CROSS JOIN LATERAL (SELECT embedding FROM ingestion_chunk"
        " WHERE profile_id = %s AND content_hash = asked.hash LIMIT 1) AS stored"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [list(hashes), profile.pk])
        return {key: bytes(vector) for key, vector in cursor.fetchall()}


class Taken(Exception):
    """Some addresses belong to another source already: `owners` names it for each."""

    def __init__(self, owners: Mapping[str, str]) -> None:
        super().__init__(", ".join(owners))
        self.owners = owners


class Writer:
    """Replaces documents whole.

    Every write first proves that the lease is still held, and keeps the source from being deleted
    meanwhile; `settle` is called last in each transaction, and may raise to undo it.
    """

    def __init__(
        self,
        source: Source,
        profile: EmbeddingProfile,
        lease: Lease,
        key: str,
        now: datetime,
        settle: Callable[[], None],
    ) -> None:
        self.source = source
        self.profile = profile
        self.lease = lease
        self.key = key
        self.now = now
        self.settle = settle

    def guard(self) -> None:
        """Raise LeaseLost where this process may not write any more. Inside a transaction."""
        self.lease.check()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT FROM sources_source WHERE id = %s FOR KEY SHARE", [self.source.pk]
            )
            if not cursor.rowcount:
                raise LeaseLost("The source was deleted.")

    def _owners(self, rows: Iterable[Document]) -> dict[str, str]:
        """Those addresses that belong to another source, and its name."""
        stored = Document.objects.filter(pk__in=[row.pk for row in rows])
        stored = stored.exclude(source=self.source).order_by()
        return dict(stored.values_list("url", "source__name"))

    @transaction.atomic
    def swap(
        self, ready: Sequence[EmbeddedDocument], count: Callable[[], None] = lambda: None
    ) -> None:
        """Replace the stored chunks of each document by its new ones, in one transaction.

        `count` is called before `settle`. Raises Taken, and nothing is replaced, where a document's
        address belongs to another source.
        """
        self.guard()
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
        count()
        self.settle()

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
            display_url=document.display_url[:2000],
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
                self.profile.pk,
                item.vectors[chunk.content_hash],
                terms,
            )

    def _copy(self, records: Iterable[tuple[Any, ...]]) -> None:
        columns = ", ".join(CHUNK_COLUMNS)
        sql = f"COPY ingestion_chunk ({columns}) FROM STDIN (FORMAT BINARY)"
        wrapped = connection.wrap_database_errors  # the rows go past Django's own
        with wrapped, connection.cursor() as cursor, cursor.copy(sql) as copy:
            copy.set_types(list(CHUNK_COLUMNS.values()))
            for record in records:
                copy.write_row(record)

    @transaction.atomic
    def refresh(self, unchanged: Sequence[tuple[Stored, documents.Document]]) -> None:
        """Note where unchanged documents were read from this time; their chunks stay untouched."""
        self.guard()
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

    def is_fresh(self, stored: Stored, document: documents.Document) -> bool:
        """Whether what is noted of where the document was read from holds still."""
        read = (self.key, document.inputs, dict(document.validators))
        return (stored.read_key, stored.inputs, stored.validators) == read

    def mark_seen(self, pks: Sequence[int]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE ingestion_document SET last_seen = %s WHERE id = ANY(%s)",
                [self.now, list(pks)],
            )

    def remove(self, urls: Sequence[str]) -> int:
        """Remove documents and their chunks; the number of documents removed."""
        self.guard()
        _, removed = Document.objects.filter(source=self.source, url__in=urls).delete()
        return removed.get("ingestion.Document", 0)
