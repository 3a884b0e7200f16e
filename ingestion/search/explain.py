"""Why a search finds a document at its place, or does not find it at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from ingestion import access
from ingestion.index import left_out
from ingestion.models import Chunk, Document, EmbeddingProfile
from ingestion.search import hybrid
from ingestion.search.diversity import PER_DOCUMENT
from ingestion.search.query_analysis import content_words
from ingestion.search.query_embedding import NotAskable, query_vectors
from ingestion.search.query_expansion import QueryTerms, query_terms
from ingestion.search.retrievers import (
    DEPTH,
    LONGEST_EMBEDDED,
    MATCHED,
    Filters,
    candidates,
    profiles_in_use,
    text_value,
)
from ingestion.text import analyzer
from sources.models import LeftOut


@dataclass(frozen=True)
class Place:
    """Where the document's best chunk is in one ranking of all chunks: 1 is the best.

    `value` is a text rank or a cosine similarity.
    """

    ranking: str
    place: int
    value: float


@dataclass
class Explanation:
    """`shown` is the place in the results, None if it is not among the first MAX_LIMIT.

    `found` and `missing` are the words of the query that the document has and lacks; `reasons` are
    sentences that say what keeps it out.
    """

    shown: int | None = None
    words: Place | None = None
    meaning: list[Place] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def explain(query: str, document: Document, **chosen: Any) -> Explanation:
    """Explain what a search with these filters does with a document.

    Compares every chunk, so it takes longer than a search: about 50 ms for 10,000 chunks.
    """
    explanation = Explanation()
    explanation.reasons += _filtered(document, chosen)
    if not document.chunks.exists():
        explanation.reasons.append("Nothing of it is stored: it has no chunk.")
        return explanation
    asked = query_terms(query)
    explanation.found, explanation.missing = _words(query, document)
    explanation.words = _by_words(asked, document)
    explanation.meaning = [*_by_meaning(query, document, explanation.reasons)]
    results = hybrid.search(query, limit=hybrid.MAX_LIMIT, **chosen)
    places = [place for place, hit in enumerate(results.hits, 1) if hit.document_id == document.pk]
    explanation.shown = min(places, default=None)
    if explanation.shown is None and not explanation.reasons:
        explanation.reasons += _rules(explanation, document)
    return explanation


def _filtered(document: Document, chosen: dict[str, Any]) -> Iterator[str]:
    """The filters, and the decision of a person, that keep the document out."""
    if row := LeftOut.objects.filter(url=document.url).first():
        by = f" by {row.author}" if row.author else ""
        yield f"It was left out of search{by} on {row.created_at:%Y-%m-%d}: {row.reason}"
    kept = {
        "sources": ({document.source.name}, "source"),
        "doc_types": ({document.doc_type}, "type"),
        "generations": (set(document.generations), "generation"),
    }
    for name, (values, label) in kept.items():
        wanted = set(chosen.get(name) or ())
        if wanted and not wanted & values:
            has = ", ".join(sorted(values)) or "none"
            yield f"The filter keeps {label} {', '.join(sorted(wanted))} only; this one has {has}."
    if chosen.get("include_deprecated") is False and document.deprecated:
        yield "It is deprecated, and deprecated documents are left out."


def _words(query: str, document: Document) -> tuple[list[str], list[str]]:
    """The words of the query that some chunk of the document has, and the others."""
    words = list(dict.fromkeys(content_words(analyzer.words(query))))
    terms = [analyzer.forms(word).whole for word in words]
    quoted = ["'{}'".format(term.replace("\\", "\\\\").replace("'", "''")) for term in terms]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.nr, coalesce(bool_or(c.search_vector @@ t.term::tsquery), false)"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS t(term, nr)"
            " JOIN ingestion_chunk c ON c.document_id = %s GROUP BY t.nr ORDER BY t.nr",
            [quoted, document.pk],
        )
        there = [found for _, found in cursor.fetchall()]
    named = list(zip(words, there, strict=True))
    return [word for word, has in named if has], [word for word, has in named if not has]


def _by_words(asked: QueryTerms, document: Document) -> Place | None:
    wanted = [term for term in asked.wanted if term.gain > 0]
    if not wanted:
        return None
    value, gains = text_value([*wanted, *asked.pairs])
    matching = candidates(wanted, asked.chunks, MATCHED)
    seen = Filters()
    condition, parameters = seen.sql()
    sql = f"""
        WITH ranked AS (
            SELECT c.document_id, {value} AS value
            FROM {seen.table} WHERE c.search_vector @@ %s::tsquery{condition}
        ), mine AS (SELECT max(value) AS best FROM ranked WHERE document_id = %s)
        SELECT best, (SELECT count(*) FROM ranked WHERE value > best) FROM mine"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [*gains, matching, *parameters, document.pk])
        best, better = cursor.fetchone()
    return None if best is None else Place("words", better + 1, float(best))


def _by_meaning(query: str, document: Document, reasons: list[str]) -> Iterator[Place]:
    for profile in profiles_in_use():
        try:
            vector = query_vectors.vector(profile, query[:LONGEST_EMBEDDED])
        except NotAskable as error:
            reasons.append(f"Chunks of {profile} are found by their words alone: {error}")
            continue
        if place := _nearest(profile, vector, document):
            yield place


def _nearest(profile: EmbeddingProfile, vector: str, document: Document) -> Place | None:
    size = f"halfvec({profile.dimensions:d})"
    seen = Filters()
    condition, parameters = seen.sql()
    sql = f"""
        WITH ranked AS (
            SELECT c.document_id, c.embedding::{size} <=> %s::{size} AS distance
            FROM {seen.table} WHERE c.profile_id = %s{condition} OFFSET 0
        ), mine AS (SELECT min(distance) AS best FROM ranked WHERE document_id = %s)
        SELECT best, (SELECT count(*) FROM ranked WHERE distance < best) FROM mine"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [vector, profile.pk, *parameters, document.pk])
        best, nearer = cursor.fetchone()
    return None if best is None else Place(f"meaning, {profile}", nearer + 1, 1 - float(best))


def _rules(explanation: Explanation, document: Document) -> Sequence[str]:
    """What keeps it out although no filter does."""
    places = [place.place for place in (explanation.words, *explanation.meaning) if place]
    if all(place > DEPTH for place in places):
        return [
            f"Each ranking keeps its best {DEPTH} chunks, and it is in none of them: its "
            "words and its meaning are further from the question than those of others."
        ]
    if twin := _twin(document):
        return [
            f"The same text stands in “{twin.title}” ({twin.url}), and a search shows only one of "
            "several equal chunks."
        ]
    return [
        f"It is in a ranking, but {hybrid.MAX_LIMIT} others are better in both together, or its "
        f"chunks only repeat what better ones say (a search shows {PER_DOCUMENT} of a document)."
    ]


def _twin(document: Document) -> Document | None:
    keys = document.chunks.values("content_hash")
    hidden = [document.pk, *left_out.keys()]
    seen = access.current().within("document__source")
    others = Chunk.objects.filter(seen, content_hash__in=keys).exclude(document__in=hidden)
    chunk = others.select_related("document").defer("embedding", "search_vector").first()
    return chunk.document if chunk else None
