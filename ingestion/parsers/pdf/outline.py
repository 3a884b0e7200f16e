"""Sections of a PDF: from its outline if there is one, else from its headings, else its pages.

A section begins at an item (a line or table, in reading order) and ends where the next begins, so
that every line is in exactly one section, whatever the outline.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pypdf import PdfReader
from pypdf.errors import PyPdfError
from pypdf.generic import Destination

from ingestion.parsers.pdf.layout import Item, PageLayout
from ingestion.parsers.pdf.lines import Line
from ingestion.parsers.pdf.typography import SECTION_NUMBER, Typography, has_leader
from ingestion.parsers.pdf.words import turn

TINY = 400  # characters: a section with less text is joined to the one above it
MAX_ENTRIES = 20_000


@dataclass(slots=True)
class Entry:
    """An outline entry. `page` counts from 1; it is 0 if the destination is broken."""

    title: str
    page: int
    x: float | None
    y: float | None
    parent: int | None
    depth: int


@dataclass(slots=True, eq=False)
class Section:
    """`start` is its first item, `heading` the number of items that only repeat its title."""

    title: str
    slug: str
    start: int
    heading: int = 0
    parent: Section | None = None
    children: list[Section] = field(default_factory=list)
    end: int = 0

    @property
    def depth(self) -> int:
        return 0 if self.parent is None else self.parent.depth + 1

    def path(self) -> list[Section]:
        """From the root's child down to this section."""
        return [] if self.parent is None else [*self.parent.path(), self]


def read_outline(reader: PdfReader) -> list[Entry]:
    """The outline's entries in order; empty if there is none or it cannot be read."""
    try:
        outline = reader.outline
    except (PyPdfError, AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return []
    entries: list[Entry] = []
    _collect(reader, outline, None, 0, entries)
    return entries if any(entry.page for entry in entries) else []


def _collect(
    reader: PdfReader, nodes: Sequence[Any], parent: int | None, depth: int, out: list[Entry]
) -> None:
    last = parent
    for node in nodes:
        if isinstance(node, list):
            _collect(reader, node, last, depth + 1, out)
        elif len(out) < MAX_ENTRIES:
            title = " ".join(str(node.title or "").replace("\0", "").split())
            x, y = _number(node, "left"), _number(node, "top")
            out.append(Entry(title, _page_number(reader, node), x, y, parent, depth))
            last = len(out) - 1


def _page_number(reader: PdfReader, node: Destination) -> int:
    try:
        number = reader.get_destination_page_number(node)
    except (PyPdfError, AttributeError, KeyError, TypeError, ValueError):
        return 0
    return 0 if number is None or number < 0 else number + 1


def _number(node: Destination, name: str) -> float | None:
    value = getattr(node, name, None)
    return float(value) if isinstance(value, (int, float)) else None


# Where sections begin


def from_outline(
    entries: Sequence[Entry], pages: Sequence[PageLayout], items: Sequence[Item], root: Section
) -> list[Section]:
    """The sections of the entries, sorted by where they begin.

    An entry begins at the line with its title near its destination, else at its destination. Of
    entries that begin at the same item, only a parent and its child are both kept. An entry on a
    page before its parent's is left out: it found another heading of the same name.
    """
    locator = _Locator(pages, items)
    sections: list[Section | None] = []
    taken: dict[int, Section] = {}
    for entry in entries:
        above = _nearest(sections, entries, entry.parent) or root
        place = locator.find(entry)
        if place is None or not entry.title or locator.is_pages_before(place[0], above):
            sections.append(None)
            continue
        start, heading, title = place
        other = taken.get(start)
        if other is not None and other is not above:
            sections.append(other)
            continue
        section = Section(title, slugify(_bare(entry.title)), start, heading, above)
        above.children.append(section)
        taken[start] = section
        sections.append(section)
    found = list(dict.fromkeys(s for s in sections if s is not None))
    return _close(found, len(items))


def _nearest(
    sections: Sequence[Section | None], entries: Sequence[Entry], index: int | None
) -> Section | None:
    while index is not None:
        if sections[index] is not None:
            return sections[index]
        index = entries[index].parent
    return None


def _close(sections: list[Section], total: int) -> list[Section]:
    ordered = sorted(sections, key=lambda section: (section.start, section.depth))
    for section, after in itertools.pairwise(ordered):
        section.end = after.start
    if ordered:
        ordered[-1].end = total
    return ordered


class _Locator:
    def __init__(self, pages: Sequence[PageLayout], items: Sequence[Item]) -> None:
        self.items = items
        self.pages = {page.number: page for page in pages}
        self.first: dict[int, int] = {}
        self.on_page: dict[int, list[int]] = {}
        for index, item in enumerate(items):
            self.first.setdefault(item.page, index)
            self.on_page.setdefault(item.page, []).append(index)
        self.used: set[int] = set()
        self.last_page = max(self.pages, default=0)

    def find(self, entry: Entry) -> tuple[int, int, str] | None:
        """The first item of the section, the number of items in its heading, and its title."""
        for page in (entry.page, entry.page + 1, entry.page - 1):
            found = self._by_title(entry, page, anywhere=page != entry.page)
            if found is not None:
                self.used.add(found[0])
                return found
        if not entry.page:
            return None
        return self._by_position(entry), 0, entry.title

    def is_pages_before(self, index: int, above: Section) -> bool:
        """Whether the item is on a page before the first page of the section `above`."""
        if above.parent is None or max(index, above.start) >= len(self.items):
            return False
        return self.items[index].page < self.items[above.start].page

    def _by_title(self, entry: Entry, page: int, *, anywhere: bool) -> tuple[int, int, str] | None:
        candidates = []
        for index in self.on_page.get(page, []):
            if index in self.used:
                continue
            match = self._matches(entry.title, index)
            if match is not None:
                candidates.append((self._distance(entry, index, anywhere), index, *match))
        if not candidates:
            return None
        _, index, count, title = min(candidates)
        return index, count, title

    def _distance(self, entry: Entry, index: int, anywhere: bool) -> float:
        item, page = self.items[index], self.pages.get(entry.page)
        if entry.y is None or page is None or anywhere:
            return 0.0
        _, y = turn(entry.x or 0.0, entry.y, page.angle)
        return abs(y - item.y)

    def _matches(self, title: str, index: int) -> tuple[int, str] | None:
        """The number of lines from `index` on that form the title, and their text."""
        wanted, text = _plain(title), ""
        for count in range(1, 5):
            place = index + count - 1
            line = self.items[place] if place < len(self.items) else None
            if not isinstance(line, Line) or line.page != self.items[index].page:
                return None
            if has_leader(line.text):
                return None
            text = re.sub(r"(?<=\w)-$", "", text) + ("" if text.endswith("-") else " ") + line.text
            text = text.strip()
            plain = _plain(text)
            if plain == wanted or _plain(_bare(text)) == _plain(_bare(title)):
                return count, text if plain.endswith(wanted) else title
            if not wanted.startswith(plain) and not wanted.startswith(_plain(_bare(text))):
                return None
        return None

    def _by_position(self, entry: Entry) -> int:
        page = self.pages.get(entry.page)
        on_page = self.on_page.get(entry.page, [])
        if page is None or not on_page:
            later = [first for number, first in self.first.items() if number >= entry.page]
            return min(later, default=len(self.items))
        if entry.y is None:
            return on_page[0]
        x, y = turn(entry.x or 0.0, entry.y, page.angle)
        below = [i for i in on_page if self.items[i].y <= y + 2.0]
        column = [i for i in below if self.items[i].x1 > x]
        return min(column or below, default=on_page[-1] + 1)


def from_headings(items: Sequence[Item], typography: Typography, root: Section) -> list[Section]:
    """A section for each heading, under the nearest larger heading above it."""
    sections: list[Section] = []
    stack: list[tuple[int, Section]] = [(0, root)]
    for start, count, title in _headings(items, typography):
        level = typography.levels[start]
        while stack[-1][0] >= level:
            stack.pop()
        above = stack[-1][1]
        section = Section(title, slugify(_bare(title)), start, count, above)
        above.children.append(section)
        stack.append((level, section))
        sections.append(section)
    return _close(sections, len(items))


def _headings(items: Sequence[Item], typography: Typography) -> Iterator[tuple[int, int, str]]:
    index = 0
    while index < len(items):
        if index not in typography.levels:
            index += 1
            continue
        count = heading_length(items, index, typography.levels)
        yield index, count, _heading_text(items, index, count)
        index += count


def heading_length(items: Sequence[Item], index: int, levels: dict[int, int]) -> int:
    """The number of lines of the heading at `index`."""
    count = 1
    while levels.get(index + count) == levels[index] and _same_heading(items, index + count):
        count += 1
    return count


def _same_heading(items: Sequence[Item], index: int) -> bool:
    before, line = items[index - 1], items[index]
    if not isinstance(before, Line) or not isinstance(line, Line):
        return False
    return (
        (before.page, before.region) == (line.page, line.region)
        and abs(before.size - line.size) < 0.4
        and 0 < before.y - line.y < 1.6 * line.size
        and not SECTION_NUMBER.match(line.text)
    )


def title_lines(items: Sequence[Item], levels: dict[int, int], title: str) -> range:
    """The indices of the items on the first page that form the document's title.

    Without a `title`, this is the only heading of the highest level, if it comes first.
    """
    if not levels:
        return range(0)
    first = min(levels)
    count = heading_length(items, first, levels)
    if items[first].page != items[0].page:
        return range(0)
    if title:
        same = _plain(_heading_text(items, first, count)) == _plain(title)
        return range(first, first + count) if same else range(0)
    highest = [index for index, level in levels.items() if level == min(levels.values())]
    alone = len(highest) == count and levels[first] == min(levels.values()) and len(levels) > count
    return range(first, first + count) if alone else range(0)


def heading_text(items: Sequence[Item], place: range) -> str:
    return _heading_text(items, place.start, len(place))


def _heading_text(items: Sequence[Item], index: int, count: int) -> str:
    texts = [item.text for item in items[index : index + count] if isinstance(item, Line)]
    return re.sub(r"(?<=[a-z])- (?=[a-z])", "", " ".join(texts))


def from_pages(items: Sequence[Item], root: Section) -> list[Section]:
    sections: list[Section] = []
    for index, item in enumerate(items):
        if not index or item.page != items[index - 1].page:
            section = Section(f"Page {item.page}", f"page-{item.page}", index, 0, root)
            root.children.append(section)
            sections.append(section)
    return _close(sections, len(items))


# Which sections become documents


def fold(root: Section, items: Sequence[Item]) -> dict[Section, Section]:
    """For each section, the one whose document contains its text: itself, or one above it.

    A section that is tiny with all below it is joined to its parent, so that hundreds of bookmarks
    for a few lines each do not become hundreds of documents.
    """
    sizes: dict[Section, int] = {}
    for section in reversed(_walk(root)):
        own = sum(_length(item) for item in items[section.start + section.heading : section.end])
        sizes[section] = own + sum(sizes[child] for child in section.children)
    home = {root: root}
    for section in _walk(root)[1:]:
        assert section.parent is not None
        above = home[section.parent]
        joins = sizes[section] < TINY or (above is not section.parent)
        home[section] = above if joins else section
    return home


def _walk(root: Section) -> list[Section]:
    """The section and all below it, parents first."""
    found, front = [], [root]
    while front:
        section = front.pop()
        found.append(section)
        front.extend(reversed(section.children))
    return found


def _length(item: Item) -> int:
    if isinstance(item, Line):
        return len(item.text)
    return sum(len(line) for row in item.rows for cell in row for line in cell)


def addresses(root: Section) -> dict[Section, str]:
    """The fragment of each section: the slugs of its path, with a number for a repeated path.

    It depends only on the titles of the section and its parents, as long as these are unique.
    """
    found: dict[Section, str] = {root: "start"}
    used = {"start"}
    for section in sorted(_walk(root)[1:], key=lambda s: (s.depth, s.start)):
        assert section.parent is not None
        above = found[section.parent] if section.parent is not root else ""
        base = f"{above}/{section.slug}" if above else section.slug
        name, number = base, 1
        while name in used:
            number += 1
            name = f"{base}-{number}"
        used.add(name)
        found[section] = name
    return found


def slugify(title: str) -> str:
    """A title as part of an address: lower case, letters and digits of any script, hyphens."""
    text = unicodedata.normalize("NFKC", title).lower()
    return re.sub(r"[^\w]+", "-", text).strip("-_")[:80].strip("-") or "section"


@lru_cache(4_096)
def _bare(title: str) -> str:
    """The title without its number, which changes when a section is inserted before it."""
    rest = SECTION_NUMBER.sub("", title, count=1)
    return rest if len(re.sub(r"\W", "", rest)) >= 2 else title


@lru_cache(4_096)
def _plain(title: str) -> str:
    return re.sub(r"\W+", "", unicodedata.normalize("NFKC", title)).lower()
