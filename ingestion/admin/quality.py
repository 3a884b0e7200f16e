"""The quality page: figures about what is stored, warnings if one looks wrong, and links to the
rows behind each figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from ingestion.admin.charts import Bar, bars
from ingestion.admin.standings import Standing, standings
from ingestion.index import left_out, quality
from ingestion.models import OPEN_STATES, Chunk, Document, SourceRun
from ingestion.runs.schedules import next_time
from sources.models import Source

UNTAGGED_SHARE = 0.05
ONE_SOURCE_SHARE = 0.9
STALE = timedelta(days=30)


@dataclass(frozen=True)
class Oddity:
    """Something that may be wrong with some rows, and the list of them."""

    name: str
    number: int
    url: str


@dataclass(frozen=True)
class Warned:
    text: str
    url: str = ""


def page() -> dict[str, Any]:
    stand = standings()
    taken = [row.quality for row in rows_with_figures()]
    texts, copies = quality.duplicates()
    return {
        "warnings": [*warnings(stand, taken)],
        "by_source": bars((s.source.name, s.chunks, of_source(s.source)) for s in stand),
        "by_generation": summed(taken, "by_generation", "generation"),
        "by_type": summed(taken, "by_type", "document__doc_type"),
        "lengths": lengths(taken),
        "oddities": [*oddities(taken, copies)],
        "repeated": texts,
        "documents": sum(s.documents for s in stand),
        "chunks": sum(s.chunks for s in stand),
        "tokens": total(taken, "tokens"),
        "limit": settings.CHUNK_SIZE,
    }


def rows_with_figures() -> QuerySet[SourceRun]:
    """For each source, its newest run with figures."""
    mine = SourceRun.objects.filter(source=OuterRef("pk"), quality__has_key="chunks")
    newest = Source.objects.order_by().values_list(Subquery(mine.order_by("-pk").values("pk")[:1]))
    return SourceRun.objects.filter(pk__in=newest).only("source_id", "source_name", "quality")


def total(taken: Iterable[dict[str, Any]], name: str) -> int:
    return sum(figures[name] for figures in taken)


def summed(taken: Iterable[dict[str, Any]], name: str, lookup: str) -> list[Bar]:
    """The figures of all sources by one property, largest first."""
    found: Counter[str] = Counter()
    for figures in taken:
        found.update(figures[name])
    return bars((key, number, chunks(**{lookup: key})) for key, number in found.most_common())


def lengths(taken: Iterable[dict[str, Any]]) -> list[Bar]:
    found: Counter[int] = Counter()
    for figures in taken:
        found.update({int(start): number for start, number in figures["lengths"].items()})
    return bars(
        (
            f"{start} to {start + quality.BUCKET - 1}",
            found[start],
            chunks(tokens__gte=start, tokens__lt=start + quality.BUCKET),
        )
        for start in range(0, max(found, default=-1) + 1, quality.BUCKET)
    )


def chunks(**filters: Any) -> str:
    return f"{reverse('admin:ingestion_chunk_changelist')}?{urlencode(filters)}"


def documents(**filters: Any) -> str:
    return f"{reverse('admin:ingestion_document_changelist')}?{urlencode(filters)}"


def of_source(source: Source) -> str:
    return chunks(document__source__id__exact=source.pk)


def oddities(taken: list[dict[str, Any]], copies: int) -> Iterable[Oddity]:
    named = {
        "untagged": ("Documents without a generation", documents(quality="untagged")),
        "deprecated": ("Deprecated documents", documents(deprecated__exact=1)),
        "empty": ("Documents without chunks", documents(quality="empty")),
        "small": (f"Chunks under {quality.SMALL} tokens", chunks(quality="small")),
        "large": (f"Chunks over {settings.CHUNK_SIZE} tokens", chunks(quality="large")),
        "markup": ("Chunks with leftover markup", chunks(quality="markup")),
    }
    for name, (label, url) in named.items():
        yield Oddity(label, total(taken, name), url)
    yield Oddity("Chunks whose text is elsewhere too", copies, chunks(quality="duplicate"))
    there = reverse("admin:ingestion_document_left_out")
    yield Oddity("Documents left out of search", len(left_out.keys()), there)


def warnings(stand: list[Standing], taken: list[dict[str, Any]]) -> Iterable[Warned]:
    now = timezone.now()
    everything = sum(s.chunks for s in stand)
    for s in stand:
        url = reverse("admin:sources_source_change", args=[s.source.pk])
        if s.source.enabled and s.last and not s.chunks and s.last.state not in OPEN_STATES:
            yield Warned(_empty(s), url)
        if s.source.enabled and not s.last:
            yield Warned(f"{s.source.name} is enabled and has never been read.", url)
        if s.source.enabled and s.read_at and is_stale(s, now):
            yield Warned(f"{s.source.name} was last read {s.read_at:%Y-%m-%d}.", url)
        if everything and s.chunks > ONE_SOURCE_SHARE * everything:
            share = 100 * s.chunks // everything
            yield Warned(f"{share} % of all chunks are those of {s.source.name}.", url)
    untagged, number = total(taken, "untagged"), total(taken, "documents")
    if untagged > UNTAGGED_SHARE * number:
        text = f"{100 * untagged // number} % of the documents have no generation."
        yield Warned(text, documents(quality="untagged"))


def _empty(standing: Standing) -> str:
    """Why a source that has been run has no chunks."""
    if standing.read_at:
        return f"{standing.source.name} has been read and has no chunks."
    return f"{standing.source.name} has never been read to its end: see what stopped its last run."


def is_stale(standing: Standing, now: datetime) -> bool:
    """Whether two scheduled times have passed, or without a schedule, a month."""
    if standing.read_at is None:
        return False
    if not standing.source.schedule:
        return now - standing.read_at > STALE
    first = next_time(standing.source.schedule, standing.read_at)
    return next_time(standing.source.schedule, first) < now


def marked_up() -> list[int]:
    """The chunks that had leftover markup when the figures were taken."""
    return [pk for row in rows_with_figures() for pk in row.quality["markup_ids"]]


class ChunkFilter(admin.SimpleListFilter):
    title = "quality"
    parameter_name = "quality"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("markup", "leftover markup"),
            ("duplicate", "text is elsewhere too"),
            ("small", f"under {quality.SMALL} tokens"),
            ("large", f"over {settings.CHUNK_SIZE} tokens"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Chunk]) -> QuerySet[Chunk]:
        chosen = self.value()
        if chosen == "markup":
            return queryset.filter(pk__in=marked_up())
        if chosen == "duplicate":
            return quality.with_duplicates(queryset)
        if chosen == "small":
            return queryset.filter(tokens__lt=quality.SMALL)
        if chosen == "large":
            return queryset.filter(tokens__gt=settings.CHUNK_SIZE)
        return queryset


class DocumentFilter(admin.SimpleListFilter):
    title = "quality"
    parameter_name = "quality"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("empty", "without chunks"), ("untagged", "without a generation")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Document]) -> QuerySet[Document]:
        if self.value() == "untagged":
            return quality.without_generation(queryset)
        if self.value() == "empty":
            return queryset.filter(~Exists(Chunk.objects.filter(document=OuterRef("pk"))))
        return queryset
