"""The results of search: hits, each a chunk with facts about its document. Also the API schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from ingestion.parsers import permalinks
from ingestion.search.highlighting import Mark, Snippet

Mode = Literal["hybrid", "dense", "text"]
MODES: tuple[Mode, ...] = get_args(Mode)


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class DocumentFacts(Frozen):
    document_id: int
    url: str
    display_url: str
    title: str
    source: str
    doc_type: str
    generations: tuple[str, ...]
    deprecated: bool
    breadcrumb: tuple[str, ...]


class ChunkFacts(Frozen):
    chunk_id: int
    ordinal: Annotated[int, Field(description="The chunk's place in its document, from 0.")]
    heading_path: tuple[str, ...]
    content: str
    start_line: int | None
    start_page: int | None


@dataclass(frozen=True, slots=True)
class Contribution:
    """Where a hit is in one ranking, which chose it with weight / (10 + place).

    `value` is a cosine similarity or a text rank.
    """

    ranking: str
    clause: Annotated[int, Field(description="The part of the question it is for; 0: the whole.")]
    place: int
    value: float
    weight: float


class Hit(DocumentFacts, ChunkFacts):
    """A chunk that was found by the rankings in `parts`, or by none as one of a document that was,
    with those beside it that were found, too: `content` is the text of all of them, everything else
    is said of the chunk."""

    chunk_ids: tuple[int, ...] = Field(
        description="The chunks that `content` is the text of, in reading order."
    )
    context_header: str
    line_link: str = Field(
        default="", description="The link to the line that the chunk begins at, if there is one."
    )
    snippet: str = ""
    marks: tuple[Mark, ...] = Field(
        default=(), description="Where the snippet holds words of the query."
    )
    score: float = Field(
        description="The higher, the better, among the hits of this search: the sum of `relevance`,"
        " or, of one ranking, of what its `parts` gained."
    )
    relevance: dict[str, float] = Field(
        default={}, description="What each thing that is known of the hit adds to its score."
    )
    near: float | None = Field(
        default=None, description="The cosine similarity to the query, if the model was asked."
    )
    parts: tuple[Contribution, ...] = Field(
        description="The rankings that found it; none if it was put in order because others of its"
        " document were found."
    )

    @property
    def shown(self) -> Snippet:
        return Snippet(self.snippet, self.marks)

    @property
    def link(self) -> str:
        """The link for people, or the address, with the page, or with the line if the link leads to
        that file."""
        if self.line_link:
            return self.line_link
        link = self.display_url or self.url
        is_file = link.rpartition("/")[2] == self.url.rpartition("/")[2]
        if self.start_page and "#page=" not in link:
            return f"{link}, page {self.start_page}"
        return f"{link}, line {self.start_line}" if self.start_line and is_file else link

    def with_snippet(self, snippet: Snippet) -> Hit:
        return self.model_copy(update={"snippet": snippet.text, "marks": snippet.marks})


class Results(Frozen):
    query: str
    mode: Mode
    hits: tuple[Hit, ...] = ()
    notes: tuple[str, ...] = Field(default=(), description="What limits the result, in sentences.")
    corrected: dict[str, tuple[str, ...]] = Field(
        default={}, description="Terms that occur nowhere, and those they were taken for (stems)."
    )


_ELSEWHERE = {"document_id": "d.id", "source": "s.name", "chunk_id": "c.id"}
COLUMNS: dict[str, str] = {
    **{name: _ELSEWHERE.get(name, f"d.{name}") for name in DocumentFacts.model_fields},
    **{name: _ELSEWHERE.get(name, f"c.{name}") for name in ChunkFacts.model_fields},
    "context_header": "c.context_header",
}
"""Where each field is from: `c` is the chunk, `d` its document, `s` the source."""
HOST_COLUMNS = ("s.repository", "s.link_template", "s.display_base_url")


def line_link_of(
    display_url: str, line: int | None, repository: str, template: str, base: str
) -> str:
    """The link to a line of a document of a source in Git; empty if there is none. The last three
    are from the source."""
    if not repository or base:
        return ""
    return permalinks.line_link(display_url, permalinks.template_of(repository, template), line)


def document_facts(document: Any) -> dict[str, Any]:
    """The facts of a Document whose source is loaded with it."""
    named = {"document_id": document.pk, "source": document.source.name}
    return named | {
        name: getattr(document, name) for name in DocumentFacts.model_fields if name not in named
    }
