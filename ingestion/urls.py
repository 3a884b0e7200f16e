"""The addresses of the HTTP API, and those that monitoring asks."""

from __future__ import annotations

from django.urls import path

from ingestion import api

urlpatterns = [
    path("api/search", api.search_view, name="api-search"),
    path("api/documents/<int:pk>", api.document_view, name="api-document"),
    path("api/stats", api.stats_view, name="api-stats"),
    path("api/openapi.json", api.openapi_view, name="api-openapi"),
    path("api/<path:rest>", api.missing_view, name="api-missing"),
    path("health", api.health_view, name="health"),
    path("ready", api.ready_view, name="ready"),
    path("metrics", api.metrics_view, name="metrics"),
]
