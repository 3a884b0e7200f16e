"""One reading of one source: the only place where parser, chunker, embedder and tables meet.

Documents are read one by one; those that are known are passed over, the others are cut into chunks,
whose vectors are taken from the tables or asked of the embedder in batches across documents. As
soon as all chunks of a document have vectors, the document is swapped in whole. What was stored
before answers until then, and stays when anything fails.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from ingestion import chunker, documents
from ingestion.documents import Failure, Parsed, Unchanged, storable
from ingestion.embedding.base import Embedder
from ingestion.embedding.registry import embed_each
from ingestion.enrichment.generations import UNTAGGED
from ingestion.exceptions import EmbedderError, TextRejected, TextTooLong
from ingestion.parsers import parser_class
from ingestion.parsers.base import NOTHING_KNOWN, Known, SourceConfig
from ingestion.preparation import Preparation, Prepared, prepare
from ingestion.store import (
    KnownDocuments,
    Ready,
    Stored,
    Taken,
    Writer,
    pack_vector,
    stored_vectors,
)

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

# What a reading spends its time on, in the order in which a document comes to each.
STAGES = ("parse", "chunk", "look up", "embed", "store", "index", "finish")
REFRESHED_AT_ONCE = 200
TEXTS_UNDER_WAY = 1024  # given to the embedder; reading goes on while it is at them
SWAPPED_AT_ONCE = 300  # chunks
SWAP_SECONDS = 1.0  # what is complete is not held back longer
MAX_URL_BYTES = 2000


def read(parser: str, config: SourceConfig, known: Known = NOTHING_KNOWN) -> Iterator[Parsed]:
    """What the source's parser yields, with the source's generation on each document.

    Raises ConfigError for options that do not fit and SourceError when the source cannot be read.
    """
    for parsed in parser_class(parser)(config).parse(known):
        yield finished(parsed, config) if isinstance(parsed, documents.Document) else parsed


def finished(document: documents.Document, config: SourceConfig) -> documents.Document:
    """The document as stored: with its source's generation, without what no table can hold."""
    found = list(document.generations)
    if config.generation != "auto" and config.generation not in found:
        found.append(config.generation)
    return replace(
        document,
        url=storable(document.url),
        title=storable(document.title).strip() or document.url.rpartition("/")[2],
        content=storable(document.content),
        display_url=storable(document.display_url),
        breadcrumb=storable(document.breadcrumb),
        metadata=storable(document.metadata),
        inputs=tuple(entry._replace(path=storable(entry.path)) for entry in document.inputs),
        generations=tuple(found) or (UNTAGGED,),
    )


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


@dataclass
class Pending:
    """A document that waits for vectors: of those in `missing`.

    `cutter` cut it; where the embedder finds a chunk too long, a finer one does so again. `terms`
    are the full text vectors of the chunks.
    """

    document: documents.Document
    fingerprint: str
    cutter: chunker.Chunker
    chunks: list[chunker.Chunk]
    terms: list[bytes]
    missing: set[str] = field(default_factory=set)

    @property
    def hashes(self) -> set[str]:
        return {chunk.content_hash for chunk in self.chunks}


@dataclass
class Outcome:
    """What a complete reading met: all addresses, those read anew, the stored ones it missed."""

    vanished: list[str]
    seen: set[str]
    reread: set[str]


class Reading:
    """One reading of one source, from its parser to its tables.

    `report(stage, url)` is called at every step; it may raise to stop the reading, which leaves
    whole documents behind and nothing else. `fail` records a Failure. `since` is when the run
    began, of which this may be a later attempt. With `only`, documents that none of these addresses
    covers are passed over; without `reuse`, everything is embedded anew. `helpers` processes cut
    documents into chunks beside this one.
    """

    def __init__(
        self,
        *,
        parsed: Iterator[Parsed],
        known: KnownDocuments,
        writer: Writer,
        chunker: chunker.Chunker,
        embedder: Embedder,
        versions: tuple[object, ...],
        report: Callable[[str, str], None],
        fail: Callable[[Failure], None],
        since: datetime,
        reuse: bool = True,
        only: Set[str] | None = None,
        helpers: int = 0,
    ) -> None:
        self.parsed = parsed
        self.known = known
        self.writer = writer
        self.chunker = chunker
        self.preparation = Preparation(chunker, helpers, partial(report, "chunking"))
        self.embedder = embedder
        self.most_flights = max(2 * embedder.concurrency, TEXTS_UNDER_WAY // embedder.batch_size)
        self.versions = versions
        self.report = report
        self.fail = fail
        self.since = since
        self.reuse = reuse
        self.only = only
        self.counters = Counters()
        self.timings: dict[str, float] = {}
        self.seen: set[str] = set()
        self.reread: set[str] = set()
        self.unjudged: set[str] = set()
        self.refreshed: list[tuple[Stored, documents.Document]] = []
        self.gathered: list[Pending] = []
        self.waiting: dict[str, list[Pending]] = {}
        self.needed: Counter[str] = Counter()
        self.texts: dict[str, str] = {}
        self.vectors: dict[str, bytes] = {}
        self.fresh: set[str] = set()
        self.rejected: dict[str, TextRejected] = {}
        self.flights: dict[Future[Any], list[str]] = {}
        self.complete_docs: list[Pending] = []
        self.parser_error: Exception | None = None
        self.swapped = time.monotonic()

    def run(self) -> Outcome:
        """Raises what the parser raised, after all that it had yielded before was stored."""
        self.pool = ThreadPoolExecutor(self.embedder.concurrency, "embed")
        try:
            for parsed in self._read():
                self._take(parsed)
                self._gather(self.preparation.ready())
            self._drain()
        except EmbedderError:
            self._swap(all_of_them=True)  # what has its vectors need not be embedded again
            raise
        finally:
            self.preparation.close()
            self.pool.shutdown(wait=False, cancel_futures=True)
        if self.parser_error:
            raise self.parser_error
        return Outcome(self._vanished(), self.seen, self.reread)

    def _read(self) -> Iterator[Parsed]:
        try:
            yield from self._timed("parse", self.parsed)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - raised again by `run`
            self.parser_error = error

    def _timed(self, stage: str, items: Iterator[Item]) -> Iterator[Item]:
        while True:
            with self.clock(stage):
                item = next(items, None)
            if item is None:
                return
            yield item

    def _drain(self) -> None:
        """Store all that was read."""
        self._gather(self.preparation.rest())
        self._look_up()
        while self.texts or self.flights:
            self._launch(partial=True)
            self._land()
        self._swap(all_of_them=True)
        self._refresh()

    def clock(self, stage: str) -> Clock:
        return Clock(self.timings, stage)

    def _take(self, parsed: Parsed) -> None:
        self.report("reading", parsed.url)
        if isinstance(parsed, Failure):
            self._failed(parsed)
        elif isinstance(parsed, Unchanged):
            urls = self.known.covered(parsed.url)
            self.seen.update(urls)
            self.counters.read += len(urls)
            self.counters.unchanged += sum(self._is_of_before(url) for url in urls)
            for failure in self.known.standing_failures(parsed.url):
                self.reread.add(failure.url)
                self._failed(failure)
        else:
            self._document(parsed)

    def _is_of_before(self, url: str) -> bool:
        """Whether it was stored before this run began, and not by an earlier attempt of it."""
        return self.known.by_url[url].changed_at < self.since

    def _failed(self, failure: Failure) -> None:
        if failure.warning:
            self.counters.warnings += 1
        else:
            self.counters.failures += 1
            self.unjudged.add(failure.url)
        logger.info("%s: %s", failure.url, failure.message)
        self.fail(failure)

    def _document(self, document: documents.Document) -> None:
        if not is_asked_for(document.url, self.only):
            return
        self.counters.read += 1
        self.reread.add(document.url)
        if problem := self._unfit(document):
            self._failed(Failure(document.url, problem, stage="store"))
            return
        self.seen.add(document.url)
        fingerprint = document.fingerprint(*self.versions)
        if stored := self.known.holds(document.url, fingerprint):
            self._unchanged(stored, document)
            return
        with self.clock("chunk"):
            self.preparation.put(document, fingerprint)

    def _gather(self, cut: Iterator[tuple[documents.Document, str, Prepared | Failure]]) -> None:
        """Note documents that are cut into chunks, and look these up when they are many."""
        for document, fingerprint, prepared in self._timed("chunk", cut):
            if isinstance(prepared, Failure):
                self._failed(prepared)
                continue
            pending = self._pend(document, fingerprint, self.chunker, prepared)
            if not pending.chunks:
                message = "The document holds no text: nothing of it can be found by a search."
                self._failed(Failure(document.url, message, stage="chunk", warning=True))
            if sum(len(p.missing) for p in self.gathered) >= 4 * self.embedder.batch_size:
                self._look_up()
                self._fly()

    def _unchanged(self, stored: Stored, document: documents.Document) -> None:
        self.counters.unchanged += self._is_of_before(document.url)
        if not self.writer.is_fresh(stored, document):
            self.refreshed.append((stored, document))
        if len(self.refreshed) >= REFRESHED_AT_ONCE:
            self._refresh()

    def _refresh(self) -> None:
        unchanged, self.refreshed = self.refreshed, []
        if unchanged:
            with self.clock("store"):
                self.writer.refresh(unchanged)

    def _pend(
        self,
        document: documents.Document,
        fingerprint: str,
        cutter: chunker.Chunker,
        prepared: Prepared,
    ) -> Pending:
        """A document whose chunks are looked up next."""
        pending = Pending(document, fingerprint, cutter, prepared.chunks, prepared.vectors)
        pending.missing = pending.hashes
        self.needed.update(pending.missing)
        self.gathered.append(pending)
        return pending

    def _unfit(self, document: documents.Document) -> str:
        """Why the document cannot be stored; empty when it can."""
        if document.url in self.seen:
            return "Two documents of this source have this address: rename one of them."
        if len(document.url.encode()) > MAX_URL_BYTES:
            return f"The address is longer than {MAX_URL_BYTES} bytes: shorten the path."
        return ""

    def _look_up(self) -> None:
        """Give the gathered documents the vectors that are stored or on their way; queue others."""
        gathered, self.gathered = self.gathered, []
        wanted = {key for pending in gathered for key in pending.missing}
        if self.reuse and wanted:
            with self.clock("look up"):
                self.vectors |= stored_vectors(self.writer.profile, wanted - set(self.vectors))
        for pending in gathered:
            pending.missing -= self.vectors.keys() | self.rejected.keys()
            self._queue(pending)

    def _queue(self, pending: Pending) -> None:
        if not pending.missing:
            self._complete(pending)
            return
        for chunk in pending.chunks:
            key = chunk.content_hash
            if key in pending.missing and key not in self.waiting:
                self.texts[key] = chunk.embedded_text
        for key in pending.missing:
            self.waiting.setdefault(key, []).append(pending)

    def _fly(self) -> None:
        """Keep the embedder busy; wait only when enough batches are under way."""
        self._launch(partial=False)
        self._land(patience=0.0)
        while len(self.flights) >= self.most_flights:
            self._land()
            self._launch(partial=False)

    def _launch(self, *, partial: bool) -> None:
        size = self.embedder.batch_size
        while len(self.flights) < self.most_flights and (
            len(self.texts) >= size or (partial and self.texts)
        ):
            keys = list(self.texts)[:size]
            batch = [self.texts.pop(key) for key in keys]
            self.flights[self.pool.submit(embed_each, self.embedder, batch)] = keys

    def _land(self, patience: float = 0.5) -> None:
        """Wait for a batch; note its vectors, and swap in the documents that are complete."""
        with self.clock("embed"):
            done, _ = wait(self.flights, timeout=patience, return_when=FIRST_COMPLETED)
        for future in done:
            keys = self.flights.pop(future)
            vectors, rejected = future.result()
            for index, key in enumerate(keys):
                if index in rejected:
                    self.rejected[key] = rejected[index]
                else:
                    self.vectors[key] = pack_vector(vectors[index])
                    self.fresh.add(key)
                for pending in self.waiting.pop(key):
                    pending.missing.discard(key)
                    if not pending.missing:
                        self._complete(pending)
        self._swap()
        self.report("embedding", "")

    def _complete(self, pending: Pending) -> None:
        """All texts of the document have vectors, or were refused: cut it finer if they were too
        long, as often as that helps."""
        finer = pending.cutter.size // 2
        if finer < chunker.SMALLEST_SIZE or not self._is_too_long(pending):
            self.complete_docs.append(pending)
            return
        self._release(pending)
        again = replace(pending.cutter, size=finer, overlap=finer // 8)
        with self.clock("chunk"):
            prepared = prepare(again, pending.document)
        self._pend(pending.document, pending.fingerprint, again, prepared)
        self._look_up()

    def _is_too_long(self, pending: Pending) -> bool:
        refused = self.rejected.keys() & pending.hashes
        return any(isinstance(self.rejected[key], TextTooLong) for key in refused)

    def _swap(self, *, all_of_them: bool = False) -> None:
        """Store what is complete, when it is enough for a transaction or has waited long enough."""
        chunks = sum(len(pending.chunks) for pending in self.complete_docs)
        waited = time.monotonic() - self.swapped
        if not (all_of_them or chunks >= SWAPPED_AT_ONCE or waited >= SWAP_SECONDS):
            return
        self.swapped = time.monotonic()
        ready, self.complete_docs = self.complete_docs, []
        while ready:
            try:
                with self.clock("store"):
                    self.writer.swap([self._ready(p) for p in ready], partial(self._count, ready))
                break
            except Taken as taken:
                ready = self._without(taken.owners, ready)
        for pending in ready:
            self._report_rejected(pending)
            self._release(pending)

    def _without(self, owners: Mapping[str, str], ready: list[Pending]) -> list[Pending]:
        """Those whose addresses are not another source's; the others are Failures."""
        for pending in ready:
            if owner := owners.get(pending.document.url):
                message = (
                    f"This address belongs to the source {owner!r} already: change one of them."
                )
                self._failed(Failure(pending.document.url, message, stage="store"))
                self._release(pending)
        return [pending for pending in ready if pending.document.url not in owners]

    def _ready(self, pending: Pending) -> Ready:
        hashes = {chunk.content_hash for chunk in pending.chunks}
        return Ready(
            pending.document,
            pending.fingerprint,
            pending.chunks,
            pending.terms,
            {key: self.vectors[key] for key in hashes if key in self.vectors},
            frozenset(hashes & set(self.rejected)),
        )

    def _count(self, ready: list[Pending]) -> None:
        for pending in ready:
            if pending.document.url in self.known.by_url:
                self.counters.changed += 1
            else:
                self.counters.added += 1
            for chunk in pending.chunks:
                if chunk.content_hash in self.fresh:
                    self.fresh.discard(chunk.content_hash)
                    self.counters.embedded += 1
                elif chunk.content_hash not in self.rejected:
                    self.counters.reused += 1

    def _report_rejected(self, pending: Pending) -> None:
        for chunk in pending.chunks:
            if error := self.rejected.get(chunk.content_hash):
                where = f"chunk {chunk.ordinal} ({chunk.context_header[-200:]})"
                message = (
                    f"The embedder refused {where}; the rest of the document is stored. {error}"
                )
                self._failed(Failure(pending.document.url, message, stage="embed"))

    def _release(self, pending: Pending) -> None:
        """Forget the vectors that no other document waits for."""
        for key in pending.hashes:
            self.needed[key] -= 1
            if self.needed[key] <= 0:
                del self.needed[key]
                self.vectors.pop(key, None)
                self.fresh.discard(key)
                self.rejected.pop(key, None)

    def _vanished(self) -> list[str]:
        """Stored addresses that were not met, save those that could not be judged."""
        gone = (url for url in self.known.by_url if url not in self.seen)
        return [url for url in gone if not self._is_unjudged(url)]

    def _is_unjudged(self, url: str) -> bool:
        return any(place in self.unjudged for place in places_of(url))


def places_of(url: str) -> Iterator[str]:
    """The address, its file, and each folder above, with and without the closing slash.

    Each of them, as a Failure's url, covers the address (see `documents.covers`).
    """
    yield url
    place = url.partition("#")[0]
    yield place
    while "/" in place:
        place = place.rstrip("/").rpartition("/")[0]
        yield place
        yield f"{place}/"


def is_asked_for(url: str, only: Set[str] | None) -> bool:
    """Whether a reading that was asked for these addresses only (None: for all) covers this one."""
    return only is None or not only.isdisjoint(places_of(url))


class Clock:
    """Adds the seconds of a `with` block to a stage's timing."""

    def __init__(self, timings: dict[str, float], stage: str) -> None:
        self.timings = timings
        self.stage = stage

    def __enter__(self) -> None:
        self.started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        spent = time.monotonic() - self.started
        self.timings[self.stage] = self.timings.get(self.stage, 0.0) + spent
