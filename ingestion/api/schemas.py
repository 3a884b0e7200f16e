"""What the HTTP API takes and gives. The OpenAPI description is made of these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from ingestion.search import LONGEST_QUERY, Hit, Results

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
    mode: Literal["hybrid", "dense", "text"] = "hybrid"


class Mark(BaseModel):
    start: int
    end: int


class ScorePart(BaseModel):
    ranking: str
    place: int
    value: float


class FoundChunk(BaseModel):
    chunk_id: int
    document_id: int
    url: str
    display_url: str
    title: str
    source: str
    doc_type: str
    generations: list[str]
    deprecated: bool
    breadcrumb: list[str]
    heading_path: list[str]
    context_header: str
    content: str
    start_line: int | None
    start_page: int | None
    snippet: str
    marks: list[Mark] = Field(description="Where the snippet holds words of the query.")
    score: float
    parts: list[ScorePart]

    @classmethod
    def of(cls, hit: Hit) -> FoundChunk:
        fields = {name: getattr(hit, name) for name in cls.model_fields if hasattr(hit, name)}
        marks = [Mark(start=start, end=end) for start, end in hit.snippet.marks]
        parts = [ScorePart(ranking=p.ranking, place=p.place, value=p.value) for p in hit.parts]
        return cls.model_validate(
            fields | {"snippet": hit.snippet.text, "marks": marks, "parts": parts}
        )


class SearchResponse(BaseModel):
    query: str
    mode: str
    hits: list[FoundChunk]
    notes: list[str] = Field(description="What limits the result, in sentences.")
    corrected: dict[str, list[str]] = Field(description="Terms that stand nowhere, as understood.")

    @classmethod
    def of(cls, results: Results) -> SearchResponse:
        return cls(
            query=results.query,
            mode=results.mode,
            hits=[FoundChunk.of(hit) for hit in results.hits],
            notes=list(results.notes),
            corrected={term: list(meant) for term, meant in (results.corrected or {}).items()},
        )


class ChunkOut(BaseModel):
    chunk_id: int
    ordinal: int
    heading_path: list[str]
    content: str
    start_line: int | None
    start_page: int | None


class DocumentOut(BaseModel):
    document_id: int
    url: str
    display_url: str
    title: str
    source: str
    doc_type: str
    generations: list[str]
    deprecated: bool
    breadcrumb: list[str]
    changed_at: str
    chunks: list[ChunkOut] = Field(description="In reading order; neighbours may overlap.")


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


class StatsOut(BaseModel):
    documents: int
    chunks: int
    sources: list[SourceStats]
    profiles: list[ProfileStats]


class ErrorOut(BaseModel):
    error: str
    fields: dict[str, list[str]] = Field(
        default={}, description="For a bad request: what is wrong where."
    )


class ReadyOut(BaseModel):
    ready: bool
    problems: dict[str, str] = Field(description="What is not ready, and why.")
