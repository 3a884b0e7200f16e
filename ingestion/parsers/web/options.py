"""The options that the web parsers share: how far a crawl may go."""

from __future__ import annotations

from pydantic import Field

from ingestion.parsers.base import ParserOptions


class WebOptions(ParserOptions):
    delay: float | None = Field(
        None,
        title="Pause between requests",
        json_schema_extra={"unit": "seconds", "placeholder": "0.5"},
        ge=0,
        le=120,
        description="0.5 if nothing is given. A longer Crawl-delay in the site's robots.txt wins.",
        examples=[1.0],
    )
    max_pages: int = Field(
        20_000,
        title="Pages at most",
        json_schema_extra={"unit": "pages"},
        ge=1,
        le=1_000_000,
        description="Asked for in one run.",
        examples=[500],
    )
    max_depth: int = Field(
        50,
        title="Links from the start at most",
        json_schema_extra={"unit": "links"},
        ge=1,
        le=1_000,
        description="To a page.",
        examples=[5],
    )
    max_page_bytes: int = Field(
        4 * 1024 * 1024,
        title="Largest page",
        json_schema_extra={"unit": "MB", "factor": 1024**2},
        ge=1_000,
        le=64 * 1024 * 1024,
        description="Unpacked. In JSON: bytes.",
        examples=[1_000_000],
    )
    max_pdf_bytes: int = Field(
        64 * 1024 * 1024,
        title="Largest PDF",
        json_schema_extra={"unit": "MB", "factor": 1024**2},
        ge=1_000,
        le=256 * 1024 * 1024,
        description="In JSON: bytes.",
        examples=[20_000_000],
    )
    max_bytes: int = Field(
        2 * 1024**3,
        title="Data read in one run at most",
        json_schema_extra={"unit": "MB", "factor": 1024**2},
        ge=1_000,
        description="The run ends there. In JSON: bytes.",
        examples=[100_000_000],
    )
    max_redirects: int = Field(
        5,
        title="Redirects at most",
        json_schema_extra={"unit": "redirects"},
        ge=0,
        le=20,
        description="Followed for one page.",
        examples=[3],
    )
    max_seconds: float = Field(
        6 * 3600,
        title="Longest run",
        json_schema_extra={"unit": "minutes", "factor": 60},
        gt=0,
        description="It ends then, whatever is left. In JSON: seconds.",
        examples=[600],
    )
    exclude: tuple[str, ...] = Field(
        (),
        title="Leave out",
        description="Paths that are not asked for; * stands for anything.",
        examples=[["/knowledge-base/drafts/*"]],
    )
