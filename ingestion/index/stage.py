"""The last stage: takes embedded documents and yields them again when they are stored.

Documents are stored in transactions of many chunks, but complete ones do not wait for long. It also
notes where unchanged documents were read from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

from ingestion import documents
from ingestion.chunking.chunker import TextChunk
from ingestion.embedding.stage import EmbeddedDocument
from ingestion.index.change_detection import Stored
from ingestion.index.texts import Cut
from ingestion.index.writer import Taken, Writer

STORED_AT_ONCE = 300  # chunks
HELD_BACK = 1.0  # seconds
REFRESHED_AT_ONCE = 200
CHARACTERS_AT_ONCE = 1_000_000


class Settled(NamedTuple):
    """A document that is stored, unless its address belongs to another source (`owner`)."""

    embedded: EmbeddedDocument
    owner: str = ""


class StoringStage:
    """Embedded documents in; out in the same order when they are stored.

    stage.put(embedded)
    stage.refresh(stored, document)
    for embedded, owner in stage.ready(): ...
    for embedded, owner in stage.rest(): ...

    `count` is called with what a transaction stores, inside of it.
    """

    def __init__(
        self,
        writer: Writer,
        count: Callable[[Sequence[EmbeddedDocument]], None],
        *,
        clock: Callable[[str], AbstractContextManager[Any]] = lambda name: nullcontext(),
    ) -> None:
        self.writer = writer
        self.count = count
        self.clock = clock
        self.waiting: list[EmbeddedDocument] = []
        self.chunks = 0
        self.last = time.monotonic()
        self.unchanged: list[tuple[Stored, documents.ParsedDocument]] = []
        self.texts: dict[int, Cut] = {}
        self.characters = 0

    def put(self, embedded: EmbeddedDocument) -> None:
        self.waiting.append(embedded)
        self.chunks += len(embedded.chunks)

    def refresh(self, stored: Stored, document: documents.ParsedDocument) -> None:
        """Note where an unchanged document was read from, if that has changed."""
        if not self.writer.is_fresh(stored, document):
            self.unchanged.append((stored, document))
        if len(self.unchanged) >= REFRESHED_AT_ONCE:
            self._refresh()

    def keep_text(
        self, stored: Stored, document: documents.ParsedDocument, chunks: Sequence[TextChunk]
    ) -> None:
        """Store the text of an unchanged document that was stored without it."""
        self.texts[stored.pk] = Cut(document, chunks)
        self.characters += len(document.content)
        if len(self.texts) >= REFRESHED_AT_ONCE or self.characters >= CHARACTERS_AT_ONCE:
            self._keep_texts()

    def ready(self) -> Iterator[Settled]:
        held_back = time.monotonic() - self.last >= HELD_BACK
        if self.waiting and (self.chunks >= STORED_AT_ONCE or held_back):
            yield from self._store()

    def rest(self) -> Iterator[Settled]:
        yield from self._store()
        self._refresh()
        self._keep_texts()

    def close(self) -> None:
        """Do nothing: nothing is held open."""

    def _store(self) -> Iterator[Settled]:
        self.last = time.monotonic()
        batch, self.waiting, self.chunks = self.waiting, [], 0
        owners: dict[str, str] = {}
        free = batch
        while free:
            try:
                with self.clock("store"):
                    self.writer.swap(free, partial(self.count, free))
                break
            except Taken as taken:
                owners |= taken.owners
                free = [item for item in batch if item.document.url not in owners]
        for item in batch:
            yield Settled(item, owners.get(item.document.url, ""))

    def _keep_texts(self) -> None:
        texts, self.texts, self.characters = self.texts, {}, 0
        if texts:
            with self.clock("store"):
                self.writer.keep_texts(texts)

    def _refresh(self) -> None:
        unchanged, self.unchanged = self.unchanged, []
        if unchanged:
            with self.clock("store"):
                self.writer.refresh(unchanged)
