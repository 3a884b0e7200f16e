"""One crawl of a site: from its start page and its own lists, along its links, to Documents.

Each address is requested once, with the validators of the last run. An address without a usable
answer is a Failure, which protects what is stored; its links of the last run are followed. What is
gone (404, 410) is not yielded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from math import inf
from urllib.parse import unquote

from ingestion.documents import DocumentFailure, Parsed, ParsedDocument, StillReading, Unchanged
from ingestion.enrichment.doc_types import doc_type_of
from ingestion.enrichment.generations import generations_of
from ingestion.exceptions import SourceError, TimeIsOver
from ingestion.parsers.base import Known, SourceConfig
from ingestion.parsers.readers import Reader, Task
from ingestion.parsers.web import sitemaps, urls
from ingestion.parsers.web.arrival import FORBIDDEN, REDIRECTS, Arrival
from ingestion.parsers.web.client import FetchError, Response, WebClient
from ingestion.parsers.web.crawl_state import BARE, DOCUMENT, OTHER, CrawlState, Visit
from ingestion.parsers.web.frontier import Frontier, Lead, Rules
from ingestion.parsers.web.links import Links
from ingestion.parsers.web.network_guard import AddressRefused
from ingestion.parsers.web.options import WebOptions
from ingestion.parsers.web.page import Content
from ingestion.parsers.web.page_buffer import BufferedPage, PageBuffer
from ingestion.parsers.web.page_facts import PageFacts
from ingestion.parsers.web.page_reading import (
    Fetched,
    FetchedList,
    FetchedPage,
    FetchedPdf,
    Found,
    first_failure,
)

logger = logging.getLogger(__name__)

HTML_TYPES = frozenset(("text/html", "application/xhtml+xml", ""))
HTML_STARTS = (b"<!doctype html", b"<html", b"<?xml")
GONE = frozenset((404, 410))
REMEMBER_EVERY = 250


class Crawl:
    def __init__(
        self,
        config: SourceConfig,
        options: WebOptions,
        rules: Rules,
        known: Known,
        client: WebClient,
        read: Reader[Fetched, Found],
    ) -> None:
        self.config = config
        self.rules = rules
        self.known = known
        self.client = client
        self.read = read
        client.limits = {"application/pdf": options.max_pdf_bytes}
        self.old = CrawlState.from_json(known.memory())
        self.new = CrawlState(suffixes=self.old.suffixes)
        self.frontier = Frontier(options, rules)
        self.buffer = PageBuffer(rules, config.generation, self.old, self.new)
        self.links = Links(self.frontier)
        self.arrival = Arrival(client, self.frontier, self.old, self.new)
        self.doubles: list[tuple[str, str]] = []
        self.met_stored = False
        self.blind: list[str] = []
        self.remembered = 0
        self.enough = inf if config.seconds is None else time.monotonic() + config.seconds

    @property
    def site(self) -> urls.Site:
        return self.rules.site

    def run(self) -> Iterator[Parsed]:
        """Raise SourceError when the site as a whole cannot be read."""
        self.arrival.read_robots()
        for foreign, mine in self.old.aliases.items():
            self.site.add_alias(foreign, mine)
        yield from self._visit_start()
        for lead in self.rules.lists():
            self.frontier.add(lead)
        stopped = yield from self._visit_all()
        yield from self.buffer.settle()
        yield from self.buffer.finish()
        if self._is_enough():
            raise TimeIsOver(f"{self.site.start}: {len(self.frontier.queue):,} addresses are left.")
        yield from self._visit_doubles()
        yield from self._end(stopped)

    def _is_enough(self) -> bool:
        return bool(self.frontier.queue) and time.monotonic() >= self.enough

    def _visit_start(self) -> Iterator[Parsed]:
        """Read the start page; without a usable answer there, the whole source fails."""
        if self.old.root:
            self.rules.root = self.old.root
        lead, answer = self.arrival.arrive(self._ask)
        if answer.status in (200, 304):
            yield from self._answered(lead, answer)
        elif answer.status not in (*GONE, 403):
            raise SourceError(f"{lead.url}: {_refusal(answer.status)}")
        elif self.rules.instead and self.rules.instead not in self.frontier.seen:
            self.frontier.put(Lead(self.rules.instead))
        self.new.root = self.rules.root

    # Requests

    def _visit_all(self) -> Generator[Parsed, None, str]:
        """Visit all addresses; return which limit ended the crawl, empty for none."""
        frontier = self.frontier
        while frontier.queue and not self._is_enough():
            if stopped := frontier.limit_reached(self.client.bytes_read):
                return stopped
            yield from self._visit(frontier.queue.popleft())
            yield from self.buffer.ready()
            if frontier.asked - self.remembered >= REMEMBER_EVERY:
                self._remember(whole=False)
        return ""

    def _visit(self, lead: Lead) -> Iterator[Parsed]:
        if not self.arrival.robots.allows(lead.url):
            yield from self._unjudged(lead, FORBIDDEN, mild=True)
            return
        try:
            answer = self._ask(lead)
        except (FetchError, AddressRefused) as error:
            unreachable = isinstance(error, FetchError) and error.unreachable
            self.frontier.unreachable += unreachable
            yield from self._unjudged(lead, str(error))
            return
        self.frontier.unreachable = 0
        yield from self._answered(lead, answer)

    def _ask(self, lead: Lead, again: bool = False) -> Response:
        self.frontier.asked += 1
        limit = self.frontier.options.max_page_bytes if lead.is_page else sitemaps.MAX_BYTES
        return self.client.get(lead.url, limit, {} if again else self._validators(lead.url))

    def _validators(self, url: str) -> Mapping[str, str]:
        """The validators of the last read, if all that an unchanged page needs is known."""
        stored = self.known.validators(url)
        visit = self.old.visits.get(url)
        if visit is None:
            return {}
        if visit.kind == DOCUMENT:
            return stored if stored == visit.validators else {}
        return visit.validators

    def _answered(self, lead: Lead, answer: Response) -> Iterator[Parsed]:
        if answer.status == 304:
            yield from self._unchanged(lead)
        elif answer.status in REDIRECTS:
            yield from self._redirected(lead, answer)
        elif answer.status in GONE:
            yield from self._gone(lead)
        elif answer.status != 200:
            if self._counts(lead):
                yield from self._unjudged(lead, _refusal(answer.status))
        elif lead.is_page:
            yield from self._content(lead, answer)
        else:
            yield from self._list(lead, answer)

    def _unchanged(self, lead: Lead) -> Iterator[Parsed]:
        visit = self.old.visits[lead.url]
        self.new.visits[lead.url] = visit
        if visit.kind == DOCUMENT:
            self.met_stored = True
            self.buffer.note(lead.url, visit.digest)
            yield Unchanged(lead.url)
        elif visit.kind == BARE:
            self.buffer.bare.append(lead.url)
        elif visit.target:
            self.doubles.append((lead.url, visit.target))
        self.links.follow(visit.links, lead)

    def _redirected(self, lead: Lead, answer: Response) -> Iterator[Parsed]:
        target = self.arrival.redirect(answer)
        chain = (*lead.chain, lead.url)
        message = ""
        if not target:
            where = answer.headers.get("location", "nowhere")[:200]
            message = f"It redirects to another site ({where})."
        elif target in chain or len(chain) > self.frontier.options.max_redirects:
            yield from self._unjudged(lead, "It redirects without end.")
            return
        elif target in self.frontier.seen:
            if target == self.site.start or urls.path_of(target) == "/":
                message = "It redirects to the start page, as missing pages often do."
        elif self._follows_redirect(target, lead):
            if not self.frontier.is_excluded(target):
                self.frontier.put(replace(lead, url=target, chain=chain), first=True)
        else:
            message = f"It redirects to {target}, which is outside of the source's path."
        if message and self._counts(lead):
            yield from self._unjudged(lead, message, mild=True)

    def _follows_redirect(self, target: str, lead: Lead) -> bool:
        if lead.is_page:
            return self.rules.follows_redirect(target)
        return not self.rules.follows(target)

    def _counts(self, lead: Lead) -> bool:
        """Whether a missing address is a problem: not if it is a list that never existed."""
        return lead.is_page or lead.url in self.old.visits

    def _gone(self, lead: Lead) -> Iterator[Parsed]:
        if lead.listed and lead.is_page and not self.known.stored(lead.url):
            message = "The site lists it, but it is not there (404)."
            yield DocumentFailure(lead.url, message, stage="fetch", warning=True)

    def _unjudged(
        self, lead: Lead, message: str, mild: bool = False, stage: str = "fetch"
    ) -> Iterator[Parsed]:
        """A Failure for an address and what redirected to it; its last known links still count.

        `mild`: only a warning if nothing is stored for it and the site does not list it.
        """
        visit = self.old.visits.get(lead.url)
        if visit is not None:
            self.new.visits[lead.url] = visit
            self.links.follow(visit.links, lead)
        elif not self.old.visits:
            self.blind.append(lead.url)
        for url in (*lead.chain, lead.url):
            needed = (
                self.known.stored(url) or lead.listed or (visit is not None and not lead.is_page)
            )
            yield DocumentFailure(url, message, stage=stage, warning=mild and not needed)

    # Lists

    def _list(self, lead: Lead, answer: Response) -> Iterator[Parsed]:
        """Follow a list's pages and further lists. An answer that is not a list is no failure."""
        [read] = yield from self._read_apart(lead, FetchedList(lead, answer.body), len(answer.body))
        found = read if isinstance(read, sitemaps.Listed) else sitemaps.Listed()
        if isinstance(read, DocumentFailure):
            logger.info("%s: %s", lead.url, read.message)
        before = self.old.visits.get(lead.url)
        if before and before.links and not (found.pages or found.lists):
            yield from self._unjudged(lead, "This list of pages is empty, and was not before.")
            return
        links = self.links.of_list(lead, found)
        self.new.visits[lead.url] = Visit(OTHER, answer.validators, links)
        self.links.follow(links, lead)

    # Pages

    def _read_apart(
        self, lead: Lead, fetched: Fetched, size: int
    ) -> Generator[Parsed, None, list[Found]]:
        """What the reader finds in something fetched. Yields StillReading while it waits."""
        results: list[Found] = []
        for result in self.read([Task(lead.url, size, fetched)]):
            if isinstance(result, StillReading):
                yield result
            else:
                results.append(result)
        return results

    def _content(self, lead: Lead, answer: Response) -> Iterator[Parsed]:
        start = answer.body[:64].lstrip().lower()
        if answer.content_type == "application/pdf" or start.startswith(b"%pdf-"):
            yield from self._pdf(lead, answer)
        elif answer.content_type in HTML_TYPES or start.startswith(HTML_STARTS):
            yield from self._html(lead, answer)
        else:
            self.new.visits[lead.url] = Visit(OTHER, answer.validators)

    def _pdf(self, lead: Lead, answer: Response) -> Iterator[Parsed]:
        title = unquote(urls.path_of(lead.url).rpartition("/")[2]).removesuffix(".pdf")
        sections = 0
        fetched = FetchedPdf(title, answer.validators, answer.body)
        for parsed in (yield from self._read_apart(lead, fetched, len(answer.body))):
            if isinstance(parsed, ParsedDocument):
                sections += 1
                yield self._classified(parsed)
            elif isinstance(parsed, DocumentFailure):
                yield parsed
        if sections:
            self.new.visits[lead.url] = Visit(DOCUMENT, answer.validators)

    def _classified(self, section: ParsedDocument) -> ParsedDocument:
        place = unquote(section.url.removeprefix(self.rules.root))
        return replace(
            section,
            doc_type=self.rules.doc_type or doc_type_of(section.title, place, section.content),
            generations=generations_of(place, (), section.content, self.config.generation),
        )

    def _html(self, lead: Lead, answer: Response) -> Iterator[Parsed]:
        fetched = FetchedPage(answer.body, answer.headers.get("content-type", ""))
        found = yield from self._read_apart(lead, fetched, len(answer.body))
        page, content = found[0], found[-1]
        if not isinstance(page, PageFacts):
            yield from self._unread(lead, found)
            return
        self._learn(lead, page)
        if wrong := self._not_itself(lead, page):
            yield from self._unjudged(lead, wrong, mild=True)
            return
        if page.problem:
            yield DocumentFailure(lead.url, page.problem, stage="parse", warning=True)
        links = self.links.of_page(page)
        self.links.follow(links, lead)
        certain = self.rules.holds(page)
        if certain is False or page.is_listing:
            self.new.visits[lead.url] = Visit(OTHER, answer.validators, links)
        elif isinstance(content, Content):
            yield from self._article(lead, answer, page, content, links, certain is True)
        else:
            yield from self._unread(lead, found)

    def _unread(self, lead: Lead, found: list[Found]) -> Iterator[Parsed]:
        failure = first_failure(found)
        if failure:
            yield from self._unjudged(lead, failure.message, stage=failure.stage)

    def _learn(self, lead: Lead, page: PageFacts) -> None:
        """Learn another name of the site, and from a start topic, its help system, all of which
        belongs to the source."""
        self.site.learn(lead.url, page.canonical)
        root = self.site.own(page.help_root) if page.help_root else ""
        is_start = self.site.start in (lead.url, *lead.chain)
        if is_start and root.endswith("/") and lead.url.startswith(root):
            self.rules.root = root

    def _not_itself(self, lead: Lead, page: PageFacts) -> str:
        """Why the answer is not the page that was requested; empty if it is."""
        if lead.chain and not self.rules.follows(lead.url) and lead.url != self.site.start:
            return f"{lead.chain[0]} redirects here, outside of the source's path."
        if page.is_login:
            return "It is a login page: the site shows its content only after a login."
        if page.is_not_found:
            return "It says that it was not found, though the server answered 200."
        return ""

    def _article(
        self,
        lead: Lead,
        answer: Response,
        page: PageFacts,
        content: Content,
        links: tuple[str, ...],
        certain: bool,
    ) -> Iterator[Parsed]:
        self.met_stored = self.met_stored or self.known.stored(lead.url)
        if not content.blocks:
            yield from self._empty(lead, answer, page, links)
            return
        canonical = self.site.own(page.canonical) if page.canonical else ""
        other = canonical if canonical != lead.url else ""
        self.buffer.add(
            BufferedPage(
                lead.url, content, answer.validators, links, page.conditions, other, certain
            )
        )
        if page.is_knowledge_base:
            self.new.has_articles = True

    def _empty(
        self, lead: Lead, answer: Response, page: PageFacts, links: tuple[str, ...]
    ) -> Iterator[Parsed]:
        """Handle a page without text: read its PDF instead, else report it."""
        found = (self.site.own(url) for url in page.embedded_pdfs)
        pdfs = tuple(url for url in found if url and self.rules.accepts_pdf(url))
        self.links.follow(pdfs, lead)
        self.new.visits[lead.url] = Visit(OTHER, answer.validators, (*links, *pdfs))
        if not pdfs:
            message = "The page has no text where its content should be: nothing to index."
            before = self.old.visits.get(lead.url)
            was_document = before is not None and before.kind == DOCUMENT
            yield DocumentFailure(lead.url, message, warning=not was_document)

    def _visit_doubles(self) -> Iterator[Parsed]:
        """Read an unchanged page whose other address no longer exists."""
        for url, target in self.doubles:
            if target in self.buffer.documents:
                continue
            lead = Lead(url)
            try:
                answer = self._ask(lead, again=True)
            except (FetchError, AddressRefused) as error:
                yield from self._unjudged(lead, str(error))
                continue
            yield from self._answered(lead, answer)
            yield from self.buffer.settle()
            yield from self.buffer.finish()

    # The end

    def _end(self, stopped: str) -> Iterator[Parsed]:
        stopped = stopped or self.frontier.limit_passed_over()
        if stopped:
            left = len(self.frontier.queue) + self.frontier.left_out
            yield DocumentFailure(
                self.site.origin + "/",
                f"The crawl ended early: {stopped}; {left:,} addresses were not asked for. "
                "What is stored of them stays. Raise the limit, or exclude what is not wanted.",
                stage="fetch",
            )
        elif self.blind and self.met_stored:
            yield DocumentFailure(
                self.site.origin + "/",
                f"Where {self.blind[0]} leads to is not known, as it could not be read: what was "
                "not met on the way stays until the next run.",
                stage="fetch",
            )
        elif not self.new.visits:
            unread = "it could not be read, and only it lists the site's pages"
            reason = unread if self.blind else "nothing is there to read (404)"
            raise SourceError(f"{self.site.start}: {reason}.")
        yield from self.buffer.report()
        if not stopped:
            self.buffer.conclude()
        self._remember(whole=not stopped)

    def _remember(self, whole: bool) -> None:
        """Remember the crawl's state; for addresses it did not reach, that of the crawl before."""
        self.remembered = self.frontier.asked
        self.new.aliases = self.site.aliases
        kept = (
            self.new if whole else replace(self.new, visits={**self.old.visits, **self.new.visits})
        )
        self.known.remember(kept.to_json())


def _refusal(status: int) -> str:
    if status in (401, 403, 407):
        return f"The server refuses to show it ({status}): it may ask for a login."
    return f"The server answered {status}: it could not be judged."
