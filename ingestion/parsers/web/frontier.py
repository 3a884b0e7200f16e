"""The addresses that a crawl still has to request, and the limits that end it."""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass
from fnmatch import translate
from typing import Protocol
from urllib.parse import unquote

from ingestion.parsers.web import urls
from ingestion.parsers.web.options import WebOptions
from ingestion.parsers.web.page_facts import PageFacts

PAGE, SITEMAP, HELP_SYSTEM, TOC = "page", "sitemap", "help system", "toc"
MAX_LISTS = 500
UNREACHABLE_IN_A_ROW = 5


@dataclass(frozen=True, slots=True)
class Lead:
    """An address to request. `listed`: the site itself lists it as one of its pages;
    `chain`: the addresses that redirected here."""

    url: str
    kind: str = PAGE
    depth: int = 0
    listed: bool = False
    chain: tuple[str, ...] = ()

    @property
    def is_page(self) -> bool:
        return self.kind == PAGE


class Rules(Protocol):
    """How to crawl one kind of site."""

    site: urls.Site
    root: str
    regions: tuple[str, ...]
    doc_type: str
    instead: str  # the page whose links to follow if the start is missing; empty for none

    def move(self, origin: str) -> None:
        """Use another origin for the site, to which it redirects."""

    def lists(self) -> list[Lead]:
        """The lists of pages to look for."""

    def follows(self, url: str) -> bool:
        """Whether a page at this address may be requested."""

    def accepts_pdf(self, url: str) -> bool:
        """Whether a PDF at this address belongs to the source."""

    def follows_redirect(self, url: str) -> bool:
        """Whether an address may be requested because a page of the source redirects to it."""

    def holds(self, page: PageFacts) -> bool | None:
        """Whether a page is a document; None where that depends on the site's other pages."""


class Frontier:
    """A breadth-first queue that contains each address once; lists come before pages."""

    def __init__(self, options: WebOptions, rules: Rules) -> None:
        self.options = options
        self.rules = rules
        self.queue: deque[Lead] = deque()
        self.seen: set[str] = set()
        self.asked = 0
        self.lists = 0
        self.left_out = 0
        self.unreachable = 0
        self.deepest = 0
        self.deadline = time.monotonic() + options.max_seconds
        self.excluded = [re.compile(translate(pattern)) for pattern in options.exclude]

    def add(self, lead: Lead) -> None:
        if lead.url in self.seen or not self.may_ask(lead):
            return
        too_deep = lead.depth > self.options.max_depth
        if too_deep or self.asked + len(self.queue) >= self.options.max_pages + MAX_LISTS:
            self.deepest = max(self.deepest, lead.depth if too_deep else 0)
            self.left_out += 1
            return
        self.put(lead, first=not lead.is_page)

    def put(self, lead: Lead, first: bool = False) -> None:
        """Queue an address without checking the rules."""
        self.seen.add(lead.url)
        self.lists += not lead.is_page
        if first:
            self.queue.appendleft(lead)
        else:
            self.queue.append(lead)

    def may_ask(self, lead: Lead) -> bool:
        if not lead.is_page:
            here = lead.url.startswith(self.rules.site.origin + "/")
            return here and self.lists < MAX_LISTS
        in_reach = self.rules.follows(lead.url) or self.rules.accepts_pdf(lead.url)
        return in_reach and not urls.is_trap(lead.url) and not self.is_excluded(lead.url)

    def is_excluded(self, url: str) -> bool:
        path = unquote(urls.path_of(url))
        return any(pattern.match(path) for pattern in self.excluded)

    def limit_reached(self, bytes_read: int) -> str:
        """The limit that ends the crawl now; empty for none."""
        options = self.options
        if self.unreachable >= UNREACHABLE_IN_A_ROW:
            return f"the site did not answer {UNREACHABLE_IN_A_ROW} times in a row"
        if self.asked >= options.max_pages:
            return f"max_pages ({options.max_pages:,}) is reached"
        if bytes_read >= options.max_bytes:
            return f"max_bytes ({options.max_bytes:,}) is reached"
        if time.monotonic() >= self.deadline:
            return f"max_seconds ({options.max_seconds:g}) is reached"
        return ""

    def limit_passed_over(self) -> str:
        """The limit that kept addresses out of the queue; empty for none."""
        if self.deepest:
            return f"max_depth ({self.options.max_depth}) is reached"
        return f"max_pages ({self.options.max_pages:,}) is reached" if self.left_out else ""
