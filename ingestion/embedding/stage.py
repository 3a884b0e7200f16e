"""The stage between chunks and tables: documents in, out again when all their chunks have vectors.

Vectors that are stored already, or on their way, are taken; the other texts are embedded in batches
across documents, several at once. A document with a chunk that is too long for the model is cut
again, finer, as often as that helps.
"""

from __future__ import annotations

import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from ingestion.chunking.chunker import SMALLEST_SIZE, Chunker, TextChunk
from ingestion.chunking.stage import Embed, Prepared, prepare
from ingestion.documents import ParsedDocument
from ingestion.embedding.base import Embedder
from ingestion.embedding.lanes import Lane, Lanes
from ingestion.embedding.registry import embed_each
from ingestion.exceptions import TextRejected, TextTooLong

TEXTS_UNDER_WAY = 1024  # given to the embedder; reading goes on while it is at them
LOOKED_UP_AT_ONCE = 4  # batches of texts

Vector = bytes
"""Packed: see `pack_vector`."""

_Answer = dict[str, "Vector | TextRejected"]

Enrich = Callable[[ParsedDocument, Prepared], Prepared]
"""Adds words to the chunks of a document, for which there are any."""

LookUp = Callable[[Collection[str]], Mapping[str, Vector]]
"""The stored vectors of those of these content hashes that have one."""


def pack_vector(vector: np.ndarray[Any, np.dtype[np.float32]]) -> Vector:
    """pgvector's binary format: dimensions and a zero as int16, then float4s, all big-endian."""
    return struct.pack(">HH", len(vector), 0) + vector.astype(">f4").tobytes()


def embedding_in_passing(embedder: Embedder) -> Embed | None:
    """What embeds texts where they are cut, if that is where the embedder works."""

    def embed(texts: Sequence[str]) -> list[Vector]:
        try:
            return [pack_vector(vector) for vector in embedder.embed(texts)]
        except TextRejected:
            return []  # the stage finds the text at fault

    return embed if embedder.in_passing else None


def dimensions_of(vector: Vector) -> int:
    (dimensions,) = struct.unpack_from(">H", vector)
    return int(dimensions)


def unpack_vector(vector: Vector) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.frombuffer(vector, dtype=">f4", offset=4).astype(np.float32)


@dataclass(frozen=True, slots=True)
class EmbeddedDocument:
    """A document whose chunks all have vectors, except those whose texts were `rejected`.

    `terms` are the chunks' full text vectors. `vectors` and `rejected` go by content hash.
    `embedded` chunks have a vector made for this document, `reused` ones had it before.
    """

    document: ParsedDocument
    fingerprint: str
    chunks: list[TextChunk]
    terms: list[bytes]
    vectors: Mapping[str, Vector]
    rejected: Mapping[str, TextRejected]
    embedded: int
    reused: int


@dataclass
class _Pending:
    """A document that waits for the vectors of the hashes in `missing`; `chunker` has cut it."""

    document: ParsedDocument
    fingerprint: str
    chunker: Chunker
    prepared: Prepared
    missing: set[str] = field(default_factory=set)

    @property
    def chunks(self) -> list[TextChunk]:
        return self.prepared.chunks

    @property
    def hashes(self) -> set[str]:
        return {chunk.content_hash for chunk in self.chunks}


class _Vectors:
    """What is known of the hashes that some document needs, until the last of these is released."""

    def __init__(self) -> None:
        self.known: dict[str, Vector] = {}
        self.rejected: dict[str, TextRejected] = {}
        self.fresh: set[str] = set()
        """Embedded, and not yet counted for any document."""
        self.needed: Counter[str] = Counter()

    def need(self, hashes: Collection[str]) -> None:
        self.needed.update(hashes)

    def add(self, key: str, result: Vector | TextRejected) -> None:
        if isinstance(result, TextRejected):
            self.rejected[key] = result
        else:
            self.known[key] = result
            self.fresh.add(key)

    def missing(self, hashes: Collection[str]) -> set[str]:
        return {key for key in hashes if key not in self.known and key not in self.rejected}

    def release(self, hashes: Collection[str]) -> None:
        for key in hashes:
            self.needed[key] -= 1
            if self.needed[key] <= 0:
                del self.needed[key]
                self.known.pop(key, None)
                self.fresh.discard(key)
                self.rejected.pop(key, None)

    def of(self, pending: _Pending) -> EmbeddedDocument:
        """The document with its vectors; each text that was embedded counts for one chunk only."""
        hashes, embedded, reused = pending.hashes, 0, 0
        for chunk in pending.chunks:
            key = chunk.content_hash
            embedded += key in self.fresh
            reused += key not in self.fresh and key not in self.rejected
            self.fresh.discard(key)
        return EmbeddedDocument(
            document=pending.document,
            fingerprint=pending.fingerprint,
            chunks=pending.chunks,
            terms=pending.prepared.vectors,
            vectors={key: self.known[key] for key in hashes if key in self.known},
            rejected={key: self.rejected[key] for key in hashes if key in self.rejected},
            embedded=embedded,
            reused=reused,
        )


class _Requests:
    """Texts for the embedder, by hash: in batches, several under way at once.

    The thread that has brought an answer sends the next batch, so that no server waits for the one
    that reads.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.lanes = Lanes(embedder.lanes())
        self.pool = ThreadPoolExecutor(self.lanes.most_at_once, "embed")
        self.lock = threading.Lock()
        self.landed: SimpleQueue[Future[_Answer]] = SimpleQueue()
        self.texts: dict[str, str] = {}
        self.under_way: set[Future[_Answer]] = set()
        self.sent = 0
        self.rest = False
        self.ended = False

    def __bool__(self) -> bool:
        return bool(self.texts or self.under_way)

    @property
    def is_full(self) -> bool:
        with self.lock:
            most = max(TEXTS_UNDER_WAY, 2 * self.lanes.capacity)
            return bool(self.under_way) and len(self.texts) + self.sent >= most

    def add(self, key: str, text: str) -> None:
        with self.lock:
            self.texts[key] = text

    def launch(self, *, rest: bool) -> None:
        """Send full batches, and with `rest` what is left, as long as there is room."""
        self.rest = rest
        with self.lock:
            self._launch()

    def _launch(self) -> None:
        while not self.ended and (taken := self.lanes.take(len(self.texts), rest=self.rest)):
            lane, size = taken
            keys = [*islice(self.texts, size)]
            batch = {key: self.texts.pop(key) for key in keys}
            self.sent += len(batch)
            future = self.pool.submit(self._ask, lane, batch)
            self.under_way.add(future)
            future.add_done_callback(self.landed.put)

    def _ask(self, lane: Lane, batch: dict[str, str]) -> _Answer:
        try:
            vectors, rejected = embed_each(lane, list(batch.values()))
        except BaseException:
            self.ended = True
            raise
        finally:
            with self.lock:
                lane.under_way -= 1
                self.sent -= len(batch)
                self._launch()
        return {
            key: rejected[index] if index in rejected else pack_vector(vectors[index])
            for index, key in enumerate(batch)
        }

    def land(self, patience: float) -> _Answer:
        """Wait so many seconds for a batch; what came back of it, or nothing. Raises
        EmbedderError."""
        try:
            future = self.landed.get(timeout=patience) if patience else self.landed.get_nowait()
        except Empty:
            return {}
        self.under_way.discard(future)
        return future.result()

    def close(self) -> None:
        with self.lock:
            self.ended = True
        self.pool.shutdown(wait=False, cancel_futures=True)


class EmbeddingStage:
    """Chunked documents in; out when complete, in the order in which they become so.

    stage.put(document, fingerprint, prepared)
    for embedded in stage.ready(): ...
    for embedded in stage.rest(): ...
    stage.release(embedded)

    What was given out is kept in mind until it is released: a text that another document needs is
    then not embedded twice, though its vector is not stored yet. `look_up` is asked for stored
    vectors. `clock(name)` times what a `with` block takes, `beat` is called whenever the embedder
    has been waited for, and `enrich` for the chunks of each document. Raises EmbedderError from
    `put` and `rest`; what is complete by then is `ready` still.
    """

    def __init__(
        self,
        embedder: Embedder,
        chunker: Chunker,
        look_up: LookUp,
        *,
        clock: Callable[[str], AbstractContextManager[Any]] = lambda name: nullcontext(),
        beat: Callable[[], object] = lambda: None,
        enrich: Enrich = lambda document, prepared: prepared,
    ) -> None:
        self.chunker = chunker
        self.look_up = look_up
        self.enrich = enrich
        self.clock = clock
        self.beat = beat
        self.looked_up_at_once = LOOKED_UP_AT_ONCE * embedder.batch_size
        self.requests = _Requests(embedder)
        self.vectors = _Vectors()
        self.gathered: list[_Pending] = []
        self.waiting: dict[str, list[_Pending]] = {}
        self.complete: deque[EmbeddedDocument] = deque()

    def put(
        self,
        document: ParsedDocument,
        fingerprint: str,
        prepared: Prepared,
        is_first_load: bool = False,
    ) -> None:
        """Take a document. In the first load of a source, nothing is looked up for what is embedded
        already: that would take longer than embedding did."""
        pending = _Pending(document, fingerprint, self.chunker, prepared)
        self._need(pending)
        if is_first_load and pending.prepared.embeddings:
            self._ask(pending)
        else:
            self.gathered.append(pending)
        if sum(len(pending.missing) for pending in self.gathered) >= self.looked_up_at_once:
            self._look_up()
            self._keep_busy()

    def ready(self) -> Iterator[EmbeddedDocument]:
        while self.complete:
            yield self.complete.popleft()

    def rest(self) -> Iterator[EmbeddedDocument]:
        self._look_up()
        yield from self.ready()
        while self.requests:
            self.requests.launch(rest=True)
            self._land()
            yield from self.ready()

    def release(self, embedded: EmbeddedDocument) -> None:
        self.vectors.release({chunk.content_hash for chunk in embedded.chunks})

    def close(self) -> None:
        self.requests.close()

    def settled(self) -> list[str]:
        """A sentence for each server on how much it was asked for at once in the end."""
        return list(self.requests.lanes.settled())

    def _need(self, pending: _Pending) -> None:
        pending.prepared = self.enrich(pending.document, pending.prepared)
        pending.missing = pending.hashes
        self.vectors.need(pending.missing)

    def _look_up(self) -> None:
        """Give the gathered documents the vectors that are known or stored; ask for the others."""
        gathered, self.gathered = self.gathered, []
        wanted = {key for pending in gathered for key in pending.missing}
        if unknown := self.vectors.missing(wanted - self.waiting.keys()):
            with self.clock("look up"):
                self.vectors.known.update(self.look_up(unknown))
        for pending in gathered:
            self._ask(pending)

    def _ask(self, pending: _Pending) -> None:
        """Ask for what a document lacks still."""
        pending.missing = self.vectors.missing(pending.missing)
        self._take_embedded(pending)
        if not pending.missing:
            self._complete(pending)
            return
        for chunk in pending.chunks:
            key = chunk.content_hash
            if key in pending.missing and key not in self.waiting:
                self.requests.add(key, chunk.embedded_text)
        for key in pending.missing:
            self.waiting.setdefault(key, []).append(pending)

    def _take_embedded(self, pending: _Pending) -> None:
        """Take the vectors that were made where the document was cut."""
        for chunk, vector in zip(pending.chunks, pending.prepared.embeddings, strict=False):
            if chunk.content_hash in pending.missing:
                self.vectors.add(chunk.content_hash, vector)
                pending.missing.discard(chunk.content_hash)

    def _keep_busy(self) -> None:
        """Wait for the embedder only where enough batches are under way."""
        self.requests.launch(rest=False)
        self._land(patience=0.0)
        while self.requests.is_full:
            self._land()
            self.requests.launch(rest=False)

    def _land(self, patience: float = 0.5) -> None:
        with self.clock("embed"):
            landed = self.requests.land(patience)
        while landed:
            for key, result in landed.items():
                self._add(key, result)
            landed = self.requests.land(patience=0.0)
        self.beat()

    def _add(self, key: str, result: Vector | TextRejected) -> None:
        self.vectors.add(key, result)
        for pending in self.waiting.pop(key):
            pending.missing.discard(key)
            if not pending.missing:
                self._complete(pending)

    def _complete(self, pending: _Pending) -> None:
        """All texts of the document have vectors, or were refused: cut it finer if they were too
        long."""
        finer = pending.chunker.size // 2
        if finer < SMALLEST_SIZE or not self._is_too_long(pending):
            self.complete.append(self.vectors.of(pending))
            return
        self.vectors.release(pending.hashes)
        chunker = replace(pending.chunker, size=finer, overlap=finer // 8)
        with self.clock("chunk"):
            prepared = prepare(chunker, pending.document)
        finer_pending = _Pending(pending.document, pending.fingerprint, chunker, prepared)
        self._need(finer_pending)
        self.gathered.append(finer_pending)
        self._look_up()

    def _is_too_long(self, pending: _Pending) -> bool:
        rejected = self.vectors.rejected
        return any(isinstance(rejected.get(key), TextTooLong) for key in pending.hashes)
