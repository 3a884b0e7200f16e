"""Hybrid search: vectors and full text ranked in one statement, fused by reciprocal rank; what is
found is then put in order by its relevance.

A question for two things is asked as a whole and by its parts, each a ranking of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from ingestion.exceptions import EmbedderError
from ingestion.index import left_out
from ingestion.models import EmbeddingProfile
from ingestion.search import late_interaction, relevance, unknown_filters
from ingestion.search.diversity import varied
from ingestion.search.highlighting import Gains, snippet
from ingestion.search.late_interaction import LATE, Comparison
from ingestion.search.query_analysis import clauses, named
from ingestion.search.query_expansion import QueryTerms, query_terms
from ingestion.search.relevance import Features
from ingestion.search.reranking import reranked
from ingestion.search.results import (
    COLUMNS,
    HOST_COLUMNS,
    MODES,
    Contribution,
    Hit,
    Mode,
    Results,
    line_link_of,
)
from ingestion.search.retrievers import (
    NAME_WEIGHT,
    OF_THE_NAME,
    Filters,
    Ranking,
    dense_rankings,
    embeds_sentences,
    in_use,
    name_rankings,
    profiles_in_use,
    text_rankings,
)
from ingestion.text.joining import joined

MAX_LIMIT = 100
LONGEST_QUERY = 8192  # characters; the rest is ignored
# Reciprocal rank fusion (Cormack, Clarke, Buettcher 2009); the constant is smaller than their 60,
# because two lists are fused and not dozens.
RANK_CONSTANT = 10
LEAST_TRUST = 0.1
CANDIDATES = 40  # fused hits that are put in order by their relevance
LATE_CANDIDATES = 70  # with late interaction; 100 found no more, 60 a little less
WHOLE_WEIGHT = 0.5  # of a question for two things, beside its clauses

# Real texts repeat themselves, which lowers recall. With ef_search 600 HNSW found .998 and 1.000 of
# the ten nearest (wordllama, minilm), and 400 lost two of 280 answers; 1000, which is the maximum,
# takes 1.6 times as long. Without the last setting, the planner scans the whole table as soon as a
# word is in a fifth of it, because it assumes that matching and ranking a text is as cheap as
# comparing numbers; and it would compile a statement whose cost it overestimates.
QUERY_SETTINGS = """SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('hnsw.ef_search', '600', true), set_config('enable_seqscan', 'off', true),
    set_config('jit', 'off', true)"""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class Candidates(NamedTuple):
    """What the rankings found, best first; `notes` are for the user. `added` are the words of a
    language model by chunk, which are found and not shown; `profiles` are those in use; `late` is
    what late interaction says of the hits, if it is on and knows enough of them."""

    terms: QueryTerms
    hits: list[Hit]
    added: Mapping[int, str]
    notes: tuple[str, ...]
    profiles: Sequence[EmbeddingProfile]
    late: Features | None = None

    def sentences(self) -> bool:
        """Whether a model of sentences made some of the vectors."""
        return embeds_sentences(self.profiles)


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
    """The best chunks for `query`, best first; ties are ordered by chunk id.

    A filter keeps documents with any of its values; an empty one keeps all. Deprecated documents
    are at the end of the list; with `include_deprecated` True they keep their rank, with False they
    are left out. Raises ValueError for an unknown mode or an invalid limit.
    """
    if mode not in MODES:
        raise ValueError(f"There is no mode {mode!r}: use one of {', '.join(MODES)}.")
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"A limit of {limit} is not between 1 and {MAX_LIMIT}.")
    asked = _cleaned(query)
    filters = Filters(
        _without_control(sources),
        _without_control(generations),
        _without_control(doc_types),
        deprecated=include_deprecated is not False,
        left_out=left_out.keys(),
    )
    if not any(map(str.isalnum, asked)):
        nothing = "The query holds no word to search for."
        return Results(query=query, mode=mode, notes=(nothing,))
    asked_terms = query_terms(asked)
    found = _found(asked, asked_terms, filters, mode, 2 * limit + 20)
    hits = _in_order(asked, found) if mode == "hybrid" else found.hits
    hits, of_reranker = reranked(asked, _each_clause_first(hits))
    gains = Gains(asked_terms.gains)
    chosen = [_as_one(beside, gains) for beside in varied(hits, limit, gains)]
    if include_deprecated is None:
        chosen.sort(key=lambda hit: hit.deprecated)
    return Results(
        query=query,
        mode=mode,
        hits=tuple(chosen),
        notes=(
            *found.notes,
            *of_reranker,
            *(unknown_filters.notes(filters) if not chosen else ()),
        ),
        corrected={term: tuple(meant) for term, meant in asked_terms.corrected.items()},
    )


def _as_one(hits: Sequence[Hit], gains: Gains) -> Hit:
    """Hits that stand next to each other in a document, as one: the first, which is the best, with
    the text of all."""
    best = hits[0].with_snippet(snippet(hits[0].content, gains))
    if len(hits) == 1:
        return best
    in_order = sorted(hits, key=lambda hit: hit.ordinal)
    text = joined(hit.content for hit in in_order)
    keys = tuple(hit.chunk_id for hit in in_order)
    return best.model_copy(update={"content": text, "chunk_ids": keys})


def candidates(query: str) -> Candidates:
    """What is put in order for a query without filters, as the rankings found it."""
    asked = _cleaned(query)
    terms = query_terms(asked)
    filters = Filters(left_out=left_out.keys())
    return _found(asked, terms, filters, "hybrid", least=0)


def _late(query: str, terms: QueryTerms, mode: Mode, notes: list[str]) -> Comparison | None:
    """If late interaction is on, and its model is there. A name alone says nothing more by its
    meaning."""
    asked = named(query)
    if mode != "hybrid" or not settings.LATE_INTERACTION or (asked and asked.sure):
        return None
    try:
        spelt = late_interaction.spelt(query, terms.corrected)
        return late_interaction.comparison(spelt, relevance.rarities(spelt, terms))
    except EmbedderError as error:
        notes.append(f"Late interaction is left out: {error}")
        return None


def _cleaned(query: str) -> str:
    return _CONTROL.sub(" ", query[:LONGEST_QUERY]).strip()


def _without_control(values: Sequence[str]) -> list[str]:
    return [_CONTROL.sub("", value) for value in values]


def _found(asked: str, terms: QueryTerms, filters: Filters, mode: Mode, least: int) -> Candidates:
    """At least so many hits, if there are.

    Asked again if a profile has come into use meanwhile: documents that a run re-embeds with
    another model leave the profiles that were asked.
    """
    by_meaning = mode != "text"
    used = profiles_in_use() if by_meaning else []
    while True:
        notes = list[str]()
        late = _late(asked, terms, mode, notes)
        few = by_meaning and filters.keep_few(terms.chunks)
        rankings = [*_rankings(asked, terms, filters, mode, used, notes, few=few)]
        if late:
            keys = [profile.pk for profile in used]
            rankings += late.rankings(filters, terms.chunks, keys, few=few)
        number = max(least, LATE_CANDIDATES if late else CANDIDATES)
        hits, added, now = _hits(rankings, number) if rankings else ([], {}, _keys_in_use())
        if not by_meaning or now <= {profile.pk for profile in used}:
            nearness = late.of(hits) if late else None
            if late and nearness is None:
                hits = _without_late(hits)
            return Candidates(terms, hits, added, tuple(notes), used, nearness)
        used = profiles_in_use()


def _rankings(
    asked: str,
    asked_terms: QueryTerms,
    filters: Filters,
    mode: Mode,
    profiles: Sequence[EmbeddingProfile],
    notes: list[str],
    *,
    few: bool,
) -> Iterator[Ranking]:
    """`few`: whether the filters keep few chunks."""
    parts = clauses(asked)
    whole = WHOLE_WEIGHT if parts else 1.0
    if mode != "dense":
        yield from name_rankings(asked, filters)
        yield from text_rankings(0, whole, asked_terms, filters)
        for number, clause in enumerate(parts, 1):
            yield from text_rankings(number, 1.0, query_terms(clause), filters)
    if mode != "text":
        texts = [(asked, whole), *((part, 1.0) for part in parts)]
        yield from dense_rankings(texts, profiles, filters, notes, exact=few)


Found = tuple[list[Hit], dict[int, str], set[int]]


def _hits(rankings: Sequence[Ranking], number: int) -> Found:
    """The fused rankings, best first; the words that were added to some of their chunks; and the
    keys of the profiles that are in use after that.

    One message to the server: the index scan settings apply to its transaction only.
    """
    lists = " UNION ALL ".join(weighed(nr, ranking) for nr, ranking in enumerate(rankings))
    near, vectors = _near(rankings)
    after, seen = in_use("id")
    sql = f"""
        {QUERY_SETTINGS};
        WITH ranked AS ({lists}), fused AS (
            SELECT id, sum(weight / ({RANK_CONSTANT} + place)) AS score,
                   array_agg(ranking ORDER BY ranking) AS rankings,
                   array_agg(place ORDER BY ranking) AS places,
                   array_agg(value ORDER BY ranking) AS values,
                   array_agg(weight ORDER BY ranking) AS weights
            FROM ranked GROUP BY id ORDER BY score DESC, id LIMIT %s
        )
        SELECT {", ".join((*COLUMNS.values(), *HOST_COLUMNS))},
               concat_ws(' ', e.context, array_to_string(e.questions, ' ')),
               {near}, f.score, f.rankings, f.places, f.values, f.weights
        FROM fused f JOIN ingestion_chunk c ON c.id = f.id
        JOIN ingestion_document d ON d.id = c.document_id
        JOIN sources_source s ON s.id = d.source_id
        LEFT JOIN ingestion_enrichment e ON e.id = c.enrichment_id
        ORDER BY f.score DESC, c.id;
        {after}"""
    parameters = [value for r in rankings for value in (r.weight, *r.parameters)]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*parameters, number, *vectors, *seen])
        cursor.nextset()
        found = [_hit(row, rankings) for row in cursor.fetchall()]
        cursor.nextset()
        now = {key for (key,) in cursor.fetchall()}
    return [hit for hit, _ in found], {hit.chunk_id: added for hit, added in found if added}, now


def _without_late(hits: Sequence[Hit]) -> list[Hit]:
    """What the other rankings found, best first, as if there were only these."""
    others = [[part for part in hit.parts if part.ranking != LATE] for hit in hits]
    left = [
        hit.model_copy(update={"parts": tuple(parts), "score": sum(map(gain, parts))})
        for hit, parts in zip(hits, others, strict=True)
        if parts
    ]
    return sorted(left, key=lambda hit: (-hit.score, hit.chunk_id))


def _keys_in_use() -> set[int]:
    return {profile.pk for profile in profiles_in_use()}


def _near(rankings: Sequence[Ranking]) -> tuple[str, list[str]]:
    """The similarity of a chunk `c` to the whole query in SQL, with its parameters."""
    asked = [ranking for ranking in rankings if ranking.similarity and not ranking.clause]
    if not asked:
        return "NULL::float8", []
    cases = " ".join(f"WHEN {ranking.profile} THEN {ranking.similarity}" for ranking in asked)
    return f"CASE c.profile_id {cases} END", [ranking.vector for ranking in asked]


def _in_order(asked: str, found: Candidates) -> list[Hit]:
    """By relevance; what the query names comes first, whatever else is known of it."""
    hits = found.hits
    scored = relevance.ordered(
        asked, found.terms, hits, found.added, sentences=found.sentences(), late=found.late
    )
    places = {hit.chunk_id: place for place, hit in enumerate(hits) if _is_named(hit)}
    return sorted(scored, key=lambda hit: places.get(hit.chunk_id, len(hits)))


def _is_named(hit: Hit) -> bool:
    return any(p.ranking == OF_THE_NAME and p.weight >= NAME_WEIGHT for p in hit.parts)


def weighed(number: int, ranking: Ranking) -> str:
    trust = f"least(1, greatest({LEAST_TRUST}, {ranking.trust}))"
    return (
        f"SELECT {number} AS ranking, %s::float8 * {trust} AS weight, r.* FROM ({ranking.sql}) AS r"
    )


def _hit(row: Sequence[Any], rankings: Sequence[Ranking]) -> tuple[Hit, str]:
    *found, repository, template, base, added, near, score, numbers, places, values, weights = row
    facts = dict(zip(COLUMNS, found, strict=True))
    line = line_link_of(facts["display_url"], facts["start_line"], repository, template, base)
    parts = tuple(
        Contribution(
            ranking=rankings[number].name,
            clause=rankings[number].clause,
            place=place,
            value=value,
            weight=weight,
        )
        for number, place, value, weight in zip(numbers, places, values, weights, strict=True)
    )
    hit = Hit(
        **facts,
        chunk_ids=(facts["chunk_id"],),
        line_link=line,
        near=near,
        score=score,
        parts=parts,
    )
    return hit, added


def _each_clause_first(hits: Sequence[Hit]) -> list[Hit]:
    """The best hit, the best hit of each clause, then the rest in order."""
    clauses = {part.clause for hit in hits for part in hit.parts} - {0}
    best = {max(hits, key=lambda hit: _gained(hit, clause)).chunk_id for clause in sorted(clauses)}
    return [*hits[:1], *sorted(hits[1:], key=lambda hit: hit.chunk_id not in best)]


def _gained(hit: Hit, clause: int) -> float:
    return sum(gain(part) for part in hit.parts if part.clause == clause)


def gain(part: Contribution) -> float:
    """What the place in one ranking adds to the fused score."""
    return part.weight / (RANK_CONSTANT + part.place)
