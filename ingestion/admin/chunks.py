"""The list of chunks; each is shown on the page of its document."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin
from django.contrib.postgres.search import SearchQuery
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from ingestion.admin import quality
from ingestion.admin.lookups import number_in
from ingestion.admin.read_only import VECTORS, GenerationFilter, LatePaginator, ReadOnlyAdmin
from ingestion.models import Chunk
from ingestion.text.analyzer import forms, words

MOST_FOUND = 5000  # chunks of a word search, because common words are in nearly all


def word_query(text: str) -> str:
    """A tsquery for all words and quoted phrases of the text, except those after a minus."""
    wanted = []
    for minus, phrase, word in re.findall(r'(-?)(?:"([^"]*)"|(\S+))', text):
        whole = [form.whole for form in map(forms, words(phrase or word)) if form.whole]
        if whole:
            joined = " <-> ".join(f"'{term}'" for term in whole)
            wanted.append(f"!({joined})" if minus else f"({joined})")
    return " & ".join(wanted)


class ChunkGenerationFilter(GenerationFilter):
    field = "document__generations"


class ChunkAdmin(ReadOnlyAdmin):
    paginator = LatePaginator
    list_display = ("name", "beginning", "source", "doc_type", "tags", "tokens")
    list_filter = (
        "document__source",
        "document__doc_type",
        ChunkGenerationFilter,
        "document__deprecated",
        quality.ChunkFilter,
        "profile",
    )
    linked_lookups = ("document__id__exact", "tokens__gte", "tokens__lt")
    search_fields = ("search_vector",)
    search_help_text = (
        'Chunks that hold all of these words; "a phrase"; -without. '
        f"At most {MOST_FOUND:,} of them; the search page ranks them."
    )
    ordering = ("document_id", "ordinal")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chunk]:
        """Leave out content and vectors, which are too large for a list of 100,000 chunks."""
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
        """The whole stored text."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        text = Chunk.objects.filter(pk=pk).values_list("content", flat=True).first()
        if text is None:
            raise Http404(f"There is no chunk {pk} (any more).")
        return HttpResponse(text, content_type="text/plain; charset=utf-8")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Lead to the page of its document, on which the chunk is chosen."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = (
            Chunk.objects.filter(pk=number_in(object_id) or 0)
            .values_list("document", "ordinal")
            .first()
        )
        if found is None:
            raise Http404(f"There is no chunk {object_id} (any more).")
        query = request.GET.copy()
        query["chunk"] = str(found[1])
        there = reverse("admin:ingestion_document_change", args=[found[0]])
        return HttpResponseRedirect(f"{there}?{query.urlencode()}#chosen")
