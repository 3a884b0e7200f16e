"""One crawl of one site: from its start and its own lists along its links, to Documents.

Each address is asked for once, with the validators of the last run. What cannot be judged is a
Failure that protects what is stored; what is gone (404, 410) simply does not come.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from typing import Protocol
from urllib.parse import unquote

from ingestion.documents import Document, Failure, Parsed, Unchanged
from ingestion.enrichment.doc_types import doc_type_of
from ingestion.enrichment.generations import generations_of, is_deprecated
from ingestion.exceptions import DocumentError, SourceError
from ingestion.parsers.base import Known, SourceConfig
from ingestion.parsers.pdf import PdfOrigin, read_pdf
from ingestion.parsers.web import lists, urls
from ingestion.parsers.web.addresses import AddressRefused
from ingestion.parsers.web.client import FetchError, Response, WebClient
from ingestion.parsers.web.furniture import repeated, without_repeated
from ingestion.parsers.web.memory import DOCUMENT, OTHER, Memory, Visit
from ingestion.parsers.web.options import WebOptions
from ingestion.parsers.web.page import Content, Page, suffix_of_title, without_suffix
from ingestion.parsers.web.robots import MAX_BYTES as MAX_ROBOTS_BYTES
from ingestion.parsers.web.robots import Robots

logger = logging.getLogger(__name__)

PAGE, SITEMAP, HELP_SYSTEM, TOC = "page", "sitemap", "help system", "toc"
HTML_TYPES = frozenset(("text/html", "application/xhtml+xml", ""))
REDIRECTS = frozenset((301, 302, 303, 307, 308))
GONE = frozenset((404, 410))
SAMPLE = 40
UNREACHABLE_IN_A_ROW = 5
MAX_LISTS = 500
MAX_LINKS_KEPT = 5_000
REMEMBER_EVERY = 250


@dataclass(frozen=True, slots=True)
class Lead:
    """An address to ask for. `listed` says that the site itself lists it as one of its pages;
    `chain` is what redirected here."""

    url: str
    kind: str = PAGE
    depth: int = 0
    listed: bool = False
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A page that was read, until it is known what of it every page has."""

    url: str
    content: Content
    validators: Mapping[str, str]
    links: tuple[str, ...]
    conditions: tuple[str, ...]
    canonical: str
    certain: bool

    @property
    def digest(self) -> str:
        text = "\n".join(self.content.blocks)
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]


class Rules(Protocol):
    """What one kind of site differs in."""

    site: urls.Site
    root: str
    regions: Sequence[str]
    doc_type: str
    instead: str  # the page whose links to follow where the start is not there; empty for none

    def lists(self) -> list[Lead]:
        """The lists of pages to look for."""

    def follows(self, url: str) -> bool:
        """Whether a page at this address may be asked for."""

    def accepts_pdf(self, url: str) -> bool:
        """Whether a PDF at this address belongs to the source."""

    def holds(self, page: Page) -> bool | None:
        """Whether a page is a document; None where that depends on the site's other pages."""


class Crawl:
    def __init__(
        self,
        config: SourceConfig,
        options: WebOptions,
        rules: Rules,
        known: Known,
        client: WebClient,
    ) -> None:
        self.config = config
        self.options = options
        self.rules = rules
        self.site = rules.site
        self.known = known
        self.client = client
        self.old = Memory.from_json(known.memory())
        self.new = Memory(furniture=self.old.furniture, suffixes=self.old.suffixes)
        self.queue: deque[Lead] = deque()
        self.seen: set[str] = set()
        self.lists_seen = 0
        self.asked = 0
        self.deadline = time.monotonic() + options.max_seconds
        self.held: list[Held] = []
        self.settled = False
        self.deferred: list[Held] = []
        self.doubles: list[tuple[str, str]] = []
        self.documents: dict[str, str] = {}
        self.by_key: dict[str, list[str]] = {}
        self.unreachable = 0
        self.too_deep = 0
        self.stopped = ""
        self.excluded = [re.compile(translate(pattern)) for pattern in options.exclude]

    def run(self) -> Iterator[Parsed]:
        """Raise SourceError when the site as a whole cannot be read."""
        self.robots = self._read_robots()
        self.client.crawl_delay = self.robots.crawl_delay
        for foreign, mine in self.old.aliases.items():
            self.site.add_alias(foreign, mine)
        yield from self._visit_start()
        for lead in self.rules.lists():
            self._add(lead)
        yield from self._visit_all()
        yield from self._settle()
        yield from self._resolve_deferred()
        yield from self._end()

    def _read_robots(self) -> Robots:
        """RFC 9309 2.3.1: where there is none all is allowed; where it cannot be had, nothing."""
        url = f"{self.site.origin}/robots.txt"
        for _ in range(6):
            try:
                answer = self.client.get(url, MAX_ROBOTS_BYTES, self.old.robots_validators)
            except (FetchError, AddressRefused) as error:
                raise SourceError(f"{url}: {error}") from error
            if answer.status not in REDIRECTS:
                break
            url = self._redirect(answer)
            if not url:
                return Robots("")
        if answer.status == 304:
            self.new.robots, validators = self.old.robots, self.old.robots_validators
        elif answer.status == 200:
            self.new.robots, validators = answer.body.decode("utf-8", "replace"), answer.validators
        else:
            self.new.robots, validators = "", {}
        self.new.robots_validators = validators
        return Robots(self.new.robots)

    def _redirect(self, answer: Response) -> str:
        target = urls.canonical(answer.headers.get("location", ""), answer.url)
        return self.site.own(self.client.unmapped(target)) if target else ""

    def _visit_start(self) -> Iterator[Parsed]:
        """The start decides: when it cannot be judged, nothing can."""
        if self.old.root:
            self.rules.root = self.old.root
        lead = Lead(self.site.start)
        while True:
            self.seen.add(lead.url)
            if not self.robots.allows(lead.url):
                raise SourceError(f"{lead.url}: the site's robots.txt asks not to read it.")
            try:
                answer = self._ask(lead)
            except (FetchError, AddressRefused) as error:
                raise SourceError(f"{lead.url}: {error}") from error
            if answer.status not in REDIRECTS:
                break
            lead = self._start_redirected(lead, answer)
        if answer.status == 200 or answer.status == 304:
            yield from self._answered(lead, answer)
        elif answer.status not in (*GONE, 403):
            raise SourceError(f"{lead.url}: {_refusal(answer.status)}")
        elif self.rules.instead and self.rules.instead not in self.seen:
            self.seen.add(self.rules.instead)
            self.queue.append(Lead(self.rules.instead))
        self.new.root = self.rules.root

    def _start_redirected(self, lead: Lead, answer: Response) -> Lead:
        target = self._redirect(answer)
        chain = (*lead.chain, lead.url)
        if not target:
            where = answer.headers.get("location", "nowhere")
            raise SourceError(f"{lead.url} redirects to {where}: start there if that is the site.")
        if len(chain) > self.options.max_redirects or target in chain:
            raise SourceError(f"{self.site.start} redirects without end.")
        if not self.rules.follows(target) and target != self.site.start:
            raise SourceError(f"{lead.url} redirects to {target}, outside of the source's path.")
        return Lead(target, chain=chain)

    def _visit_all(self) -> Iterator[Parsed]:
        while self.queue and not self.stopped:
            lead = self.queue.popleft()
            self.stopped = self._limit_reached()
            if self.stopped:
                self.queue.appendleft(lead)
                return
            yield from self._visit(lead)
            if len(self.held) >= SAMPLE or (self.settled and self.held):
                yield from self._settle()
            if self.asked % REMEMBER_EVERY == 0:
                self._remember()

    def _limit_reached(self) -> str:
        options = self.options
        if self.asked >= options.max_pages:
            return f"max_pages ({options.max_pages:,}) is reached"
        if self.client.bytes_read >= options.max_bytes:
            return f"max_bytes ({options.max_bytes:,}) is reached"
        if time.monotonic() >= self.deadline:
            return f"max_seconds ({options.max_seconds:g}) is reached"
        if self.unreachable >= UNREACHABLE_IN_A_ROW:
            return f"the last {UNREACHABLE_IN_A_ROW} requests found no server that answers"
        return ""

    def _visit(self, lead: Lead) -> Iterator[Parsed]:
        if not self.robots.allows(lead.url):
            yield from self._unjudged(lead, "The site's robots.txt asks not to read it.", mild=True)
            return
        try:
            answer = self._ask(lead)
        except (FetchError, AddressRefused) as error:
            self.unreachable += isinstance(error, FetchError) and error.unreachable
            yield from self._unjudged(lead, str(error))
            return
        self.unreachable = 0
        yield from self._answered(lead, answer)

    def _ask(self, lead: Lead, again: bool = False) -> Response:
        self.asked += 1
        limit = self.options.max_page_bytes
        if lead.kind != PAGE:
            limit = lists.MAX_BYTES
        elif urls.is_pdf(lead.url):
            limit = self.options.max_pdf_bytes
        return self.client.get(lead.url, limit, {} if again else self._validators(lead.url))

    def _validators(self, url: str) -> Mapping[str, str]:
        """Those of the last read, where all that would be needed of an unchanged page is known."""
        visit = self.old.visits.get(url)
        if visit is None:
            return {}
        if visit.kind == DOCUMENT:
            stored = self.known.validators(url)
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
            yield from self._unjudged(lead, _refusal(answer.status))
        elif lead.kind == PAGE:
            yield from self._content(lead, answer)
        else:
            yield from self._list(lead, answer)

    def _unchanged(self, lead: Lead) -> Iterator[Parsed]:
        visit = self.old.visits[lead.url]
        self.new.visits[lead.url] = visit
        if visit.kind == DOCUMENT:
            self._note(lead.url, visit.digest)
            yield Unchanged(lead.url)
        elif visit.target:
            self.doubles.append((lead.url, visit.target))
        if lead.kind == PAGE:
            self._follow(visit.links, lead)
        else:
            self._follow_list(visit.links, lead)

    def _redirected(self, lead: Lead, answer: Response) -> Iterator[Parsed]:
        target = self._redirect(answer)
        chain = (*lead.chain, lead.url)
        if not target:
            where = answer.headers.get("location", "nowhere")[:200]
            yield from self._unjudged(lead, f"It redirects to another site ({where}).", mild=True)
        elif target in chain or len(chain) > self.options.max_redirects:
            yield from self._unjudged(lead, "It redirects without end.")
        elif target in self.seen:
            if target == self.site.start or urls.path_of(target) == "/":
                message = "It redirects to the start page, as missing pages often do."
                yield from self._unjudged(lead, message, mild=True)
        elif self._in_reach(target):
            self.seen.add(target)
            self.queue.appendleft(Lead(target, lead.kind, lead.depth, lead.listed, chain))
        else:
            message = f"It redirects to {target}, which is outside of the source's path."
            yield from self._unjudged(lead, message, mild=True)

    def _in_reach(self, url: str) -> bool:
        return self.rules.follows(url) or self.rules.accepts_pdf(url)

    def _gone(self, lead: Lead) -> Iterator[Parsed]:
        if lead.listed and lead.kind == PAGE and not self.known.stored(lead.url):
            message = "The site lists it, but it is not there (404)."
            yield Failure(lead.url, message, stage="fetch", warning=True)

    def _unjudged(self, lead: Lead, message: str, mild: bool = False) -> Iterator[Parsed]:
        """A Failure for an address and whatever redirected to it.

        `mild`: a warning where nothing is stored to be protected, and the site does not list it.
        """
        for url in (*lead.chain, lead.url):
            needed = self.known.stored(url) or lead.listed
            if lead.kind != PAGE:
                url, mild, needed = self.site.origin + "/", False, True
                message = f"{lead.url}, a list of pages: {message}"
            yield Failure(url, message, stage="fetch", warning=mild and not needed)

    def _list(self, lead: Lead, answer: Response) -> Iterator[Parsed]:
        """A list's pages and further lists; what is served in its place is no list."""
        readers = {SITEMAP: lists.read_sitemap, HELP_SYSTEM: lists.read_help_system}
        try:
            if lead.kind == TOC:
                found = lists.read_toc(answer.body, urls.path_of(lead.url).rpartition("/")[2])
            else:
                found = readers[lead.kind](answer.body)
        except DocumentError as error:
            logger.info("%s: %s", lead.url, error)
            return
        if lead.kind == SITEMAP:
            known = [*self.seen, *(link for v in self.new.visits.values() for link in v.links)]
            urls.rebased(self.site, [*found.pages, *found.lists], lead.url, known)
            self.new.aliases = self.site.aliases
        pages = self._absolute(found.pages, lead)
        nested = self._absolute(found.lists, lead, nested=True)
        links = (*(f"page {url}" for url in pages), *(f"list {url}" for url in nested))
        self.new.visits[lead.url] = Visit(OTHER, answer.validators, links)
        self._follow_list(links, lead)
        yield from ()

    def _absolute(self, found: Sequence[str], lead: Lead, nested: bool = False) -> list[str]:
        """Flare's lists name pages from the help's root on, chunks from where they lie."""
        base = lead.url
        if lead.kind == HELP_SYSTEM or (lead.kind == TOC and not nested):
            base = self.rules.root
            found = [link.lstrip("/") for link in found]
        return [url for url in (self.site.own(link, base) for link in found) if url]

    def _follow_list(self, links: Sequence[str], lead: Lead) -> None:
        for link in links:
            what, _, url = link.partition(" ")
            if what == "page":
                self._add(Lead(url, PAGE, lead.depth + 1, listed=True))
            else:
                kind = TOC if lead.kind in (HELP_SYSTEM, TOC) else SITEMAP
                self._add(Lead(url, kind, lead.depth + 1))

    def _follow(self, links: Sequence[str], lead: Lead) -> None:
        for link in links:
            self._add(Lead(link, PAGE, lead.depth + 1))

    def _add(self, lead: Lead) -> None:
        if lead.url in self.seen or not self._may_ask(lead):
            return
        if lead.depth > self.options.max_depth:
            self.too_deep += 1
            return
        self.seen.add(lead.url)
        if lead.kind == PAGE:
            self.queue.append(lead)
        else:
            self.lists_seen += 1
            self.queue.appendleft(lead)

    def _may_ask(self, lead: Lead) -> bool:
        if lead.kind != PAGE:
            return self.lists_seen < MAX_LISTS and lead.url.startswith(self.site.origin + "/")
        if not self._in_reach(lead.url) or urls.is_trap(lead.url):
            return False
        path = unquote(urls.path_of(lead.url))
        return not any(pattern.match(path) for pattern in self.excluded)

    def _content(self, lead: Lead, answer: Response) -> Iterator[Parsed]:
        if answer.content_type == "application/pdf" or answer.body[:5] == b"%PDF-":
            yield from self._pdf(lead, answer)
        elif answer.content_type in HTML_TYPES:
            yield from self._html(lead, answer)
        else:
            self.new.visits[lead.url] = Visit(OTHER, answer.validators)

    def _pdf(self, lead: Lead, answer: Response) -> Iterator[Parsed]:
        title = unquote(urls.path_of(lead.url).rpartition("/")[2]).removesuffix(".pdf")
        origin = PdfOrigin(lead.url, lead.url, title, validators=answer.validators)
        found = False
        for parsed in read_pdf(answer.body, origin):
            if isinstance(parsed, Document):
                found = True
                parsed = self._classified(parsed)
            yield parsed
        kind = DOCUMENT if found else OTHER
        self.new.visits[lead.url] = Visit(kind, answer.validators if found else {})

    def _classified(self, section: Document) -> Document:
        place = unquote(section.url.removeprefix(self.rules.root))
        return replace(
            section,
            doc_type=self.rules.doc_type or doc_type_of(section.title, place, section.content),
            generations=generations_of(place, (), section.content, self.config.generation),
        )

    def _html(self, lead: Lead, answer: Response) -> Iterator[Parsed]:
        try:
            page = Page(lead.url, answer.body, answer.headers.get("content-type", ""))
        except DocumentError as error:
            yield Failure(lead.url, str(error), stage="parse")
            return
        self._learn_root(lead, page)
        self.site.learn(lead.url, page.canonical)
        self.new.aliases = self.site.aliases
        if wrong := _not_itself(page):
            yield from self._unjudged(lead, wrong, mild=True)
            return
        if page.problem:
            yield Failure(lead.url, page.problem, stage="parse", warning=True)
        links = self._links(page)
        self._follow(links, lead)
        certain = self.rules.holds(page)
        if certain is False or page.is_listing:
            self.new.visits[lead.url] = Visit(OTHER, answer.validators, links)
            return
        yield from self._article(lead, answer, page, links, certain is True)

    def _learn_root(self, lead: Lead, page: Page) -> None:
        """A start topic names the help system it belongs to, all of which is the source."""
        root = self.site.own(page.help_root) if page.help_root else ""
        first = lead.url == self.site.start or self.site.start in lead.chain
        if first and root and lead.url.startswith(root) and root.endswith("/"):
            self.rules.root = root

    def _links(self, page: Page) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for link in page.links:
            url = self.site.own(link)
            if url and self._may_ask(Lead(url)):
                found[url] = None
        if page.canonical and (url := self.site.own(page.canonical)) and self._may_ask(Lead(url)):
            found[url] = None
        return tuple(found)[:MAX_LINKS_KEPT]

    def _article(
        self, lead: Lead, answer: Response, page: Page, links: tuple[str, ...], certain: bool
    ) -> Iterator[Parsed]:
        content = page.content(self.rules.regions)
        if not content.blocks:
            yield from self._empty(lead, answer, page, links)
            return
        canonical = self.site.own(page.canonical) if page.canonical else ""
        self.held.append(
            Held(
                lead.url,
                content,
                answer.validators,
                links,
                tuple(page.conditions),
                canonical if canonical != lead.url else "",
                certain,
            )
        )
        if certain and page.has_region(("#eckb-article-content-body",)):
            self.new.has_articles = True

    def _empty(
        self, lead: Lead, answer: Response, page: Page, links: tuple[str, ...]
    ) -> Iterator[Parsed]:
        """A page without text: its PDF is read in its place, else it is named."""
        pdfs = [url for url in map(self.site.own, page.embedded_pdfs()) if url]
        for url in pdfs:
            if url not in self.seen and self.rules.accepts_pdf(url):
                self.seen.add(url)
                self.queue.append(Lead(url, PAGE, lead.depth + 1))
        self.new.visits[lead.url] = Visit(
            OTHER, answer.validators, tuple(dict.fromkeys((*links, *pdfs)))
        )
        if not pdfs:
            message = "The page has no text where its content should be: nothing to find it by."
            yield Failure(lead.url, message, warning=not self.known.stored(lead.url))

    def _settle(self) -> Iterator[Parsed]:
        """Learn from the pages held what all of them have, and let them go."""
        if not self.settled:
            self.settled = True
            self.new.furniture = self.old.furniture | repeated(
                [h.content.blocks for h in self.held]
            )
            self.new.suffixes = self.old.suffixes | _common_suffixes(self.held)
        held, self.held = self.held, []
        for item in held:
            if item.certain and not (item.canonical and self._in_reach(item.canonical)):
                yield from self._let_go(item)
            else:
                self.deferred.append(item)

    def _let_go(self, item: Held) -> Iterator[Parsed]:
        double = self._double_of(item)
        if double:
            self.new.visits[item.url] = Visit(
                OTHER, item.validators, item.links, item.digest, double
            )
            return
        self._note(item.url, item.digest)
        self.new.visits[item.url] = Visit(DOCUMENT, item.validators, item.links, item.digest)
        yield self._document(item)

    def _double_of(self, item: Held) -> str:
        """The address under which the same page came already."""
        if self.documents.get(item.canonical) == item.digest:
            return item.canonical
        key = urls.same_page_key(item.url)
        same = (url for url in self.by_key.get(key, []) if self.documents[url] == item.digest)
        return next(same, "")

    def _note(self, url: str, digest: str) -> None:
        self.documents[url] = digest
        self.by_key.setdefault(urls.same_page_key(url), []).append(url)

    def _resolve_deferred(self) -> Iterator[Parsed]:
        """Pages that name another address as theirs, and pages that may be none of the source's."""
        for item in self.deferred:
            if not item.certain and (self.new.has_articles or self.old.has_articles):
                self.new.visits[item.url] = Visit(OTHER, item.validators, item.links)
            else:
                yield from self._let_go(item)
        for url, target in self.doubles:
            if target in self.documents:
                continue
            lead = Lead(url)
            self.new.visits.pop(url, None)
            self.settled = True
            try:
                answer = self._ask(lead, again=True)
            except (FetchError, AddressRefused) as error:
                yield from self._unjudged(lead, str(error))
                continue
            yield from self._answered(lead, answer)
            held, self.held = self.held, []
            for item in held:
                yield from self._let_go(item)

    def _document(self, item: Held) -> Document:
        blocks = without_repeated(item.content.blocks, self.new.furniture)
        title = without_suffix(item.content.title, self.new.suffixes)
        title = title or unquote(urls.path_of(item.url).strip("/").rpartition("/")[2])
        content = "\n\n".join(blocks).strip("\n")
        place = unquote(item.url.removeprefix(self.rules.root)).removeprefix("Content/")
        steps = item.content.breadcrumb
        while steps and steps[-1].casefold() == title.casefold():
            steps = steps[:-1]
        metadata = {"conditions": list(item.conditions)} if item.conditions else {}
        return Document(
            url=item.url,
            title=title,
            content=content,
            display_url=item.url,
            doc_type=self.rules.doc_type or doc_type_of(title, place, content),
            generations=generations_of(place, item.conditions, content, self.config.generation),
            deprecated=is_deprecated(item.conditions),
            breadcrumb=steps,
            metadata=metadata,
            validators=item.validators,
        )

    def _end(self) -> Iterator[Parsed]:
        if self.too_deep and not self.stopped:
            self.stopped = f"max_depth ({self.options.max_depth}) is reached"
        if self.stopped:
            left = len(self.queue) + self.too_deep
            yield Failure(
                self.site.origin + "/",
                f"The crawl ended early: {self.stopped}; {left:,} addresses were not asked for. "
                "What is stored of them stays. Raise the limit, or exclude what is not wanted.",
                stage="fetch",
            )
        elif not self.new.visits:
            raise SourceError(f"{self.site.start}: nothing is there to read (404).")
        self._remember()

    def _remember(self) -> None:
        self.known.remember(self.new.to_json())


def _refusal(status: int) -> str:
    if status in (401, 403, 407):
        return f"The server refuses to show it ({status}): it may ask for a login."
    return f"The server answered {status}: it could not be judged."


def _not_itself(page: Page) -> str:
    if page.is_login:
        return "It is a login page: the site shows its content only to those it knows."
    if page.is_not_found:
        return "It says that it was not found, though the server answered 200."
    return ""


def _common_suffixes(held: Sequence[Held]) -> set[str]:
    """What most titles end with after a dash or bar: the site's name."""
    counts = Counter(suffix_of_title(item.content.title) for item in held)
    least = max(3, len(held) / 2)
    return {suffix for suffix, count in counts.items() if suffix and count >= least}
