"""The terms of the full text index: how rare each is, and corrections for misspelt words.

A run that changes little only adds the new terms, so that it takes time only for what it changes.
When more than a few documents have changed, all terms are counted again. Until then, the rarity of
a term is that of the last count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import connection, transaction

from ingestion import access
from ingestion.index import source_terms
from ingestion.index.source_terms import FOUND
from ingestion.text import analyzer

SHORTEST_CORRECTED = 4  # letters; shorter words are too similar to each other
SHORTEST_BEGINNING = 3
CANDIDATES = 60  # candidates with the most common trigrams, whose edit distance is computed
CORRECTIONS = 2
COMPLETIONS = 8
ALL_CHUNKS = ""
UNCOUNTED = " "
"""Stands for the documents that have changed since all terms were counted."""

STALE_SHARE = 0.05  # share of changed documents above which all terms are counted again
_LOCK = 0x766F63

_COUNT_NEW = """
DROP TABLE IF EXISTS pg_temp.counted;
CREATE TEMPORARY TABLE counted ON COMMIT DROP AS
SELECT word AS term, ndoc AS chunks FROM ts_stat({chunks}) AS stat
WHERE NOT EXISTS (SELECT FROM ingestion_searchterm s WHERE s.term = stat.word)
"""
_FORGET = f"""
DELETE FROM ingestion_searchterm s
USING ts_stat('SELECT search_vector FROM ingestion_chunk WHERE document_id = {{document:d}}') stat
WHERE s.term = stat.word AND NOT EXISTS (
    SELECT FROM {FOUND} AND c.search_vector @@ (
        '''' || replace(replace(stat.word, '\\', '\\\\'), '''', '''''') || '''')::tsquery)
"""
_NOTE = """
INSERT INTO ingestion_searchterm AS s (term, chunks, trigrams) VALUES (%s, %s, '{}')
ON CONFLICT (term) DO UPDATE SET chunks = s.chunks + excluded.chunks
"""
_STALE = """
SELECT NOT EXISTS (SELECT FROM ingestion_searchterm WHERE term = %s)
    OR coalesce((SELECT chunks FROM ingestion_searchterm WHERE term = %s), 0)
       > %s * (SELECT count(*) FROM ingestion_document)
"""
_DROP = """
DELETE FROM ingestion_searchterm s
WHERE NOT EXISTS (SELECT FROM counted c WHERE c.term = s.term)
"""
_STORE = """
INSERT INTO ingestion_searchterm (term, chunks, trigrams)
SELECT term, chunks, CASE WHEN term ~ '^[^0-9]{4,40}$' THEN ARRAY(
    SELECT DISTINCT substr('  ' || term || ' ', start, 3)
    FROM generate_series(1, length(term) + 1) AS start
) ELSE '{}' END
FROM counted c
WHERE NOT EXISTS (
    SELECT FROM ingestion_searchterm s WHERE s.term = c.term AND s.chunks = c.chunks
)
ON CONFLICT (term) DO UPDATE SET chunks = excluded.chunks
"""
# A slip changes at most four trigrams of a word, and at most two slips are corrected (in a short
# word, one): those at its ends, which many terms have, are not needed where enough are left.
_ALIKE = """
SELECT wanted.term, alike.term, alike.chunks
FROM unnest(%s::text[]) AS wanted(term)
CROSS JOIN LATERAL (
    SELECT CASE WHEN length(wanted.term) < 7 THEN 5 ELSE 8 END AS enough
) AS needed
CROSS JOIN LATERAL (
    SELECT string_to_array(string_agg(part, E'\\x01'), E'\\x01') AS trigrams,
           string_to_array(string_agg(part, E'\\x01') FILTER (
               WHERE start > (length(wanted.term) >= enough)::int
               AND start < length(wanted.term) + 2 - (length(wanted.term) > enough)::int),
               E'\\x01') AS looked_up
    FROM generate_series(1, length(wanted.term) + 1) AS start,
         substr('  ' || wanted.term || ' ', start, 3) AS part
) AS cut
CROSS JOIN LATERAL (
    SELECT s.term, s.chunks FROM {terms} AS s
    WHERE s.trigrams && cut.looked_up
      AND length(s.term) BETWEEN length(wanted.term) - 2 AND length(wanted.term) + 2
    ORDER BY cardinality(ARRAY(SELECT unnest(s.trigrams) INTERSECT SELECT unnest(cut.trigrams)))
             DESC, s.chunks DESC, s.term
    LIMIT %s
) AS alike
"""
# A pattern that is known only when the statement runs would look at all terms.
_BEGINNING = """
SELECT wanted.term, longer.term, longer.chunks
FROM unnest(%s::text[]) AS wanted(term)
CROSS JOIN LATERAL (
    SELECT s.term, s.chunks FROM {terms} AS s
    WHERE s.term ~>~ wanted.term AND s.term ~<~ (wanted.term || chr(1114111))
    ORDER BY s.chunks DESC, s.term LIMIT %s
) AS longer
"""

Found = dict[str, dict[str, int]]
"""Each term that was asked for, with the terms found for it and the chunks each is in."""


@transaction.atomic
def rebuild() -> int:
    """Count the terms of all chunks; return their number. Searches go on meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_LOCK])
        cursor.execute(source_terms.COUNT)
        cursor.execute(_DROP)
        cursor.execute(_STORE)
        cursor.execute(source_terms.STORE)
        cursor.execute("SELECT count(*) FROM ingestion_searchterm")
        return int(cursor.fetchone()[0])


@transaction.atomic
def learn(changed: Sequence[int], removed: int = 0) -> None:
    """Add the new terms of changed documents (given by their keys), and note how many documents
    were changed or removed. If `is_stale` then, leave that to `rebuild`."""
    if not changed and not removed:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_LOCK])
        cursor.execute(_NOTE, [UNCOUNTED, len(changed) + removed])
        if changed and not is_stale():
            add(changed)


def add(documents: Sequence[int]) -> None:
    """Add the terms of documents that no other has, in the caller's transaction."""
    keys = ",".join(f"{key:d}" for key in documents)
    chunks = f"SELECT c.search_vector FROM {FOUND} AND c.document_id IN ({keys})"
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_NEW.format(chunks=f"'{chunks}'"))
        cursor.execute(_STORE)
    source_terms.add(documents)


@transaction.atomic
def forget(document: int) -> None:
    """Drop the terms that, of all that can be found, only this document has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_LOCK])
        cursor.execute(_NOTE, [UNCOUNTED, 1])
        cursor.execute(_FORGET.format(document=document))
    source_terms.forget(document)


def is_stale() -> bool:
    """Whether so many documents have changed since `rebuild` that it should run again."""
    with connection.cursor() as cursor:
        cursor.execute(_STALE, [ALL_CHUNKS, UNCOUNTED, STALE_SHARE])
        return bool(cursor.fetchone()[0])


def counts(asked: Iterable[str]) -> tuple[dict[str, int], int]:
    """The number of chunks of each term (if any), and of all chunks that may be seen."""
    if (allowed := access.current().sources) is not None:
        seen = source_terms.counts([ALL_CHUNKS, *asked], allowed)
        return seen, seen.pop(ALL_CHUNKS, 0)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT term, chunks FROM ingestion_searchterm WHERE term = ANY(%s)",
            [[ALL_CHUNKS, *asked]],
        )
        found = dict(cursor.fetchall())
    return found, found.pop(ALL_CHUNKS, 0)


def stored() -> int:
    """The number of all chunks that can be found, whoever asks: only to choose a plan."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT chunks FROM ingestion_searchterm WHERE term = %s", [ALL_CHUNKS])
        found = cursor.fetchone()
        return int(found[0]) if found else 0


def corrections(asked: Iterable[str]) -> Found:
    """Terms that differ by a letter or two, the nearest and most frequent first."""
    misspelt = [term for term in asked if len(term) >= SHORTEST_CORRECTED and term.isalpha()]
    if not misspelt:
        return {}
    alike = _ask(_ALIKE, misspelt, CANDIDATES)
    swaps = {term: _swaps(term) for term in misspelt}
    known, _ = counts(swap for each in swaps.values() for swap in each)
    for term, each in swaps.items():
        if swapped := {swap: known[swap] for swap in each if swap in known}:
            alike[term] = alike.get(term, {}) | swapped
    return {term: _nearest(term, others, swaps[term]) for term, others in alike.items()}


def _swaps(term: str) -> list[str]:
    """With two neighbours in each other's place. In a short word that changes most trigrams."""
    pairs = range(len(term) - 1)
    return [f"{term[:at]}{term[at + 1]}{term[at]}{term[at + 2 :]}" for at in pairs]


def _nearest(term: str, candidates: Mapping[str, int], swaps: Sequence[str]) -> dict[str, int]:
    limit = 1 if len(term) < 7 else 2
    far = {other: analyzer.edits(term, other, limit) for other in candidates}
    least = min(far.values())
    if least > limit:
        return {}
    near = [other for other in candidates if far[other] == least]
    near.sort(
        key=lambda other: (other[0] != term[0], other not in swaps, -candidates[other], other)
    )
    return {other: candidates[other] for other in near[:CORRECTIONS]}


def completions(asked: Iterable[str]) -> Found:
    """Terms that begin with the given one, the most frequent first."""
    beginnings = [term for term in asked if len(term) >= SHORTEST_BEGINNING]
    return _ask(_BEGINNING, beginnings, COMPLETIONS) if beginnings else {}


def _ask(sql: str, *parameters: Any) -> Found:
    """The answer from the terms that may be seen; the last parameter is the limit."""
    *asked, limit = parameters
    allowed = access.current().sources
    terms = "ingestion_searchterm" if allowed is None else source_terms.TERMS
    values = [*asked, *([] if allowed is None else [list(allowed)]), limit]
    found: Found = {}
    with connection.cursor() as cursor:
        cursor.execute(sql.replace("{terms}", terms), values)
        for term, other, chunks in cursor.fetchall():
            found.setdefault(term, {})[other] = chunks
    return found
