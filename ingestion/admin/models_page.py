"""The page of embedding models: which one is in use, what each holds, and what a change costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from ingestion.admin.display import seconds
from ingestion.models import Chunk, EmbeddingProfile, SourceRun
from ingestion.monitoring import health

MEASURED_RUNS = 50  # of the last ones that embedded something, to tell the speed from

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[EmbeddingProfile]
else:
    Admin = object


@dataclass(frozen=True)
class Held:
    """A model with the number of chunks that have its vectors; `share` is in percent of all."""

    profile: EmbeddingProfile
    chunks: int
    share: float
    in_use: bool


class ModelsPage(Admin):
    def get_urls(self) -> list[URLPattern]:
        live = path("live/", self.admin_site.admin_view(self.live), name="models_live")
        return [live, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Models"}
        return TemplateResponse(request, "admin/models.html", context | models())

    def live(self, request: HttpRequest) -> HttpResponse:
        """The part of the page that its script refreshes."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return render(request, "admin/models_live.html", models())


def models() -> dict[str, Any]:
    counted = dict(Chunk.objects.order_by().values_list("profile").annotate(number=Count("*")))
    check = health.embedder_now()
    total = sum(counted.values())
    profiles = EmbeddingProfile.objects.order_by("-pk")
    held = [_held(one, counted.get(one.pk, 0), total, check) for one in profiles]
    foreign = sum(one.chunks for one in held if not one.in_use)
    speed = _speed()
    return {
        "held": held,
        "check": check,
        "total": total,
        "foreign": foreign if any(one.in_use for one in held) else 0,
        "speed": speed,
        "switch": seconds(total / speed) if speed else "",
        "rest": seconds(foreign / speed) if speed else "",
        "is_running": SourceRun.objects.open().exists(),
    }


def _held(profile: EmbeddingProfile, chunks: int, total: int, check: health.Check) -> Held:
    return Held(profile, chunks, 100 * chunks / (total or 1), _is(profile, check))


def _is(profile: EmbeddingProfile, check: health.Check) -> bool:
    """Whether the embedder that answers now is this profile's."""
    named = f"{profile.provider}/{profile.model}, {profile.dimensions} dimensions"
    return check.state == "ok" and check.text == named


def _speed() -> float:
    """Chunks embedded a second in the last runs, reading and storing included; 0 if unknown."""
    ran = SourceRun.objects.filter(embedded__gt=0, finished_at__isnull=False).order_by("-pk")
    rows = list(ran.only("embedded", "started_at", "finished_at")[:MEASURED_RUNS])
    spent = sum(row.seconds or 0.0 for row in rows)
    return sum(row.embedded for row in rows) / spent if spent else 0.0
