"""What the page of a document is asked to show, and where its chunks are."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import QueryDict

from ingestion.admin.lookups import number_in
from ingestion.index import texts
from ingestion.models import Chunk, Document, DocumentText


@dataclass(frozen=True)
class Place:
    """Where a chunk is, as far as that is known."""

    pk: int
    ordinal: int
    start: int | None
    end: int | None
    line: int | None
    page: int | None


@dataclass(frozen=True)
class Asked:
    """What the address of the page asks for."""

    chunk: int | None
    show: str
    page: int | None
    findable: bool

    @classmethod
    def of(cls, query: QueryDict) -> Asked:
        show = query.get("show", "")
        return cls(
            chunk=number_in(query.get("chunk", "")),
            show=show,
            page=number_in(query.get("page", "")),
            findable="findable" in query,
        )

    def url(self, **changed: object) -> str:
        """The address with these differences; what is empty is left out."""
        query = {"chunk": self.chunk, "show": self.show} | changed
        return f"?{urlencode({k: v for k, v in query.items() if v not in (None, '')})}"


def text_of(document: int, chunk: str) -> str:
    """The text of a chunk of the document, by its key; empty if there is none."""
    rows = Chunk.objects.filter(document=document, pk=number_in(chunk) or 0)
    return rows.values_list("content", flat=True).first() or ""


def places_of(document: Document) -> list[Place]:
    stored = DocumentText.objects.filter(document=document).values_list("chunks", flat=True).first()
    parts = texts.parts(stored) if stored else []
    rows = Chunk.objects.filter(document=document).order_by("ordinal")
    places = []
    for pk, ordinal, line, page in rows.values_list("pk", "ordinal", "start_line", "start_page"):
        start, end = parts[ordinal] if ordinal < len(parts) else (None, None)
        places.append(Place(pk, ordinal, start, end, line, page))
    return places
