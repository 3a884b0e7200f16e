"""The lists and pages of documents and of the models that embedded them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from ingestion.admin import actions, beside, chosen, leaving_out, models_page, quality
from ingestion.admin.display import ago
from ingestion.admin.downloads import AT_ONCE, Downloads
from ingestion.admin.read_only import SHOWN_FAILURES, GenerationFilter, ReadOnlyAdmin
from ingestion.documents import shortened
from ingestion.index import texts
from ingestion.models import Chunk, Document, DocumentText, Failure
from ingestion.processes import page_picture
from ingestion.processes.isolation import Limits
from sources.models import LeftOut

LISTED_TITLE = 160  # characters of a title in the list
PATIENCE = 20.0  # seconds that a picture of a page may take
PICTURE_MEMORY_MB = 512
KEPT = "private, max-age=604800, immutable"


class DocumentAdmin(Downloads, ReadOnlyAdmin):
    page = "admin/ingestion/document/page.html"
    list_display = ("short_title", "source", "doc_type", "tags", "deprecated", "changed")
    list_filter = (
        *("source", "doc_type", GenerationFilter, "deprecated"),
        *(quality.DocumentFilter, leaving_out.LeftOutFilter),
    )
    list_select_related = ("source",)
    search_fields = ("title", "url")
    search_help_text = "Words of a title or an address."
    ordering = ("-changed_at", "pk")
    csv_columns = (
        *("title", "address", "shown at", "source", "type", "generations", "deprecated"),
        *("first seen", "changed", "chunks"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        return Document.objects.defer("metadata", "inputs", "http_validators")

    @admin.display(description="title", ordering="title")
    def short_title(self, document: Document) -> str:
        return shortened(str(document), LISTED_TITLE)

    @admin.display(description="generations")
    def tags(self, document: Document) -> str:
        return ", ".join(document.generations)

    @admin.display(description="changed", ordering="changed_at")
    def changed(self, document: Document) -> str:
        return ago(document.changed_at)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/ingest/", wrap(self.ingest), name="ingestion_document_ingest"),
            path("<int:pk>/leave-out/", wrap(self.leave_out), name="ingestion_document_leave_out"),
            path("left-out/", wrap(self.left_out), name="ingestion_document_left_out"),
            path(
                "left-out/take-back/",
                wrap(leaving_out.take_back),
                name="ingestion_document_take_back",
            ),
            path(
                "<int:pk>/page/<int:number>.png",
                wrap(self.picture, cacheable=True),
                name="ingestion_document_picture",
            ),
        ]
        return [*own, *super().get_urls()]

    def csv_cells(self, rows: QuerySet[Any]) -> Iterator[tuple[object, ...]]:
        mine = Chunk.objects.filter(document=OuterRef("pk")).order_by().values("document")
        number = Subquery(mine.annotate(number=Count("pk")).values("number"))
        fields = ("title", "url", "display_url", "source__name", "doc_type", "generations")
        rest = ("deprecated", "first_seen", "changed_at", "number")
        found = rows.annotate(number=number).values_list(*fields, *rest)
        for *named, tags, deprecated, first, changed, chunks in found.iterator(AT_ONCE):
            yield (*named, ", ".join(tags), deprecated, first, changed, chunks or 0)

    def details(self, request: HttpRequest, obj: Document) -> dict[str, Any]:
        failures = Failure.objects.open().filter(source=obj.source, document_url=obj.url)
        return {
            "failures": failures[:SHOWN_FAILURES],
            "left_out": LeftOut.objects.filter(url=obj.url).first(),
            **beside.beside(obj, request.GET),
        }

    def leave_out(self, request: HttpRequest, pk: int) -> HttpResponse:
        return leaving_out.leave_out(request, self._document(pk))

    def left_out(self, request: HttpRequest) -> HttpResponse:
        """The list of all documents that are left out of search."""
        context = {
            **self.admin_site.each_context(request),
            **leaving_out.listed(request),
            "opts": self.opts,
            "title": "Left out of search",
        }
        return TemplateResponse(request, "admin/ingestion/document/left_out.html", context)

    def ingest(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ingest the file or page of one document, and lead to the run."""
        if not request.user.has_perm("ingestion.start_run"):
            raise PermissionDenied
        document = self._document(pk)
        there = reverse("admin:ingestion_document_change", args=[pk])
        if request.method != "POST":
            return actions.not_done(request, there)
        address = document.url.partition("#")[0]
        asked = actions.start(request, [document.source], addresses=[address])
        return actions.followed(asked) or HttpResponseRedirect(there)

    def picture(self, request: HttpRequest, pk: int, number: int) -> HttpResponse:
        """A page of the document's PDF, in which the words of a chunk are marked. Its address names
        the file's hash and the chunk's key, so it never changes."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        stored = DocumentText.objects.filter(document=pk, media_type=texts.PDF)
        row = stored.select_related("original").only("original").first()
        if row is None or row.original is None:
            raise Http404("There is no PDF of this document.")
        text = chosen.text_of(pk, request.GET.get("chunk", ""))
        try:
            file = texts.file_bytes(row.original)
            data = page_picture.picture(file, number, text, picture_limits())
        except page_picture.NoPicture as reason:
            raise Http404(f"This page cannot be shown. {reason}") from None
        return HttpResponse(data, content_type="image/png", headers={"Cache-Control": KEPT})

    def _document(self, pk: int) -> Document:
        document = Document.objects.select_related("source").filter(pk=pk).first()
        if document is None:
            raise Http404(f"There is no document {pk} (any more).")
        return document


def picture_limits() -> Limits:
    """Those of a document that is read, but never more than a person waits for."""
    limits: Limits = settings.DOCUMENT_LIMITS
    seconds = min(limits.seconds or PATIENCE, PATIENCE)
    return Limits(seconds, min(limits.memory_mb or PICTURE_MEMORY_MB, PICTURE_MEMORY_MB))


class EmbeddingProfileAdmin(models_page.ModelsPage, ReadOnlyAdmin):
    heading = "Models"
    page = "admin/ingestion/profile/page.html"
    list_display = ("__str__", "provider", "model", "dimensions", "created_at")
