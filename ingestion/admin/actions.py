"""Admin actions on sources and runs: loop, call, and say what happens next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from ingestion.admin import reports
from ingestion.admin.display import documents
from ingestion.models import Chunk, Run, SourceRun
from ingestion.runs import removals, requests
from ingestion.worker.cluster import NO_WORKER, Presence
from sources.models import Source

NOTHING_TO_RETRY = "Nothing to retry: {} has no open error."


NOT_DONE = (
    "Nothing was done: your session had ended, or the address of a button was opened. "
    "Press the button again."
)


def not_done(request: HttpRequest, there: str) -> HttpResponse:
    """Answer a GET of a button's address, as after a login, with its page and a message."""
    messages.warning(request, NOT_DONE)
    return HttpResponseRedirect(there)


def note(request: HttpRequest, rows: Iterable[Model], message: str) -> None:
    """Add an entry to the admin history of each row."""
    LogEntry.objects.log_actions(request.user.pk, list(rows), CHANGE, message)  # type: ignore[arg-type]


def ready(request: HttpRequest, sources: Iterable[Source]) -> list[Source]:
    """The sources that can run; show a message for each of the others."""
    good = []
    for source in sources:
        if reason := requests.unready(source):
            messages.error(request, f"Not started: {source.name}. {reason}")
        else:
            good.append(source)
    return good


def start(
    request: HttpRequest, sources: Iterable[Source], **options: Any
) -> requests.Request | None:
    """Queue a run of the sources that can run, and say what happens next."""
    good = ready(request, sources)
    if not good:
        return None
    asked = requests.request(good, origin=Run.Origin.ADMIN, requested_by=request.user, **options)
    note(request, good, f"Asked for run {asked.run.pk}{_how(options)}.")
    if asked.started:
        names = ", ".join(row.source_name for row in asked.started)
        messages.success(request, f"Queued {names}: a worker takes it up within seconds.")
    for row in asked.joined:
        text = "Joined {}, which is queued or running already: no second reading was started. {}"
        messages.info(request, format_html(text, row.source_name, run_link(row.run_id)))
    if not Presence.anybody():
        messages.warning(request, NO_WORKER)
    return asked


def _how(options: dict[str, Any]) -> str:
    if addresses := options.get("addresses"):
        what = "retry of " if options.get("retry_failed") else ""
        return f" ({what}{documents(len(addresses))})"
    chosen = [name.replace("_", " ") for name, on in options.items() if on]
    return f" ({', '.join(chosen)})" if chosen else ""


def run_link(run: int) -> str:
    url = reverse("admin:ingestion_run_change", args=[run])
    return format_html('<a href="{}">Follow run {}</a>', url, run)


@admin.action(description="Ingest selected sources", permissions=["run"])
def reingest(
    modeladmin: admin.ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Source]
) -> HttpResponse | None:
    return followed(start(request, queryset))


def followed(asked: requests.Request | None) -> HttpResponse | None:
    """Lead to the page of the run; None, for the page where one is, if nothing was started."""
    if asked is None:
        return None
    return HttpResponseRedirect(reverse("admin:ingestion_run_change", args=[asked.run.pk]))


@admin.action(description="Ingest selected sources from scratch", permissions=["run"])
def reingest_clean(
    modeladmin: admin.ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Source]
) -> HttpResponse | None:
    """Ingest after a confirmation, because it may take hours."""
    if request.POST.get("confirmed"):
        return followed(start(request, queryset, clean=True))
    context = {
        **modeladmin.admin_site.each_context(request),
        "title": "Read and embed everything again?",
        "opts": modeladmin.opts,
        "sources": queryset,
        "chunks": Chunk.objects.filter(document__source__in=queryset).count(),
        "action": "reingest_clean",
    }
    return TemplateResponse(request, "admin/sources/source/confirm_clean.html", context)


@admin.action(description="Retry the failures of selected sources", permissions=["run"])
def retry_failures(
    modeladmin: admin.ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Source]
) -> HttpResponse | None:
    failing = {source.pk for source in requests.sources_with_failures()}
    chosen = [source for source in queryset if source.pk in failing or not source.enabled]
    for source in queryset:
        if source not in chosen:
            messages.info(request, NOTHING_TO_RETRY.format(source.name))
    return followed(start(request, chosen, retry_failed=True)) if chosen else None


@admin.action(description="Cancel the open runs of selected sources", permissions=["cancel"])
def cancel_open(
    modeladmin: admin.ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Source]
) -> None:
    open_runs = SourceRun.objects.open().filter(source__in=queryset)
    if not cancel(request, open_runs):
        messages.info(request, "None of the selected sources is queued or running.")


def cancel(request: HttpRequest, source_runs: Iterable[SourceRun]) -> int:
    """Request each to stop; return how many."""
    asked = list(source_runs)
    for source_run in asked:
        cancel_one(request, source_run)
    return len(asked)


def cancel_run(request: HttpRequest, run: Run) -> None:
    """Request everything that is open of a run to stop; one message for all of it."""
    open_runs = list(run.source_runs.open().select_related("source").order_by("source_name"))
    if not open_runs:
        messages.info(request, f"{run} has ended already: there is nothing to cancel.")
        return
    for source_run in open_runs:
        requests.cancel(source_run, request.user.get_username())
    names = ", ".join(row.source_name for row in open_runs)
    messages.success(request, f"Cancelled {names}. What was stored stays; running ones stop soon.")
    note(request, [row.source for row in open_runs if row.source], f"Cancel of {run} requested.")


def cancel_one(request: HttpRequest, source_run: SourceRun) -> None:
    messages.success(request, requests.cancel(source_run, request.user.get_username()))
    if source_run.source:
        note(request, [source_run.source], f"Cancel of run {source_run.run_id} requested.")


def retry_one(request: HttpRequest, source_run: SourceRun) -> int | None:
    """Retry the source's failures, or one group of them; return the new run's number."""
    if source_run.source is None:
        messages.error(request, "The source was deleted: there is nothing to retry.")
        return None
    if chosen := request.POST.get("group", ""):
        addresses = reports.addresses_like(source_run, chosen)
        if not addresses:
            messages.info(request, "None of these failures is open any more: nothing to retry.")
            return None
        asked = start(request, [source_run.source], retry_failed=True, addresses=addresses)
    elif not requests.has_failures(source_run.source):
        messages.info(request, NOTHING_TO_RETRY.format(source_run.source.name))
        return None
    else:
        asked = start(request, [source_run.source], retry_failed=True)
    return asked.run.pk if asked else None


def decide_removal(request: HttpRequest, source_run: SourceRun) -> None:
    """Approve or refuse the pending removal, depending on the form's button."""
    approve = request.POST.get("decision") == "approve"
    who = request.user.get_username()
    messages.success(request, removals.decide_removal(source_run, approve=approve, who=who))
    if source_run.source:
        answer = "approved" if approve else "refused"
        text = (
            f"Removal of {len(source_run.vanished)} documents {answer} (run {source_run.run_id})."
        )
        note(request, [source_run.source], text)


@admin.action(description="Enable selected sources", permissions=["change"])
def enable(
    modeladmin: admin.ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Source]
) -> None:
    for source in queryset.filter(enabled=False):
        source.enabled = True
        try:
            source.full_clean()
        except ValidationError as error:
            messages.error(request, f"Not enabled: {source.name}. {' '.join(error.messages)}")
            continue
        Source.objects.filter(pk=source.pk).update(enabled=True)
        note(request, [source], "Enabled.")
        messages.success(request, f"Enabled {source.name}: the next run of all sources reads it.")


@admin.action(description="Disable selected sources", permissions=["change"])
def disable(
    modeladmin: admin.ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Source]
) -> None:
    for source in queryset.filter(enabled=True):
        Source.objects.filter(pk=source.pk).update(enabled=False)
        note(request, [source], "Disabled.")
        messages.success(
            request, f"Disabled {source.name}: runs skip it, its chunks stay searchable."
        )
