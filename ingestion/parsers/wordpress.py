"""WordPress sites: the Advantage magazine, and an Echo Knowledge Base."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from ingestion.documents import Parsed
from ingestion.parsers.base import NOTHING_KNOWN, Known, Parser
from ingestion.parsers.readers import SAME_PROCESS, Isolation, Reader
from ingestion.parsers.web import urls
from ingestion.parsers.web.client import WebClient
from ingestion.parsers.web.crawl import Crawl
from ingestion.parsers.web.frontier import SITEMAP, Lead
from ingestion.parsers.web.options import WebOptions
from ingestion.parsers.web.page import ARTICLE_REGIONS
from ingestion.parsers.web.page_facts import PageFacts
from ingestion.parsers.web.page_reading import Fetched, Found, Reading
from ingestion.parsers.web_settings import WebSettings

ARCHIVES = re.compile(
    r"/(?:category|tag|author|feed|comments|page/\d+)(?:/|$)|/\d{4}(?:/\d{1,2}){0,2}/?$",
    re.IGNORECASE,
)
NO_ARTICLES = re.compile(r"/(?:wp-(?:admin|json|login|content|includes)|xmlrpc\.php|feed/?$)", re.I)
_INDEX = re.compile(r"(/[^/]+)-index/?$")


class ArticleOptions(WebOptions):
    articles: str = Field(
        "",
        title="Articles",
        description="A regular expression that the path of an article matches from its beginning; "
        "empty for all pages below the start path that are not archives.",
        examples=["/knowledge-base/kb\\d+"],
    )

    @field_validator("articles")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is not a regular expression ({error})") from None
        return value


class _WordPressParser(Parser):
    version = 4
    reads: ClassVar[Literal["paths", "start_url"]] = "start_url"
    Options = ArticleOptions
    rules: ClassVar[type[WordPressRules]]

    def parse(
        self, known: Known = NOTHING_KNOWN, isolation: Isolation = SAME_PROCESS
    ) -> Iterator[Parsed]:
        rules = self.rules(self.config.start_url, self.options.articles)
        with WebClient(self.config.web or WebSettings(), self.options.delay) as client:
            read: Reader[Fetched, Found] = isolation.reader(Reading(rules.regions))
            yield from Crawl(self.config, self.options, rules, known, client, read).run()


class WordPressRules:
    """Pages below `root` are articles, except archives, the start page and what does not match
    `articles`."""

    regions: tuple[str, ...] = ARTICLE_REGIONS
    doc_type = "article"
    sitemaps: tuple[str, ...] = ()

    def __init__(self, start_url: str, articles: str) -> None:
        self.site = urls.Site(urls.canonical(start_url) or start_url)
        self.articles = re.compile(articles) if articles else None
        self._look_around()

    def _look_around(self) -> None:
        self.index = urls.folder_of(self.site.start)
        self.root = self._root()
        self.instead = f"{self.site.origin}/"

    def move(self, origin: str) -> None:
        self.site.move(origin)
        self._look_around()

    def _root(self) -> str:
        return self.index

    def lists(self) -> list[Lead]:
        return [Lead(f"{self.site.origin}/{name}", SITEMAP) for name in reversed(self.sitemaps)]

    def follows(self, url: str) -> bool:
        if not url.startswith((self.root, self.index)) or urls.suffix_of(url) in urls.NO_PAGES:
            return False
        return not urls.is_pdf(url) and not NO_ARTICLES.search(urls.path_of(url))

    def accepts_pdf(self, url: str) -> bool:
        return urls.is_pdf(url) and url.startswith(self.site.origin + "/")

    def follows_redirect(self, url: str) -> bool:
        """Anywhere on the host: it may be a PDF, which only its content type shows."""
        return url.startswith(self.site.origin + "/")

    def holds(self, page: PageFacts) -> bool | None:
        path = urls.path_of(page.url)
        if page.is_archive or page.url == self.site.start or not page.url.startswith(self.root):
            return False
        if self.articles is not None:
            return self.articles.match(path) is not None
        is_root = urls.same_page_key(page.url) == urls.same_page_key(self.root)
        return not is_root and not ARCHIVES.search(path)


class MagazineRules(WordPressRules):
    sitemaps = ("post-sitemap.xml", "sitemap_index.xml", "sitemap.xml", "wp-sitemap.xml")

    def _root(self) -> str:
        """The index at `/advantage-index/` lists what is below `/advantage/`."""
        return _INDEX.sub(r"\1/", self.index)


class KnowledgeBaseRules(WordPressRules):
    sitemaps = ("kb-sitemap.xml", "sitemap.xml", "sitemap_index.xml", "wp-sitemap.xml")

    def holds(self, page: PageFacts) -> bool | None:
        """In an Echo Knowledge Base only the articles are documents."""
        held = super().holds(page)
        if not held or self.articles is not None:
            return held
        return True if page.is_article else None


class AdvantageParser(_WordPressParser):
    """Reads the magazine: the pages and PDFs that its index links to."""

    rules = MagazineRules


class KnowledgeBaseParser(_WordPressParser):
    """Reads a knowledge base: the articles below its start page."""

    rules = KnowledgeBaseRules
