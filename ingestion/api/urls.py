"""The addresses of the HTTP API, and those that monitoring asks."""

from __future__ import annotations

from django.urls import path, re_path

from ingestion.api import runs, views

urlpatterns = [
    path("api/search", views.search_view, name="api-search"),
    path("api/documents/<int:pk>", views.document_view, name="api-document"),
    path("api/stats", views.stats_view, name="api-stats"),
    path("api/sources", runs.sources_view, name="api-sources"),
    path("api/runs", runs.runs_view, name="api-runs"),
    path("api/runs/<int:pk>", runs.run_view, name="api-run"),
    path("api/runs/<int:pk>/cancel", runs.cancel_view, name="api-run-cancel"),
    path("api/runs/<int:pk>/removals", runs.removals_view, name="api-run-removals"),
    path("api/openapi.json", views.openapi_view, name="api-openapi"),
    re_path("^api/", views.missing_view, name="api-missing"),  # a line break may follow
    path("health", views.health_view, name="health"),
    path("ready", views.ready_view, name="ready"),
    path("metrics", views.metrics_view, name="metrics"),
]
