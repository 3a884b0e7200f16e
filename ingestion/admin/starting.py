"""Ingest all sources at once: one page that says what will happen, and one button."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from ingestion.admin import actions
from ingestion.admin.standings import Standing, standings
from ingestion.monitoring import health


def ingest_all(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Ask, or start if the answer is there; then lead to the run."""
    found = [one for one in standings() if one.source.enabled]
    if request.method == "POST":
        asked = actions.start(request, [one.source for one in found])
        if asked:
            there = reverse("admin:ingestion_run_change", args=[asked.run.pk])
            return HttpResponseRedirect(there)
        return HttpResponseRedirect(reverse("admin:index"))
    ready, unready = _divided(found)
    context |= {
        "title": "Ingest all sources now?",
        "ready": ready,
        "unready": unready,
        "documents": sum(one.documents for one in ready),
        "upgrades": next((c for c in health.checks() if c.name == "Upgrades"), None),
    }
    return TemplateResponse(request, "admin/ingest_all.html", context)


def _divided(found: list[Standing]) -> tuple[list[Standing], list[tuple[Standing, str]]]:
    """The sources that can be read, and the others with what is wrong with each."""
    ready, unready = [], []
    for one in found:
        problems = [text for texts in one.source.problems().values() for text in texts]
        if problems:
            unready.append((one, " ".join(problems)))
        else:
            ready.append(one)
    return ready, unready
