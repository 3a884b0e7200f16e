"""Compare documents as they are read with those that are stored: what would a run change?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ingestion import documents
from ingestion.documents import DocumentFailure
from ingestion.index import deletion_gate, moves
from ingestion.index.enrichments import TEXT_HASH
from ingestion.models import Chunk, Document, PreviewDocument
from ingestion.parsers import permalinks
from ingestion.runs.dry_run import DryRunDocument
from sources.models import Source

Kind = PreviewDocument.Kind
FIELDS = (
    *("title", "doc_type", "generations", "deprecated"),
    *("display_url", "breadcrumb", "metadata"),
)


class Comparison:
    """What is stored of a source, and what was met of it so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        rows = Document.objects.filter(source_id=source.pk).values("url", *FIELDS)
        self.stored = {row["url"]: row for row in rows}
        self.hashes = stored_hashes(source)
        self.met: set[str] = set()
        self.texts: dict[str, str] = {}
        """Of each added document, what it has in common with the same one at another address."""
        self.errors: list[str] = []
        self.wanted: set[str] = set()

    def document(self, document: DryRunDocument) -> PreviewDocument.Kind:
        self.met.add(document.url)
        self.wanted.update(document.hashes)
        known = self.stored.get(document.url)
        if known is None:
            self.texts[document.url] = document.text
            return Kind.ADDED
        alike = all(is_same(name, known[name], getattr(document, name)) for name in FIELDS)
        same = alike and self.hashes.get(document.url) == document.hashes
        return Kind.UNCHANGED if same else Kind.CHANGED

    def failure(self, failure: DocumentFailure) -> None:
        if not failure.warning:
            self.errors.append(failure.url)

    def gone(self) -> list[str]:
        """The stored documents that were neither met nor could not be read."""
        return [url for url in self.stored if url not in self.met and not self._failed(url)]

    def _failed(self, url: str) -> bool:
        return any(documents.covers(error, url) for error in self.errors)

    def moved(self, gone: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Old and new address of each document that is the same at another address."""
        yield from moves.pairs(moves.text_keys(self.source.pk, list(gone)), self.texts)

    def held(self, gone: list[str]) -> str:
        """Why the removal of these would wait for approval; empty if it would not."""
        return deletion_gate.reason_to_ask(self.source.config(), gone, self.stored)

    def to_embed(self) -> int:
        """The number of different texts without a vector."""
        chunks = Chunk.objects.order_by().annotate(text_hash=TEXT_HASH)
        there = chunks.filter(text_hash__in=self.wanted)
        return len(self.wanted) - there.values("text_hash").distinct().count()


def is_same(name: str, before: object, now: object) -> bool:
    """Whether a field is as it was; a link to another commit of the same file is."""
    if name == "display_url":
        return permalinks.without_commit(str(before)) == permalinks.without_commit(str(now))
    return before == now


def stored_hashes(source: Source) -> dict[str, list[str]]:
    """For each document of the source, by its address, the hashes of its chunks as they were cut,
    in order."""
    found: dict[str, list[str]] = {}
    rows = Chunk.objects.filter(document__source_id=source.pk).order_by("document_id", "ordinal")
    for url, key in rows.values_list("document__url", TEXT_HASH).iterator():
        found.setdefault(url, []).append(key)
    return found
