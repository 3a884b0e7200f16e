"""Say why a filter keeps nothing: no document has what it names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ingestion.index import left_out
from ingestion.search.retrievers import Filters

SHOWN = 12  # of those that there are


def notes(filters: Filters) -> Iterator[str]:
    """A sentence for each kind of filter of which no value exists, with those that do."""
    documents = left_out.searchable().order_by()
    if filters.generations:
        stored = documents.values_list("generations", flat=True).distinct()
        there = {generation for generations in stored for generation in generations}
        yield from _said("generation", filters.generations, there)
    if filters.doc_types:
        there = set(documents.values_list("doc_type", flat=True).distinct())
        yield from _said("type", filters.doc_types, there)


def _said(kind: str, asked: Sequence[str], there: set[str]) -> Iterator[str]:
    if there.isdisjoint(asked):
        known = ", ".join(sorted(there)[:SHOWN]) or "none"
        yield f"No document has the {kind} {' or '.join(asked)}: there are {known}."
