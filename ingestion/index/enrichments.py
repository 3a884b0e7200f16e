"""The words that a language model adds to chunks: what is stored, what is missing, what is stale.

`manage.py enrich` stores them by the hash of a chunk's text (see `enriching`), and a run takes what
is stored: no reading waits for a language model. Whether a document has the words that it should
have is no part of its fingerprint, because these words come and go while its text stays the same.
It is read off the tables instead: each chunk names the row that its words are from, and a document
in which one names another row than it would get now is made again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from ingestion.chunking.added_words import Added, with_words
from ingestion.chunking.stage import Prepared
from ingestion.documents import ParsedDocument
from ingestion.enrichment.passages import PROMPT_VERSION, Passage, Words
from ingestion.models import Chunk, Document, Enrichment

TEXT_HASH = Coalesce("enrichment__text_hash", "content_hash")
"""The hash of a chunk as it was cut, whether words were added to it or not."""

# Documents of which a chunk has other words than are there for it now.
_STALE = """
    SELECT DISTINCT c.document_id FROM ingestion_chunk c
    LEFT JOIN ingestion_enrichment had ON had.id = c.enrichment_id
    LEFT JOIN ingestion_enrichment has
        ON has.text_hash = coalesce(had.text_hash, c.content_hash)
        AND has.model = %s AND has.prompt = %s AND has.failure = ''
    WHERE has.id IS DISTINCT FROM c.enrichment_id"""
_MISSING = """
    SELECT text_hash, min(id), min(tokens) FROM (
        SELECT c.id, c.tokens, coalesce(had.text_hash, c.content_hash) AS text_hash
        FROM ingestion_chunk c LEFT JOIN ingestion_enrichment had ON had.id = c.enrichment_id
        WHERE cardinality(%(sources)s::bigint[]) = 0 OR c.document_id IN (
            SELECT id FROM ingestion_document WHERE source_id = ANY(%(sources)s))
    ) AS chunks
    WHERE NOT EXISTS (
        SELECT FROM ingestion_enrichment has WHERE has.text_hash = chunks.text_hash
        AND has.model = %(model)s AND has.prompt = %(prompt)s
        AND (has.failure = '' OR NOT %(failed)s))
    GROUP BY text_hash ORDER BY min(id)"""


class Missing(NamedTuple):
    """A text without words, a chunk that has it, and its tokens."""

    text_hash: str
    chunk: int
    tokens: int


@dataclass(frozen=True)
class Enriching:
    """Adds the stored words of a `model` to the chunks of a document; an embedded text has at most
    `limit` tokens."""

    model: str
    limit: int

    def __call__(self, document: ParsedDocument, prepared: Prepared) -> Prepared:
        if not self.model or not prepared.chunks:
            return prepared
        added = words_of(self.model, {chunk.content_hash for chunk in prepared.chunks})
        return with_words(document, prepared, added, self.limit)


def words_of(model: str, hashes: Collection[str]) -> dict[str, Added]:
    """The stored words, by the hashes of texts that have some."""
    rows = Enrichment.objects.filter(
        text_hash__in=hashes, model=model, prompt=PROMPT_VERSION, failure=""
    )
    return {row.text_hash: Added(row.pk, Words(row.context, tuple(row.questions))) for row in rows}


def stale(model: str) -> Q:
    """The documents that lack words, or have some that they should not have, as a condition on
    Document. Without a model, no document should have any."""
    if not model:
        enriched = Chunk.objects.filter(enrichment__isnull=False).order_by()
        return Q(pk__in=enriched.values("document"))
    with connection.cursor() as cursor:
        cursor.execute(_STALE, [model, PROMPT_VERSION])
        return Q(pk__in=[row[0] for row in cursor.fetchall()])


def stale_addresses(source_id: int, model: str) -> set[str]:
    rows = Document.objects.filter(stale(model), source=source_id).order_by()
    return set(rows.values_list("url", flat=True))


def missing(model: str, sources: Sequence[int] = (), *, failed: bool = False) -> list[Missing]:
    """The texts of the chunks of these sources, or of all, that were not asked about yet, in the
    order in which they were stored; with `failed` those that nothing came of, too."""
    asked: dict[str, Any] = {"model": model, "prompt": PROMPT_VERSION, "sources": [*sources]}
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, asked | {"failed": failed})
        return [Missing(*row) for row in cursor.fetchall()]


def passage(chunk: int) -> Passage | None:
    """The passage of a chunk; None if it is gone."""
    row = Chunk.objects.filter(pk=chunk).first()
    if row is None:
        return None
    first = Chunk.objects.filter(document=row.document_id, ordinal=0).exclude(pk=chunk).first()
    return Passage(row.title, row.context_header, row.content, first.content if first else "")


def keep(model: str, text_hash: str, outcome: Words | str) -> None:
    """Store words, or why there are none."""
    fields: dict[str, Any] = {"made_at": timezone.now(), "failure": ""}
    if isinstance(outcome, Words):
        fields |= {"context": outcome.context, "questions": [*outcome.questions]}
    else:
        fields["failure"] = outcome
    Enrichment.objects.update_or_create(
        text_hash=text_hash, model=model, prompt=PROMPT_VERSION, defaults=fields
    )
