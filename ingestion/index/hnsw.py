"""The HNSW index of each embedding profile: partial, over halfvec, by cosine distance.

A query uses it only when it repeats the cast and the predicate (see `search`).
"""

from __future__ import annotations

import logging

from django.db import OperationalError, connection, transaction
from django.db.models import Exists, OuterRef

from ingestion.models import Chunk, EmbeddingProfile, SourceRun, State

logger = logging.getLogger(__name__)

BUILDING = 0x626278  # the first key of the advisory lock of a builder; the second is its profile
BYTES_OF_A_NODE = 720  # of a build in pgvector, beside the vector: 32 neighbours
SPARE_KB = 32 * 1024
NO_ROOM = ("53100", "53200")  # PostgreSQL's codes for a lack of (shared) memory
LOCKED = "55P03"  # PostgreSQL's code for a lock that was not had in time
DROP_PATIENCE = "2s"  # searches wait behind a DROP INDEX that waits
KB_OF_A_PROCESS = 32 * 1024  # memory that PostgreSQL requires for each process of a build


def exists(profile: EmbeddingProfile) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
            " WHERE relname = %s AND indisvalid)",
            [profile.index_name],
        )
        return bool(cursor.fetchone()[0])


def missing() -> list[EmbeddingProfile]:
    """The profiles whose chunks have no index. None while sources are read, because an index slows
    down every insert."""
    if SourceRun.objects.filter(state__in=[State.QUEUED, State.RUNNING]).exists():
        return []
    return [profile for profile in EmbeddingProfile.objects.all() if _lacks(profile)]


def _lacks(profile: EmbeddingProfile) -> bool:
    return not exists(profile) and profile.chunks.exists()


def build_missing() -> str:
    """Build every missing index; a sentence on what was built."""
    built = [profile.index_name for profile in missing() if build(profile)]
    return f"Built {', '.join(built)}." if built else "No index was missing."


def build_if_used(profile: EmbeddingProfile) -> bool:
    return _lacks(profile) and build(profile)


def drop_unused() -> list[str]:
    """Drop the indexes of profiles that have no chunk any more; their names. None while sources are
    read, or while somebody uses the table for long."""
    if SourceRun.objects.filter(state__in=[State.QUEUED, State.RUNNING]).exists():
        return []
    used = Chunk.objects.filter(profile=OuterRef("pk"))
    unused = [p for p in EmbeddingProfile.objects.exclude(Exists(used)) if exists(p)]
    return [profile.index_name for profile in unused if _drop(profile)]


def _drop(profile: EmbeddingProfile) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [DROP_PATIENCE])
            cursor.execute(f"DROP INDEX IF EXISTS {profile.index_name}")
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != LOCKED:
            raise
        logger.info("%s is dropped later: the table is in use", profile.index_name)
        return False
    return True


def build(profile: EmbeddingProfile) -> bool:
    """Build the profile's index if it is missing and nobody else is building it; whether it was
    built.

    Writers of chunks wait meanwhile.
    """
    if exists(profile):
        return False
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [BUILDING, profile.pk])
        if not cursor.fetchone()[0]:
            return False
        logger.info("building %s", profile.index_name)
        _take_memory(profile)
        try:
            _create(profile)
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") not in NO_ROOM:
                raise
            logger.warning(
                "%s is built by one process: the server's shared memory is too small for several "
                "(in a container, raise shm_size): %s",
                profile.index_name,
                error,
            )
            cursor.execute("SET LOCAL max_parallel_maintenance_workers = 0")
            _create(profile)
    return True


@transaction.atomic
def _create(profile: EmbeddingProfile) -> None:
    """Create the index in as many processes as the server allows: by itself, it would take few for
    a table of some hundred megabytes."""
    with connection.cursor() as cursor:
        processes = _setting("max_parallel_maintenance_workers")
        cursor.execute(f"ALTER TABLE ingestion_chunk SET (parallel_workers = {processes:d})")
        cursor.execute(
            f"CREATE INDEX IF NOT EXISTS {profile.index_name} ON ingestion_chunk USING hnsw"
            f" ((embedding::halfvec({profile.dimensions:d})) halfvec_cosine_ops)"
            f" WHERE profile_id = {profile.pk:d}"
        )
        cursor.execute("ALTER TABLE ingestion_chunk RESET (parallel_workers)")


def _take_memory(profile: EmbeddingProfile) -> None:
    """Let this transaction's build have the maintenance_work_mem that it needs.

    A parallel build allocates all that it may use at once; with too little, it is several times
    slower.
    """
    needed = memory_kb(profile.chunks.count(), profile.dimensions)
    with connection.cursor() as cursor:
        allowed = _setting("maintenance_work_mem")
        processes = 1 + _setting("max_parallel_maintenance_workers")
        taken = min(max(needed, processes * KB_OF_A_PROCESS), allowed)
        cursor.execute("SELECT set_config('maintenance_work_mem', %s, true)", [f"{taken}kB"])
    if needed > allowed:
        logger.warning(
            "%s is built slowly: set the server's maintenance_work_mem to %d MB (it has %d).",
            profile.index_name,
            -(-needed // 1024),
            allowed // 1024,
        )


def _setting(name: str) -> int:
    """The value of a setting, in the server's own unit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting::int FROM pg_settings WHERE name = %s", [name])
        return int(cursor.fetchone()[0])


def memory_kb(chunks: int, dimensions: int) -> int:
    """The memory that building the graph of so many vectors takes, in kB."""
    return chunks * (2 * dimensions + BYTES_OF_A_NODE) // 1024 + SPARE_KB
