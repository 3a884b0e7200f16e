"""The HNSW index of each embedding profile: partial, over halfvec, by cosine distance.

A query uses it only when it repeats the cast and the predicate (see `search`).
"""

from __future__ import annotations

import logging

from django.db import connection

from ingestion.models import EmbeddingProfile

logger = logging.getLogger(__name__)


def exists(profile: EmbeddingProfile) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
            " WHERE relname = %s AND indisvalid)",
            [profile.index_name],
        )
        return bool(cursor.fetchone()[0])


def build(profile: EmbeddingProfile) -> None:
    """Build the profile's index if it is missing. Writers of chunks wait meanwhile."""
    if exists(profile):
        return
    logger.info("building %s", profile.index_name)
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE INDEX IF NOT EXISTS {profile.index_name} ON ingestion_chunk USING hnsw"
            f" ((embedding::halfvec({profile.dimensions:d})) halfvec_cosine_ops)"
            f" WHERE profile_id = {profile.pk:d}"
        )
