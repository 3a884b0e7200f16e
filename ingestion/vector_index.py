"""The HNSW index of each embedding profile: partial, over halfvec, by cosine distance.

A query uses it only when it repeats the cast and the predicate (see `search`).
"""

from __future__ import annotations

import logging

from django.db import connection, transaction

from ingestion.models import EmbeddingProfile, SourceRun, State

logger = logging.getLogger(__name__)

BUILDING = 0x626278  # the first key of the lock that a builder holds; the second: its profile


def exists(profile: EmbeddingProfile) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
            " WHERE relname = %s AND indisvalid)",
            [profile.index_name],
        )
        return bool(cursor.fetchone()[0])


def missing() -> list[EmbeddingProfile]:
    """The profiles whose chunks have no index; none while sources are read, as an index slows down
    each chunk that is stored."""
    if SourceRun.objects.filter(state__in=[State.QUEUED, State.RUNNING]).exists():
        return []
    return [profile for profile in EmbeddingProfile.objects.all() if _lacks(profile)]


def _lacks(profile: EmbeddingProfile) -> bool:
    return not exists(profile) and profile.chunks.exists()


def build_missing() -> str:
    """Build every missing index; what was built, in a sentence."""
    built = [profile.index_name for profile in missing() if build(profile)]
    return f"Built {', '.join(built)}." if built else "No index was missing."


def build(profile: EmbeddingProfile) -> bool:
    """Build the profile's index if it is missing and nobody else builds it; whether it was built.

    Writers of chunks wait meanwhile.
    """
    if exists(profile):
        return False
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [BUILDING, profile.pk])
        if not cursor.fetchone()[0]:
            return False
        logger.info("building %s", profile.index_name)
        cursor.execute(
            f"CREATE INDEX IF NOT EXISTS {profile.index_name} ON ingestion_chunk USING hnsw"
            f" ((embedding::halfvec({profile.dimensions:d})) halfvec_cosine_ops)"
            f" WHERE profile_id = {profile.pk:d}"
        )
    return True
