"""The rankings that search fuses, in SQL: full text, and the vectors of each profile.

Each profile with chunks is searched with the query vector of its own model, over its own partial
HNSW index. Chunks whose model is not available are found by full text only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from ingestion import access
from ingestion.index import term_statistics
from ingestion.models import EmbeddingProfile
from ingestion.search.query_analysis import Named, named, prose
from ingestion.search.query_embedding import NotAskable, query_vectors
from ingestion.search.query_expansion import Pair, QueryTerms, Wanted, quoted
from ingestion.text import analyzer

LONGEST_EMBEDDED = 1000  # characters of a query that are embedded: fits any model's context

DEPTH = 100  # hits of each ranking
PER_DOCUMENT_RANKED = 10  # chunks of one document in one ranking

# Each list is weighted by how reliable it is for this query. Full text: by the share of the query
# that its best chunk contains (all for a name or an error number, little for a question in other
# words). Vectors: by how clearly the nearest chunk stands out; and they represent the meaning of a
# sentence, but hardly a name.
DENSE_WEIGHT = 0.1
DENSE_WEIGHT_OF_PROSE = 1.0
STATIC_DENSE_WEIGHT_OF_PROSE = 0.2  # for a model of words without sentences
STATIC_PROVIDERS = frozenset({"wordllama"})
CLEAR = 0.3  # of the average distance of the next ones: where the first one stands out fully
# The best of what a query names are above what mentions it, whatever the other lists say. A single
# word that may be no name only helps those that are well placed anyway.
OF_THE_NAME = "text of the name"
NAMED = 4
NAMED_PER_DOCUMENT = 2
NAME_WEIGHT = 16.0
UNSURE_NAME_WEIGHT = 0.5
LEAST_COMPARED = 20  # hits; a shorter list, of a model with few chunks, counts as this long

MATCHED = 2000  # approximate number of candidates, selected by the rarest terms
MATCHED_FILTERED = 20_000  # with a filter, which keeps only few
PAIRS_RANKED = 200  # chunks, the best by their terms, that are also ranked by pairs of terms
LEAST_MATCHED = 500  # expected matches of several common terms for them to be required together
MOST_RANKED = 100_000  # chunks times terms, if all terms are nearly everywhere
# If a filter keeps more chunks than this times the square root of all, an index scan is cheaper
# than comparing each, although it skips those that do not pass.
FEW = 20
LEAST_FEW = 2_000
WEIGHTS = "{0.3, 0.5, 0.8, 1.0}"  # of D, C, B, A: parts, text, headings and keys, title
# Like b of BM25: a long chunk contains more terms by chance. Not in PostgreSQL's exact numbers,
# which take longer than comparing a term.
LENGTH_NORM = """0.8::float8 + 0.2::float8 * c.tokens / 250
    + 0.4::float8 * greatest(0, 1 - c.tokens / 80::float8)"""


@dataclass(frozen=True, slots=True)
class Filters:
    sources: Sequence[str] = ()
    generations: Sequence[str] = ()
    doc_types: Sequence[str] = ()
    deprecated: bool = True
    left_out: Sequence[int] = ()  # documents that nothing finds
    allowed: Sequence[int] | None = field(default_factory=lambda: access.current().sources)

    @property
    def is_narrow(self) -> bool:
        """Whether documents are chosen by what they are, so that few may be left."""
        chosen = self.sources or self.generations or self.doc_types or not self.deprecated
        return bool(chosen) or self.allowed is not None

    @property
    def table(self) -> str:
        """The chunks, as `c`; joined with their documents only if the condition needs them."""
        joined = " JOIN ingestion_document d ON d.id = c.document_id" if self.is_narrow else ""
        return f"ingestion_chunk c{joined}"

    def sql(self) -> tuple[str, list[Any]]:
        """A condition on the chunk `c` and, if it is narrow, its document `d`, with its parameters;
        empty without a filter."""
        conditions, parameters = list[str](), list[Any]()
        if self.left_out:
            conditions.append("c.document_id <> ALL(%s)")
            parameters.append(list(self.left_out))
        if self.allowed is not None:
            conditions.append("d.source_id = ANY(%s)")
            parameters.append(list(self.allowed))
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

    def keep_few(self, chunks: int) -> bool:
        """Whether so few of all `chunks` pass the filter that comparing each is faster than an
        index scan, and finds more."""
        if not self.is_narrow:
            return False
        condition, parameters = self.sql()
        if self.allowed is not None:
            chunks = term_statistics.stored()
        with connection.cursor() as cursor:
            few = max(LEAST_FEW, int(FEW * math.sqrt(chunks)))
            some = f"SELECT FROM {self.table} WHERE true{condition} LIMIT {few + 1}"
            cursor.execute(f"SELECT count(*) FROM ({some}) AS kept", parameters)
            return bool(cursor.fetchone()[0] <= few)


@dataclass(frozen=True, slots=True)
class Ranking:
    """A ranked list of chunks as a subquery (id, place, value), and its weight.

    The weight is multiplied by `trust`, an SQL expression over the list `r`, limited to 0.1 to 1.
    `similarity` is that of a chunk `c` of the `profile` to the `vector`, in SQL.
    """

    name: str
    clause: int
    weight: float
    sql: str
    parameters: Sequence[Any]
    trust: str
    profile: int = 0
    similarity: str = ""
    vector: str = ""


def text_rankings(
    clause: int, weight: float, asked: QueryTerms, filters: Filters
) -> Iterator[Ranking]:
    wanted = [term for term in asked.wanted if term.gain > 0]
    if not wanted:
        return
    condition, parameters = filters.sql()
    words, gains = text_value(wanted)
    pairs, gains_of_pairs = text_value(asked.pairs)
    sql = f"""
        SELECT id, row_number() OVER (ORDER BY value DESC, id) AS place, value FROM (
            SELECT id, value, row_number() OVER (
                PARTITION BY document_id ORDER BY value DESC, id) AS nth
            FROM (
                SELECT c.id, c.document_id, c.value + {pairs} AS value FROM (
                    SELECT c.id, c.document_id, c.tokens, c.search_vector, {words} AS value
                    FROM {filters.table} WHERE c.search_vector @@ %s::tsquery{condition}
                    LIMIT {max(MATCHED, MOST_RANKED // (len(wanted) + len(asked.pairs)))}
                ) AS c ORDER BY c.value DESC, c.id LIMIT {PAIRS_RANKED}
            ) AS matched
        ) AS ranked WHERE nth <= {PER_DOCUMENT_RANKED} ORDER BY value DESC, id LIMIT {DEPTH}"""
    trust = f"max(r.value) OVER () / {sum(term.gain for term in wanted):.9g}"
    room = MATCHED_FILTERED if filters.is_narrow else MATCHED
    choosing = candidates(wanted, asked.chunks, room)
    name = f"text {clause}" if clause else "text"
    values = [*gains_of_pairs, *gains, choosing, *parameters]
    yield Ranking(name, clause, weight, sql, values, trust)


def name_rankings(query: str, filters: Filters) -> Iterator[Ranking]:
    """The chunks that describe the class or member that the query consists of, if it does: its
    sections, the lists that have it as an item, and the beginning of the document of its name."""
    asked = named(query)
    matching = _matching(asked) if asked else ""
    if not asked or not matching:
        return
    condition, parameters = filters.sql()
    sql = f"""
        SELECT id, row_number() OVER (ORDER BY value DESC, id) AS place, value FROM (
            SELECT id, value, row_number() OVER (
                PARTITION BY document_id ORDER BY value DESC, id) AS nth
            FROM (
                SELECT c.id, c.document_id, 2 * (c.title ~* %s)::int
                       + ts_rank(%s, c.search_vector, %s::tsquery) / ({LENGTH_NORM}) AS value
                FROM (
                    SELECT c.* FROM {filters.table}
                    WHERE c.search_vector @@ %s::tsquery{condition} LIMIT {MATCHED}
                ) AS c
                WHERE concat_ws(' ', c.title, array_to_string(c.heading_path, ' ')) ~* %s
                AND (c.heading_path[cardinality(c.heading_path)] ~* %s
                     OR (c.ordinal = 0 AND c.title ~* %s) OR c.content ~* %s)
            ) AS matched
        ) AS ranked WHERE nth <= {NAMED_PER_DOCUMENT} ORDER BY value DESC, id LIMIT {NAMED}"""
    titled, *patterns = _name_patterns(asked)
    values = [titled, WEIGHTS, matching, matching, *parameters, *patterns]
    weight = NAME_WEIGHT if asked.sure else UNSURE_NAME_WEIGHT
    yield Ranking(OF_THE_NAME, 0, weight, sql, values, "1.0")


def _name_patterns(asked: Named) -> Iterator[str]:
    """What is looked for in the title, in title and headings, in the last heading, in the title of
    a document of one member, and in the items of a list."""
    yield rf"\m{asked.owner or asked.name}$"
    yield rf"\m{asked.owner}\M" if asked.owner else ""
    yield rf"\m{asked.name}\s*\(|^{asked.name}$"
    yield rf"(^|::|\.){asked.name}(\(.*)?$"
    yield rf"(?n)^- `([^`(]* )?{asked.name}[(`]"


def _matching(asked: Named) -> str:
    """The chunks with the name in their title, a heading or a key, as a condition."""
    words = filter(None, (asked.owner, asked.name))
    terms = [analyzer.forms(word).whole for word in words]
    if not all(terms):
        return ""
    return " & ".join([f"{quoted(terms[-1])}:AB", *map(quoted, terms[:-1])])


def text_value(gaining: Sequence[Wanted | Pair]) -> tuple[str, list[float | str]]:
    """The score of a chunk `c` for terms or pairs as an SQL expression, with its parameters."""
    if not gaining:
        return "0", []
    scores = " + ".join(["%s * ts_rank(%s, c.search_vector, %s::tsquery)"] * len(gaining))
    gains = [value for g in gaining for value in (g.gain, WEIGHTS, g.tsquery)]
    return f"({scores}) / ({LENGTH_NORM})", gains


def candidates(wanted: Sequence[Wanted], chunks: int, room: int) -> str:
    """The condition that selects candidates: any of the rarest terms, as long as they match at most
    `room` chunks; the others only add to the rank. If each is too common for that, chunks with
    several of them."""
    rarest, *others = sorted(wanted, key=lambda term: (term.chunks, term.term))
    chosen, number = [rarest], float(rarest.chunks)
    if rarest.chunks > room:
        for term in others:
            number *= term.chunks / max(chunks, term.chunks)
            if number < LEAST_MATCHED:
                break
            chosen.append(term)
        return " & ".join(term.tsquery for term in chosen)
    for term in others:
        number += term.chunks
        if number > room:
            break
        chosen.append(term)
    return " | ".join(term.tsquery for term in chosen)


def dense_rankings(
    texts: Sequence[tuple[str, float]],
    profiles: Iterable[EmbeddingProfile],
    filters: Filters,
    notes: list[str],
    *,
    exact: bool,
) -> Iterator[Ranking]:
    """A ranking by each profile for each text, given with its share of the weight."""
    for profile in profiles:
        try:
            for number, (text, share) in enumerate(texts):
                vector = query_vectors.vector(profile, text[:LONGEST_EMBEDDED])
                weight = share * _dense_weight(profile, text)
                yield dense_ranking(number, weight, profile, vector, filters, exact=exact)
        except NotAskable as error:
            notes.append(f"Chunks of {profile} were found by their text alone: {error}")


def _dense_weight(profile: EmbeddingProfile, text: str) -> float:
    is_static = profile.provider in STATIC_PROVIDERS
    of_prose = STATIC_DENSE_WEIGHT_OF_PROSE if is_static else DENSE_WEIGHT_OF_PROSE
    return DENSE_WEIGHT + prose(text) * (of_prose - DENSE_WEIGHT)


def profiles_in_use() -> list[EmbeddingProfile]:
    """The profiles of the chunks that may be seen, the oldest first."""
    names = [field.attname for field in EmbeddingProfile._meta.concrete_fields]
    sql, parameters = in_use(*names)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [EmbeddingProfile.from_db(None, names, row) for row in cursor.fetchall()]


def in_use(*columns: str) -> tuple[str, list[Any]]:
    """Columns of the profiles of the chunks that may be seen, as SQL, with its parameters. A loose
    index scan: one step per profile."""
    allowed = Filters()
    condition, parameters = allowed.sql()
    chunks = f"SELECT FROM {allowed.table} WHERE c.profile_id = p.id{condition}"
    named = ", ".join(f"p.{column}" for column in columns)
    sql = f"SELECT {named} FROM ingestion_embeddingprofile p WHERE EXISTS ({chunks})"
    return f"{sql} ORDER BY p.id", parameters


def embeds_sentences(profiles: Iterable[EmbeddingProfile]) -> bool:
    """Whether one of these profiles is of a model that embeds sentences, and not only words."""
    return any(profile.provider not in STATIC_PROVIDERS for profile in profiles)


_AVERAGE = f"(sum(r.value) OVER () / greatest(count(*) OVER (), {LEAST_COMPARED}))"
STANDS_OUT = f"""
    (max(r.value) OVER () - {_AVERAGE}) / ({CLEAR} * greatest(1 - {_AVERAGE}, 1e-6))"""


def dense_ranking(
    clause: int,
    weight: float,
    profile: EmbeddingProfile,
    vector: str,
    filters: Filters,
    *,
    exact: bool = False,
) -> Ranking:
    """The nearest chunks of a profile. The cast and the predicate must match the index.

    If `exact`, the index is not used.
    """
    condition, parameters = filters.sql()
    size = f"halfvec({profile.dimensions:d})"
    distance = f"c.embedding::{size} <=> %s::{size}"
    sql = f"""
        SELECT id, row_number() OVER (ORDER BY distance, id) AS place, 1 - distance AS value FROM (
            SELECT id, distance, row_number() OVER (
                PARTITION BY document_id ORDER BY distance, id) AS nth
            FROM (
                SELECT * FROM (
                    SELECT c.id, c.document_id, {distance} AS distance
                    FROM {filters.table} WHERE c.profile_id = {profile.pk:d}{condition}
                    {"OFFSET 0" if exact else ""}
                ) AS kept ORDER BY distance LIMIT {DEPTH}
            ) AS nearest
        ) AS ranked WHERE nth <= {PER_DOCUMENT_RANKED}"""
    name = f"dense {profile}" + (f" {clause}" if clause else "")
    return Ranking(
        name,
        clause,
        weight,
        sql,
        [vector, *parameters],
        STANDS_OUT,
        profile=profile.pk,
        similarity=f"1 - ({distance})",
        vector=vector,
    )
