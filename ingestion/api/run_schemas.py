"""What the HTTP API takes and gives about runs and sources."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ingestion.api.schemas import MOST_VALUES, Tag, Whole
from ingestion.models import Failure, SourceRun, State

MOST_NAMED = 100  # addresses whose removal waits
LONGEST_KEY = 100  # characters
LONGEST_WAIT = 600  # seconds, as for REQUEST_TIMEOUT


class RunRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    sources: list[Tag] = Field(
        [],
        max_length=MOST_VALUES,
        description="Left out: all that are enabled.",
        json_schema_extra={"minItems": 1},
    )
    retry_failed: bool = Field(False, description="Read only documents with open errors.")

    @field_validator("sources")
    @classmethod
    def _given(cls, names: list[str]) -> list[str]:
        """A script whose list came out empty does not mean all."""
        if not names:
            raise ValueError("names no source: leave it out to start all that are enabled.")
        return names


class Follow(BaseModel):
    """How a run is asked for."""

    model_config = ConfigDict(extra="forbid")

    wait: int = Field(
        0,
        ge=0,
        le=LONGEST_WAIT,
        description="Answer when the run has ended, at the latest after so many seconds; sooner if"
        " REQUEST_TIMEOUT is less, or if many wait already.",
    )
    page: int = Field(1, ge=1, le=1_000_000, description="Of the problems.")


class Decision(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    decision: Literal["approve", "refuse"]
    sources: list[Tag] = Field([], max_length=MOST_VALUES, description="Empty: all of the run.")


class StartedOut(BaseModel):
    run: Whole = Field(description="The run to follow.")
    started: list[str] = Field(description="The sources that it reads.")
    joined: dict[str, int] = Field(
        description="Sources that an earlier run reads already, and that run: no second reading was"
        " started, and what changed since it began may not be in it."
    )
    not_started: dict[str, str] = Field(description="Sources that cannot be read now, and why.")
    notes: list[str] = Field(description="What keeps it from going on, in sentences.")


class SourceRunOut(BaseModel):
    source: str
    state: State
    stage: str
    started_at: str | None
    finished_at: str | None
    read: int = Field(description="Documents read so far.")
    expected: int | None = Field(description="Documents that the last reading read.")
    documents: int = Field(description="Documents stored.")
    chunks: int
    added: int
    changed: int
    unchanged: int
    moved: int
    removed: int
    embedded: int
    reused: int
    failures: int
    warnings: int
    last_line: str
    error: str = Field(description="What stopped it, and the way out.")
    removals: int = Field(description="Documents whose removal waits for a decision.")
    vanished: list[str] = Field(description=f"The addresses of the first {MOST_NAMED} of them.")

    @classmethod
    def of(cls, row: SourceRun) -> SourceRunOut:
        same = {name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)}
        waiting = row.vanished if row.state == State.NEEDS_APPROVAL else []
        return cls(
            **same
            | {
                "source": row.source_name,
                "started_at": row.started_at.isoformat() if row.started_at else None,
                "finished_at": row.finished_at.isoformat() if row.finished_at else None,
                "removals": len(waiting),
                "vanished": waiting[:MOST_NAMED],
            }
        )


class ProblemOut(BaseModel):
    source: str
    level: Failure.Level
    address: str
    stage: str
    message: str
    resolved: bool = Field(description="A later reading did not meet it again.")

    @classmethod
    def of(cls, row: Failure) -> ProblemOut:
        same = {name: getattr(row, name) for name in ("stage", "message", "resolved")}
        name = row.source_run.source_name
        return cls(source=name, level=Failure.Level(row.level), address=row.document_url, **same)


class ProblemsOut(BaseModel):
    total: int
    page: int
    pages: int
    problems: list[ProblemOut]


class RunOut(BaseModel):
    run: int
    state: State = Field(description="Of all its sources: an open one first, then the worst.")
    ended: bool
    ok: bool = Field(description="It has ended, and every source succeeded.")
    origin: str
    by: str = Field(description="Who asked for it.")
    created_at: str
    retry_failed: bool
    sources: list[SourceRunOut]
    problems: ProblemsOut


class SourceOut(BaseModel):
    source: str
    title: str
    enabled: bool
    documents: int
    chunks: int
    errors: int = Field(description="Open errors.")
    last_success: str | None
    age: int | None = Field(description="Seconds since then.")
    run: int | None = Field(description="The last run of it.")
    state: State | None = Field(description="Of the source in that run.")
    next_run: str | None = Field(description="When its schedule is due.")


class SourcesOut(BaseModel):
    sources: list[SourceOut]
