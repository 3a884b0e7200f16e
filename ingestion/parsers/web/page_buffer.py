"""Turns the pages that were read into Documents, without the boilerplate that they share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from ingestion.documents import DocumentFailure, Parsed, ParsedDocument
from ingestion.enrichment.doc_types import doc_type_of
from ingestion.enrichment.generations import generations_of, is_deprecated
from ingestion.exceptions import failure_at
from ingestion.parsers.web import urls
from ingestion.parsers.web.crawl_state import BARE, DOCUMENT, OTHER, CrawlState, Visit
from ingestion.parsers.web.frontier import Rules
from ingestion.parsers.web.page import Content, suffix_of_title, without_suffix
from ingestion.parsers.web.repeats import PAGES_THAT_TELL, Repeats, Tally

SAMPLE = 40
MAX_HELD = 16 * 1024 * 1024  # characters of text held at once
MAX_LINKS_REMEMBERED = 3_000_000
SHOWN = 5


@dataclass(frozen=True)
class BufferedPage:
    """A page that was read. `canonical`: another address that it declares as its own; `certain`: it
    is a document whatever the site's other pages are."""

    url: str
    content: Content
    validators: Mapping[str, str]
    links: tuple[str, ...]
    conditions: tuple[str, ...]
    canonical: str
    certain: bool

    @cached_property
    def digest(self) -> str:
        text = "\n".join(self.content.blocks)
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]

    @property
    def size(self) -> int:
        return sum(map(len, self.content.blocks))


class PageBuffer:
    """Removes from each page what the site's pages share. Pages that declare another address, or
    may not be documents, are held to the end.

    What they share was learned by the crawl before, from all its pages, so that it does not matter
    which of them have changed. Without one, the first pages are held and show it; if it turns out
    at the end that all pages show something else, the next crawl reads them again.
    """

    def __init__(self, rules: Rules, tag: str, old: CrawlState, new: CrawlState) -> None:
        self.rules = rules
        self.tag = tag
        self.old = old
        self.new = new
        self.held: list[BufferedPage] = []
        self.deferred: list[BufferedPage] = []
        self.repeats = old.repeats or Repeats()
        self.settled = old.repeats is not None
        new.repeats = old.repeats
        new.tally = old.tally
        self.bare: list[str] = []
        self.waiting = 0
        self.links = 0
        self.documents: dict[str, str] = {}
        self.by_key: dict[str, list[str]] = {}

    def add(self, item: BufferedPage) -> None:
        self.held.append(item)
        self.waiting += item.size

    def ready(self) -> Iterator[Parsed]:
        """Yield the pages that need not wait any longer."""
        if self.settled or len(self.held) >= SAMPLE or self.waiting > MAX_HELD:
            yield from self.settle()

    def settle(self) -> Iterator[Parsed]:
        """Learn from the held pages what they share, and yield them."""
        if not self.settled:
            self.settled = True
            self.repeats = _shared_by(self.held)
            if len(self.held) >= PAGES_THAT_TELL:
                self.new.repeats = self.repeats
            self.new.suffixes = self.old.suffixes | _common_suffixes(self.held)
        held, self.held = self.held, []
        for item in held:
            if item.certain and not (item.canonical and self.rules.follows(item.canonical)):
                yield from self._let_go(item)
            else:
                self.deferred.append(item)
        self.waiting = sum(item.size for item in self.deferred)
        if self.waiting > 2 * MAX_HELD:
            yield from self.finish()

    def finish(self) -> Iterator[Parsed]:
        """Decide about the pages that were held to the end."""
        deferred, self.deferred = self.deferred, []
        for item in deferred:
            if not item.certain and (self.new.has_articles or self.old.has_articles):
                self.new.visits[item.url] = Visit(OTHER, item.validators, item.links)
            else:
                yield from self._let_go(item)

    def note(self, url: str, digest: str) -> None:
        """Record a document at this address, with a text of this digest."""
        self.documents[url] = digest
        self.by_key.setdefault(urls.same_page_key(url), []).append(url)

    def report(self) -> Iterator[Parsed]:
        """Report the pages without text of their own."""
        if self.bare:
            yield DocumentFailure(self.rules.site.start, _bare(self.bare), warning=True)

    def conclude(self) -> None:
        """Decide at the end of a whole crawl what the next one removes."""
        visits = self.new.visits
        pages = sum(1 for v in visits.values() if v.kind in (DOCUMENT, BARE) and v.digest)
        if 2 * self.new.tally.pages >= pages and self.new.tally.pages >= PAGES_THAT_TELL:
            self.new.repeats = self.new.tally.repeats()
        self.new.tally = Tally()
        if self.new.repeats and self.new.repeats != self.repeats:
            self.new.forget_validators(dict(visits))
        elif self.repeats != (self.old.repeats or Repeats()):
            before = self.old.visits
            self.new.forget_validators({u: v for u, v in visits.items() if v is before.get(u)})

    def _let_go(self, item: BufferedPage) -> Iterator[Parsed]:
        double = self._double_of(item)
        blocks = [] if double else self._own_blocks(item)
        try:
            document = self._document(item, blocks) if blocks else None
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            yield failure_at(item.url, error)
            return
        kind = OTHER if double else DOCUMENT if document else BARE
        if kind == BARE:
            self.bare.append(item.url)
        self.links += len(item.links)
        if self.links < MAX_LINKS_REMEMBERED:
            self.new.visits[item.url] = Visit(
                kind, item.validators, item.links, item.digest, double
            )
        if document:
            self.note(item.url, item.digest)
            yield document

    def _double_of(self, item: BufferedPage) -> str:
        """The address of the same page if it was yielded already."""
        if self.documents.get(item.canonical) == item.digest:
            return item.canonical
        key = urls.same_page_key(item.url)
        same = (url for url in self.by_key.get(key, []) if self.documents[url] == item.digest)
        return next(same, "")

    def _own_blocks(self, item: BufferedPage) -> list[str]:
        self.new.tally.add(item.content.blocks)
        return self.repeats.own_blocks(item.content.blocks)

    def _document(self, item: BufferedPage, blocks: list[str]) -> ParsedDocument:
        title = without_suffix(item.content.title, self.new.suffixes)
        title = title or unquote(urls.path_of(item.url).strip("/").rpartition("/")[2])
        content = "\n\n".join(blocks).strip("\n")
        place = unquote(item.url.removeprefix(self.rules.root)).removeprefix("Content/")
        return ParsedDocument(
            url=item.url,
            title=title,
            content=f"# {title}\n\n{content}" if item.content.is_headed else content,
            display_url=item.url,
            doc_type=self.rules.doc_type or doc_type_of(title, place, content),
            generations=generations_of(place, item.conditions, content, self.tag),
            deprecated=is_deprecated(item.conditions),
            breadcrumb=_without_itself(item.content.breadcrumb, title),
            metadata={"conditions": list(item.conditions)} if item.conditions else {},
            validators=item.validators,
        )


def _shared_by(held: Sequence[BufferedPage]) -> Repeats:
    tally = Tally()
    for item in held:
        tally.add(item.content.blocks)
    return tally.repeats()


def _without_itself(steps: tuple[str, ...], title: str) -> tuple[str, ...]:
    while steps and steps[-1].casefold() == title.casefold():
        steps = steps[:-1]
    return steps


def _common_suffixes(held: Sequence[BufferedPage]) -> set[str]:
    """The endings of most titles after a dash or bar: the site's name."""
    counts = Counter(suffix_of_title(item.content.title) for item in held)
    least = max(3, len(held) / 2)
    return {suffix for suffix, count in counts.items() if suffix and count >= least}


def _bare(found: Sequence[str]) -> str:
    shown = ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
    pages = "1 page has" if len(found) == 1 else f"{len(found):,} pages have"
    return (
        f"{pages} no text except what nearly every page of the site has: no document was made of "
        f"{shown}. Nothing needs to be done unless text is missing there."
    )
