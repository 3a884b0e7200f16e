"""The admin's first page: figures, what needs a person, what runs, and the state of each source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from ingestion.admin import attention, growth
from ingestion.admin.standings import Standing, progress, standings
from ingestion.models import Chunk, Document, EmbeddingProfile, SourceRun, State
from ingestion.monitoring import health
from ingestion.runs import reembedding, token_vectors
from ingestion.runs.background import Counted, Progress
from ingestion.worker.cluster import Presence

BUSY_PAUSE = 2000  # milliseconds until the page refreshes while something is running
QUIET_PAUSE = 5000


def overview() -> dict[str, Any]:
    """What the first page shows and refreshes, all of it read at one time."""
    open_runs = list(
        SourceRun.objects.open()
        .select_related("source", "run")
        .defer("vanished", "moves")
        .order_by("pk")
    )
    held = SourceRun.objects.filter(state=State.NEEDS_APPROVAL).select_related("source")
    why = health.why_waiting(open_runs)
    checks = health.checks()
    found = standings()
    return {
        "standings": found,
        "tiles": tiles(found),
        "needs": attention.needs(found, held, checks),
        "checks": checks,
        "growth": growth.growth(),
        "meaning": _unfinished(_meaning()),
        "tokens": _unfinished(_tokens()),
        "has_worker": Presence.anybody(),
        "progress": [progress(row, why.get(row.pk, "")) for row in open_runs],
        "pause": BUSY_PAUSE if open_runs else QUIET_PAUSE,
    }


_meaning = Counted(reembedding.progress)
_tokens = Counted(token_vectors.progress)


def _unfinished(far: Progress | None) -> Progress | None:
    """None if nothing is left."""
    return far if far and far.left else None


def tiles(found: Sequence[Standing]) -> dict[str, Any]:
    """The figures at the top."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    due = min((one for one in found if one.due), key=lambda one: one.due, default=None)  # type: ignore[arg-type,return-value]
    return {
        "documents": sum(one.documents for one in found),
        "today": Document.objects.filter(first_seen__gte=midnight).count(),
        "chunks": sum(one.chunks for one in found),
        "models": EmbeddingProfile.objects.filter(Exists(_chunks_of_profile())).count(),
        "problems": sum(one.failures for one in found),
        "warnings": sum(one.warnings for one in found),
        "due": due,
        "is_new": not any(one.last for one in found),
    }


def _chunks_of_profile() -> QuerySet[Chunk]:
    return Chunk.objects.filter(profile=OuterRef("pk"))
