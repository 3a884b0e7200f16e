"""What assistants may call. Each passage comes with where it is from.

Tools are plain functions, which the library runs in threads of their own; each gives its database
connection back. No answer is longer than MCP_MAX_CHARACTERS.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, ParamSpec
from urllib.parse import urldefrag

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone
from django.utils.timesince import timesince
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from ingestion import access
from ingestion.access import Right
from ingestion.api import tokens
from ingestion.documents import counted
from ingestion.index import left_out
from ingestion.mcp import pages
from ingestion.models import Chunk, Document
from ingestion.monitoring import statistics
from ingestion.search.hybrid import LONGEST_QUERY, search
from ingestion.search.query_log import query_log
from ingestion.search.results import Hit, Results
from ingestion.text.joining import joined
from sources.models import Source

MOST_NEIGHBOURS = 3
CUT = "\n\n(Cut here: ask for fewer passages, or read the document.)"

Given = ParamSpec("Given")
Name = Annotated[str, Field(max_length=60, description="Empty: all.")]


def tool(
    right: Right | None = None,
) -> Callable[[Callable[Given, str]], Callable[Given, str]]:
    """A tool that needs this right. It closes the database connection of the thread that ran it."""

    def wrap(function: Callable[Given, str]) -> Callable[Given, str]:
        @functools.wraps(function)
        def with_connection(*args: Given.args, **kwargs: Given.kwargs) -> str:
            if right and not access.current().may(right):
                raise ToolError(tokens.MAY_NOT[right])
            try:
                return function(*args, **kwargs)
            finally:
                connection.close()

        return with_connection

    return wrap


@tool("search")
def search_bbj_knowledge(
    query: Annotated[str, Field(max_length=LONGEST_QUERY, description="Question, name or code.")],
    generation: Annotated[
        str, Field(max_length=40, description="Only this generation, e.g. dwc. Empty: all.")
    ] = "",
    limit: Annotated[int, Field(ge=1, le=20, description="Passages at most.")] = 5,
    source: Annotated[
        str, Field(max_length=60, description="Only this source of list_sources. Empty: all.")
    ] = "",
    doc_type: Annotated[
        str, Field(max_length=40, description="Only this type, e.g. example. Empty: all.")
    ] = "",
    neighbours: Annotated[
        int,
        Field(ge=0, le=MOST_NEIGHBOURS, description="Chunks of the document before and after."),
    ] = 0,
) -> str:
    """Find passages about BBj by meaning and by words: questions, names, code, error numbers."""
    named = {"generation": generation, "source": source, "doc_type": doc_type}
    if unclear := [name for name, value in named.items() if "\0" in value]:
        raise ToolError(f"A {unclear[0]} holds no NUL.")
    _check_source(source.strip())
    filters: dict[str, Any] = {
        "sources": _chosen(source),
        "generations": _chosen(generation),
        "doc_types": _chosen(doc_type),
    }
    results = search(query, limit=limit, **filters)
    query_log.note(results, "mcp", **filters)
    parts = [_passage(number, hit, neighbours) for number, hit in enumerate(results.hits, 1)]
    return _within_limit([*_corrected(results), *parts, *results.notes]) or "Nothing was found."


def _chosen(value: str) -> list[str]:
    return [value.strip()] if value.strip() else []


def _check_source(name: str) -> None:
    seen = Source.objects.filter(access.current().within("pk"))
    if name and not seen.filter(name=name).exists():
        known = ", ".join(seen.order_by("name").values_list("name", flat=True))
        raise ToolError(f"There is no source {name!r}. There are: {known}.")


def _corrected(results: Results) -> Iterable[str]:
    for word, meant in results.corrected.items():
        yield f'"{word}" occurs nowhere; it was taken for {", ".join(meant)}.'


def _passage(number: int, hit: Hit, neighbours: int) -> str:
    marks = [hit.source, hit.doc_type, *hit.generations, *["deprecated"] * hit.deprecated]
    head = [
        f"[{number}] {hit.title}",
        hit.context_header,
        f"Source: {hit.link}",
        f"Address: {hit.url} (document {hit.document_id})",
        f"About: {', '.join(marks)}",
    ]
    text = _surrounded(hit, neighbours) if neighbours else hit.content
    return "\n".join(line for line in head if line) + f"\n\n{text}"


def _surrounded(hit: Hit, neighbours: int) -> str:
    """The chunk with those before and after it in its document, without what they repeat."""
    seen = Chunk.objects.filter(access.current().within("document__source"))
    place = hit.chunk_ids.index(hit.chunk_id)
    first, last = hit.ordinal - place, hit.ordinal + len(hit.chunk_ids) - 1 - place
    near = seen.filter(
        document_id=hit.document_id,
        ordinal__gte=first - neighbours,
        ordinal__lte=last + neighbours,
    )
    return joined(near.order_by("ordinal").values_list("content", flat=True))


def _within_limit(parts: Sequence[str]) -> str:
    """As many whole parts as fit; the first one is cut if it alone is too long."""
    room = settings.MCP_MAX_CHARACTERS
    rule = "\n\n---\n\n"
    text = ""
    for place, part in enumerate(parts):
        longer = f"{text}{rule}{part}" if text else part
        left = f"{rule}({len(parts) - place} more did not fit into {room:,} characters.)"
        if len(longer) + (len(left) if place < len(parts) - 1 else 0) > room:
            return f"{text}{left}" if text else f"{part[: room - len(CUT)]}{CUT}"
        text = longer
    return text


@tool("read")
def get_document(
    url: Annotated[
        str, Field(max_length=2000, description="Address or source of a passage, or its number.")
    ],
    page: Annotated[int, Field(ge=1, le=100_000, description="Of a long document.")] = 1,
    section: Annotated[
        str, Field(max_length=500, description="Begin at the section of this name instead.")
    ] = "",
) -> str:
    """Read a document that search_bbj_knowledge found a passage of. A long one comes in pages, the
    first with an outline that names the page of each section."""
    document = _document(url.strip().replace("\0", ""))
    if document is None:
        raise ToolError(f"There is no document {url!r}. Search first, and pass on its address.")
    cut = pages.Pages(document, settings.MCP_MAX_CHARACTERS)
    if section:
        found = cut.page_of(section)
        if found is None:
            raise ToolError(f"There is no section {section!r}. {cut.outline(2000)}")
        page = found
    if page > cut.number:
        raise ToolError(f"The document has {cut.number} pages.")
    return cut.shown(page)


@tool("read")
def document(document_id: str) -> str:
    """The first page of a document, as a resource."""
    return get_document(document_id)


def _document(url: str) -> Document | None:
    """By its address, the link people follow, or its number; a fragment or query that is not its
    own is skipped."""
    searchable = left_out.searchable()
    bare = urldefrag(url).url
    for wanted in dict.fromkeys((url, bare, bare.partition("?")[0])):
        found = searchable.filter(Q(url=wanted) | Q(display_url=wanted)).order_by("pk")
        if row := found.first():
            return row
    is_number = url.isascii() and url.isdecimal() and len(url) < 15
    return searchable.filter(pk=int(url)).first() if is_number else None


@tool()
def list_sources() -> str:
    """What is in the index: each source with its documents, passages and age."""
    lines = []
    for count in statistics.by_source():
        read = f"read {timesince(count.last_success, depth=1)} ago" if count.last_success else ""
        parts = [
            counted(count.documents, "document"),
            counted(count.chunks, "passage"),
            read or "not read",
        ]
        lines.append(f"- {count.name}: {count.title} ({', '.join(parts)})")
    shown = "\n".join(lines) or "There is no source."
    return f"As of {timezone.localtime():%Y-%m-%d %H:%M}:\n{shown}"[: settings.MCP_MAX_CHARACTERS]
