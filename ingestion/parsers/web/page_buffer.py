"""Turns the pages that were read into Documents, without the boilerplate that they share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from ingestion.documents import Parsed, ParsedDocument
from ingestion.enrichment.doc_types import doc_type_of
from ingestion.enrichment.generations import generations_of, is_deprecated
from ingestion.exceptions import failure_at
from ingestion.parsers.web import urls
from ingestion.parsers.web.boilerplate import repeated, without_repeated
from ingestion.parsers.web.crawl_state import DOCUMENT, OTHER, CrawlState, Visit
from ingestion.parsers.web.frontier import Rules
from ingestion.parsers.web.page import Content, suffix_of_title, without_suffix

SAMPLE = 40
MAX_HELD = 16 * 1024 * 1024  # characters of text held at once
MAX_LINKS_REMEMBERED = 3_000_000


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
    """Holds the first pages until it is known what most of them share. Pages that declare another
    address, or may not be documents, are held to the end."""

    def __init__(self, rules: Rules, tag: str, old: CrawlState, new: CrawlState) -> None:
        self.rules = rules
        self.tag = tag
        self.old = old
        self.new = new
        self.held: list[BufferedPage] = []
        self.deferred: list[BufferedPage] = []
        self.settled = False
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
            self.new.boilerplate = self.old.boilerplate | repeated(
                [item.content.blocks for item in self.held]
            )
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

    def _let_go(self, item: BufferedPage) -> Iterator[Parsed]:
        double = self._double_of(item)
        try:
            document = None if double else self._document(item)
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            yield failure_at(item.url, error)
            return
        kind = OTHER if double else DOCUMENT
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

    def _document(self, item: BufferedPage) -> ParsedDocument:
        title = without_suffix(item.content.title, self.new.suffixes)
        title = title or unquote(urls.path_of(item.url).strip("/").rpartition("/")[2])
        blocks = without_repeated(item.content.blocks, self.new.boilerplate)
        content = "\n\n".join(blocks).strip("\n")
        place = unquote(item.url.removeprefix(self.rules.root)).removeprefix("Content/")
        return ParsedDocument(
            url=item.url,
            title=title,
            content=content,
            display_url=item.url,
            doc_type=self.rules.doc_type or doc_type_of(title, place, content),
            generations=generations_of(place, item.conditions, content, self.tag),
            deprecated=is_deprecated(item.conditions),
            breadcrumb=_without_itself(item.content.breadcrumb, title),
            metadata={"conditions": list(item.conditions)} if item.conditions else {},
            validators=item.validators,
        )


def _without_itself(steps: tuple[str, ...], title: str) -> tuple[str, ...]:
    while steps and steps[-1].casefold() == title.casefold():
        steps = steps[:-1]
    return steps


def _common_suffixes(held: Sequence[BufferedPage]) -> set[str]:
    """The endings of most titles after a dash or bar: the site's name."""
    counts = Counter(suffix_of_title(item.content.title) for item in held)
    least = max(3, len(held) / 2)
    return {suffix for suffix, count in counts.items() if suffix and count >= least}
