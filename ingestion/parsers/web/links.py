"""The links of a site's pages and lists, as addresses of the source."""

from __future__ import annotations

from collections.abc import Sequence

from ingestion.parsers.web import sitemaps, urls
from ingestion.parsers.web.frontier import HELP_SYSTEM, PAGE, SITEMAP, TOC, Frontier, Lead
from ingestion.parsers.web.page_facts import PageFacts

MAX_LINKS_KEPT = 2_000


class Links:
    """`names` contains each address once, however many pages link to it."""

    def __init__(self, frontier: Frontier) -> None:
        self.frontier = frontier
        self.rules = frontier.rules
        self.site = frontier.rules.site
        self.names: dict[str, str] = {}

    def of_page(self, page: PageFacts) -> tuple[str, ...]:
        """The addresses of the source that a page links to, each string stored once."""
        found: dict[str, None] = {}
        for link in (*page.links, page.canonical):
            url = self.site.own(link) if link else ""
            if url and self.frontier.may_ask(Lead(url)):
                found[self.names.setdefault(url, url)] = None
        return tuple(found)[:MAX_LINKS_KEPT]

    def of_list(self, lead: Lead, found: sitemaps.Listed) -> tuple[str, ...]:
        """`page` or `list`, and the address, for each entry of a list."""
        if lead.kind == SITEMAP:
            known = [*self.frontier.seen, *self.names]
            urls.rebased(self.site, [*found.pages, *found.lists], lead.url, known)
        pages = self._absolute(found.pages, lead)
        nested = self._absolute(found.lists, lead, nested=True)
        return (*(f"page {url}" for url in pages), *(f"list {url}" for url in nested))

    def _absolute(self, found: Sequence[str], lead: Lead, nested: bool = False) -> list[str]:
        """Flare's lists give pages relative to the help's root, chunks relative to the list."""
        base = lead.url
        if lead.kind == HELP_SYSTEM or (lead.kind == TOC and not nested):
            base = self.rules.root
            found = [link.lstrip("/") for link in found]
        return [url for url in (self.site.own(link, base) for link in found) if url]

    def follow(self, links: Sequence[str], lead: Lead) -> None:
        for link in links:
            if lead.is_page:
                self.frontier.add(Lead(link, PAGE, lead.depth + 1))
                continue
            what, _, url = link.partition(" ")
            if what == "page":
                self.frontier.add(Lead(url, PAGE, lead.depth + 1, listed=True))
            else:
                kind = TOC if lead.kind in (HELP_SYSTEM, TOC) else SITEMAP
                self.frontier.add(Lead(url, kind, lead.depth + 1))


def read_list(lead: Lead, data: bytes) -> sitemaps.Listed:
    if lead.kind == TOC:
        return sitemaps.read_toc(data, urls.path_of(lead.url).rpartition("/")[2])
    return sitemaps.read_sitemap(data) if lead.kind == SITEMAP else sitemaps.read_help_system(data)
