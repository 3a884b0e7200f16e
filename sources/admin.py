"""Sources in the admin: what they read, their state, and the actions on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AdminURLFieldWidget
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from ingestion.admin import actions
from ingestion.admin.charts import history
from ingestion.admin.display import ago, badge, records_link
from ingestion.admin.preview import address
from ingestion.admin.standings import newest_runs, numbers
from ingestion.models import OPEN_STATES, Chunk, Document, SourceRun
from ingestion.runs import previews, removals
from sources.forms import SourceForm
from sources.models import Source

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Source]
else:
    Admin = admin.ModelAdmin


SHOWN_RUNS = 20
# The list's actions that a source's own page has too, with the text of their buttons.
ACTS = {
    "reingest": "Ingest",
    "reingest_clean": "Ingest from scratch...",
    "retry_failures": "Retry failures",
    "cancel_open": "Cancel",
    "enable": "Enable",
    "disable": "Disable",
}


class SourceList(ChangeList):
    """Adds the number of documents and chunks to each source it shows."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        documents = numbers(Document.objects.all(), "source")
        chunks = numbers(Chunk.objects.all(), "document__source")
        for source in self.result_list:
            source.number_of_documents = documents.get(source.pk, 0)
            source.number_of_chunks = chunks.get(source.pk, 0)


@admin.register(Source)
class SourceAdmin(Admin):
    form = SourceForm
    list_display = (
        *("name", "parser", "enabled", "state", "last_run"),
        *("documents_stored", "chunks_stored", "open_failures"),
    )
    list_filter = ("enabled", "parser")
    search_fields = ("name", "title")
    actions = (
        actions.reingest,
        actions.reingest_clean,
        actions.retry_failures,
        actions.cancel_open,
        actions.enable,
        actions.disable,
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
        rows: QuerySet[Source] = super().get_queryset(request)
        return rows.prefetch_related(Prefetch("source_runs", newest_runs(), to_attr="newest_runs"))

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:
        return SourceList

    def get_readonly_fields(self, request: HttpRequest, obj: Source | None = None) -> list[str]:
        """The name is read-only, because it begins the address of every stored document."""
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
        """Count what is deleted with a source instead of loading it: it may be 100,000 chunks."""
        sources = list(objs)
        counts = {
            "sources": len(sources),
            "documents": Document.objects.filter(source__in=sources).count(),
            "chunks": Chunk.objects.filter(document__source__in=sources).count(),
        }
        needed = set() if self.has_delete_permission(request) else {"source"}
        return [f"Source: {source}" for source in sources], counts, needed, []

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [path("<int:pk>/act/", wrap(self.act), name="sources_source_act")]
        return [*own, *super().get_urls()]

    def act(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Run one of the list's actions on this source, if the person may do it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        source = Source.objects.filter(pk=pk).first()
        if source is None:
            raise Http404(f"There is no source {pk} (any more).")
        there = reverse("admin:sources_source_change", args=[source.pk])
        if request.method != "POST":
            return actions.not_done(request, there)
        found = self.get_actions(request).get(request.POST.get("action", ""))
        if not found or found[1] == "delete_selected":
            raise PermissionDenied
        action = cast("Callable[..., HttpResponse | None]", found[0])
        response = action(self, request, Source.objects.filter(pk=source.pk))
        return response or HttpResponseRedirect(there)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        """The form, and if requested, a trial of its unsaved values."""
        response = super().changeform_view(request, object_id, form_url, extra_context)
        if not isinstance(response, TemplateResponse) or response.context_data is None:
            return response
        context = response.context_data
        context["may_run"] = self.has_run_permission(request)
        form = context["adminform"].form
        if isinstance(form, SourceForm) and form.trial and not form.errors:
            if not self.has_run_permission(request):
                raise PermissionDenied
            seconds = previews.TEST_SECONDS if form.trial == "_test" else previews.SECONDS
            return HttpResponseRedirect(
                address(previews.start(form.instance, request.user, seconds))
            )
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        mine = SourceRun.objects.filter(source=int(object_id) if object_id.isdecimal() else None)
        rows = list(mine.defer("vanished", "moves").order_by("-pk")[:SHOWN_RUNS])
        acts = {name: ACTS[name] for name in self.get_actions(request) if name in ACTS}
        if not any(row.state in OPEN_STATES for row in rows):
            acts.pop("cancel_open", None)
        context = {
            "history": rows,
            "columns": history(rows),
            "acts": acts,
        }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def delete_model(self, request: HttpRequest, obj: Source) -> None:
        removals.delete_source(obj, request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        for source in queryset:
            removals.delete_source(source, request.user.get_username())

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

    @admin.display(description="documents")
    def documents_stored(self, source: Any) -> str:
        return records_link(
            "document", None, source.number_of_documents, source__id__exact=source.pk
        )

    @admin.display(description="chunks")
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
