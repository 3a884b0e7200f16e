"""A document in pages that an assistant can take in, with an outline."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from ingestion import access
from ingestion.index import texts
from ingestion.models import Document, DocumentText
from ingestion.text.joining import FENCE, joined

OUTLINE_SHARE = 0.2  # of the first page

_HEADING = re.compile(r"^#{1,6} +(\S.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """Consecutive chunks under the same headings."""

    path: tuple[str, ...]
    text: str

    @property
    def name(self) -> str:
        return self.path[-1] if self.path else ""


@dataclass(frozen=True)
class Entry:
    """A line of the outline."""

    section: Section
    page: int


class Pages:
    """The pages of a document, none longer than `room` characters with all that is around it."""

    def __init__(self, document: Document, room: int) -> None:
        self.document = document
        self.room = room
        self.sections = sections(document)
        whole = sum(len(section.text) + 2 for section in self.sections)
        self.is_long = whole > room - len(self._head(1, 1)) - 200
        outline = int(OUTLINE_SHARE * room) if self.is_long else 0
        self.texts, self.entries = _divided(self.sections, room - 1000, outline)
        self.outline_room = outline

    @property
    def number(self) -> int:
        return len(self.texts)

    def page_of(self, wanted: str) -> int | None:
        """The page where the section of this name begins; by a part of it if none is called so."""
        key = wanted.strip().casefold()
        names = [(entry.section.name.casefold(), entry.page) for entry in self.entries]
        exact = (page for name, page in names if name == key)
        part = (page for name, page in names if key and key in name)
        return next(exact, next(part, None))

    def outline(self, room: int) -> str:
        """The sections with their pages; the deepest are left out until it fits. Empty if none has
        a name."""
        named = [entry for entry in self.entries if entry.section.path]
        if not named:
            return ""
        for depth in range(max((len(entry.section.path) for entry in named), default=0), 0, -1):
            lines = [_line(entry) for entry in named if len(entry.section.path) <= depth]
            text = "Outline (page: section):\n" + "\n".join(lines)
            if len(text) <= room:
                return text
        every = [_line(entry) for entry in _first_of_each_page(named)]
        return ("Outline (page: its first section):\n" + "\n".join(every))[:room]

    def shown(self, page: int) -> str:
        head = self._head(page, self.number)
        outline = self.outline(self.outline_room) if page == 1 and self.is_long else ""
        outline = f"\n\n{outline}" if outline else ""
        more = f"\n\n(Go on with page {page + 1}.)" if page < self.number else ""
        return f"{head}{outline}\n\n{self.texts[page - 1]}{more}"[: self.room]

    def _head(self, page: int, number: int) -> str:
        document = self.document
        link = document.display_url or document.url
        lines = [f"# {document.title[:300]}", f"Source: {link[:300]}"]
        if document.generations:
            lines.append(f"Generations: {', '.join(document.generations)[:100]}")
        if document.deprecated:
            lines.append("Deprecated.")
        if number > 1:
            lines.append(f"Page {page} of {number}.")
        return "\n".join(lines)


def sections(document: Document) -> list[Section]:
    """The sections of a document: from its text if that is stored, else from its chunks."""
    seen = access.current()
    chunks = document.chunks.filter(seen.within("document__source")).order_by("ordinal")
    rows = list(chunks.values_list("heading_path", "content"))
    kept = DocumentText.objects.filter(seen.within("document__source"), document=document)
    stored = kept.values_list("text", "chunks").first()
    if stored and len(parts := texts.parts(stored[1])) == len(rows):
        ends = [(tuple(path), end) for (path, _), (_, end) in zip(rows, parts, strict=True)]
        text = texts.unpacked(stored[0])
        fence = FENCE.match(rows[0][1]) if rows and not FENCE.search(text) else None
        found = _from_text(text, ends, fence[0].strip() if fence else "")
    else:
        grouped = groupby(rows, key=lambda row: tuple(row[0]))
        found = (Section(path, joined(text for _, text in group)) for path, group in grouped)
    return [part for section in found for part in _named(section)]


def _from_text(
    text: str, ends: Sequence[tuple[tuple[str, ...], int]], fence: str
) -> Iterator[Section]:
    """All of the text, each part with the section of the chunk that it is in or comes before. The
    text of a program is put between fences."""
    at, groups = 0, [(path, list(group)) for path, group in groupby(ends, itemgetter(0))]
    for number, (path, group) in enumerate(groups, 1):
        end = len(text) if number == len(groups) else max(end for _, end in group)
        end = _after_code(text, at, end)
        if shown := text[at:end].strip("\n"):
            yield Section(path, f"{fence}\n{shown}\n{fence[:3]}" if fence else shown)
        at = max(at, end)


def _named(section: Section) -> Iterator[Section]:
    """Sections so short that several share a chunk have no path there: they are told apart by their
    headings."""
    text = section.text
    fences = [fence.start() for fence in FENCE.finditer(text)]
    headings = [] if section.path else list(_HEADING.finditer(text))
    begun = [found for found in headings if not bisect(fences, found.start()) % 2]
    ends = [found.start() for found in begun] + [len(text)]
    if before := text[: ends[0]].strip("\n"):
        yield Section(section.path, before)
    for found, end in zip(begun, ends[1:], strict=True):
        yield Section((found[1].strip(),), text[found.start() : end].strip("\n"))


def _after_code(text: str, at: int, end: int) -> int:
    """The end, or that of the code which would be cut there."""
    is_open = len(FENCE.findall(text, at, end)) % 2
    closing = FENCE.search(text, end) if is_open else None
    return closing.end() if closing else end


def _line(entry: Entry) -> str:
    indent = "  " * (len(entry.section.path) - 1)
    return f"{indent}{entry.page}: {entry.section.name[:120]}"


def _first_of_each_page(entries: Sequence[Entry]) -> Iterable[Entry]:
    return (next(group) for _, group in groupby(entries, key=lambda entry: entry.page))


def _divided(sections: Iterable[Section], room: int, outline: int) -> tuple[list[str], list[Entry]]:
    """Pages of whole sections if they fit, and the page on which each section begins.

    The first page has room for the outline.
    """
    texts, entries = [""], list[Entry]()
    for section in sections:
        pieces = _pieces(section.text, room - outline)
        for place, piece in enumerate(pieces):
            left = room - (outline if len(texts) == 1 else 0) - len(texts[-1]) - 2
            if texts[-1] and len(piece) > left:
                texts.append("")
            texts[-1] = f"{texts[-1]}\n\n{piece}" if texts[-1] else piece
            if not place:
                entries.append(Entry(section, len(texts)))
    return texts, entries


def _pieces(text: str, room: int) -> list[str]:
    """A text that is longer than a page in parts, cut at the end of a paragraph or line."""
    pieces = []
    while len(text) > room:
        end = max(text.rfind("\n\n", room // 2, room), 0) or text.rfind("\n", room // 2, room)
        end = end if end > 0 else room
        pieces.append(text[:end])
        text = text[end:].lstrip("\n")
    return [*pieces, text]
