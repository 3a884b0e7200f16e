"""A document beside its chunks: what both sides of its page show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import QueryDict

from ingestion.admin import search
from ingestion.admin.chosen import Asked, Place, places_of
from ingestion.admin.original import Original
from ingestion.admin.read_only import VECTORS
from ingestion.models import Chunk, Document
from ingestion.search.results import line_link_of

LISTED = 60  # chunks beside the original; links lead to the others
BEGINNING = 300  # characters of a chunk in the list
TWINS = 5  # chunks with the same text that are named

_MARKUP = re.compile(r"^(?:[ >]*(?:`{3,}|~{3,}).*|[ >]*#{1,6} +|\|?[-:| ]+\|)", re.MULTILINE)


def beside(document: Document, query: QueryDict) -> dict[str, Any]:
    """What the two sides show."""
    asked = Asked.of(query)
    places = places_of(document)
    chosen = next((place for place in places if place.ordinal == asked.chunk), None)
    original = Original(document, asked, places, chosen)
    return {
        "original": document,
        "tabs": original.tabs(),
        "note": original.note(),
        "view": original.view(),
        **_chunks(document, asked, places, chosen),
    }


def _chunks(
    document: Document, asked: Asked, places: Sequence[Place], chosen: Place | None
) -> dict[str, Any]:
    """The list of chunks around the chosen one."""
    at = places.index(chosen) if chosen else 0
    first = max(0, min(at - LISTED // 2, len(places) - LISTED))
    shown = places[first : first + LISTED]
    return {
        "chunks": [_listed(chunk, asked) for chunk in _rows(document, shown)],
        "number": len(places),
        "chosen": _chosen(document, chosen, asked) if chosen else None,
        "previous": _step(asked, places, at - 1) if chosen else "",
        "next": _step(asked, places, at + 1 if chosen else 0),
        "fewer": _step(asked, places, first - 1),
        "more": _step(asked, places, first + LISTED),
    }


def _rows(document: Document, shown: Sequence[Place]) -> QuerySet[Chunk]:
    if not shown:
        return Chunk.objects.none()
    rows = Chunk.objects.filter(
        document=document, ordinal__range=(shown[0].ordinal, shown[-1].ordinal)
    )
    rows = rows.annotate(beginning=Left("content", BEGINNING))
    return rows.defer("content", *VECTORS).order_by("ordinal")


def _listed(chunk: Any, asked: Asked) -> dict[str, Any]:
    return {
        "row": chunk,
        "beginning": " ".join(_MARKUP.sub("", chunk.beginning).split()),
        "url": f"{asked.url(chunk=chunk.ordinal)}#chosen",
        "is_chosen": chunk.ordinal == asked.chunk,
    }


def _step(asked: Asked, places: Sequence[Place], at: int) -> str:
    """The address that chooses a chunk; empty if there is none."""
    return f"{asked.url(chunk=places[at].ordinal)}#chosen" if 0 <= at < len(places) else ""


def _chosen(document: Document, place: Place, asked: Asked) -> dict[str, Any]:
    """What is shown of the chosen chunk alone."""
    chunk = Chunk.objects.select_related("profile").defer(*VECTORS).get(pk=place.pk)
    same = Chunk.objects.filter(profile=chunk.profile_id, content_hash=chunk.content_hash)
    same = same.exclude(pk=chunk.pk).select_related("document").order_by("pk")
    twins = same.only("ordinal", "title", "document__title")[: TWINS + 1]
    alike = {"q": " ".join(chunk.content[: search.FINDABLE_CHARACTERS].split()), "mode": "dense"}
    return {
        "row": chunk,
        "line_link": _line_link(document, chunk),
        "findable": search.findable(chunk) if asked.findable else "",
        "find_url": asked.url(findable=1) + "#this-chunk",
        "alike": urlencode(alike),
        "twins": twins[:TWINS],
        "more_twins": len(twins) > TWINS,
    }


def _line_link(document: Document, chunk: Chunk) -> str:
    source = document.source
    host = (source.repository, source.link_template, source.display_base_url)
    return line_link_of(document.display_url, chunk.start_line, *host)
