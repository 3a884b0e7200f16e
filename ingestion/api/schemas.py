"""What the HTTP API takes and gives. The OpenAPI description is made of these."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from ingestion import access
from ingestion.models import Chunk, Document
from ingestion.search.hybrid import LONGEST_QUERY
from ingestion.search.results import ChunkFacts, DocumentFacts, Mode, document_facts

MOST_HITS = 50
MOST_VALUES = 30

Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=60)]


def _whole(value: object) -> object:
    """JSON knows one kind of number: 10.0 is the integer 10."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]


class SearchRequest(BaseModel):
    """A filter keeps what carries any of its values; an empty one keeps all."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: str = Field(max_length=LONGEST_QUERY, description="A question, a name, or code.")
    limit: Whole = Field(10, ge=1, le=MOST_HITS)
    sources: list[Tag] = Field([], max_length=MOST_VALUES)
    generations: list[Tag] = Field([], max_length=MOST_VALUES, description="For example dwc.")
    doc_types: list[Tag] = Field([], max_length=MOST_VALUES)
    include_deprecated: bool | None = Field(
        None, description="null: at the end of the list; true: where they rank; false: left out."
    )
    mode: Mode = "hybrid"


class ChunkOut(ChunkFacts):
    @classmethod
    def of(cls, chunk: Chunk) -> ChunkOut:
        facts = {name: getattr(chunk, name) for name in cls.model_fields if name != "chunk_id"}
        return cls(chunk_id=chunk.pk, **facts)


class DocumentOut(DocumentFacts):
    changed_at: str
    chunks: tuple[ChunkOut, ...] = Field(description="In reading order; neighbours may overlap.")

    @classmethod
    def of(cls, document: Document) -> DocumentOut:
        seen = document.chunks.filter(access.current().within("document__source"))
        chunks = seen.order_by("ordinal").defer("embedding", "search_vector")
        return cls(
            **document_facts(document),
            changed_at=document.changed_at.isoformat(),
            chunks=tuple(map(ChunkOut.of, chunks)),
        )


class SourceStats(BaseModel):
    source: str
    title: str
    documents: int
    chunks: int
    last_success: str | None


class ProfileStats(BaseModel):
    provider: str
    model: str
    dimensions: int
    chunks: int


class MeaningStats(BaseModel):
    done: int = Field(description="Chunks with the vectors that they end up with.")
    chunks: int


class StatsOut(BaseModel):
    documents: int
    chunks: int
    sources: list[SourceStats]
    profiles: list[ProfileStats]
    meaning: MeaningStats | None = Field(
        description="How far chunks have changed from the embedder that is quick to the one that "
        "knows sentences (EMBEDDING_PROVIDER=auto); null with other providers."
    )


class ErrorOut(BaseModel):
    error: str
    fields: dict[str, list[str]] = Field(
        default={}, description="For a bad request: what is wrong in each field."
    )


class ReadyOut(BaseModel):
    ready: bool
    problems: dict[str, str] = Field(description="What is not ready, and why.")
    age: float = Field(description="Seconds since the oldest of the checks behind this answered.")
