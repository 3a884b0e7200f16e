"""The second pass of EMBEDDING_PROVIDER=auto: chunks with vectors of wordllama get those of minilm.

Only the vector and the profile of a chunk change, in short transactions, so that each chunk is
found by the one model or the other at every moment, and an end at any moment loses one batch. A run
may store or remove chunks meanwhile: it waits for one batch at most, and a batch leaves out what
the run holds.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count

from ingestion.chunking.added_words import text_with_words
from ingestion.chunking.chunker import embedded_text
from ingestion.embedding.base import Embedder
from ingestion.embedding.configured import AUTO, FIRST, LAST, configured_embedder
from ingestion.embedding.stage import pack_vector, unpack_vector
from ingestion.enrichment.passages import Words
from ingestion.exceptions import TextRejected, TextTooLong
from ingestion.index import hnsw
from ingestion.index.session_lock import session_lock
from ingestion.index.writer import profile_of, stored_vectors
from ingestion.models import Chunk, EmbeddingProfile
from ingestion.runs.background import Progress, who_goes_on
from ingestion.text.tokenizer import counted_in

logger = logging.getLogger(__name__)

LOCK = 0x626272  # the first key of the lock of who re-embeds; there is one in all
AT_ONCE = 16  # texts in a transaction: a second or two of work

_NEXT = """
    SELECT DISTINCT ON (c.content_hash)
        c.content_hash, c.context_header, c.content, e.context, e.questions
    FROM ingestion_chunk c LEFT JOIN ingestion_enrichment e ON e.id = c.enrichment_id
    WHERE c.profile_id = %s AND c.content_hash > %s ORDER BY c.content_hash LIMIT %s"""
_GIVE = """
    WITH given AS (
        SELECT c.id, v.vector FROM unnest(%s::text[], %s::text[]) AS v(hash, vector)
        JOIN ingestion_chunk c ON c.profile_id = %s AND c.content_hash = v.hash
        FOR UPDATE OF c SKIP LOCKED
    )
    UPDATE ingestion_chunk AS c SET embedding = given.vector::vector, profile_id = %s
    FROM given WHERE c.id = given.id"""


def is_wanted() -> bool:
    """Whether the settings ask for it. After a change from auto to minilm, what was begun ends."""
    return settings.EMBEDDING_PROVIDER in (AUTO, LAST)


def is_needed() -> bool:
    return is_wanted() and any(profile.chunks.exists() for profile in _first_profiles())


def progress() -> Progress | None:
    """How far it is; None if the settings do not ask for it, or nothing is stored yet."""
    if not is_wanted():
        return None
    counted = Chunk.objects.filter(profile__provider__in=[FIRST, LAST]).order_by()
    numbers = dict(counted.values_list("profile__provider").annotate(number=Count("pk")))
    total = sum(numbers.values())
    return Progress(numbers.get(LAST, 0), total) if total else None


def outlook(*, has_worker: bool) -> str:
    """A sentence on what is left and who does it; empty if nothing is."""
    now = progress()
    if now is None or not now.left:
        return ""
    left = f"{now.left:,} chunks are found by the words in them ({FIRST}) until {LAST} has them"
    return who_goes_on(left, "does that", "reembed", has_worker=has_worker)


def alone() -> AbstractContextManager[bool]:
    """Whether nobody else is at it, until the end of the `with` block."""
    return session_lock(LOCK, 0)


def steps() -> Generator[int, None, None]:
    """Re-embed until nothing is left that can be; the number of chunks of each batch. Raises
    EmbedderError."""
    embedder = configured_embedder()
    profile = profile_of(embedder)
    with ThreadPoolExecutor(embedder.concurrency, "reembed") as pool:
        given = 1
        while given:
            given = 0
            for first in _first_profiles():
                for number in _Pass(embedder, pool, first, profile).steps():
                    given += number
                    yield number
    for name in hnsw.drop_unused():
        logger.info("%s was dropped: no chunk is in it any more.", name)


def _first_profiles() -> list[EmbeddingProfile]:
    return list(EmbeddingProfile.objects.filter(provider=FIRST).order_by("pk"))


class _Pass:
    """One way through the texts of a profile, in the order of their hashes."""

    def __init__(
        self,
        embedder: Embedder,
        pool: ThreadPoolExecutor,
        first: EmbeddingProfile,
        last: EmbeddingProfile,
    ) -> None:
        self.embedder = embedder
        self.pool = pool
        self.first = first
        self.last = last

    def steps(self) -> Iterator[int]:
        reached = ""
        while texts := self._next(reached):
            reached = max(texts)
            yield self._give(self._vectors(texts))

    def _next(self, after: str) -> dict[str, str]:
        """The texts that come next, by hash."""
        with connection.cursor() as cursor:
            cursor.execute(_NEXT, [self.first.pk, after, AT_ONCE])
            return {key: self._text(*parts) for key, *parts in cursor.fetchall()}

    def _text(
        self, header: str, content: str, context: str | None, questions: list[str] | None
    ) -> str:
        """What is embedded of a chunk, with the words that a language model added to it."""
        text = embedded_text(header, content)
        if context is None:
            return text
        with counted_in(self.embedder.tokens):
            words = Words(context, tuple(questions or ()))
            return text_with_words(text, words, self.embedder.chunk_limit)

    def _vectors(self, texts: Mapping[str, str]) -> dict[str, bytes]:
        found = stored_vectors([self.last], texts)
        missing = [key for key in texts if key not in found]
        made = self.pool.map(self._vector, (texts[key] for key in missing))
        return found | {key: one for key, one in zip(missing, made, strict=True) if one}

    def _vector(self, text: str) -> bytes | None:
        """Of the text, or of as much of its beginning as fits; None if it cannot be embedded."""
        try:
            return pack_vector(self.embedder.embed([text])[0])
        except TextTooLong:
            return self._vector(text[: len(text) // 2])
        except TextRejected as error:
            logger.warning("A chunk keeps its first vector: %s", error)
            return None

    @transaction.atomic
    def _give(self, vectors: Mapping[str, bytes]) -> int:
        """Store the vectors with the chunks that still have these texts; the number of chunks."""
        written = [_written(vector) for vector in vectors.values()]
        with connection.cursor() as cursor:
            cursor.execute(_GIVE, [list(vectors), written, self.first.pk, self.last.pk])
            return int(cursor.rowcount)


def _written(vector: bytes) -> str:
    """A packed vector as PostgreSQL reads it from a text."""
    return "[" + ",".join(f"{value:.9g}" for value in unpack_vector(vector).tolist()) + "]"
