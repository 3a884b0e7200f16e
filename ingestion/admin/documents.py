"""The lists and pages of documents and of the models that embedded them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from ingestion.admin import models_page, quality
from ingestion.admin.display import ago
from ingestion.admin.read_only import SHOWN_FAILURES, VECTORS, GenerationFilter, ReadOnlyAdmin
from ingestion.models import Document, Failure


class DocumentAdmin(ReadOnlyAdmin):
    page = "admin/ingestion/document/page.html"
    list_display = ("title", "source", "doc_type", "tags", "deprecated", "changed")
    list_filter = (
        *("source", "doc_type", GenerationFilter, "deprecated"),
        quality.DocumentFilter,
    )
    list_select_related = ("source",)
    search_fields = ("title", "url")
    search_help_text = "Words of a title or an address."
    ordering = ("-changed_at", "pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        return Document.objects.defer("metadata", "inputs", "http_validators")

    @admin.display(description="generations")
    def tags(self, document: Document) -> str:
        return ", ".join(document.generations)

    @admin.display(description="changed", ordering="changed_at")
    def changed(self, document: Document) -> str:
        return ago(document.changed_at)

    def details(self, request: HttpRequest, obj: Document) -> dict[str, Any]:
        chunks = obj.chunks.defer(*VECTORS).order_by("ordinal")
        failures = Failure.objects.open().filter(source=obj.source, document_url=obj.url)
        return {"chunks": chunks, "failures": failures[:SHOWN_FAILURES]}


class EmbeddingProfileAdmin(models_page.ModelsPage, ReadOnlyAdmin):
    heading = "Models"
    page = "admin/ingestion/profile/page.html"
    list_display = ("__str__", "provider", "model", "dimensions", "created_at")
