"""Sources in the admin: what they read, how they stand, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.widgets import AdminURLFieldWidget
from django.db import models
from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.html import format_html

from ingestion import admin_actions, runs
from ingestion.admin_display import ago, badge, records_link
from ingestion.admin_overview import newest_runs
from ingestion.models import Chunk, Document, SourceRun
from sources.forms import SourceForm
from sources.models import Source

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Source]
else:
    Admin = admin.ModelAdmin


def counted(rows: QuerySet[Any], group: str) -> Coalesce:
    """The number of `rows` that belong to the source of the outer query."""
    number = rows.order_by().values(group).annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(number), 0)


@admin.register(Source)
class SourceAdmin(Admin):
    form = SourceForm
    list_display = (
        *("name", "title", "parser", "enabled", "state", "last_run"),
        *("documents_stored", "chunks_stored", "open_failures", "schedule"),
    )
    list_filter = ("enabled", "parser", "generation")
    search_fields = ("name", "title")
    actions = (
        admin_actions.reingest,
        admin_actions.retry_failures,
        admin_actions.cancel_open,
        admin_actions.enable,
        admin_actions.disable,
    )
    fieldsets = (
        (None, {"fields": ("title", "name", "parser", "enabled")}),
        ("What it reads", {"fields": ("paths", "start_url", "options")}),
        ("How it is shown", {"fields": ("generation", "display_base_url")}),
        ("When it runs by itself", {"fields": ("schedule",)}),
    )
    show_full_result_count = False
    formfield_overrides = {
        models.URLField: {"widget": AdminURLFieldWidget, "assume_scheme": "https"}
    }

    class Media:
        js = ("sources/source_form.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Source]:
        documents = Document.objects.filter(source=OuterRef("pk"))
        chunks = Chunk.objects.filter(document__source=OuterRef("pk"))
        rows: QuerySet[Any] = super().get_queryset(request)
        rows = rows.annotate(
            number_of_documents=counted(documents, "source"),
            number_of_chunks=counted(chunks, "document__source"),
        )
        return rows.prefetch_related(Prefetch("source_runs", newest_runs(), to_attr="newest_runs"))

    def get_readonly_fields(self, request: HttpRequest, obj: Source | None = None) -> list[str]:
        """The name begins the address of every stored document, so it stays."""
        return ["name"] if obj and obj.documents.exists() else []

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: Source | None = None
    ) -> dict[str, Sequence[str]]:
        return {} if obj else {"name": ("title",)}

    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("ingestion.start_run")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("ingestion.cancel_run")

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Count what goes with a source instead of loading it: it may be 100,000 chunks."""
        sources = list(objs)
        counts = {
            "sources": len(sources),
            "documents": Document.objects.filter(source__in=sources).count(),
            "chunks": Chunk.objects.filter(document__source__in=sources).count(),
        }
        needed = set() if self.has_delete_permission(request) else {"source"}
        return [f"Source: {source}" for source in sources], counts, needed, []

    def delete_model(self, request: HttpRequest, obj: Source) -> None:
        runs.delete_source(obj, request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        for source in queryset:
            runs.delete_source(source, request.user.get_username())

    @admin.display(description="last state")
    def state(self, source: Any) -> str:
        last = newest(source)
        return badge(last.state, last.get_state_display()) if last else "never run"

    @admin.display(description="last run")
    def last_run(self, source: Any) -> str:
        last = newest(source)
        if not last:
            return "-"
        when = ago(last.finished_at or last.started_at or last.queued_at)
        return format_html("{} {}", records_link("run", last.run_id), when)

    @admin.display(description="documents", ordering="number_of_documents")
    def documents_stored(self, source: Any) -> str:
        return records_link(
            "document", None, source.number_of_documents, source__id__exact=source.pk
        )

    @admin.display(description="chunks", ordering="number_of_chunks")
    def chunks_stored(self, source: Any) -> str:
        lookup = {"document__source__id__exact": source.pk}
        return records_link("chunk", None, source.number_of_chunks, **lookup)

    @admin.display(description="failures")
    def open_failures(self, source: Any) -> str:
        last = newest(source)
        if not last or not last.failures:
            return "0"
        return records_link("failure", None, last.failures, source_run__id__exact=last.pk)


def newest(source: Any) -> SourceRun | None:
    rows: list[SourceRun] = source.newest_runs
    return rows[0] if rows else None
