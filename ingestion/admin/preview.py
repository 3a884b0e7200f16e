"""The pages of previews: how far one is, what it found, and each document that it met."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from ingestion.admin import actions
from ingestion.models import Chunk, Document, Preview, PreviewDocument
from ingestion.monitoring import health
from ingestion.runs import previews
from ingestion.runs.comparison import FIELDS, is_same

LISTED = 200  # documents of each kind on the page
MOST_LINES = 3000  # of each text whose difference is shown
CONTEXT = 3  # unchanged lines around a difference
PAUSE = 1000  # milliseconds between two looks at a preview that reads
# Kind, state by whose colour it is shown, and what it means.
KINDS = (
    ("added", "ok", "would be new"),
    ("changed", "warn", "have another text or other data"),
    ("gone", "bad", "were not met any more"),
    ("moved", "running", "have the same text at a new address"),
    ("unchanged", "off", "would stay as they are"),
)

View = Callable[..., Any]


@dataclass(frozen=True)
class Group:
    """The documents of one kind: how many, and the first of them."""

    kind: str
    state: str
    meaning: str
    number: int
    documents: Sequence[PreviewDocument]


def paths(
    wrap: Callable[[View], View], each_context: Callable[[HttpRequest], Any]
) -> list[URLPattern]:
    """The addresses of previews below the admin's; `each_context` is what all its pages show."""

    def page(request: HttpRequest, pk: int) -> HttpResponse:
        shown = found(request, pk)
        title = f"Preview of {shown.values['title'] or shown.values['name']}"
        context = {**each_context(request), **seen(shown), "title": title}
        return TemplateResponse(request, "admin/preview/page.html", context)

    def one(request: HttpRequest, pk: int, row: int) -> HttpResponse:
        context = {**each_context(request), **document(found(request, pk), row)}
        return TemplateResponse(request, "admin/preview/document.html", context)

    place = "sources/preview/<int:pk>/"
    return [
        path(place, wrap(page), name="preview"),
        path(f"{place}live/", wrap(live), name="preview_live"),
        path(f"{place}cancel/", wrap(cancel), name="preview_cancel"),
        path(f"{place}again/", wrap(again), name="preview_again"),
        path(f"{place}document/<int:row>/", wrap(one), name="preview_document"),
    ]


def found(request: HttpRequest, pk: int) -> Preview:
    if not request.user.has_perms(["sources.view_source", "ingestion.view_run"]):
        raise PermissionDenied
    shown = Preview.objects.select_related("source", "person").filter(pk=pk).first()
    if shown is None:
        raise Http404(f"There is no preview {pk} (any more): they are kept for a day.")
    return shown


def live(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of the page, or of the form beside it, that a script refreshes."""
    context = seen(found(request, pk)) | {"beside": "beside" in request.GET}
    return render(request, "admin/preview/live.html", context)


def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, pk, _cancelled)


def again(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, pk, _restarted)


def _act(
    request: HttpRequest, pk: int, act: Callable[[HttpRequest, Preview], Preview]
) -> HttpResponse:
    shown = found(request, pk)
    if not request.user.has_perm("ingestion.start_run"):
        raise PermissionDenied
    if request.method != "POST":
        return actions.not_done(request, address(shown))
    return HttpResponseRedirect(address(act(request, shown)))


def _cancelled(request: HttpRequest, shown: Preview) -> Preview:
    previews.cancel(shown)
    return shown


def _restarted(request: HttpRequest, shown: Preview) -> Preview:
    return previews.start(previews.source_of(shown), request.user, shown.seconds)


def address(shown: Preview) -> str:
    return reverse("admin:preview", args=[shown.pk])


def form_address(shown: Preview) -> str:
    """The form with what was typed."""
    if shown.source_id:
        there = reverse("admin:sources_source_change", args=[shown.source_id])
        return f"{there}?tab=settings&preview={shown.pk}"
    return f"{reverse('admin:sources_source_add')}?preview={shown.pk}"


def seen(shown: Preview) -> dict[str, Any]:
    """What the page shows of a preview."""
    result = previews.unpacked(shown.result)
    reads = shown.state == Preview.State.READING and not previews.is_interrupted(shown)
    return {
        "preview": shown,
        "reads": reads,
        "interrupted": previews.is_interrupted(shown),
        "cancelling": reads and shown.cancel_requested,
        "result": result,
        "groups": list(groups(shown, result)) if result else [],
        "verdict": verdict(result) if result else None,
        "expected": shown.source.documents.count() if reads and shown.source else 0,
        "passed": round((timezone.now() - shown.created_at).total_seconds()),
        "embedder": health.embedder_now() if result else None,
        "form_address": form_address(shown),
        "pause": PAUSE,
    }


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    """The colour and the words for whether the source can be read."""
    if result["problem"]:
        return "bad", "It cannot be read" if not result["counts"] else "The reading stopped"
    if any(result["counts"].get(kind) for kind, *_ in KINDS if kind != "gone"):
        return "ok", "It can be read"
    return "warn", "Nothing readable came" if result["complete"] else "Nothing readable came yet"


def groups(shown: Preview, result: dict[str, Any]) -> Iterator[Group]:
    for kind, state, meaning in KINDS:
        number = result["counts"].get(kind, 0)
        rows = shown.documents.filter(kind=kind).order_by("pk").defer("body")[:LISTED]
        yield Group(kind, state, meaning, number, list(rows) if number else [])


def document(shown: Preview, row: int) -> dict[str, Any]:
    """One document of a preview: its text beside its chunks, and what differs from the stored."""
    it = shown.documents.filter(pk=row).first()
    if it is None:
        raise Http404(f"Preview {shown.pk} has no document {row}.")
    body = previews.unpacked(it.body)
    stored = Document.objects.filter(url=it.old_url or it.url).first()
    context = {
        "preview": shown,
        "document": it,
        "body": body,
        "stored": stored,
        "title": it.title or it.url,
        "look": next(look for look in KINDS if look[0] == it.kind),
    }
    if body and stored and it.kind in ("changed", "moved"):
        context |= {"fields": list(fields(stored, body)), "difference": difference(stored, body)}
    return context


def fields(stored: Document, body: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name, old and new value of what differs beside the text."""
    for name in FIELDS:
        before = getattr(stored, name)
        if not is_same(name, before, body[name]):
            yield name.replace("_", " "), before, body[name]


def difference(stored: Document, body: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines that differ with those around them, each with "added", "gone", "place" or ""."""
    rows = Chunk.objects.filter(document=stored).order_by("ordinal")
    old = _lines(rows.values_list("content", flat=True))
    new = _lines(chunk["content"] for chunk in body["chunks"])
    names = {"+": "added", "-": "gone", "@": "place"}
    lines = list(unified_diff(old, new, lineterm="", n=CONTEXT))[2:]
    return [(names.get(line[0], ""), line) for line in lines]


def _lines(texts: Any) -> list[str]:
    return "\n\n".join(texts).splitlines()[:MOST_LINES]
