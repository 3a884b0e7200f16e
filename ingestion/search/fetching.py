"""Read from the database what the rankings found, fused by reciprocal rank, and what stands beside
it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.db import connection

from ingestion.search.results import COLUMNS, HOST_COLUMNS, Contribution, Hit, line_link_of
from ingestion.search.retrievers import Ranking

# Reciprocal rank fusion (Cormack, Clarke, Buettcher 2009); the constant is smaller than their 60,
# because two lists are fused and not dozens.
RANK_CONSTANT = 10
LEAST_TRUST = 0.1

# Real texts repeat themselves, which lowers recall. With ef_search 600 HNSW found .998 and 1.000 of
# the ten nearest (wordllama, minilm), and 400 lost two of 280 answers; 1000, which is the maximum,
# takes 1.6 times as long. Without the last setting, the planner scans the whole table as soon as a
# word is in a fifth of it, because it assumes that matching and ranking a text is as cheap as
# comparing numbers; and it would compile a statement whose cost it overestimates.
QUERY_SETTINGS = """SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('hnsw.ef_search', '600', true), set_config('enable_seqscan', 'off', true),
    set_config('jit', 'off', true)"""


class Found(NamedTuple):
    """Hits, and the words of a language model by chunk, which are found and not shown."""

    hits: list[Hit]
    added: Mapping[int, str]


NOTHING = Found([], {})


def fused(
    rankings: Sequence[Ranking], number: int, after: tuple[str, Sequence[Any]]
) -> tuple[Found, list[Any]]:
    """What the rankings found, the best first, and the rows of one more statement, `after`.

    One message to the server: the index scan settings apply to its transaction only.
    """
    lists = " UNION ALL ".join(weighed(nr, ranking) for nr, ranking in enumerate(rankings))
    near, vectors = _near(rankings)
    statement, seen = after
    sql = f"""
        {QUERY_SETTINGS};
        WITH ranked AS ({lists}), found AS (
            SELECT id, sum(weight / ({RANK_CONSTANT} + place)) AS score,
                   array_agg(ranking ORDER BY ranking) AS rankings,
                   array_agg(place ORDER BY ranking) AS places,
                   array_agg(value ORDER BY ranking) AS values,
                   array_agg(weight ORDER BY ranking) AS weights
            FROM ranked GROUP BY id ORDER BY score DESC, id LIMIT %s
        )
        SELECT {_columns(near)}, f.score, f.rankings, f.places, f.values, f.weights
        FROM {_WITH_FACTS} ORDER BY f.score DESC, c.id;
        {statement}"""
    parameters = [value for r in rankings for value in (r.weight, *r.parameters)]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*parameters, number, *vectors, *seen])
        cursor.nextset()
        found = _read(cursor.fetchall(), rankings)
        cursor.nextset()
        return found, cursor.fetchall()


def beside(hits: Sequence[Hit], rankings: Sequence[Ranking], documents: int, number: int) -> Found:
    """Of the documents with the best hits the passages that no ranking found: at most `number` of
    each, those that stand nearest to one that was found. Their `parts` are empty."""
    places = _places_beside(hits, documents, number)
    if not places:
        return NOTHING
    near, vectors = _near(rankings)
    known = [hit.chunk_id for hit in hits]  # which a run may have moved meanwhile
    sql = f"""
        WITH asked AS (
            SELECT * FROM unnest(%s::bigint[], %s::int[])
            WITH ORDINALITY AS a(document, ordinal, place)
        ), found AS (
            SELECT id FROM (
                SELECT c.id, row_number() OVER (PARTITION BY a.document ORDER BY a.place) AS nth
                FROM asked a JOIN ingestion_chunk c
                ON c.document_id = a.document AND c.ordinal = a.ordinal
                WHERE c.id <> ALL(%s)
            ) AS there WHERE nth <= %s
        )
        SELECT {_columns(near)}, 0::float8, '{{}}'::int[], '{{}}'::int[], '{{}}'::float8[],
               '{{}}'::float8[]
        FROM {_WITH_FACTS} ORDER BY c.id"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [*map(list, zip(*places, strict=True)), known, number, *vectors])
        return _read(cursor.fetchall(), rankings)


def _places_beside(hits: Sequence[Hit], documents: int, number: int) -> list[tuple[int, int]]:
    """Documents and ordinals, the nearest to a hit first; twice as many as are wanted of each, as
    there may be no chunk there."""
    found: dict[int, set[int]] = {}
    for hit in hits:
        if hit.document_id in found or len(found) < documents:
            found.setdefault(hit.document_id, set()).add(hit.ordinal)
    return [
        (document, ordinal)
        for document, ordinals in found.items()
        for ordinal in _around(ordinals, 2 * number)
    ]


def _around(ordinals: set[int], number: int) -> list[int]:
    """The nearest to some ordinals, without these."""
    seen, around = {*ordinals}, list[int]()
    latest = ordinals
    while len(around) < number:
        beside = {ordinal + way for ordinal in latest for way in (-1, 1)} - seen
        latest = {ordinal for ordinal in beside if ordinal >= 0}
        seen |= latest
        around += sorted(latest)
    return around[:number]


_WITH_FACTS = """found f JOIN ingestion_chunk c ON c.id = f.id
        JOIN ingestion_document d ON d.id = c.document_id
        JOIN sources_source s ON s.id = d.source_id
        LEFT JOIN ingestion_enrichment e ON e.id = c.enrichment_id"""


def _columns(near: str) -> str:
    added = "concat_ws(' ', e.context, array_to_string(e.questions, ' '))"
    return ", ".join((*COLUMNS.values(), *HOST_COLUMNS, added, near))


def _near(rankings: Sequence[Ranking]) -> tuple[str, list[str]]:
    """The similarity of a chunk `c` to the whole query in SQL, with its parameters."""
    asked = [ranking for ranking in rankings if ranking.similarity and not ranking.clause]
    if not asked:
        return "NULL::float8", []
    cases = " ".join(f"WHEN {ranking.profile} THEN {ranking.similarity}" for ranking in asked)
    return f"CASE c.profile_id {cases} END", [ranking.vector for ranking in asked]


def weighed(number: int, ranking: Ranking) -> str:
    trust = f"least(1, greatest({LEAST_TRUST}, {ranking.trust}))"
    return (
        f"SELECT {number} AS ranking, %s::float8 * {trust} AS weight, r.* FROM ({ranking.sql}) AS r"
    )


def _read(rows: Sequence[Sequence[Any]], rankings: Sequence[Ranking]) -> Found:
    found = [_hit(row, rankings) for row in rows]
    return Found([hit for hit, _ in found], {hit.chunk_id: words for hit, words in found if words})


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


def gain(part: Contribution) -> float:
    """What the place in one ranking adds to the fused score."""
    return part.weight / (RANK_CONSTANT + part.place)
