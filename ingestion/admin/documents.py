"""The lists and pages of documents and of the models that embedded them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import HttpRequest

from ingestion.admin import models_page, quality
from ingestion.admin.display import ago
from ingestion.admin.downloads import AT_ONCE, Downloads
from ingestion.admin.read_only import SHOWN_FAILURES, VECTORS, GenerationFilter, ReadOnlyAdmin
from ingestion.models import Chunk, Document, Failure


class DocumentAdmin(Downloads, ReadOnlyAdmin):
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
    csv_columns = (
        *("title", "address", "shown at", "source", "type", "generations", "deprecated"),
        *("first seen", "changed", "chunks"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        return Document.objects.defer("metadata", "inputs", "http_validators")

    @admin.display(description="generations")
    def tags(self, document: Document) -> str:
        return ", ".join(document.generations)

    @admin.display(description="changed", ordering="changed_at")
    def changed(self, document: Document) -> str:
        return ago(document.changed_at)

    def csv_cells(self, rows: QuerySet[Any]) -> Iterator[tuple[object, ...]]:
        mine = Chunk.objects.filter(document=OuterRef("pk")).order_by().values("document")
        number = Subquery(mine.annotate(number=Count("pk")).values("number"))
        fields = ("title", "url", "display_url", "source__name", "doc_type", "generations")
        rest = ("deprecated", "first_seen", "changed_at", "number")
        found = rows.annotate(number=number).values_list(*fields, *rest)
        for *texts, tags, deprecated, first, changed, chunks in found.iterator(AT_ONCE):
            yield (*texts, ", ".join(tags), deprecated, first, changed, chunks or 0)

    def details(self, request: HttpRequest, obj: Document) -> dict[str, Any]:
        chunks = obj.chunks.defer(*VECTORS).order_by("ordinal")
        failures = Failure.objects.open().filter(source=obj.source, document_url=obj.url)
        return {"chunks": chunks, "failures": failures[:SHOWN_FAILURES]}


class EmbeddingProfileAdmin(models_page.ModelsPage, ReadOnlyAdmin):
    heading = "Models"
    page = "admin/ingestion/profile/page.html"
    list_display = ("__str__", "provider", "model", "dimensions", "created_at")
