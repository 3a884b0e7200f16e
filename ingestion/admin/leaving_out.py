"""Leave a document out of search, see all that are, and let them be found again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from ingestion.admin import actions
from ingestion.admin.lookups import number_in
from ingestion.index import left_out
from ingestion.models import Document
from sources.models import LeftOut

AT_ONCE = 100  # rows of a page of the list
SAY_WHY = "It is still found: say why it is to be left out, for others and for later."


class LeftOutFilter(admin.SimpleListFilter):
    title = "search"
    parameter_name = "left_out"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "left out"), ("0", "found")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        urls = LeftOut.objects.values("url")
        if self.value() == "1":
            return queryset.filter(url__in=urls)
        return queryset.exclude(url__in=urls) if self.value() == "0" else queryset


def leave_out(request: HttpRequest, document: Document) -> HttpResponse:
    """Leave a document out of search from now on, for the reason that was typed."""
    if not request.user.has_perm("sources.add_leftout"):
        raise PermissionDenied
    there = reverse("admin:ingestion_document_change", args=[document.pk])
    if request.method != "POST":
        return actions.not_done(request, there)
    reason = request.POST.get("reason", "").replace("\0", "").strip()[:500]
    if not reason:
        messages.error(request, SAY_WHY)
        return HttpResponseRedirect(there)
    left_out.leave_out(document, reason, request.user.get_username())
    text = f"Left {document.url} out of search: {reason}"
    actions.note(request, [document.source], text)
    messages.success(request, f"{document} is left out of search from now on.")
    return HttpResponseRedirect(there)


def take_back(request: HttpRequest) -> HttpResponse:
    """Let the document of the sent row be found again."""
    if not request.user.has_perm("sources.delete_leftout"):
        raise PermissionDenied
    there = reverse("admin:ingestion_document_left_out")
    if request.method != "POST":
        return actions.not_done(request, there)
    pk = request.POST.get("row", "")
    rows = LeftOut.objects.select_related("source")
    row = rows.filter(pk=number_in(pk) or 0).first()
    if row is None:
        messages.info(request, "It is not left out any more.")
        return HttpResponseRedirect(there)
    stored = Document.objects.filter(url=row.url).first()
    actions.note(request, [row.source], f"Let {row.url} be found again.")
    left_out.take_back(row)
    messages.success(request, f"{row} is found again.")
    if stored:
        there = reverse("admin:ingestion_document_change", args=[stored.pk])
    return HttpResponseRedirect(there)


def listed(request: HttpRequest) -> dict[str, Any]:
    """A page of all that is left out, with the key of its document if that is stored."""
    if not request.user.has_perm("sources.view_leftout"):
        raise PermissionDenied
    stored = Document.objects.filter(url=OuterRef("url")).values("pk")[:1]
    rows = LeftOut.objects.select_related("source").annotate(document=Subquery(stored))
    return {"rows": Paginator(rows, AT_ONCE).get_page(request.GET.get("page"))}
