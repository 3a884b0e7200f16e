"""The options that the web parsers share: how far a crawl may go."""

from __future__ import annotations

from pydantic import Field

from ingestion.parsers.base import ParserOptions


class WebOptions(ParserOptions):
    delay: float | None = Field(
        None,
        ge=0,
        le=120,
        description="Seconds between two requests; 0.5 if nothing is given. A longer Crawl-delay "
        "in the site's robots.txt wins.",
        examples=[1.0],
    )
    max_pages: int = Field(
        20_000, ge=1, le=1_000_000, description="Pages asked for in one run.", examples=[500]
    )
    max_depth: int = Field(
        50, ge=1, le=1_000, description="Links from the start to a page.", examples=[5]
    )
    max_page_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1_000,
        le=64 * 1024 * 1024,
        description="Bytes of one page, unpacked.",
        examples=[1_000_000],
    )
    max_pdf_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1_000,
        le=256 * 1024 * 1024,
        description="Bytes of one PDF.",
        examples=[20_000_000],
    )
    max_bytes: int = Field(
        2 * 1024**3, ge=1_000, description="Bytes read in one run.", examples=[100_000_000]
    )
    max_redirects: int = Field(
        5, ge=0, le=20, description="Redirects followed for one page.", examples=[3]
    )
    max_seconds: float = Field(
        6 * 3600, gt=0, description="Seconds one run may take.", examples=[600]
    )
    exclude: tuple[str, ...] = Field(
        (),
        description="Paths that are not asked for; * stands for anything.",
        examples=[["/knowledge-base/drafts/*"]],
    )
