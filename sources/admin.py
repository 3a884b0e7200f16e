"""Sources in the admin: what they read, their state, and the actions on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Prefetch, QuerySet
from django.forms import Script, URLInput
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from ingestion.admin import actions, source_page
from ingestion.admin.display import ago, badge, records_link
from ingestion.admin.downloads import AT_ONCE, Downloads
from ingestion.admin.lookups import number_in
from ingestion.admin.preview import PAUSE, address, form_address
from ingestion.admin.standings import Standing, newest_runs, numbers, standings
from ingestion.models import Chunk, Document, Preview, SourceRun
from ingestion.runs import previews, removals
from sources import browsing, timing, transfers
from sources.forms import SourceForm
from sources.models import Source

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Source]
else:
    Admin = admin.ModelAdmin


# The list's actions that the menu of a source's own page has too, with the text of their buttons.
ACTS = {
    "reingest_clean": "Ingest from scratch...",
    "retry_failures": "Retry problems",
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


class KindFilter(admin.ChoicesFieldListFilter):
    """The sources of one kind, by the name that people know."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "kind"


@admin.register(Source)
class SourceAdmin(Downloads, Admin):
    form = SourceForm
    list_display = (
        *("name", "kind", "enabled", "state", "last_run"),
        *("documents_stored", "chunks_stored", "open_failures"),
    )
    list_filter = ("enabled", ("parser", KindFilter))
    search_fields = ("name", "title")
    actions = (
        actions.reingest,
        actions.reingest_clean,
        actions.retry_failures,
        actions.cancel_open,
        actions.enable,
        actions.disable,
        transfers.export_selected,
    )
    fieldsets = (
        (None, {"fields": ("title", "name", "parser", "enabled")}),
        (
            "What it reads",
            {"fields": ("repository", "revision", "credential", "paths", "start_url")},
        ),
        (
            "How it is shown",
            {"fields": ("generation", "display_base_url", "link_template")},
        ),
        ("When it runs by itself", {"fields": ("schedule",)}),
        ("Advanced", {"fields": ("options",)}),
    )
    csv_columns = (
        *("name", "title", "parser", "enabled", "schedule", "next run", "state", "last read"),
        *("documents", "chunks", "errors", "warnings"),
    )
    show_full_result_count = False
    formfield_overrides = {
        models.URLField: {
            "widget": URLInput(attrs={"class": "vURLField"}),
            "assume_scheme": "https",
        }
    }

    class Media:
        js = (
            Script("sources/source_form.js", defer=True),
            Script("sources/folders.js", defer=True),
        )

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

    def get_form(
        self, request: HttpRequest, obj: Source | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """The form, with what was typed for a preview if the address names one."""
        form = super().get_form(request, obj, change, **kwargs)
        shown = self._shown_preview(request)
        if shown is None or request.method == "POST":
            return form
        return type("TypedForm", (form,), {"typed": shown.values})

    def _shown_preview(self, request: HttpRequest) -> Preview | None:
        """The preview that the address names, of the same person."""
        pk = number_in(request.GET.get("preview", "")) or 0
        return Preview.objects.filter(pk=pk, person_id=request.user.pk).first()

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("export/", wrap(self.export_all), name="sources_source_export"),
            path("import/", wrap(self.import_file), name="sources_source_import"),
            path("folders/", wrap(self.folders), name="sources_source_folders"),
            path("schedule/", wrap(self.schedule), name="sources_source_schedule"),
            path("<int:pk>/act/", wrap(self.act), name="sources_source_act"),
            path("<int:pk>/head/", wrap(self.head), name="sources_source_head"),
            path("<int:pk>/preview/", wrap(self.preview), name="sources_source_preview"),
        ]
        return [*own, *super().get_urls()]

    def export_all(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return transfers.exported_file(Source.objects.order_by("name"))

    def import_file(self, request: HttpRequest) -> HttpResponse:
        return transfers.import_page(request, self.admin_site.each_context(request))

    def schedule(self, request: HttpRequest) -> HttpResponse:
        """The schedule that a form has, in words."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return HttpResponse(timing.described(timing.typed(request.GET).cron), "text/plain")

    def folders(self, request: HttpRequest) -> HttpResponse:
        """The folders that the paths of a source can be chosen from, one level of them."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        return render(request, "admin/sources/source/folders.html", browsing.shown(request.GET))

    def head(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of a source's page that its script refreshes."""
        source = self._found(request, pk)
        context = self._head(request, source, source_page.tab_of(request.GET.get("tab", "")))
        return render(request, "admin/sources/source/head.html", context)

    def preview(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Preview a source as it is stored."""
        source = self._found(request, pk)
        if not self.has_run_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return actions.not_done(request, reverse("admin:sources_source_change", args=[pk]))
        return HttpResponseRedirect(address(previews.start(source, request.user)))

    def _found(self, request: HttpRequest, pk: int) -> Source:
        if not self.has_view_permission(request):
            raise PermissionDenied
        source = Source.objects.filter(pk=pk).first()
        if source is None:
            raise Http404(f"There is no source {pk} (any more).")
        return source

    def _head(self, request: HttpRequest, source: Source, tab: str) -> dict[str, Any]:
        context = source_page.head(source, tab)
        return context | {
            "acts": self._acts(request, source, context["it"]),
            "schedule": timing.described(source.schedule),
            "has_change_permission": self.has_change_permission(request, source),
            "has_delete_permission": self.has_delete_permission(request, source),
        }

    def _acts(self, request: HttpRequest, source: Source, it: Standing) -> dict[str, str]:
        """The actions that make sense now, with the text of their buttons."""
        useless = {"enable" if source.enabled else "disable"}
        if not (it.last and it.last.is_open):
            useless.add("cancel_open")
        if not it.failures:
            useless.add("retry_failures")
        offered = self.get_actions(request)
        return {name: ACTS[name] for name in ACTS if name in offered and name not in useless}

    def act(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Run one of the list's actions on this source, if the person may do it."""
        source = self._found(request, pk)
        there = reverse("admin:sources_source_change", args=[source.pk])
        if request.method != "POST":
            return actions.not_done(request, there)
        found = self.get_actions(request).get(request.POST.get("action", ""))
        if not found or found[1] not in ("reingest", *ACTS):
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
        """The form, and if requested, a preview of its unsaved values."""
        response = super().changeform_view(request, object_id, form_url, extra_context)
        if not isinstance(response, TemplateResponse) or response.context_data is None:
            return response
        context = response.context_data
        form = context["adminform"].form
        if isinstance(form, SourceForm) and form.trial:
            answer = self._try(request, form)
            if answer is not None:
                return answer
        shown = self._shown_preview(request)
        context |= {
            "editable": context["has_change_permission"] if object_id else True,
            "may_run": self.has_run_permission(request),
            "preview": shown,
            "pause_preview": PAUSE,
            "test_seconds": previews.TEST_SECONDS,
            "preview_seconds": previews.SECONDS,
        }
        return response

    def _try(self, request: HttpRequest, form: SourceForm) -> HttpResponse | None:
        """Start a preview of the form's values; None if the page has to show what is wrong.

        A script gets addresses, or what is wrong at which field, instead of a page.
        """
        in_background = request.headers.get("X-Requested-With") == "preview"
        if form.errors:
            found = {field: [str(one) for one in texts] for field, texts in form.errors.items()}
            return JsonResponse({"errors": found}) if in_background else None
        if not self.has_run_permission(request):
            raise PermissionDenied
        seconds = previews.TEST_SECONDS if form.trial == "_test" else previews.SECONDS
        shown = previews.start(form.instance, request.user, seconds)
        if not in_background:
            return HttpResponseRedirect(address(shown))
        live = f"{reverse('admin:preview_live', args=[shown.pk])}?beside=1"
        return JsonResponse({"live": live, "form": form_address(shown)})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The tab that the address asks for; what is sent is the form of the Settings."""
        source = self.get_object(request, object_id)
        if source is None:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_or_change_permission(request, source):
            raise PermissionDenied
        asked = source_page.tab_of(request.GET.get("tab", ""))
        tab = source_page.SETTINGS if request.method == "POST" else asked
        context = self._head(request, source, tab) | (extra_context or {})
        if tab == source_page.SETTINGS:
            return super().change_view(request, object_id, form_url, context)
        context = {
            **self.admin_site.each_context(request),
            **context,
            **source_page.details(source, tab),
            "title": str(source),
            "original": source,
            "opts": self.opts,
            "change": True,
        }
        return TemplateResponse(request, "admin/sources/source/tab.html", context)

    def response_post_save_add(self, request: HttpRequest, obj: Source) -> HttpResponseRedirect:
        """Lead to the source, where it can be ingested."""
        return HttpResponseRedirect(reverse("admin:sources_source_change", args=[obj.pk]))

    def response_post_save_change(self, request: HttpRequest, obj: Source) -> HttpResponseRedirect:
        """Stay with the settings."""
        there = reverse("admin:sources_source_change", args=[obj.pk])
        return HttpResponseRedirect(f"{there}?tab={source_page.SETTINGS}")

    def csv_cells(self, rows: QuerySet[Any]) -> Iterator[tuple[object, ...]]:
        known = {standing.source.pk: standing for standing in standings()}
        for source in rows.prefetch_related(None).filter(pk__in=known).iterator(AT_ONCE):
            its = known[source.pk]
            state = its.last.get_state_display() if its.last else "never run"
            what = (source.name, source.title, source.parser, source.enabled, source.schedule)
            counted = (its.documents, its.chunks, its.failures, its.warnings)
            yield (*what, its.due, state, its.read_at, *counted)

    def delete_model(self, request: HttpRequest, obj: Source) -> None:
        removals.delete_source(obj, request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        for source in queryset:
            removals.delete_source(source, request.user.get_username())

    @admin.display(description="kind", ordering="parser")
    def kind(self, source: Source) -> str:
        return source.kind

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
