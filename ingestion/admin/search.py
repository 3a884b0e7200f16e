"""The search page: the same search as the API's, with what each ranking says, and why a document is
not found."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import QueryDict

from ingestion import access
from ingestion.admin.lookups import number_in
from ingestion.models import Chunk, Document, Question
from ingestion.search import explain, fetching, hybrid
from ingestion.search.highlighting import Gains
from ingestion.search.late_interaction import LATE
from ingestion.search.query_analysis import content_words
from ingestion.search.query_expansion import query_terms
from ingestion.search.query_log import query_log
from ingestion.search.results import MODES, Contribution, Hit, Mode
from ingestion.text import analyzer

PAGE = 10
BLOCK = 30  # hits are asked for in such blocks, so that the pages of one never overlap
PAGES = hybrid.MAX_LIMIT // PAGE
FINDABLE_DEPTH = 50
FINDABLE_CHARACTERS = 400  # of a chunk that are searched for, to see whether it is found
FILTERS = {"source": "sources", "type": "doc_types", "generation": "generations"}
COMPARED = 10  # hits of each mode side by side
CANDIDATES = 10  # documents offered by a part of their title or address
# A hit with fewer of the question's words, and less alike in meaning, is called weak. Cosine
# similarities of different models have different ranges; this one is low in all of them.
WEAK_WORDS = 0.5
WEAK_MEANING = 0.45
# 8 in 100 answers that were found are below, and 7 in 10 of the first hits where nothing answers.
WEAK_LATELY = 0.55


@dataclass(frozen=True)
class Facet:
    """A value of hits, their number, and the address that adds or removes it as a filter."""

    value: str
    number: int
    chosen: bool
    url: str


@dataclass(frozen=True)
class Bar:
    """What words or meaning gave a hit; `length` is in percent of the most that any hit got."""

    name: str
    length: float
    text: str


@dataclass(frozen=True)
class Shown:
    """A hit with its place, its two bars, and the words of the question that it has and lacks; no
    bars if it was found beside others of its document."""

    place: int
    hit: Hit
    bars: Sequence[Bar]
    found: Sequence[str]
    missing: Sequence[str]
    is_weak: bool


@access.everything()
def results(asked: QueryDict) -> dict[str, Any]:
    query = hybrid.cleaned(asked.get("q", ""))
    question = hybrid.cleaned(asked.get("for", ""))
    mode = asked.get("mode", "hybrid")
    chosen = {name: asked.getlist(name) for name in FILTERS}
    context: dict[str, Any] = {
        "query": query,
        "mode": mode if mode in MODES else "hybrid",
        "modes": MODES,
        "chosen": chosen,
        "deprecated": asked.get("deprecated", ""),
        "wanted": hybrid.cleaned(asked.get("document", "")),
        "question": question,
        "asks": question or query,
    }
    if not query:
        return context
    filters = _filters(asked)
    page = _page(asked)
    started = time.monotonic()
    limit = min(-(-page * PAGE // BLOCK) * BLOCK, hybrid.MAX_LIMIT)
    found = hybrid.search(query, limit=limit, mode=context["mode"], **filters)
    took = round(1000 * (time.monotonic() - started))
    if page == 1 and not context["question"]:
        query_log.note(found, "admin", **{name: filters[name] for name in FILTERS.values()})
    shown = _shown(query, found.hits)
    here = shown[(page - 1) * PAGE : page * PAGE]
    return context | {
        "results": found,
        "shown": here,
        "places": (here[0].place, here[-1].place) if here else None,
        "took": took,
        "known": Question.objects.filter(query=context["asks"]).first(),
        "facets": facets(found.hits, asked),
        "page": page,
        "before": _turned(asked, page - 1) if page > 1 else "",
        "after": _turned(asked, page + 1) if len(here) == PAGE and page < PAGES else "",
        "side_by_side": _side_by_side(query, asked, filters),
        "compare_url": _compared(asked),
        **_wanted(query, context["wanted"], filters),
    }


def _filters(asked: QueryDict) -> dict[str, Any]:
    filters: dict[str, Any] = {name: asked.getlist(key) for key, name in FILTERS.items()}
    filters["include_deprecated"] = False if asked.get("deprecated") == "no" else None
    return filters


def _page(asked: QueryDict) -> int:
    return min(number_in(asked.get("page", ""), 3) or 1, PAGES)


def _turned(asked: QueryDict, page: int) -> str:
    query = asked.copy()
    query["page"] = str(page)
    return f"?{query.urlencode()}"


def _shown(query: str, hits: Sequence[Hit]) -> list[Shown]:
    words = list(dict.fromkeys(content_words(analyzer.words(query))))
    gains = Gains(query_terms(query).gains)
    most = {name: max((_gain(hit, name) for hit in hits), default=0.0) for name in BARS}
    return [_one(place, hit, words, gains, most) for place, hit in enumerate(hits, 1)]


def _one(place: int, hit: Hit, words: Sequence[str], gains: Gains, most: dict[str, float]) -> Shown:
    text = f"{hit.context_header}\n{hit.title}\n{hit.content}"
    there = {analyzer.forms(word).whole for word in analyzer.words(text) if gains[word]}
    found = [word for word in words if analyzer.forms(word).whole in there]
    missing = [word for word in words if word not in found]
    names = BARS if hit.parts else ()  # else it is in no ranking
    bars = [Bar(name, _percent(_gain(hit, name), most[name]), _said(hit, name)) for name in names]
    is_weak = len(found) < WEAK_WORDS * len(words) and not _is_close(hit)
    return Shown(place, hit, bars, found, missing, is_weak)


BARS = ("words", "meaning")


def _is_close(hit: Hit) -> bool:
    """Whether it means what the query does, as a whole or word by word."""
    return (hit.near or 0.0) >= WEAK_MEANING or any(
        part.value >= (WEAK_LATELY if part.ranking == LATE else WEAK_MEANING)
        for part in hit.parts
        if not _is_text(part)
    )


def _is_text(part: Contribution) -> bool:
    return part.ranking.startswith("text")


def _gain(hit: Hit, name: str) -> float:
    parts = (part for part in hit.parts if _is_text(part) == (name == "words"))
    return sum(map(fetching.gain, parts))


def _percent(gain: float, most: float) -> float:
    return 100 * gain / most if most else 0.0


def _said(hit: Hit, name: str) -> str:
    parts = [part for part in hit.parts if _is_text(part) == (name == "words")]
    if not parts:
        return "not among the best 100"
    best = min(parts, key=lambda part: part.place)
    if name == "words":
        return f"place {best.place}"
    if best.ranking == LATE:
        return f"place {best.place}, word by word {best.value:.2f}"
    return f"place {best.place}, similarity {best.value:.2f}"


def _side_by_side(query: str, asked: QueryDict, filters: dict[str, Any]) -> dict[str, Any] | None:
    """The first hits of each mode, if the page was asked to compare them."""
    if asked.get("compare") != "yes":
        return None
    names: dict[Mode, str] = {"hybrid": "Both", "text": "Words only", "dense": "Meaning only"}
    return {
        name: hybrid.search(query, limit=COMPARED, mode=mode, **filters).hits
        for mode, name in names.items()
    }


def _compared(asked: QueryDict) -> str:
    query = asked.copy()
    if query.get("compare") == "yes":
        del query["compare"]
    else:
        query["compare"] = "yes"
    return f"?{query.urlencode()}"


def _wanted(query: str, wanted: str, filters: dict[str, Any]) -> dict[str, Any]:
    """The document that somebody misses, with why it is not found; or those that may be meant."""
    if not wanted:
        return {}
    documents = Document.objects.select_related("source").defer("metadata", "inputs")
    pk = number_in(wanted, 14)
    if pk is not None:
        candidates = list(documents.filter(pk=pk))
    else:
        named = Q(url=wanted) | Q(title__icontains=wanted) | Q(url__icontains=wanted)
        candidates = list(documents.filter(named).order_by("title", "pk")[:CANDIDATES])
    if len(candidates) != 1:
        return {"candidates": candidates}
    document = candidates[0]
    return {"missed": document, "why": explain.explain(query, document, **filters)}


def facets(hits: Iterable[Hit], asked: QueryDict) -> dict[str, list[Facet]]:
    """The number of hits for each source, type and generation."""
    counted: dict[str, Counter[str]] = {name: Counter() for name in FILTERS}
    for hit in hits:
        counted["source"][hit.source] += 1
        counted["type"][hit.doc_type] += 1
        counted["generation"].update(hit.generations)
    for name, values in counted.items():
        for chosen in asked.getlist(name):
            values.setdefault(chosen, 0)  # so that it can be undone
    return {
        name: [facet(name, value, number, asked) for value, number in values.most_common()]
        for name, values in counted.items()
    }


def facet(name: str, value: str, number: int, asked: QueryDict) -> Facet:
    chosen = value in asked.getlist(name)
    query = asked.copy()
    query.pop("page", None)
    values = [other for other in asked.getlist(name) if other != value]
    query.setlist(name, values if chosen else [*values, value])
    return Facet(value, number, chosen, f"?{query.urlencode()}")


@access.everything()
def findable(chunk: Chunk) -> str:
    """A sentence that says whether a search for the chunk's own text finds it."""
    query = f"{chunk.title} {chunk.content}"[:FINDABLE_CHARACTERS]
    found = hybrid.search(query, limit=FINDABLE_DEPTH)
    for place, hit in enumerate(found.hits, 1):
        if chunk.pk in hit.chunk_ids:
            return f"A search for its own text ranks it at place {place}."
    twins = Chunk.objects.filter(content_hash=chunk.content_hash).exclude(pk=chunk.pk).exists()
    if twins:
        return "A chunk with the same text is shown instead: a search shows only one of them."
    return f"A search for its own text does not find it among the best {FINDABLE_DEPTH}."
