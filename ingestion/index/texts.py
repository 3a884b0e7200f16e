"""What documents were read from: the parsed text of each, and the files that they came from.

A text is written in the transaction that replaces its document's chunks. A file is stored under its
hash, once for all documents that came from it, shortly before them.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from ingestion.chunking.chunker import TextChunk, text_of
from ingestion.documents import InputFile, Location, ParsedDocument
from ingestion.models import Original
from ingestion.parsers import beneath

PDF = "application/pdf"
HTML = "text/html"
MARKDOWN = "text/markdown"
PLAIN = "text/plain"
MEDIA_TYPES = {
    **{".pdf": PDF, ".htm": HTML, ".html": HTML, ".xhtml": HTML},
    **{".md": MARKDOWN, ".mdx": MARKDOWN, ".markdown": MARKDOWN},
}
COLUMNS = {
    "document_id": "int8",
    "text": "bytea",
    "places": "bytea",
    "chunks": "bytea",
    "original_id": "text",
    "media_type": "text",
    "original_size": "int8",
    "previous": "bytea",
    "replaced_at": "timestamptz",
}
QUICKLY = 1  # of zlib: half the time for a tenth more bytes
STORED_AT_ONCE = 4 * 2**20  # bytes of files
REMEMBERED = 4096  # files whose hash is known
UNUSED_FOR = timedelta(hours=1)  # then a file that no document refers to is removed

_REFRESH = """
    UPDATE ingestion_documenttext AS t
    SET original_id = v.digest, media_type = v.media_type, original_size = v.size
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[])
        AS v(id, digest, media_type, size)
    WHERE t.document_id = v.id"""

Packed = bytes | memoryview


class Cut(NamedTuple):
    """A document and the chunks that are stored of it, in the order of their ordinals."""

    document: ParsedDocument
    chunks: Sequence[TextChunk]

    def if_cut_into(self, hashes: Sequence[str]) -> Cut:
        """The same without chunks if the stored ones are others: their places are unknown then."""
        is_same = [chunk.content_hash for chunk in self.chunks] == hashes
        return self if is_same else self._replace(chunks=())


class _Replaced(NamedTuple):
    """A row of before."""

    text: bytes
    previous: bytes | None
    replaced_at: Any


class Texts:
    """Stores the texts of documents, and their files beneath `data_dir` up to `limit` bytes."""

    def __init__(self, data_dir: Path, limit: int) -> None:
        self.data_dir = data_dir.resolve()
        self.limit = limit
        self.digests: dict[InputFile, str | None] = {}

    def keep_originals(self, documents: Iterable[ParsedDocument]) -> None:
        """Store the files of these documents that are not stored, a few megabytes at a time."""
        files = {document.inputs[0] for document in documents if document.inputs}
        if len(self.digests) > REMEMBERED:
            self.digests.clear()
        known = {file: digest for file in files if (digest := self.digests.get(file))}
        there = _touched(set(known.values()))
        lost = {file for file, digest in known.items() if digest not in there}
        waiting: dict[str, bytes] = {}
        for file in sorted(lost | (files - self.digests.keys())):
            data = self._read(file)
            self.digests[file] = digest = hashlib.sha256(data).hexdigest() if data else None
            if digest:
                waiting[digest] = zlib.compress(data, QUICKLY)
            if sum(map(len, waiting.values())) > STORED_AT_ONCE:
                _store(waiting)
                waiting = {}
        _store(waiting)

    def _read(self, file: InputFile) -> bytes:
        """The bytes of a file; none if it is too large, or not as it was when it was parsed."""
        if not 0 < file.size <= self.limit:
            return b""
        try:
            with beneath.opened(self.data_dir, file.path) as (descriptor, status):
                if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
                    return b""
                with open(descriptor, "rb", closefd=False) as reader:
                    data = reader.read(file.size + 1)
        except OSError:
            return b""
        return data if len(data) == file.size else b""

    def replace(self, cut: Mapping[int, Cut]) -> None:
        """Replace the texts of documents, by their keys, in the caller's transaction. A text that
        differs becomes the previous one."""
        before = _taken(list(cut))
        sql = f"COPY ingestion_documenttext ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"
        wrapped = connection.wrap_database_errors  # the rows bypass Django
        with wrapped, connection.cursor() as cursor, cursor.copy(sql) as copy:
            copy.set_types(list(COLUMNS.values()))
            for pk, (document, chunks) in cut.items():
                text = packed(text_of(document))
                places, parts = packed(_places(document)), packed(_parts(chunks))
                file, replaced = self._file(document), _previous(text, before.get(pk))
                copy.write_row((pk, text, places, parts, *file, *replaced))

    def refresh(self, documents: Mapping[int, ParsedDocument]) -> None:
        """Note the files of documents whose text is stored and the same as before."""
        rows = [(pk, *self._file(document)) for pk, document in documents.items()]
        with connection.cursor() as cursor:
            cursor.execute(_REFRESH, [*map(list, zip(*rows, strict=True))])

    def _file(self, document: ParsedDocument) -> tuple[str | None, str, int | None]:
        """The hash of a document's file if it is stored, its media type and its size."""
        if not document.inputs:
            return None, "", None
        file = document.inputs[0]
        return self.digests.get(file), media_type(file), file.size


def packed(text: str) -> bytes:
    return zlib.compress(text.encode(), QUICKLY)


def unpacked(data: Packed) -> str:
    return zlib.decompress(data).decode()


def file_bytes(original: Original) -> bytes:
    return zlib.decompress(original.data)


def media_type(file: InputFile) -> str:
    return MEDIA_TYPES.get(PurePosixPath(file.path).suffix.lower(), PLAIN)


def _places(document: ParsedDocument) -> str:
    """The lines and pages of a document as JSON."""
    return json.dumps([document.lines, document.pages], separators=(",", ":"))


def places(data: Packed) -> tuple[list[Location], list[Location]]:
    """The lines and pages from `DocumentText.places`."""
    lines, pages = json.loads(unpacked(data))
    return [Location(*line) for line in lines], [Location(*page) for page in pages]


def _parts(chunks: Iterable[TextChunk]) -> str:
    """Where chunks are, as JSON."""
    return json.dumps([[c.start_offset, c.end_offset] for c in chunks], separators=(",", ":"))


def parts(data: Packed) -> list[tuple[int, int]]:
    """Of each chunk, its first character in the text and the one after its last, from
    `DocumentText.chunks`."""
    return [(start, end) for start, end in json.loads(unpacked(data))]


def _previous(text: bytes, before: _Replaced | None) -> tuple[bytes | None, Any]:
    if before is None:
        return None, None
    if before.text == text or unpacked(before.text) == unpacked(text):
        return before.previous, before.replaced_at
    return before.text, timezone.now()


def _taken(keys: Sequence[int]) -> dict[int, _Replaced]:
    """The rows of documents, which are deleted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM ingestion_documenttext WHERE document_id = ANY(%s)"
            " RETURNING document_id, text, previous, replaced_at",
            [list(keys)],
        )
        return {pk: _Replaced(*row) for pk, *row in _rows(cursor)}


def _rows(cursor: Any) -> Iterator[list[Any]]:
    for row in cursor.fetchall():
        yield [bytes(value) if isinstance(value, memoryview) else value for value in row]


def _touched(digests: Collection[str]) -> set[str]:
    """Those of these files that are stored; they are not removed as unused within the hour."""
    if not digests:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ingestion_original SET stored_at = now() WHERE digest = ANY(%s)"
            " RETURNING digest",
            [sorted(digests)],
        )
        return {digest for (digest,) in cursor.fetchall()}


def _store(files: Mapping[str, bytes]) -> None:
    there = _touched(files.keys())
    now = timezone.now()
    new = [(key, data, now) for key, data in sorted(files.items()) if key not in there]
    if new:
        Original.objects.bulk_create(
            [Original(digest=key, data=data, stored_at=now) for key, data, now in new],
            update_conflicts=True,
            unique_fields=["digest"],
            update_fields=["stored_at"],
        )


def forget_unused() -> int:
    """Remove files that no document refers to; return their number. New ones stay for a while, as
    their documents may be about to be stored."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM ingestion_original AS o WHERE o.stored_at < %s AND NOT EXISTS"
            " (SELECT FROM ingestion_documenttext AS t WHERE t.original_id = o.digest)",
            [timezone.now() - UNUSED_FOR],
        )
        return int(cursor.rowcount)
