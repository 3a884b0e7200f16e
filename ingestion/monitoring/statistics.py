"""How much is stored, by source and by embedding profile."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max

from ingestion import access
from ingestion.index import left_out
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
    """What can be found of each source that may be seen: without what was left out."""
    out, allowed = left_out.keys(), access.current()
    stored = Document.objects.filter(allowed.within("source")).exclude(pk__in=out).order_by()
    documents = dict(stored.values_list("source_id").annotate(number=Count("pk")))
    of_source = allowed.within("document__source")
    found = Chunk.objects.filter(of_source).exclude(document__in=out).order_by()
    chunks = dict(found.values_list("document__source_id").annotate(number=Count("pk")))
    done = SourceRun.objects.filter(state__in=[State.SUCCEEDED, State.PARTIAL]).order_by()
    done = done.filter(allowed.within("source"))
    last = dict(done.values_list("source_id").annotate(at=Max("finished_at")))
    return [
        SourceCount(
            source.name,
            source.title,
            documents.get(source.pk, 0),
            chunks.get(source.pk, 0),
            last.get(source.pk),
        )
        for source in Source.objects.filter(allowed.within("pk")).order_by("name")
    ]


def by_profile() -> list[tuple[EmbeddingProfile, int]]:
    """The profiles of the chunks that can be found, with the number of chunks."""
    of_source = access.current().within("document__source")
    found = Chunk.objects.filter(of_source).exclude(document__in=left_out.keys())
    numbers = dict(found.order_by().values_list("profile_id").annotate(number=Count("pk")))
    profiles = EmbeddingProfile.objects.filter(pk__in=numbers).order_by("pk")
    return [(profile, numbers[profile.pk]) for profile in profiles]
