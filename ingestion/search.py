"""Hybrid search: vectors and full text ranked in one statement, fused by reciprocal rank.

Each profile that has chunks is asked by its own model's vector, over its own partial HNSW index;
chunks whose model cannot be asked are found by their text alone, and the result says so. A question
for two things is asked as a whole and by its parts, each a ranking of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from ingestion.hits import COLUMNS, MODES, Hit, Mode, Part, Results
from ingestion.models import EmbeddingProfile
from ingestion.query_terms import Pair, QueryTerms, Wanted, query_terms
from ingestion.query_vectors import NotAskable, query_vectors
from ingestion.question import clauses, prose
from ingestion.snippets import Gains, snippet
from ingestion.terms import words

MAX_LIMIT = 100
LONGEST_QUERY = 8192  # characters; what is beyond is not read
LONGEST_EMBEDDED = 1000  # characters of a query that are embedded: within any model's context

DEPTH = 100  # places of each ranking
# Reciprocal rank fusion (Cormack, Clarke, Buettcher 2009), the constant smaller than their 60, as
# two lists are fused and not dozens. Each list counts by how much it can be trusted for this query.
# The text by the share of the query that its best chunk holds: a name or an error number says all,
# a question in other words than the document's little. The vectors by how clearly the nearest
# stands out from those after it; and they know what a sentence means, but hardly a name.
RANK_CONSTANT = 10
TEXT_WEIGHT = 1.0
DENSE_WEIGHT = 0.1
DENSE_WEIGHT_OF_PROSE = 1.0
STATIC_DENSE_WEIGHT_OF_PROSE = 0.2  # of a model that knows words but not sentences
STATIC_PROVIDERS = frozenset({"wordllama"})
CLEAR = 0.3  # of the distance that the next have on average: as far as the first need stand out
LEAST_TRUST = 0.1
WHOLE_WEIGHT = 0.5  # of a question for two things, beside its clauses
PER_DOCUMENT = 2  # hits of one document, as long as there are others
PER_DOCUMENT_RANKED = 4  # chunks of one document in one ranking
ALIKE = 0.8  # of the words in common (Jaccard): the same text in another place
ECHO = 0.8  # of what a hit was found by stands in hits above it, line by line
SHORTEST_ECHO = 4  # words of such a line; a call of one method may well stand in many programs

# Without the last one, the planner reads the whole table as soon as a word stands in a fifth of it,
# as it takes matching and ranking a text for as cheap as comparing two numbers.
INDEX_SETTINGS = """SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('hnsw.ef_search', '120', true), set_config('enable_seqscan', 'off', true)"""
MATCHED = 2000  # chunks whose text is ranked, about: the rarest terms choose them
LEAST_MATCHED = 500  # that common terms must choose together, by chance, to be asked for together
MOST_MATCHED = 50_000  # so many, where all terms stand nearly everywhere and tell little
WEIGHTS = "{0.3, 0.5, 0.8, 1.0}"  # of D, C, B and A: parts, text, headings and keys, title
LENGTH_NORM = "0.8 + 0.2 * c.tokens / 250.0"  # as BM25's b: a long chunk holds more by chance

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Filters:
    sources: Sequence[str] = ()
    generations: Sequence[str] = ()
    doc_types: Sequence[str] = ()
    deprecated: bool = True

    @property
    def table(self) -> str:
        """The chunks, as `c`; with their documents only where the condition asks for them."""
        joined = " JOIN ingestion_document d ON d.id = c.document_id" if self.sql()[0] else ""
        return f"ingestion_chunk c{joined}"

    def sql(self) -> tuple[str, list[Any]]:
        """A condition on `d`, the chunk's document, and its parameters; empty without a filter."""
        conditions, parameters = list[str](), list[Any]()
        if self.sources:
            conditions.append("d.source_id IN (SELECT id FROM sources_source WHERE name = ANY(%s))")
            parameters.append(list(self.sources))
        if self.generations:
            conditions.append("d.generations && %s::varchar[]")
            parameters.append(list(self.generations))
        if self.doc_types:
            conditions.append("d.doc_type = ANY(%s)")
            parameters.append(list(self.doc_types))
        if not self.deprecated:
            conditions.append("NOT d.deprecated")
        return "".join(f" AND {condition}" for condition in conditions), parameters


@dataclass(frozen=True, slots=True)
class Ranking:
    """A ranked list of chunks as a subquery (id, place, value), and what a place in it counts: its
    weight times `trust`, which is SQL over the list as `r` and made to lie within 0.1 and 1.
    """

    name: str
    weight: float
    sql: str
    parameters: Sequence[Any]
    trust: str


def search(
    query: str,
    *,
    limit: int = 10,
    sources: Sequence[str] = (),
    generations: Sequence[str] = (),
    doc_types: Sequence[str] = (),
    include_deprecated: bool | None = None,
    mode: Mode = "hybrid",
) -> Results:
    """The best chunks for `query`, the best first; ties are broken by the chunk's id.

    A filter keeps what carries any of its values; an empty one keeps all. Deprecated documents
    stand at the end of the list; with `include_deprecated` True they stand where they rank, with
    False they are left out. Raises ValueError for a mode or limit that there is not.
    """
    if mode not in MODES:
        raise ValueError(f"There is no mode {mode!r}: use one of {', '.join(MODES)}.")
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"A limit of {limit} is not between 1 and {MAX_LIMIT}.")
    asked = _CONTROL.sub(" ", query[:LONGEST_QUERY]).strip()
    filters = Filters(
        _cleaned(sources),
        _cleaned(generations),
        _cleaned(doc_types),
        deprecated=include_deprecated is not False,
    )
    notes = list[str]()
    if not any(map(str.isalnum, asked)):
        notes.append("The query holds no word to search for.")
        return Results(query=query, mode=mode, notes=tuple(notes))
    asked_terms = query_terms(asked)
    rankings = [*_rankings(asked, asked_terms, filters, mode, notes)]
    hits = _hits(rankings, limit) if rankings else []
    gains = Gains(asked_terms.gains)
    chosen = [hit.with_snippet(snippet(hit.content, gains)) for hit in _chosen(hits, limit, gains)]
    if include_deprecated is None:
        chosen.sort(key=lambda hit: hit.deprecated)
    return Results(
        query=query,
        mode=mode,
        hits=tuple(chosen),
        notes=tuple(notes),
        corrected={term: tuple(meant) for term, meant in asked_terms.corrected.items()},
    )


def _cleaned(values: Sequence[str]) -> list[str]:
    return [_CONTROL.sub("", value) for value in values]


def _rankings(
    asked: str, asked_terms: QueryTerms, filters: Filters, mode: Mode, notes: list[str]
) -> Iterator[Ranking]:
    parts = clauses(asked)
    whole = WHOLE_WEIGHT if parts else 1.0
    if mode != "dense":
        yield from _text_rankings("text", TEXT_WEIGHT * whole, asked_terms, filters)
        for number, clause in enumerate(parts, 1):
            yield from _text_rankings(f"text {number}", TEXT_WEIGHT, query_terms(clause), filters)
    if mode != "text":
        yield from _dense_rankings(
            [(asked, whole), *((part, 1.0) for part in parts)], filters, notes
        )


def _text_rankings(
    name: str, weight: float, asked: QueryTerms, filters: Filters
) -> Iterator[Ranking]:
    wanted = [term for term in asked.wanted if term.gain > 0]
    if not wanted:
        return
    condition, parameters = filters.sql()
    gaining: list[Wanted | Pair] = [*wanted, *asked.pairs]
    scores = " + ".join(["%s * ts_rank(%s, c.search_vector, %s::tsquery)"] * len(gaining))
    gains = [value for g in gaining for value in (g.gain, WEIGHTS, g.tsquery)]
    sql = f"""
        SELECT id, row_number() OVER (ORDER BY value DESC, id) AS place, value FROM (
            SELECT id, value, row_number() OVER (
                PARTITION BY document_id ORDER BY value DESC, id) AS nth
            FROM (
                SELECT c.id, c.document_id, ({scores}) / ({LENGTH_NORM}) AS value
                FROM {filters.table} WHERE c.search_vector @@ %s::tsquery{condition}
                LIMIT {MOST_MATCHED}
            ) AS matched
        ) AS ranked WHERE nth <= {PER_DOCUMENT_RANKED} ORDER BY value DESC, id LIMIT {DEPTH}"""
    trust = f"max(r.value) OVER () / {sum(term.gain for term in wanted):.9g}"
    choosing = _choosing(wanted, asked.chunks)
    yield Ranking(name, weight, sql, [*gains, choosing, *parameters], trust)


def _choosing(wanted: Sequence[Wanted], chunks: int) -> str:
    """Any of the rarest terms, until they choose enough chunks; the others only add to the rank.
    Where all terms are common, those that hold several of them."""
    rarest, *others = sorted(wanted, key=lambda term: (term.chunks, term.term))
    chosen, number = [rarest], float(rarest.chunks)
    if rarest.chunks > MATCHED:
        for term in others:
            number *= term.chunks / max(chunks, term.chunks)
            if number < LEAST_MATCHED:
                break
            chosen.append(term)
        return " & ".join(term.tsquery for term in chosen)
    for term in others:
        number += term.chunks
        if number > MATCHED:
            break
        chosen.append(term)
    return " | ".join(term.tsquery for term in chosen)


def _dense_rankings(
    texts: Sequence[tuple[str, float]], filters: Filters, notes: list[str]
) -> Iterator[Ranking]:
    profiles = EmbeddingProfile.objects.filter(pk__in=_profiles_in_use()).order_by("pk")
    for profile in profiles:
        try:
            for number, (text, share) in enumerate(texts):
                vector = query_vectors.vector(profile, text[:LONGEST_EMBEDDED])
                name = f"dense {profile}" + (f" {number}" if number else "")
                weight = share * _dense_weight(profile, text)
                yield dense_ranking(name, weight, profile, vector, filters)
        except NotAskable as error:
            notes.append(f"Chunks of {profile} were found by their text alone: {error}")


def _dense_weight(profile: EmbeddingProfile, text: str) -> float:
    is_static = profile.provider in STATIC_PROVIDERS
    of_prose = STATIC_DENSE_WEIGHT_OF_PROSE if is_static else DENSE_WEIGHT_OF_PROSE
    return DENSE_WEIGHT + prose(text) * (of_prose - DENSE_WEIGHT)


def _profiles_in_use() -> list[int]:
    """A loose index scan: one step per profile, however many chunks there are."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.id FROM ingestion_embeddingprofile p WHERE EXISTS"
            " (SELECT FROM ingestion_chunk c WHERE c.profile_id = p.id)"
        )
        return [row[0] for row in cursor.fetchall()]


STANDS_OUT = f"""
    (max(r.value) OVER () - avg(r.value) OVER ())
    / ({CLEAR} * greatest(1 - avg(r.value) OVER (), 1e-6))"""


def dense_ranking(
    name: str, weight: float, profile: EmbeddingProfile, vector: str, filters: Filters
) -> Ranking:
    """The nearest chunks of a profile. Cast and predicate are those of its index, and must be."""
    condition, parameters = filters.sql()
    distance = (
        f"c.embedding::halfvec({profile.dimensions:d}) <=> %s::halfvec({profile.dimensions:d})"
    )
    sql = f"""
        SELECT id, row_number() OVER (ORDER BY distance, id) AS place, 1 - distance AS value FROM (
            SELECT id, distance, row_number() OVER (
                PARTITION BY document_id ORDER BY distance, id) AS nth
            FROM (
                SELECT c.id, c.document_id, {distance} AS distance
                FROM {filters.table} WHERE c.profile_id = {profile.pk:d}{condition}
                ORDER BY {distance} LIMIT {DEPTH}
            ) AS nearest
        ) AS ranked WHERE nth <= {PER_DOCUMENT_RANKED}"""
    return Ranking(name, weight, sql, [vector, *parameters, vector], STANDS_OUT)


def _hits(rankings: Sequence[Ranking], limit: int) -> list[Hit]:
    """The fused rankings, best first, with some to spare for what is left out later.

    One message to the server: the settings of the index scan count for its transaction only.
    """
    lists = " UNION ALL ".join(weighed(number, ranking) for number, ranking in enumerate(rankings))
    sql = f"""
        {INDEX_SETTINGS};
        WITH ranked AS ({lists}), fused AS (
            SELECT id, sum(weight / ({RANK_CONSTANT} + place)) AS score,
                   array_agg(ranking ORDER BY ranking) AS rankings,
                   array_agg(place ORDER BY ranking) AS places,
                   array_agg(value ORDER BY ranking) AS values
            FROM ranked GROUP BY id ORDER BY score DESC, id LIMIT %s
        )
        SELECT {", ".join(COLUMNS.values())}, f.score, f.rankings, f.places, f.values
        FROM fused f JOIN ingestion_chunk c ON c.id = f.id
        JOIN ingestion_document d ON d.id = c.document_id
        JOIN sources_source s ON s.id = d.source_id
        ORDER BY f.score DESC, c.id"""
    parameters = [value for r in rankings for value in (r.weight, *r.parameters)]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*parameters, limit * 4 + 20])
        cursor.nextset()
        return [_hit(row, rankings) for row in cursor.fetchall()]


def weighed(number: int, ranking: Ranking) -> str:
    trust = f"least(1, greatest({LEAST_TRUST}, {ranking.trust}))"
    return (
        f"SELECT {number} AS ranking, %s::float8 * {trust} AS weight, r.* FROM ({ranking.sql}) AS r"
    )


def _hit(row: Sequence[Any], rankings: Sequence[Ranking]) -> Hit:
    *found, score, numbers, places, values = row
    parts = tuple(
        Part(ranking=rankings[number].name, place=place, value=value)
        for number, place, value in zip(numbers, places, values, strict=True)
    )
    return Hit(**dict(zip(COLUMNS, found, strict=True)), score=score, parts=parts)


def _chosen(hits: Sequence[Hit], limit: int, gains: Gains) -> list[Hit]:
    """The first `limit` hits that repeat neither a document too often nor what others say.

    Where that leaves too few, further hits of the same documents follow, then those that were
    found by lines that stand above already, such as the licence at the head of many programs.
    """
    chosen, spare, echoes = list[Hit](), list[Hit](), list[Hit]()
    texts = list[frozenset[str]]()
    lines = set[str]()
    per_document: dict[int, int] = {}
    for hit in hits:
        if len(chosen) == limit:
            break
        text = frozenset(words(hit.content.casefold()))
        if any(_alike(text, other) for other in texts):
            continue
        texts.append(text)
        found = _lines_found(hit, gains)
        nth = per_document.get(hit.document_id, 0) + 1
        if _is_echo(found, lines):
            echoes.append(hit)
        elif nth > PER_DOCUMENT:
            spare.append(hit)
        else:
            chosen.append(hit)
            per_document[hit.document_id] = nth
            lines |= found.keys()
    return [*chosen, *spare, *echoes][:limit]


def _lines_found(hit: Hit, gains: Gains) -> dict[str, float]:
    """The lines of a hit that hold what was asked for, and what they gain by it."""
    found: dict[str, float] = {}
    for line in hit.content.split("\n"):
        said = words(line)
        if len(said) >= SHORTEST_ECHO and (gain := sum(gains[word] for word in set(said))):
            found[" ".join(said).casefold()] = gain
    return found


def _is_echo(found: Mapping[str, float], lines: set[str]) -> bool:
    again = sum(gain for line, gain in found.items() if line in lines)
    return again > 0 and again >= ECHO * sum(found.values())


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= ALIKE * len(one | other)
