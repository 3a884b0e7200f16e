"""Cut documents into chunks and analyze their terms, in helper processes.

The reading goes on meanwhile, and a document that exceeds its limits costs nothing but itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ingestion.chunking.chunker import Chunker, TextChunk
from ingestion.documents import DocumentFailure, ParsedDocument
from ingestion.exceptions import failure_at
from ingestion.processes.isolation import GaveUp, InHand, Isolated, Limits
from ingestion.text import analyzer

MAX_TITLE = 1000


class Prepared(NamedTuple):
    """The chunks of a document, and for each its full text vector (see `text.analyzer.vector`).

    `embeddings` are their packed vectors if the embedder works in passing, else empty.
    """

    chunks: list[TextChunk]
    vectors: list[bytes]
    embeddings: list[bytes] = []


Embed = Callable[[Sequence[str]], list[bytes]]
"""Packed vectors of texts; none if any of them cannot be embedded."""


def prepare(chunker: Chunker, document: ParsedDocument, embed: Embed | None = None) -> Prepared:
    """Cut a document, analyze its terms, and with `embed` embed its chunks."""
    chunks = chunker.chunk(document)
    title = document.title[:MAX_TITLE]
    terms = [analyzer.vector(title, c.context_header, c.content) for c in chunks]
    embeddings = embed([c.embedded_text for c in chunks]) if embed and chunks else []
    return Prepared(chunks, terms, embeddings)


def prepare_or_fail(
    chunker: Chunker, document: ParsedDocument, embed: Embed | None = None
) -> Prepared | DocumentFailure:
    try:
        return prepare(chunker, document, embed)
    except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
        return failure_at(document.url, error, "chunk")


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document that was prepared where it was read. Without `prepared`, it is stored with this
    fingerprint already, and its content is left out."""

    document: ParsedDocument
    fingerprint: str
    prepared: Prepared | DocumentFailure | None

    @property
    def url(self) -> str:
        return self.document.url


@dataclass(frozen=True)
class PreparingOnTheSpot:
    """What the processes that read a document go on to do with it. `versions` are part of its
    fingerprint; `is_needed` says whether the document at an address, with a fingerprint, is to be
    prepared."""

    chunker: Chunker
    versions: tuple[object, ...]
    is_needed: Callable[[str, str], bool]
    embed: Embed | None = None

    def __call__(self, document: ParsedDocument) -> PreparedDocument:
        fingerprint = document.fingerprint(*self.versions)
        if not self.is_needed(document.url, fingerprint):
            return PreparedDocument(replace(document, content=""), fingerprint, None)
        prepared = prepare_or_fail(self.chunker, document, self.embed)
        return PreparedDocument(document, fingerprint, prepared)


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
        embed: Embed | None = None,
    ) -> None:
        self.in_hand = in_hand
        self.helpers: Isolated[ParsedDocument, Prepared | DocumentFailure] = Isolated(
            lambda document: [prepare_or_fail(chunker, document, embed)], helpers, limits
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
