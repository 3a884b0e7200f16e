"""What late interaction needs: the vectors of the tokens of each chunk (LATE_INTERACTION).

They are made beside the runs and kept by the text of a chunk, so that no run waits for them and no
text is read twice. A chunk without them is found as it would be without the setting. An end at any
moment loses one batch.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models import Exists, Max, OuterRef, QuerySet

from ingestion.chunking.chunker import embedded_text
from ingestion.embedding import minilm, token_vectors
from ingestion.embedding.token_vectors import Passage
from ingestion.index.session_lock import session_lock
from ingestion.models import Chunk, EmbeddingProfile, TokenVectors
from ingestion.runs.background import Progress, who_goes_on

LOCK = 0x62746B  # the first key of the lock of who makes them; there is one in all
AT_ONCE = 16  # texts: a second or two of work
POOLED_AT_ONCE = 256  # rows: a tenth of a second

_NEXT = """
    SELECT DISTINCT ON (c.content_hash) c.content_hash, c.context_header, c.content
    FROM ingestion_chunk c WHERE c.profile_id = %s AND c.content_hash > %s AND NOT EXISTS (
        SELECT FROM ingestion_tokenvectors t
        WHERE t.content_hash = c.content_hash AND t.version = %s)
    ORDER BY c.content_hash LIMIT %s"""
_KEEP = """
    INSERT INTO ingestion_tokenvectors (content_hash, version, vectors, centroids, centroid_bytes)
    SELECT given.hash, %s, given.vectors, given.centroids::smallint[], given.bytes
    FROM unnest(%s::text[], %s::bytea[], %s::text[], %s::bytea[])
        AS given(hash, vectors, centroids, bytes)
    ON CONFLICT (content_hash) DO UPDATE SET
        version = excluded.version, vectors = excluded.vectors, centroids = excluded.centroids,
        centroid_bytes = excluded.centroid_bytes"""


class Text(NamedTuple):
    content_hash: str
    header: str
    content: str


def is_wanted() -> bool:
    return bool(settings.LATE_INTERACTION)


def newest() -> int:
    """The key of the chunk that was stored last: another one, and something may be missing."""
    return Chunk.objects.aggregate(newest=Max("pk"))["newest"] or 0


def is_needed() -> bool:
    """Whether a chunk has none yet. This may look at all chunks."""
    return any(_next(profile.pk, "", 1) for profile in EmbeddingProfile.objects.all())


def progress() -> Progress | None:
    """How many chunks have them; None if the settings do not ask for it, or nothing is stored."""
    if not is_wanted():
        return None
    there = TokenVectors.objects.filter(pk=OuterRef("content_hash"), version=token_vectors.VERSION)
    total = Chunk.objects.count()
    return Progress(Chunk.objects.filter(Exists(there)).count(), total) if total else None


def outlook(*, has_worker: bool) -> str:
    """A sentence on what is left and who does it; empty if nothing is."""
    now = progress()
    if now is None or not now.left:
        return ""
    left = f"{now.left:,} chunks have no token vectors for late interaction yet"
    return who_goes_on(left, "makes them", "late_interaction", has_worker=has_worker)


def alone() -> AbstractContextManager[bool]:
    """Whether nobody else is at it, until the end of the `with` block."""
    return session_lock(LOCK, 0)


def steps() -> Generator[int, None, None]:
    """Make what is missing; the number of texts of each batch. Raises EmbedderError."""
    yield from _pool_older()
    minilm.opened()
    with ThreadPoolExecutor(minilm.threads(), "tokens") as pool:
        for profile in EmbeddingProfile.objects.order_by("pk"):
            reached = ""
            while texts := _next(profile.pk, reached, AT_ONCE):
                reached = texts[-1].content_hash
                _keep(texts, [*pool.map(_vectors, texts)])
                yield len(texts)


def _pool_older() -> Iterator[int]:
    """Bring those that hold all tokens to this version, which needs no model."""
    older = TokenVectors.objects.filter(version=token_vectors.WITH_ALL_TOKENS).order_by("pk")
    reached = ""
    while rows := [*older.filter(pk__gt=reached).only("vectors")[:POOLED_AT_ONCE]]:
        reached = rows[-1].pk
        for row in rows:
            row.vectors = token_vectors.pooled(bytes(row.vectors))
            row.version = token_vectors.VERSION
        TokenVectors.objects.bulk_update(rows, ["vectors", "version"])
        yield len(rows)


def unused() -> QuerySet[TokenVectors]:
    """Those of texts that no chunk has any more."""
    return TokenVectors.objects.filter(~Exists(Chunk.objects.filter(content_hash=OuterRef("pk"))))


def _next(profile: int, after: str, number: int) -> list[Text]:
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, [profile, after, token_vectors.VERSION, number])
        return [Text(*row) for row in cursor.fetchall()]


def _vectors(text: Text) -> Passage:
    return token_vectors.of_passage(embedded_text(text.header, text.content))


def _keep(texts: Sequence[Text], passages: Sequence[Passage]) -> None:
    hashes = [text.content_hash for text in texts]
    vectors = [passage.vectors for passage in passages]
    centroids = ["{" + ",".join(map(str, passage.centroids)) + "}" for passage in passages]
    packed = [token_vectors.packed_centroids(passage.centroids) for passage in passages]
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [token_vectors.VERSION, hashes, vectors, centroids, packed])
