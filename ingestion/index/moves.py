"""Documents that moved: the same text at a new address after the old one has vanished.

A renamed file or folder, or a changed setting, gives a document another address. It is still the
same document: it keeps its row, chunks and vectors, and nothing has vanished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from hashlib import md5
from typing import NamedTuple

from django.db import connection

from ingestion.index import left_out

AT_ONCE = 500

# The texts of vanished documents, and of those added since one of these was last seen.
_CANDIDATES = """
    SELECT d.id, d.url, d.url = ANY(%(vanished)s), d.first_seen, d.last_seen, (
        SELECT md5(string_agg(c.content, E'\\x1f' ORDER BY c.ordinal))
        FROM ingestion_chunk c WHERE c.document_id = d.id)
    FROM ingestion_document d WHERE d.source_id = %(source)s AND (d.url = ANY(%(vanished)s)
        OR d.first_seen > (SELECT min(v.last_seen) FROM ingestion_document v
                           WHERE v.source_id = %(source)s AND v.url = ANY(%(vanished)s)))
    ORDER BY d.url"""

# Whether two documents have identical chunks, so that those of the first can stay.
_ALIKE = """
    SELECT pair.old, pair.new FROM unnest(%s::bigint[], %s::bigint[]) AS pair(old, new)
    WHERE NOT EXISTS (
        SELECT FROM (SELECT * FROM ingestion_chunk WHERE document_id = pair.old) AS o
        FULL JOIN (SELECT * FROM ingestion_chunk WHERE document_id = pair.new) AS n
        ON n.ordinal = o.ordinal
        WHERE (o.title, o.heading_path, o.content_hash, o.start_line, o.start_page, o.tokens,
               o.profile_id, o.search_vector)
        IS DISTINCT FROM (n.title, n.heading_path, n.content_hash, n.start_line, n.start_page,
               n.tokens, n.profile_id, n.search_vector))"""

# The old row takes over the columns of the new one, except its key and the times when it was first
# seen and last changed. An address belongs to one row at a time.
_GIVE_UP = "UPDATE ingestion_document SET url = 'moving://' || id WHERE id = ANY(%s)"
_TAKE_OVER = """
    UPDATE ingestion_document AS o SET url = pair.url, display_url = n.display_url,
        title = n.title, doc_type = n.doc_type, generations = n.generations,
        deprecated = n.deprecated, breadcrumb = n.breadcrumb, metadata = n.metadata,
        fingerprint = n.fingerprint, read_key = n.read_key, inputs = n.inputs,
        http_validators = n.http_validators, last_seen = n.last_seen
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS pair(old, new, url)
    JOIN ingestion_document AS n ON n.id = pair.new
    WHERE o.id = pair.old"""
# Its text too, in which its chunks are at the same places. What was replaced stays with it.
_KEEP_PREVIOUS = """
    UPDATE ingestion_documenttext AS n SET previous = o.previous, replaced_at = o.replaced_at
    FROM unnest(%s::bigint[], %s::bigint[]) AS pair(old, new)
    JOIN ingestion_documenttext AS o ON o.document_id = pair.old
    WHERE n.document_id = pair.new AND o.previous IS NOT NULL"""
_FORGET_TEXT = """
    DELETE FROM ingestion_documenttext AS o USING unnest(%s::bigint[], %s::bigint[])
        AS pair(old, new), ingestion_documenttext AS n
    WHERE o.document_id = pair.old AND n.document_id = pair.new"""
_TAKE_TEXT = """
    UPDATE ingestion_documenttext AS n SET document_id = pair.old
    FROM unnest(%s::bigint[], %s::bigint[]) AS pair(old, new) WHERE n.document_id = pair.new"""
_TEXTS = (_KEEP_PREVIOUS, _FORGET_TEXT, _TAKE_TEXT)
_DATE_BACK = """
    UPDATE ingestion_document AS n SET first_seen = pair.first_seen
    FROM unnest(%s::bigint[], %s::timestamptz[]) AS pair(new, first_seen)
    WHERE n.id = pair.new"""


class Moved(NamedTuple):
    """A document (key and address) and its new one."""

    old: int
    new: int
    old_url: str
    new_url: str
    first_seen: datetime
    came: datetime
    """When it was first met at its new address."""


class _Candidate(NamedTuple):
    pk: int
    url: str
    has_vanished: bool
    first_seen: datetime
    last_seen: datetime
    text: str | None


def text_key(contents: Iterable[str]) -> str:
    """A key that documents share if their chunks contain the same text; empty without text.
    `_CANDIDATES` computes it the same way in SQL."""
    texts = list(contents)
    if not texts:
        return ""
    return md5("\x1f".join(texts).encode(), usedforsecurity=False).hexdigest()


def text_keys(source_id: int, urls: Sequence[str]) -> dict[str, str]:
    """The `text_key` of each stored document that has chunks."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.url, md5(string_agg(c.content, E'\\x1f' ORDER BY c.ordinal))"
            " FROM ingestion_document d JOIN ingestion_chunk c ON c.document_id = d.id"
            " WHERE d.source_id = %s AND d.url = ANY(%s) GROUP BY d.id, d.url",
            [source_id, list(urls)],
        )
        return dict(cursor.fetchall())


def pairs(
    old: Mapping[str, str],
    new: Mapping[str, str],
    fits: Callable[[str, str], bool] = lambda old, new: True,
) -> Iterator[tuple[str, str]]:
    """Matching old and new addresses of the same text (both map addresses to text keys).

    Of several candidates, the one whose address has the longest common end wins.
    """
    by_text: dict[str, list[str]] = {}
    for url, text in sorted(new.items()):
        if text:
            by_text.setdefault(text, []).append(url)
    for url, text in sorted(old.items()):
        if candidates := [other for other in by_text.get(text, ()) if fits(url, other)]:
            nearest = max(candidates, key=partial(_common_end, url))
            by_text[text].remove(nearest)
            yield url, nearest


def _common_end(one: str, other: str) -> int:
    """The number of trailing parts that two addresses share."""
    number = 0
    for a, b in zip(reversed(one.split("/")), reversed(other.split("/")), strict=False):
        if a != b:
            break
        number += 1
    return number


def find(source_id: int, vanished: Sequence[str]) -> list[Moved]:
    """The vanished documents whose text has appeared at a new address."""
    if not vanished:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_CANDIDATES, {"source": source_id, "vanished": list(vanished)})
        rows = {row[1]: _Candidate(*row) for row in cursor.fetchall()}
    old = {url: row.text or "" for url, row in rows.items() if row.has_vanished}
    new = {url: row.text or "" for url, row in rows.items() if not row.has_vanished}

    def came_later(gone: str, come: str) -> bool:
        return rows[come].first_seen > rows[gone].last_seen

    return [_moved(rows[gone], rows[come]) for gone, come in pairs(old, new, came_later)]


def _moved(old: _Candidate, new: _Candidate) -> Moved:
    return Moved(old.pk, new.pk, old.url, new.url, old.first_seen, new.first_seen)


def settle(moved: Sequence[Moved]) -> None:
    """Make one document of each pair, in the caller's transaction.

    If the chunks are identical, the old document stays, with its chunks, at the new address;
    otherwise (for example, if a folder's name is in the headings) the new one stays.
    """
    left_out.follow([(move.old_url, move.new_url) for move in moved])
    for start in range(0, len(moved), AT_ONCE):
        part = moved[start : start + AT_ONCE]
        alike = _alike(part)
        _keep_old([move for move in part if move.old in alike])
        _keep_new([move for move in part if move.old not in alike])


def _alike(moved: Sequence[Moved]) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(_ALIKE, [[move.old for move in moved], [move.new for move in moved]])
        return {old for old, _ in cursor.fetchall()}


def _keep_old(moved: Sequence[Moved]) -> None:
    old, new = [move.old for move in moved], [move.new for move in moved]
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_UP, [new])
        cursor.execute(_TAKE_OVER, [old, new, [move.new_url for move in moved]])
        for take in _TEXTS:
            cursor.execute(take, [old, new])
    _delete(new)


def _keep_new(moved: Sequence[Moved]) -> None:
    old = [move.old for move in moved]
    with connection.cursor() as cursor:
        cursor.execute(_KEEP_PREVIOUS, [old, [move.new for move in moved]])
    _delete(old)
    with connection.cursor() as cursor:
        times = [move.first_seen for move in moved]
        cursor.execute(_DATE_BACK, [[move.new for move in moved], times])


def _delete(keys: Sequence[int]) -> None:
    with connection.cursor() as cursor:
        for table in ("ingestion_chunk", "ingestion_documenttext"):
            cursor.execute(f"DELETE FROM {table} WHERE document_id = ANY(%s)", [list(keys)])
        cursor.execute("DELETE FROM ingestion_document WHERE id = ANY(%s)", [list(keys)])
