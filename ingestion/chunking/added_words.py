"""Chunks with words that are embedded and found, but not shown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

from ingestion.chunking.chunker import TextChunk
from ingestion.chunking.stage import MAX_TITLE, Prepared
from ingestion.documents import ParsedDocument
from ingestion.enrichment.passages import Words
from ingestion.text import analyzer
from ingestion.text.tokenizer import count_tokens


@dataclass(frozen=True, slots=True)
class EnrichedChunk(TextChunk):
    """A chunk whose `embedded_text` has words of the Enrichment with this key.

    `content_hash` is the hash of that text, and `tokens` its length without them.
    """

    enrichment: int
    with_words: str

    @property
    def embedded_text(self) -> str:
        return self.with_words


class Added(NamedTuple):
    key: int
    words: Words


def with_words(
    document: ParsedDocument, prepared: Prepared, added: Mapping[str, Added], limit: int
) -> Prepared:
    """The same chunks, with the words that are found by their hashes.

    All of them go into the full text vector. An embedded text has at most `limit` tokens, so the
    last questions may be missing there.
    """
    chunks, vectors = list(prepared.chunks), list(prepared.vectors)
    title = document.title[:MAX_TITLE]
    for place, chunk in enumerate(prepared.chunks):
        if one := added.get(chunk.content_hash):
            chunks[place] = _enriched(chunk, one, limit)
            words = "\n".join((one.words.context, *one.words.questions))
            vectors[place] = analyzer.vector(title, chunk.context_header, chunk.content, words)
    return Prepared(chunks, vectors)


def text_with_words(text: str, words: Words, limit: int) -> str:
    """The text with as many of the words after it as fit into `limit` tokens."""
    for more in (words.context, *words.questions):
        longer = f"{text}\n\n{more}"
        if count_tokens(longer) > limit:
            break
        text = longer
    return text


def _enriched(chunk: TextChunk, added: Added, limit: int) -> EnrichedChunk:
    text = text_with_words(chunk.embedded_text, added.words, limit)
    own = {field.name: getattr(chunk, field.name) for field in fields(TextChunk)}
    own["content_hash"] = hashlib.sha256(text.encode()).hexdigest()
    return EnrichedChunk(**own, enrichment=added.key, with_words=text)
