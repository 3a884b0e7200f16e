"""The terms of each source, for those who may not see all sources.

A term that only other sources have does not exist for them: its spelling corrects and completes
nothing, and how rare a term is does not depend on what they may not see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import connection

LEFT_OUT = "SELECT d.id FROM sources_leftout l JOIN ingestion_document d ON d.url = l.url"
"""The keys of the stored documents that people have left out of search: see `left_out`."""

# The chunks that can be found; `NOT EXISTS` would compare each of them.
FOUND = f"ingestion_chunk c WHERE c.document_id <> ALL (ARRAY({LEFT_OUT}))"

_OF = "ingestion_chunk c JOIN ingestion_document o ON o.id = c.document_id"
_FOUND_OF = f"{_OF} WHERE c.document_id <> ALL (ARRAY({LEFT_OUT}))"

COUNT = f"""
DROP TABLE IF EXISTS pg_temp.counted_of, pg_temp.counted;
CREATE TEMPORARY TABLE counted_of ON COMMIT DROP AS
SELECT s.id AS source_id, stat.word AS term, stat.ndoc AS chunks
FROM sources_source s CROSS JOIN LATERAL
    ts_stat('SELECT c.search_vector FROM {_FOUND_OF} AND o.source_id = ' || s.id) AS stat
UNION ALL SELECT o.source_id, '', count(*) FROM {_FOUND_OF} GROUP BY o.source_id;
ALTER TABLE counted_of ADD PRIMARY KEY (term, source_id);
CREATE TEMPORARY TABLE counted ON COMMIT DROP AS
SELECT term, sum(chunks)::int AS chunks FROM counted_of GROUP BY term;
INSERT INTO counted SELECT '', 0 WHERE NOT EXISTS (SELECT FROM counted WHERE term = '');
ALTER TABLE counted ADD PRIMARY KEY (term);
ANALYZE counted_of, counted
"""
"""Counts the terms of all chunks, for each source (`counted_of`) and in all (`counted`)."""

STORE = """
DELETE FROM ingestion_sourceterm t WHERE NOT EXISTS (
    SELECT FROM counted_of c WHERE c.term = t.term AND c.source_id = t.source_id
);
INSERT INTO ingestion_sourceterm (source_id, term, chunks)
SELECT c.source_id, c.term, c.chunks FROM counted_of c
WHERE NOT EXISTS (
    SELECT FROM ingestion_sourceterm t
    WHERE t.term = c.term AND t.source_id = c.source_id AND t.chunks = c.chunks
)
ON CONFLICT (term, source_id) DO UPDATE SET chunks = excluded.chunks
"""
_ADD = f"""
INSERT INTO ingestion_sourceterm (source_id, term, chunks)
SELECT s.id, stat.word, stat.ndoc
FROM (SELECT DISTINCT source_id AS id FROM ingestion_document WHERE id = ANY(%s)) AS s
CROSS JOIN LATERAL ts_stat(
    'SELECT c.search_vector FROM {_FOUND_OF} AND o.source_id = ' || s.id
    || ' AND c.document_id IN ({{keys}})') AS stat
ON CONFLICT (term, source_id) DO NOTHING
"""
_FORGET = f"""
DELETE FROM ingestion_sourceterm t
USING ingestion_document mine,
      ts_stat('SELECT search_vector FROM ingestion_chunk WHERE document_id = {{document:d}}') stat
WHERE mine.id = {{document:d}} AND t.source_id = mine.source_id AND t.term = stat.word
AND NOT EXISTS (
    SELECT FROM {_FOUND_OF} AND o.source_id = mine.source_id AND c.search_vector @@ (
        '''' || replace(replace(stat.word, '\\', '\\\\'), '''', '''''') || '''')::tsquery)
"""
TERMS = """(
    SELECT s.term, s.trigrams, mine.chunks FROM ingestion_searchterm s
    JOIN LATERAL (
        SELECT sum(t.chunks)::int AS chunks FROM ingestion_sourceterm t
        WHERE t.term = s.term AND t.source_id = ANY(%s)
    ) AS mine ON mine.chunks > 0
)"""
"""The terms of some sources, in place of the table of all; takes the keys of the sources."""


def add(documents: Sequence[int]) -> None:
    """Add the terms of documents that their source lacks, in the caller's transaction."""
    keys = ",".join(f"{key:d}" for key in documents)
    with connection.cursor() as cursor:
        cursor.execute(_ADD.format(keys=keys), [list(documents)])


def forget(document: int) -> None:
    """Drop the terms that, of what can be found of its source, only this document has."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET.format(document=document))


def counts(asked: Iterable[str], sources: Sequence[int]) -> dict[str, int]:
    """The number of chunks of these sources that contain each term, if any."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT term, sum(chunks)::int FROM ingestion_sourceterm"
            " WHERE term = ANY(%s) AND source_id = ANY(%s) GROUP BY term",
            [list(asked), list(sources)],
        )
        return dict(cursor.fetchall())
