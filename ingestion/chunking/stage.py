"""Cut documents into chunks and analyze their terms, in helper processes.

The reading goes on meanwhile, and a document that exceeds its limits costs nothing but itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ingestion.chunking.chunker import Chunker, TextChunk
from ingestion.documents import DocumentFailure, ParsedDocument
from ingestion.exceptions import failure_at
from ingestion.processes.isolation import GaveUp, InHand, Isolated, Limits
from ingestion.text import analyzer

MAX_TITLE = 1000


class Prepared(NamedTuple):
    """The chunks of a document, and for each its full text vector (see `text.analyzer.vector`)."""

    chunks: list[TextChunk]
    vectors: list[bytes]


def prepare(chunker: Chunker, document: ParsedDocument) -> Prepared:
    chunks = chunker.chunk(document)
    title = document.title[:MAX_TITLE]
    return Prepared(chunks, [analyzer.vector(title, c.context_header, c.content) for c in chunks])


class Preparation:
    """Takes documents, each with a mark, and yields them in the same order, prepared.

    preparation.put(document, mark)
    for document, mark, prepared in preparation.ready(): ...
    for document, mark, prepared in preparation.rest(): ...

    A Failure replaces a document that cannot be cut within the limits. `in_hand` is called with the
    address of each document that is waited for.
    """

    def __init__(
        self,
        chunker: Chunker,
        helpers: int,
        limits: Limits = Limits(),  # noqa: B008 - it is frozen
        in_hand: Callable[[str], object] = str,
    ) -> None:
        self.in_hand = in_hand
        self.helpers: Isolated[ParsedDocument, Prepared | DocumentFailure] = Isolated(
            _Work(chunker), helpers, limits
        )
        self.under_way: deque[tuple[ParsedDocument, str]] = deque()

    def put(self, document: ParsedDocument, mark: str) -> None:
        self.under_way.append((document, mark))
        self.helpers.put(document, len(document.content))

    def ready(self) -> Iterator[tuple[ParsedDocument, str, Prepared | DocumentFailure]]:
        """The documents that are prepared by now. Waits only if very many are under way."""
        yield from self._marked(self.helpers.ready())
        while self.helpers.is_full:
            yield from self._marked(self.helpers.wait())

    def rest(self) -> Iterator[tuple[ParsedDocument, str, Prepared | DocumentFailure]]:
        """All remaining documents, waiting for them."""
        yield from self._marked(self.helpers.rest())

    def close(self) -> None:
        self.helpers.close()

    def _marked(
        self, results: Iterator[Prepared | DocumentFailure | GaveUp | InHand]
    ) -> Iterator[tuple[ParsedDocument, str, Prepared | DocumentFailure]]:
        for result in results:
            if isinstance(result, InHand):
                self.in_hand(result.item.url)
                continue
            document, mark = self.under_way.popleft()
            if isinstance(result, GaveUp):
                result = DocumentFailure(document.url, result.reason, stage="chunk")
            yield document, mark, result


@dataclass(frozen=True)
class _Work:
    chunker: Chunker

    def __call__(self, document: ParsedDocument) -> Iterator[Prepared | DocumentFailure]:
        try:
            yield prepare(self.chunker, document)
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            yield failure_at(document.url, error, "chunk")
