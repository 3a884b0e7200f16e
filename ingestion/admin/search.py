"""The search page: the same search as the API's, with each ranking's results and facets."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from ingestion.models import Chunk
from ingestion.search import hybrid
from ingestion.search.results import MODES, Hit

SHOWN_HITS = 30
FINDABLE_DEPTH = 50
FINDABLE_CHARACTERS = 400  # of a chunk that are searched for, to see whether it is found
FILTERS = {"source": "sources", "type": "doc_types", "generation": "generations"}


@dataclass(frozen=True)
class Facet:
    """A value of hits, their number, and the address that adds or removes it as a filter."""

    value: str
    number: int
    chosen: bool
    url: str


def results(asked: QueryDict) -> dict[str, Any]:
    query = asked.get("q", "").strip()
    mode = asked.get("mode", "hybrid")
    chosen = {name: asked.getlist(name) for name in FILTERS}
    context: dict[str, Any] = {
        "query": query,
        "mode": mode if mode in MODES else "hybrid",
        "modes": MODES,
        "chosen": chosen,
        "deprecated": asked.get("deprecated", ""),
    }
    if not query:
        return context
    started = time.monotonic()
    found = hybrid.search(
        query,
        limit=SHOWN_HITS,
        mode=context["mode"],
        include_deprecated=False if context["deprecated"] == "no" else None,
        **{argument: chosen[name] for name, argument in FILTERS.items()},
    )
    took = round(1000 * (time.monotonic() - started))
    return context | {"results": found, "took": took, "facets": facets(found.hits, asked)}


def facets(hits: Iterable[Hit], asked: QueryDict) -> dict[str, list[Facet]]:
    """The number of hits for each source, type and generation."""
    counted: dict[str, Counter[str]] = {name: Counter() for name in FILTERS}
    for hit in hits:
        counted["source"][hit.source] += 1
        counted["type"][hit.doc_type] += 1
        counted["generation"].update(hit.generations)
    return {
        name: [facet(name, value, number, asked) for value, number in values.most_common()]
        for name, values in counted.items()
    }


def facet(name: str, value: str, number: int, asked: QueryDict) -> Facet:
    chosen = value in asked.getlist(name)
    query = asked.copy()
    values = [other for other in asked.getlist(name) if other != value]
    query.setlist(name, values if chosen else [*values, value])
    return Facet(value, number, chosen, f"?{query.urlencode()}")


def findable(chunk: Chunk) -> str:
    """A sentence that says whether a search for the chunk's own text finds it."""
    query = f"{chunk.title} {chunk.content}"[:FINDABLE_CHARACTERS]
    found = hybrid.search(query, limit=FINDABLE_DEPTH)
    for place, hit in enumerate(found.hits, 1):
        if hit.chunk_id == chunk.pk:
            return f"A search for its own text ranks it at place {place}."
    twins = Chunk.objects.filter(content_hash=chunk.content_hash).exclude(pk=chunk.pk).exists()
    if twins:
        return "A chunk with the same text is shown instead: a search shows only one of them."
    return f"A search for its own text does not find it among the best {FINDABLE_DEPTH}."
