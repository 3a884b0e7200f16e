"""What is stored and what happened, to look at: nothing here can be edited."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.postgres.search import SearchQuery
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import Func, Prefetch, QuerySet
from django.db.models.functions import Left
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django_q import admin as queue_admin

from ingestion import admin_actions, admin_quality, admin_runs, admin_search, runs
from ingestion.admin_display import ago, badge, seconds
from ingestion.admin_markdown import LONGEST, rendered
from ingestion.models import (
    Chunk,
    Document,
    EmbeddingProfile,
    Failure,
    Run,
    SourceRun,
    State,
)
from ingestion.terms import forms, words

# A Schedule runs any dotted path and a task's arguments are pickles: not for a browser.
for model in (queue_admin.Schedule, queue_admin.Success, queue_admin.Failure, queue_admin.OrmQ):
    admin.site.unregister(model)

VECTORS = ("embedding", "search_vector")
NEIGHBOURS = 2
MOST_FOUND = 5000  # chunks by a search for words: common ones stand in nearly all
SHOWN_FAILURES = 200


if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Any]
else:
    Admin = admin.ModelAdmin


def word_query(text: str) -> str:
    """A tsquery for all words and quoted phrases of the text, save those after a minus."""
    wanted = []
    for minus, phrase, word in re.findall(r'(-?)(?:"([^"]*)"|(\S+))', text):
        whole = [form.whole for form in map(forms, words(phrase or word)) if form.whole]
        if whole:
            joined = " <-> ".join(f"'{term}'" for term in whole)
            wanted.append(f"!({joined})" if minus else f"({joined})")
    return " & ".join(wanted)


class LookAdmin(Admin):
    """A list, and a page of its own for each row, that nobody can change."""

    page = ""
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        obj = self.get_object(request, object_id)
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        if obj is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id} (any more).")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(obj),
            "original": obj,
            **self.details(request, obj),
        }
        return TemplateResponse(request, self.page, context)

    def details(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {}


class LatePaginator(Paginator):  # type: ignore[type-arg]
    """Finds the keys of a page before it fetches the rows, so that a late page of a long list does
    not carry all rows before it through joins."""

    def page(self, number: int | str) -> Page[Any]:
        page = super().page(number)
        shown = cast("QuerySet[Any]", page.object_list)
        everything = cast("QuerySet[Any]", self.object_list)
        page.object_list = everything.filter(pk__in=list(shown.values_list("pk", flat=True)))
        return page


class GenerationFilter(admin.SimpleListFilter):
    title = "generation"
    parameter_name = "generation"
    field = "generations"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        tags = Document.objects.order_by().annotate(tag=Func("generations", function="unnest"))
        return [(tag, tag) for tag in tags.values_list("tag", flat=True).distinct().order_by("tag")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(**{f"{self.field}__contains": [self.value()]})


class ChunkGenerationFilter(GenerationFilter):
    field = "document__generations"


@admin.register(Document)
class DocumentAdmin(LookAdmin):
    page = "admin/ingestion/document/page.html"
    list_display = ("title", "source", "doc_type", "tags", "deprecated", "changed")
    list_filter = (
        *("source", "doc_type", GenerationFilter, "deprecated"),
        admin_quality.DocumentFilter,
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
        failures = Failure.objects.filter(source=obj.source, document_url=obj.url, resolved=False)
        return {"chunks": chunks, "failures": failures[:SHOWN_FAILURES]}


@admin.register(Chunk)
class ChunkAdmin(LookAdmin):
    page = "admin/ingestion/chunk/page.html"
    paginator = LatePaginator
    list_display = ("name", "beginning", "source", "doc_type", "tags", "tokens")
    list_filter = (
        "document__source",
        "document__doc_type",
        ChunkGenerationFilter,
        "document__deprecated",
        admin_quality.ChunkFilter,
        "profile",
    )
    search_fields = ("search_vector",)
    search_help_text = (
        'Chunks that hold all of these words; "a phrase"; -without. '
        f"At most {MOST_FOUND:,} of them; the search page ranks them."
    )
    ordering = ("document_id", "ordinal")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chunk]:
        """Without content and vectors, which a list of 100,000 chunks could not carry."""
        rows = Chunk.objects.select_related("document__source").annotate(start=Left("content", 200))
        heavy = ("content", "context_header", "document__metadata", "document__inputs")
        return rows.defer(*VECTORS, *heavy, "document__http_validators")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Chunk], search_term: str
    ) -> tuple[QuerySet[Chunk], bool]:
        if not search_term.strip():
            return queryset, False
        query = word_query(search_term)
        if not query:
            return queryset.none(), False
        found = SearchQuery(query, search_type="raw", config="simple")
        keys = queryset.filter(search_vector=found).order_by().values("pk")[:MOST_FOUND]
        return queryset.filter(pk__in=keys), False

    @admin.display(description="chunk", ordering="title")
    def name(self, chunk: Chunk) -> str:
        return str(chunk)

    @admin.display(description="begins")
    def beginning(self, chunk: Any) -> str:
        return str(chunk.start)

    @admin.display(description="source", ordering="document__source")
    def source(self, chunk: Chunk) -> str:
        return chunk.document.source.name

    @admin.display(description="type", ordering="document__doc_type")
    def doc_type(self, chunk: Chunk) -> str:
        return chunk.document.doc_type

    @admin.display(description="generations")
    def tags(self, chunk: Chunk) -> str:
        return ", ".join(chunk.document.generations)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [path("<int:pk>/plain/", wrap(self.plain), name="ingestion_chunk_plain")]
        return [*own, *super().get_urls()]

    def plain(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The whole text as it is stored, however long."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        text = Chunk.objects.filter(pk=pk).values_list("content", flat=True).first()
        if text is None:
            raise Http404(f"There is no chunk {pk} (any more).")
        return HttpResponse(text, content_type="text/plain; charset=utf-8")

    def details(self, request: HttpRequest, obj: Chunk) -> dict[str, Any]:
        beside = (obj.ordinal - NEIGHBOURS, obj.ordinal + NEIGHBOURS)
        near = Chunk.objects.filter(document=obj.document_id, ordinal__range=beside)
        neighbours = near.exclude(pk=obj.pk).defer(*VECTORS).order_by("ordinal")
        return {
            "rendered": rendered(obj.content),
            "cut_short": len(obj.content) > LONGEST,
            "findable": admin_search.findable(obj) if "findable" in request.GET else "",
            "before": [chunk for chunk in neighbours if chunk.ordinal < obj.ordinal],
            "after": [chunk for chunk in neighbours if chunk.ordinal > obj.ordinal],
        }


@admin.register(Run)
class RunAdmin(LookAdmin):
    page = "admin/ingestion/run/page.html"
    list_display = (
        *("number", "state", "asked", "who", "sources"),
        *("added", "changed", "removed", "failed", "took"),
    )
    list_filter = ("origin", "created_at")
    list_select_related = ("requested_by",)
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        rows = SourceRun.objects.order_by("source_name").defer("vanished")
        return Run.objects.prefetch_related(Prefetch("source_runs", rows))

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("source-run/<int:pk>/cancel/", wrap(self.cancel), name="ingestion_cancel"),
            path("source-run/<int:pk>/removal/", wrap(self.removal), name="ingestion_removal"),
            path("source-run/<int:pk>/retry/", wrap(self.retry), name="ingestion_retry"),
            path("<int:pk>/live/", wrap(self.live), name="ingestion_run_live"),
        ]
        return [*own, *super().get_urls()]

    def cancel(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._act(request, pk, "ingestion.cancel_run", admin_actions.cancel_one)

    def removal(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._act(request, pk, "ingestion.decide_removal", admin_actions.decide_removal)

    def retry(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._act(request, pk, "ingestion.start_run", admin_actions.retry_one)

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the page that its script fetches anew."""
        run = Run.objects.filter(pk=pk).first()
        if not self.has_view_permission(request):
            raise PermissionDenied
        if run is None:
            raise Http404(f"There is no run {pk} (any more).")
        return render(request, "admin/ingestion/run/live.html", admin_runs.live(run))

    def _act(self, request: HttpRequest, pk: int, permission: str, act: Any) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not request.user.has_perm(permission):
            raise PermissionDenied
        source_run = SourceRun.objects.select_related("source").filter(pk=pk).first()
        if source_run is None:
            raise Http404(f"There is no source run {pk} (any more).")
        there = act(request, source_run) or source_run.run_id
        return HttpResponseRedirect(reverse("admin:ingestion_run_change", args=[there]))

    def details(self, request: HttpRequest, obj: Run) -> dict[str, Any]:
        reports = admin_runs.reports(obj)
        state = state_of(report.row for report in reports)
        return {"reports": reports, "state": state, **admin_runs.live(obj)}

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


def state_of(rows: Any) -> State:
    return State(runs.status_of(row.state for row in rows))


@admin.register(Failure)
class FailureAdmin(LookAdmin):
    page = "admin/ingestion/failure/page.html"
    list_display = ("message", "level", "stage", "document_url", "source", "when", "resolved")
    list_filter = ("resolved", "level", "source", "stage")
    list_select_related = ("source",)
    search_fields = ("document_url", "message")

    @admin.display(description="when", ordering="created_at")
    def when(self, failure: Failure) -> str:
        return ago(failure.created_at)

    def details(self, request: HttpRequest, obj: Failure) -> dict[str, Any]:
        document = Document.objects.filter(url=obj.document_url).first()
        return {"title": "Failure", "document": document}


@admin.register(EmbeddingProfile)
class EmbeddingProfileAdmin(LookAdmin):
    page = "admin/ingestion/profile/page.html"
    list_display = ("__str__", "provider", "model", "dimensions", "created_at")
