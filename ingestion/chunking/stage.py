"""Documents made ready for embedder and tables (cut into chunks, their terms found), by helpers.

Helpers are processes forked from the one that reads, so that it can read on meanwhile. They hold
nothing: no connection, no file, only their end of a pair of sockets, and end when the other end
is closed, by whatever ends its process.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import queue
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from ingestion.chunking.chunker import Chunker, TextChunk
from ingestion.documents import DocumentFailure, ParsedDocument
from ingestion.exceptions import failure_at
from ingestion.processes.parent_death import die_with_parent
from ingestion.text import analyzer

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

FIRST_BATCH = 10_000  # characters; each further one is twice as large, up to the largest
LARGEST_BATCH = 160_000
MOST_UNDER_WAY = 24  # batches that wait for an earlier one
BATCH_SECONDS = 0.2  # a slow parser's documents do not wait longer for others
MAX_TITLE = 1000
_LENGTH = 8  # bytes before each message


class Prepared(NamedTuple):
    """The chunks of a document, and for each its full text vector (see `text.analyzer.vector`)."""

    chunks: list[TextChunk]
    vectors: list[bytes]


def prepare(chunker: Chunker, document: ParsedDocument) -> Prepared:
    chunks = chunker.chunk(document)
    title = document.title[:MAX_TITLE]
    return Prepared(chunks, [analyzer.vector(title, c.context_header, c.content) for c in chunks])


class BatchFailed(RuntimeError):
    """A batch was not done: `work` failed on one of its items, or a helper was killed."""


@dataclass(slots=True)
class _Helper:
    pid: int
    socket: socket.socket


class Helpers(Generic[Item, Result]):
    """Applies `work` to batches, in `number` forked processes, and here when they are all busy.

    The processes are forked with the first batch: until then they cost nothing, and `work` must
    not need a thread that was started before.
    """

    def __init__(self, work: Callable[[Item], Result], number: int) -> None:
        self.work = work
        self.number = number
        self.helpers: list[_Helper] = []
        self.idle: queue.SimpleQueue[_Helper] = queue.SimpleQueue()
        self.pool: ThreadPoolExecutor | None = None
        self.running: set[Future[list[Result]]] = set()

    def submit(self, batch: Sequence[Item]) -> Future[list[Result]]:
        """The results in the batch's order; the future raises BatchFailed where there are none."""
        self.running = {future for future in self.running if not future.done()}
        if len(self.running) >= 2 * self.number:
            return self._here(batch)
        if self.pool is None:
            self._fork()
            self.pool = ThreadPoolExecutor(self.number, "helper")
        future = self.pool.submit(self._there, batch)
        self.running.add(future)
        return future

    def close(self) -> None:
        """End the helpers, whatever they are at."""
        for helper in self.helpers:
            helper.socket.shutdown(socket.SHUT_RDWR)
            os.kill(helper.pid, 9)
            os.waitpid(helper.pid, 0)
        if self.pool:
            self.pool.shutdown(cancel_futures=True)
        for helper in self.helpers:
            helper.socket.close()
        self.helpers = []

    def _here(self, batch: Sequence[Item]) -> Future[list[Result]]:
        future: Future[list[Result]] = Future()
        try:
            future.set_result([self.work(item) for item in batch])
        except Exception as error:
            logger.exception("a batch failed")
            future.set_exception(BatchFailed(repr(error)))
        return future

    def _there(self, batch: Sequence[Item]) -> list[Result]:
        helper = self.idle.get()
        try:
            _send(helper.socket, batch)
            results, error = _receive(helper.socket)
        except (EOFError, OSError) as gone:
            raise BatchFailed("a process that cuts documents into chunks was killed") from gone
        finally:
            self.idle.put(helper)
        if error:
            raise BatchFailed(error)
        done: list[Result] = results
        return done

    def _fork(self) -> None:
        gc.freeze()  # what is there by now stays shared: no collection touches it
        for _ in range(self.number):
            ours, theirs = socket.socketpair()
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                _serve(theirs, self.work, parent)
            theirs.close()
            self.helpers.append(_Helper(pid, ours))
            self.idle.put(self.helpers[-1])


def _serve(pipe: socket.socket, work: Callable[[Any], Any], parent: int) -> None:
    """The life of a helper. It lets go of all that it inherited, the database's socket above all:
    a server takes a client for alive as long as any process holds that."""
    code = 1
    try:
        die_with_parent(parent)  # a text that is worked on for ever does not outlive its reading
        os.closerange(3, pipe.fileno())
        os.closerange(pipe.fileno() + 1, 1 << 20)
        while True:
            _send(pipe, _applied(work, _receive(pipe)))
    except (EOFError, OSError):
        code = 0
    finally:
        os._exit(code)


def _applied(work: Callable[[Any], Any], batch: Sequence[Any]) -> tuple[list[Any], str]:
    """The results, or what went wrong."""
    try:
        return [work(item) for item in batch], ""
    except Exception as error:
        logger.exception("a batch failed")
        return [], repr(error)


def _send(pipe: socket.socket, value: object) -> None:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    pipe.sendall(len(data).to_bytes(_LENGTH, "big"))
    pipe.sendall(data)


def _receive(pipe: socket.socket) -> Any:
    length = int.from_bytes(_exactly(pipe, _LENGTH), "big")
    return pickle.loads(_exactly(pipe, length))


def _exactly(pipe: socket.socket, length: int) -> bytearray:
    data = bytearray(length)
    view, filled = memoryview(data), 0
    while filled < length:
        count = pipe.recv_into(view[filled:])
        if not count:
            raise EOFError
        filled += count
    return data


class Preparation:
    """Documents in, each with what belongs to it; out in the same order, prepared.

    preparation.put(document, mark)
    for document, mark, prepared in preparation.ready(): ...
    for document, mark, prepared in preparation.rest(): ...

    A batch that failed is prepared again, here and one by one, `in_hand` is given each: so the
    document at fault is known where it kills, and a Failure takes its place if it raises.
    """

    def __init__(
        self, chunker: Chunker, helpers: int, in_hand: Callable[[str], object] = str
    ) -> None:
        self.work = _Work(chunker)
        self.in_hand = in_hand
        self.helpers: Helpers[ParsedDocument, Prepared] = Helpers(self.work, helpers)
        self.batch: list[tuple[ParsedDocument, str]] = []
        self.characters = 0
        self.wanted = FIRST_BATCH
        self.begun = 0.0
        self.under_way: deque[tuple[list[tuple[ParsedDocument, str]], Future[list[Prepared]]]] = (
            deque()
        )

    def put(self, document: ParsedDocument, mark: str) -> None:
        if not self.batch:
            self.begun = time.monotonic()
        self.batch.append((document, mark))
        self.characters += len(document.content)
        if self.characters >= self.wanted:
            self._submit()

    def ready(self) -> Iterator[tuple[ParsedDocument, str, Prepared | DocumentFailure]]:
        """Those that are prepared by now; it waits only where very many are under way."""
        if self.batch and time.monotonic() - self.begun > BATCH_SECONDS:
            self._submit()
        while self.under_way and (
            self.under_way[0][1].done() or len(self.under_way) > MOST_UNDER_WAY
        ):
            yield from self._first()

    def rest(self) -> Iterator[tuple[ParsedDocument, str, Prepared | DocumentFailure]]:
        """All that were put in, waiting for them."""
        self._submit()
        while self.under_way:
            yield from self._first()

    def close(self) -> None:
        self.helpers.close()

    def _submit(self) -> None:
        if self.batch:
            future = self.helpers.submit([document for document, _ in self.batch])
            self.under_way.append((self.batch, future))
            self.batch, self.characters = [], 0
            self.wanted = min(2 * self.wanted, LARGEST_BATCH)

    def _first(self) -> Iterator[tuple[ParsedDocument, str, Prepared | DocumentFailure]]:
        batch, future = self.under_way.popleft()
        results: list[Prepared | DocumentFailure]
        try:
            results = [*future.result()]
        except BatchFailed as error:
            logger.warning("once more, one by one: %s", error)
            results = [self._prepared_here(document) for document, _ in batch]
        for (document, mark), prepared in zip(batch, results, strict=True):
            yield document, mark, prepared

    def _prepared_here(self, document: ParsedDocument) -> Prepared | DocumentFailure:
        self.in_hand(document.url)
        try:
            return self.work(document)
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            return failure_at(document.url, error, "chunk")


@dataclass(frozen=True)
class _Work:
    chunker: Chunker

    def __call__(self, document: ParsedDocument) -> Prepared:
        return prepare(self.chunker, document)
