"""Published help (MadCap Flare's HTML5 and WebHelp output), or any site of plain pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from ingestion.documents import Parsed
from ingestion.parsers.base import NOTHING_KNOWN, Known, Parser
from ingestion.parsers.readers import SAME_PROCESS, Isolation, Reader
from ingestion.parsers.web import urls
from ingestion.parsers.web.client import WebClient
from ingestion.parsers.web.crawl import Crawl
from ingestion.parsers.web.frontier import HELP_SYSTEM, SITEMAP, TOC, Lead
from ingestion.parsers.web.options import WebOptions
from ingestion.parsers.web.page import HELP_REGIONS
from ingestion.parsers.web.page_facts import PageFacts
from ingestion.parsers.web.page_reading import Fetched, Found, Reading
from ingestion.parsers.web_settings import WebSettings


class WebCrawlParser(Parser):
    """Reads what is below the start URL's folder; finds topics by links and by Flare's lists."""

    version = 4
    reads: ClassVar[Literal["paths", "start_url"]] = "start_url"
    Options = WebOptions

    def parse(
        self, known: Known = NOTHING_KNOWN, isolation: Isolation = SAME_PROCESS
    ) -> Iterator[Parsed]:
        rules = HelpRules(self.config.start_url)
        with WebClient(self.config.web or WebSettings(), self.options.delay) as client:
            read: Reader[Fetched, Found] = isolation.reader(Reading(rules.regions))
            yield from Crawl(self.config, self.options, rules, known, client, read).run()


class HelpRules:
    regions: tuple[str, ...] = HELP_REGIONS
    doc_type = ""
    instead = ""

    def __init__(self, start_url: str) -> None:
        self.site = urls.Site(urls.canonical(start_url) or start_url)
        self.root = urls.folder_of(self.site.start)

    def move(self, origin: str) -> None:
        self.site.move(origin)
        self.root = origin + urls.path_of(self.root)

    def lists(self) -> list[Lead]:
        kinds = {
            "Data/HelpSystem.xml": HELP_SYSTEM,
            "Data/Toc.js": TOC,
            "Data/Toc.xml": TOC,
            "Sitemap.xml": SITEMAP,
            "sitemap.xml": SITEMAP,
        }
        return [Lead(self.root + name, kind) for name, kind in reversed(kinds.items())]

    def follows(self, url: str) -> bool:
        inside = url.startswith(self.root) and urls.suffix_of(url) not in urls.NO_PAGES
        return inside and not urls.is_pdf(url)

    def accepts_pdf(self, url: str) -> bool:
        return url.startswith(self.root) and urls.is_pdf(url)

    def follows_redirect(self, url: str) -> bool:
        return self.follows(url) or self.accepts_pdf(url)

    def holds(self, page: PageFacts) -> bool:
        return not page.is_shell and not page.is_archive
