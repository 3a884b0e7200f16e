"""The lists and pages of runs and their failures, with the actions on them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
)
from django.shortcuts import render
from django.urls import URLPattern, path, reverse

from ingestion.admin import actions, reports, run_page
from ingestion.admin.display import ago, badge, seconds
from ingestion.admin.read_only import ReadOnlyAdmin
from ingestion.documents import shortened
from ingestion.models import Document, Failure, Run, SourceRun, State
from ingestion.runs import retention
from ingestion.runs.state_machine import status_of


class RunAdmin(ReadOnlyAdmin):
    page = "admin/ingestion/run/page.html"
    list_display = (
        *("number", "state", "asked", "who", "sources"),
        *("added", "changed", "removed", "failed", "took"),
    )
    list_filter = ("origin", "created_at")
    list_select_related = ("requested_by",)
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        rows = SourceRun.objects.order_by("source_name").defer("vanished", "moves")
        return Run.objects.prefetch_related(Prefetch("source_runs", rows))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {"kept": retention.promise(), **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("source-run/<int:pk>/cancel/", wrap(self.cancel), name="ingestion_cancel"),
            path("source-run/<int:pk>/removal/", wrap(self.removal), name="ingestion_removal"),
            path("source-run/<int:pk>/retry/", wrap(self.retry), name="ingestion_retry"),
            path("<int:pk>/cancel/", wrap(self.cancel_all), name="ingestion_run_cancel"),
            path("<int:pk>/live/", wrap(self.live), name="ingestion_run_live"),
        ]
        return [*own, *super().get_urls()]

    def cancel(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._act(request, pk, "ingestion.cancel_run", actions.cancel_one)

    def removal(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._act(request, pk, "ingestion.decide_removal", actions.decide_removal)

    def retry(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._act(request, pk, "ingestion.start_run", actions.retry_one)

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that its script refreshes: all of it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = run_page.shown(self._run(pk), level_of(request))
        return render(request, "admin/ingestion/run/live.html", found)

    def cancel_all(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Cancel what is open of a run."""
        if not request.user.has_perm("ingestion.cancel_run"):
            raise PermissionDenied
        run = self._run(pk)
        there = reverse("admin:ingestion_run_change", args=[run.pk])
        if request.method != "POST":
            return actions.not_done(request, there)
        actions.cancel_run(request, run)
        return HttpResponseRedirect(there)

    def _run(self, pk: int) -> Run:
        run = Run.objects.select_related("requested_by").filter(pk=pk).first()
        if run is None:
            raise Http404(f"There is no run {pk} (any more).")
        return run

    def _act(self, request: HttpRequest, pk: int, permission: str, act: Any) -> HttpResponse:
        if not request.user.has_perm(permission):
            raise PermissionDenied
        source_run = SourceRun.objects.select_related("source").filter(pk=pk).first()
        if source_run is None:
            raise Http404(f"There is no source run {pk} (any more).")
        run = source_run.run_id
        if request.method != "POST":
            return actions.not_done(request, reverse("admin:ingestion_run_change", args=[run]))
        run = act(request, source_run) or run
        return HttpResponseRedirect(reverse("admin:ingestion_run_change", args=[run]))

    def details(self, request: HttpRequest, obj: Run) -> dict[str, Any]:
        return run_page.shown(obj, level_of(request))

    @admin.display(description="run", ordering="pk")
    def number(self, run: Run) -> str:
        return str(run)

    @admin.display(description="state")
    def state(self, run: Run) -> str:
        state = state_of(run.source_runs.all())
        return badge(state, state.label)

    @admin.display(description="asked for", ordering="created_at")
    def asked(self, run: Run) -> str:
        return ago(run.created_at)

    @admin.display(description="by", ordering="origin")
    def who(self, run: Run) -> str:
        return f"{run.origin}, {run.requested_by}" if run.requested_by else run.origin

    @admin.display(description="sources")
    def sources(self, run: Run) -> str:
        return ", ".join(row.source_name for row in run.source_runs.all())

    @admin.display(description="added")
    def added(self, run: Run) -> int:
        return sum(row.added for row in run.source_runs.all())

    @admin.display(description="changed")
    def changed(self, run: Run) -> int:
        return sum(row.changed for row in run.source_runs.all())

    @admin.display(description="removed")
    def removed(self, run: Run) -> int:
        return sum(row.removed for row in run.source_runs.all())

    @admin.display(description="failures")
    def failed(self, run: Run) -> int:
        return sum(row.failures for row in run.source_runs.all())

    @admin.display(description="took")
    def took(self, run: Run) -> str:
        known = [row.seconds for row in run.source_runs.all() if row.seconds is not None]
        return seconds(max(known, default=None))


def level_of(request: HttpRequest) -> str:
    """The level by which the page's log is filtered; empty for all."""
    return request.GET.get("level", "")


def state_of(rows: Any) -> State:
    return State(status_of(row.state for row in rows))


class FailureAdmin(ReadOnlyAdmin):
    heading = "Problems"
    page = "admin/ingestion/failure/page.html"
    list_display = ("what", "level", "stage", "document", "source", "when", "standing")
    list_filter = ("resolved", "level", "source", "stage")
    linked_lookups = ("source_run__id__exact",)
    list_select_related = ("source",)
    search_fields = ("document_url", "message")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Failure]:
        return reports.brief(Failure.objects.all())

    @admin.display(description="message", ordering="message")
    def what(self, failure: Any) -> str:
        return shortened(failure.beginning, reports.LISTED_MESSAGE)

    @admin.display(description="document", ordering="document_url")
    def document(self, failure: Failure) -> str:
        return failure.document_url or "the source itself"

    @admin.display(description="state", ordering="resolved")
    def standing(self, failure: Failure) -> str:
        if failure.resolved:
            return badge("off", "over")
        return badge("bad" if failure.level == Failure.Level.ERROR else "warn", "open")

    @admin.display(description="when", ordering="created_at")
    def when(self, failure: Failure) -> str:
        return ago(failure.created_at)

    def details(self, request: HttpRequest, obj: Failure) -> dict[str, Any]:
        document = Document.objects.filter(url=obj.document_url).first()
        return {"title": "Failure", "document": document}
