"""What a crawl needs to know of a page, without its tree."""

from __future__ import annotations

from dataclasses import dataclass

from ingestion.parsers.web.page import ARTICLE_REGIONS, WebPage


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page says of itself, and where it leads (see the properties of WebPage)."""

    url: str
    problem: str
    links: tuple[str, ...]
    canonical: str
    help_root: str
    conditions: tuple[str, ...]
    embedded_pdfs: tuple[str, ...]
    is_shell: bool
    is_listing: bool
    is_archive: bool
    is_not_found: bool
    is_login: bool
    is_article: bool
    is_knowledge_base: bool

    @classmethod
    def of(cls, page: WebPage) -> PageFacts:
        return cls(
            url=page.url,
            problem=page.problem,
            links=tuple(page.links),
            canonical=page.canonical,
            help_root=page.help_root,
            conditions=tuple(page.conditions),
            embedded_pdfs=tuple(page.embedded_pdfs()),
            is_shell=page.is_shell,
            is_listing=page.is_listing,
            is_archive=page.is_archive,
            is_not_found=page.is_not_found,
            is_login=page.is_login,
            is_article=page.has_region(ARTICLE_REGIONS[:3]),
            is_knowledge_base=page.has_region(ARTICLE_REGIONS[:1]),
        )
