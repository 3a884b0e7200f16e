"""One reading of one source: the only place where parser, chunker, embedder and tables meet.

Documents are read one by one. Unchanged ones are skipped; the others pass three stages: chunking,
embedding, storing. What is stored is found until its replacement is stored as a whole, and stays if
anything fails.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from ingestion.chunking.chunker import Chunker
from ingestion.chunking.stage import Preparation, Prepared, PreparedDocument
from ingestion.documents import DocumentFailure, Parsed, ParsedDocument, Unchanged, places_of
from ingestion.embedding.base import Embedder
from ingestion.embedding.stage import (
    EmbeddedDocument,
    EmbeddingStage,
    Enrich,
    LookUp,
    Vector,
    embedding_in_passing,
)
from ingestion.exceptions import EmbedderError
from ingestion.index.change_detection import KnownDocuments, Stored
from ingestion.index.stage import Settled, StoringStage
from ingestion.index.writer import Writer, stored_vectors
from ingestion.processes.isolation import Limits

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

# The stages that are timed, in the order of a document.
STAGES = ("parse", "chunk", "look up", "embed", "store", "index", "finish")
MAX_URL_BYTES = 2000
NO_TEXT = "The document holds no text: nothing of it can be found by a search."


@dataclass
class Counters:
    """What a reading has done so far; each field is a column of SourceRun."""

    read: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    embedded: int = 0
    reused: int = 0
    removed: int = 0
    moved: int = 0
    failures: int = 0
    warnings: int = 0


@dataclass(frozen=True)
class Scope:
    """What a reading is asked for.

    `versions` are part of each document's fingerprint: those of everything that makes chunks.
    `since` is when the run began, of which this may be a later attempt. With `only`, documents that
    these addresses do not cover are skipped. Without `reuse`, everything is embedded again.
    """

    versions: tuple[object, ...]
    since: datetime
    only: Set[str] | None = None
    reuse: bool = True

    def covers(self, url: str) -> bool:
        return is_asked_for(url, self.only)


@dataclass
class Outcome:
    """What a complete reading met: all addresses, those read again, and those that could not be
    judged. `vanished` are the stored ones that should have been met and were not."""

    seen: set[str] = field(default_factory=set)
    reread: set[str] = field(default_factory=set)
    unjudged: set[str] = field(default_factory=set)
    vanished: list[str] = field(default_factory=list)

    def judges(self, url: str) -> bool:
        return not any(place in self.unjudged for place in places_of(url))


class Timings:
    """Seconds spent in each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def clock(self, stage: str) -> Clock:
        return Clock(self.seconds, stage)

    def timed(self, stage: str, items: Iterator[Item]) -> Iterator[Item]:
        """The items, timing how long each takes."""
        while True:
            with self.clock(stage):
                item = next(items, None)
            if item is None:
                return
            yield item


class Clock:
    """Adds the seconds of a `with` block to the timing of a stage."""

    def __init__(self, timings: dict[str, float], stage: str) -> None:
        self.timings = timings
        self.stage = stage

    def __enter__(self) -> None:
        self.started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        spent = time.monotonic() - self.started
        self.timings[self.stage] = self.timings.get(self.stage, 0.0) + spent


class Observer(Protocol):
    """Watches the progress of a reading; holds its counters and timings."""

    counters: Counters
    timings: Timings

    def report(self, stage: str, url: str) -> None:
        """Called at every step. It may raise to stop the reading, which leaves only whole
        documents."""

    def fail(self, failure: DocumentFailure) -> None:
        """Record a Failure."""


class Reading:
    """One reading of one source, from what its parser yields to its tables.

    Documents that come unprepared are cut by `helpers` processes beside this one, each within the
    `limits`.
    """

    def __init__(
        self,
        *,
        parsed: Iterator[Parsed | PreparedDocument],
        known: KnownDocuments,
        writer: Writer,
        chunker: Chunker,
        embedder: Embedder,
        scope: Scope,
        observer: Observer,
        helpers: int = 1,
        limits: Limits = Limits(),  # noqa: B008 - it is frozen
        enrich: Enrich = lambda document, prepared: prepared,
    ) -> None:
        self.parsed = parsed
        self.known = known
        self.scope = scope
        self.observer = observer
        self.counters, self.timings = observer.counters, observer.timings
        self.outcome = Outcome()
        self.textless: dict[str, Stored] = {}  # unchanged, but cut again to store their texts
        clock, report = self.timings.clock, observer.report
        stored: LookUp = (
            partial(stored_vectors, writer.profiles) if scope.reuse else _nothing_stored
        )
        self.chunking = Preparation(
            chunker, helpers, limits, partial(report, "chunking"), embedding_in_passing(embedder)
        )
        self.embedding = EmbeddingStage(
            embedder, chunker, stored, clock=clock, beat=self._beat, enrich=enrich
        )
        self.storing = StoringStage(writer, self._count, clock=clock)

    def run(self) -> Outcome:
        """Read, and raise what the parser raised after everything before it was stored."""
        source = _Source(self.timings.timed("parse", self.parsed))
        try:
            for parsed in source:
                self._take(parsed)
                self._embed(self.chunking.ready())
                self._store(self.embedding.ready())
            self._embed(self.chunking.rest())
            self._store(self.embedding.rest())
            self._settle(self.storing.rest())
        except EmbedderError:
            self._store(self.embedding.ready())  # these need not be embedded again
            self._settle(self.storing.rest())
            raise
        finally:
            self.chunking.close()
            self.embedding.close()
        if source.error:
            raise source.error
        self.outcome.vanished = self._vanished()
        return self.outcome

    def _take(self, parsed: Parsed | PreparedDocument) -> None:
        self.observer.report("reading", parsed.url)
        if isinstance(parsed, DocumentFailure):
            self._failed(parsed)
        elif isinstance(parsed, Unchanged):
            self._unchanged(parsed.url)
        elif isinstance(parsed, PreparedDocument) and self.scope.covers(parsed.url):
            if self._is_new(parsed.document, parsed.fingerprint) and parsed.prepared:
                self._prepared(parsed.document, parsed.fingerprint, parsed.prepared)
        elif isinstance(parsed, ParsedDocument) and self.scope.covers(parsed.url):
            fingerprint = parsed.fingerprint(*self.scope.versions)
            if self._is_new(parsed, fingerprint):
                with self.timings.clock("chunk"):
                    self.chunking.put(parsed, fingerprint)

    def _embed(
        self, chunked: Iterator[tuple[ParsedDocument, str, Prepared | DocumentFailure]]
    ) -> None:
        for document, fingerprint, prepared in self.timings.timed("chunk", chunked):
            self._prepared(document, fingerprint, prepared)

    def _prepared(
        self, document: ParsedDocument, fingerprint: str, prepared: Prepared | DocumentFailure
    ) -> None:
        if isinstance(prepared, DocumentFailure):
            self._failed(prepared)
            return
        if not prepared.chunks:
            self._failed(DocumentFailure(document.url, NO_TEXT, stage="chunk", warning=True))
        if stored := self.textless.pop(document.url, None):
            self.storing.keep_text(stored, document, prepared.chunks)
            return
        if prepared.embeddings:
            self.observer.report("embedding", "")
        self.embedding.put(document, fingerprint, prepared, is_first_load=not self.known.by_url)

    def _store(self, embedded: Iterator[EmbeddedDocument]) -> None:
        for item in embedded:
            self.storing.put(item)
            self._settle(self.storing.ready())
        self._settle(self.storing.ready())

    def _beat(self) -> None:
        """Called while waiting for the embedder: store complete documents meanwhile."""
        self.observer.report("embedding", "")
        self._store(self.embedding.ready())

    def _settle(self, settled: Iterator[Settled]) -> None:
        for embedded, owner in settled:
            for failure in _failures_of(embedded, owner):
                self._failed(failure)
            self.embedding.release(embedded)

    def _is_new(self, document: ParsedDocument, fingerprint: str) -> bool:
        """Count a document, and note where it was read from if it is stored already. Whether its
        chunks are needed."""
        self.counters.read += 1
        self.outcome.reread.add(document.url)
        if problem := self._unfit(document.url):
            self._failed(DocumentFailure(document.url, problem, stage="store"))
            return False
        self.outcome.seen.add(document.url)
        if stored := self.known.holds(document.url, fingerprint):
            self.counters.unchanged += self._is_of_before(document.url)
            self.storing.refresh(stored, document)
            if stored.has_text:
                return False
            self.textless[document.url] = stored
        return True

    def _unfit(self, url: str) -> str:
        """Why a document cannot be stored at this address; empty if it can."""
        if url in self.outcome.seen:
            return "Two documents of this source have this address: rename one of them."
        if len(url.encode()) > MAX_URL_BYTES:
            return f"The address is longer than {MAX_URL_BYTES} bytes: shorten the path."
        return ""

    def _unchanged(self, url: str) -> None:
        """A file or page that was not read again: everything stored of it still holds."""
        urls = self.known.covered(url)
        self.outcome.seen.update(urls)
        self.counters.read += len(urls)
        self.counters.unchanged += sum(self._is_of_before(covered) for covered in urls)
        for failure in self.known.standing_failures(url):
            self.outcome.reread.add(failure.url)
            self._failed(failure)

    def _is_of_before(self, url: str) -> bool:
        """Whether it was stored before this run began, and not by an earlier attempt."""
        return self.known.by_url[url].changed_at < self.scope.since

    def _failed(self, failure: DocumentFailure) -> None:
        if failure.warning:
            self.counters.warnings += 1
        else:
            self.counters.failures += 1
            self.outcome.unjudged.add(failure.url)
        logger.info("%s: %s", failure.url, failure.message)
        self.observer.fail(failure)

    def _count(self, stored: Sequence[EmbeddedDocument]) -> None:
        for item in stored:
            is_new = item.document.url not in self.known.by_url
            self.counters.added += is_new
            self.counters.changed += not is_new
            self.counters.embedded += item.embedded
            self.counters.reused += item.reused

    def _vanished(self) -> list[str]:
        """Stored addresses that were not met, except those that could not be judged."""
        gone = (url for url in self.known.by_url if url not in self.outcome.seen)
        return [url for url in gone if self.outcome.judges(url)]


class _Source:
    """What a parser yields; an error that ends it is kept for the end of the reading."""

    def __init__(self, parsed: Iterator[Parsed | PreparedDocument]) -> None:
        self.parsed = parsed
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Parsed | PreparedDocument]:
        try:
            yield from self.parsed
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - raised again at the end of `Reading.run`
            self.error = error


def _nothing_stored(hashes: Collection[str]) -> dict[str, Vector]:
    return {}


def _failures_of(embedded: EmbeddedDocument, owner: str) -> Iterator[DocumentFailure]:
    url = embedded.document.url
    if owner:
        message = f"This address belongs to the source {owner!r} already: change one of them."
        yield DocumentFailure(url, message, stage="store")
        return
    for chunk in embedded.chunks:
        if error := embedded.rejected.get(chunk.content_hash):
            where = f"chunk {chunk.ordinal} ({chunk.context_header[-200:]})"
            message = f"The embedder refused {where}; the rest of the document is stored. {error}"
            yield DocumentFailure(url, message, stage="embed")


def is_asked_for(url: str, only: Set[str] | None) -> bool:
    """Whether a reading of only these addresses (None: all) covers this one."""
    return only is None or not only.isdisjoint(places_of(url))
