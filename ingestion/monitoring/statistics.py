"""How much is stored, by source and by embedding profile."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max

from ingestion.models import Chunk, Document, EmbeddingProfile, SourceRun, State
from sources.models import Source


@dataclass(frozen=True, slots=True)
class SourceCount:
    name: str
    title: str
    documents: int
    chunks: int
    last_success: datetime | None


def by_source() -> list[SourceCount]:
    documents = dict(
        Document.objects.order_by().values_list("source_id").annotate(number=Count("pk"))
    )
    chunks = dict(
        Chunk.objects.order_by().values_list("document__source_id").annotate(number=Count("pk"))
    )
    done = SourceRun.objects.filter(state__in=[State.SUCCEEDED, State.PARTIAL]).order_by()
    last = dict(done.values_list("source_id").annotate(at=Max("finished_at")))
    return [
        SourceCount(
            source.name,
            source.title,
            documents.get(source.pk, 0),
            chunks.get(source.pk, 0),
            last.get(source.pk),
        )
        for source in Source.objects.order_by("name")
    ]


def by_profile() -> list[tuple[EmbeddingProfile, int]]:
    """The profiles of the stored chunks, with the number of chunks."""
    numbers = dict(Chunk.objects.order_by().values_list("profile_id").annotate(number=Count("pk")))
    profiles = EmbeddingProfile.objects.filter(pk__in=numbers).order_by("pk")
    return [(profile, numbers[profile.pk]) for profile in profiles]
