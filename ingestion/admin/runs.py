"""The list and the pages of runs, with the actions on them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
)
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from ingestion.admin import actions, comparison, run_page
from ingestion.admin.display import ago, badge, seconds
from ingestion.admin.read_only import ReadOnlyAdmin
from ingestion.admin.run_list import (
    SourceFilter,
    StateFilter,
    TimeFilter,
    is_open,
    named,
    summed_up,
)
from ingestion.models import Run, SourceRun, State
from ingestion.runs import retention
from ingestion.runs.state_machine import status_of

LIST_PAUSE = 3000  # milliseconds between two refreshes of the list, while something goes on


class RunAdmin(ReadOnlyAdmin):
    page = "admin/ingestion/run/page.html"
    list_display = (
        *("state", "number", "asked", "who", "sources", "took"),
        *("added", "changed", "removed", "errors", "warnings"),
    )
    list_display_links = ("number",)
    list_filter = (SourceFilter, StateFilter, "origin", TimeFilter)
    list_select_related = ("requested_by", "token")
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return summed_up(Run.objects.all())

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, or if its script asks, the part of it that is refreshed."""
        context = {"kept": retention.promise(), "pause": LIST_PAUSE, **(extra_context or {})}
        answer = super().changelist_view(request, context)
        if isinstance(answer, TemplateResponse) and answer.context_data:
            found = answer.context_data["cl"].result_list
            answer.context_data["going_on"] = any(is_open(run.states) for run in found)
            if request.headers.get("X-Requested-With") == "live":
                answer.template_name = "admin/ingestion/run/list_live.html"
        return answer

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("source-run/<int:pk>/cancel/", wrap(self.cancel), name="ingestion_cancel"),
            path("source-run/<int:pk>/removal/", wrap(self.removal), name="ingestion_removal"),
            path("source-run/<int:pk>/retry/", wrap(self.retry), name="ingestion_retry"),
            path("<int:pk>/cancel/", wrap(self.cancel_all), name="ingestion_run_cancel"),
            path("<int:pk>/compare/", wrap(self.compare), name="ingestion_run_compare"),
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

    def compare(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The run beside another."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self._run(pk)
        found = comparison.page(run, request.GET.get("with", ""))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": run,
            "title": f"{run} compared with {str(found['other']).lower()}"
            if found["other"]
            else str(run),
            **found,
        }
        return TemplateResponse(request, "admin/ingestion/run/compare.html", context)

    def _run(self, pk: int) -> Run:
        run = Run.objects.select_related("requested_by", "token").filter(pk=pk).first()
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
    def number(self, run: Any) -> str:
        return str(run)

    @admin.display(description="state", ordering="rank")
    def state(self, run: Any) -> str:
        state = State(status_of(run.states))
        return badge(state, state.label)

    @admin.display(description="asked for", ordering="created_at")
    def asked(self, run: Any) -> str:
        return ago(run.created_at)

    @admin.display(description="by", ordering="origin")
    def who(self, run: Any) -> str:
        return f"{run.who} ({run.origin})" if run.who else str(run.origin)

    @admin.display(description="sources", ordering="names")
    def sources(self, run: Any) -> str:
        return named(run.names)

    @admin.display(description="added", ordering="sum_added")
    def added(self, run: Any) -> str:
        return f"{run.sum_added:,}"

    @admin.display(description="changed", ordering="sum_changed")
    def changed(self, run: Any) -> str:
        return f"{run.sum_changed:,}"

    @admin.display(description="removed", ordering="sum_removed")
    def removed(self, run: Any) -> str:
        return f"{run.sum_removed:,}"

    @admin.display(description="errors", ordering="sum_failures")
    def errors(self, run: Any) -> str:
        return f"{run.sum_failures:,}"

    @admin.display(description="warnings", ordering="sum_warnings")
    def warnings(self, run: Any) -> str:
        return f"{run.sum_warnings:,}"

    @admin.display(description="took", ordering="period")
    def took(self, run: Any) -> str:
        ended = run.period and not is_open(run.states)
        return seconds(run.period.total_seconds()) if ended else "-"


def level_of(request: HttpRequest) -> str:
    """The level by which the page's log is filtered; empty for all."""
    return request.GET.get("level", "")
