"""What a document was read from, with the place of the chosen chunk, in several views."""

from __future__ import annotations

import codecs
import difflib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Left
from django.urls import reverse

from ingestion.admin.chosen import Asked, Place
from ingestion.admin.markdown import marked
from ingestion.admin.passages import Passage, around, numbered
from ingestion.documents import Location
from ingestion.index import texts
from ingestion.models import Chunk, Document, DocumentText
from ingestion.parsers.bbj.lines import split_lines

LINES_BESIDE = 150  # lines of a file shown before and after the place
LONGEST_CHUNK = 20_000  # characters of a chunk that are shown
NEIGHBOURS = 5  # chunks shown before and after one, if the document's text is not stored
COMPARED = 400_000  # characters of two texts that are compared
DIFFERENCES = 2000  # lines of a difference

LABELS = {
    "page": "Page",
    "rendered": "Rendered",
    "markdown": "Markdown",
    "file": "File",
    "changes": "Last change",
}
# What is shown of a document, by the type of its file; the first without being asked for.
TABS: Mapping[str, tuple[str, ...]] = {
    texts.PDF: ("page", "rendered", "markdown"),
    texts.PLAIN: ("file", "markdown"),
    texts.MARKDOWN: ("rendered", "markdown", "file"),
    texts.HTML: ("rendered", "markdown", "file"),
    "": ("rendered", "markdown"),
}
OF_THE_FILE = ("page", "file")


@dataclass(frozen=True)
class Tab:
    name: str
    label: str
    url: str
    is_chosen: bool


@dataclass
class Original:
    """What a document was read from, as one of several views."""

    document: Document
    asked: Asked
    places: Sequence[Place]
    chosen: Place | None
    stored: DocumentText | None = field(init=False)

    def __post_init__(self) -> None:
        rows = DocumentText.objects.filter(document=self.document).defer("previous")
        self.stored = rows.annotate(has_changed=Q(previous__isnull=False)).first()

    @cached_property
    def text(self) -> str:
        return texts.unpacked(self.stored.text) if self.stored else ""

    def names(self) -> list[str]:
        """The views that there are."""
        if self.stored is None:
            return ["rendered", "markdown"]
        names = [*TABS.get(self.stored.media_type, TABS[""])]
        if self.stored.original_id is None:
            names = ["rendered", *(n for n in names if n not in (*OF_THE_FILE, "rendered"))]
        has_changed: bool = self.stored.has_changed  # type: ignore[attr-defined]
        return [*names, "changes"] if has_changed else names

    def name(self) -> str:
        names = self.names()
        return self.asked.show if self.asked.show in names else names[0]

    def tabs(self) -> list[Tab]:
        name = self.name()
        return [
            Tab(n, LABELS[n], f"{self.asked.url(show=n)}#chosen", n == name) for n in self.names()
        ]

    def note(self) -> str:
        """Why something is missing; empty if nothing is."""
        stored = self.stored
        if stored is None:
            return (
                "This document was stored by an earlier version, without what it was read from: "
                "its chunks are shown. The next run of its source stores it, and embeds nothing "
                "for that."
            )
        if self.chosen and self.chosen.start is None:
            return (
                "It is not known where this chunk is: ingest its source from scratch to have it "
                "marked."
            )
        if not stored.media_type or stored.original_id is not None:
            return ""
        size, limit = stored.original_size or 0, settings.ORIGINAL_LIMIT
        if size > limit:
            return (
                f"The file ({size / 1024:,.0f} KB) is larger than ORIGINAL_LIMIT_KB "
                f"({limit // 1024:,}) and was not stored: its parsed text is shown."
            )
        return (
            "The file changed while it was read and was not stored: its parsed text is shown. "
            "The next run of its source stores it."
        )

    def view(self) -> dict[str, Any]:
        name = self.name()
        views: dict[str, Callable[[], dict[str, Any]]] = {
            "page": self._page,
            "rendered": self._rendered,
            "markdown": self._markdown,
            "file": self._file,
            "changes": self._changes,
        }
        return {"name": name, "label": LABELS[name], **views[name]()}

    @cached_property
    def _passage(self) -> tuple[Passage, int, int]:
        """The shown part of the text, and where the chosen chunk lies in it."""
        if self.stored is None:
            return _of_chunks(self.document, self.chosen)
        start = self.chosen.start or 0 if self.chosen else 0
        end = self.chosen.end or start if self.chosen else 0
        passage = around(self.text, start, end)
        return passage, passage.place(start), passage.place(end)

    def _rendered(self) -> dict[str, Any]:
        passage, start, end = self._passage
        return {"html": marked(passage.text, start, end), **self._beside_text(passage)}

    def _markdown(self) -> dict[str, Any]:
        passage, start, end = self._passage
        lead = passage.lead.count("\n")
        first = self.text.count("\n", 0, passage.start) + 1 - lead
        lines = numbered(passage.text, first, start, end)[lead:]
        return {"lines": lines, **self._beside_text(passage)}

    def _beside_text(self, passage: Passage) -> dict[str, Any]:
        """The addresses of the text before and after the shown part: of the nearest chunks."""
        before = [place for place in self.places if (place.start or 0) < passage.start]
        after = [place for place in self.places if (place.end or 0) > passage.end]
        return self._turned(before, after) if self.stored else {}

    def _turned(self, before: Sequence[Place], after: Sequence[Place]) -> dict[str, Any]:
        return {
            "before": f"{self.asked.url(chunk=before[-1].ordinal)}#chosen" if before else "",
            "after": f"{self.asked.url(chunk=after[0].ordinal)}#chosen" if after else "",
        }

    def _file(self) -> dict[str, Any]:
        """The lines of the file around those of the chunk."""
        lines = split_lines(_decoded(self._bytes())) or [""]
        first, last = self._lines_of_chunk(lines)
        while last > first and not lines[last - 1].strip():
            last -= 1
        begin = max(0, (first or 1) - 1 - LINES_BESIDE)
        end = min(len(lines), (last or 2 * LINES_BESIDE) + LINES_BESIDE)
        shown = [
            numbered(line, number, 0, len(line) + 1 if first <= number <= last else 0)[0]
            for number, line in enumerate(lines[begin:end], begin + 1)
        ]
        before = [place for place in self.places if place.line and place.line <= begin]
        after = [place for place in self.places if place.line and place.line > end]
        is_known = bool(first or not self.chosen)
        return {"lines": shown, "is_known": is_known, **self._turned(before, after)}

    def _lines_of_chunk(self, file: Sequence[str]) -> tuple[int, int]:
        """The first and last line of the file that the chosen chunk came from; 0 if unknown."""
        if self.chosen is None or self.chosen.start is None or self.stored is None:
            return 0, 0
        known, _ = texts.places(self.stored.places)
        start = self.text.count("\n", 0, self.chosen.start)
        end = self.text.count("\n", 0, self.chosen.end or 0)
        until = bisect_right(known, end, key=lambda place: place.content_line)
        if not until:
            return 0, 0
        at = bisect_right(known, start, key=lambda place: place.content_line)
        return known[max(at - 1, 0)].number, _last_line(known, until - 1, file)

    def _bytes(self) -> bytes:
        if self.stored is None or self.stored.original is None:
            return b""
        return texts.file_bytes(self.stored.original)

    def _page(self) -> dict[str, Any]:
        """The page of the PDF on which the chunk begins, or another one."""
        _, pages = texts.places(self.stored.places) if self.stored else ([], [])
        numbers = sorted({page.number for page in pages}) or [1]
        wanted = self.asked.page or (self.chosen and self.chosen.page) or numbers[0]
        number = min(max(wanted, numbers[0]), numbers[-1])
        return {
            "number": number,
            "last": numbers[-1],
            "picture": self._picture(number),
            "before": self.asked.url(page=number - 1) if number > numbers[0] else "",
            "after": self.asked.url(page=number + 1) if number < numbers[-1] else "",
        }

    def _picture(self, number: int) -> str:
        """The address of a page's picture, with the words of the chosen chunk marked."""
        there = reverse("admin:ingestion_document_picture", args=[self.document.pk, number])
        digest = (self.stored.original_id or "")[:16] if self.stored else ""
        query = {"of": digest} | ({"chunk": self.chosen.pk} if self.chosen else {})
        return f"{there}?{urlencode(query)}"

    def _changes(self) -> dict[str, Any]:
        if self.stored is None or self.stored.previous is None:
            return {}
        old = texts.unpacked(self.stored.previous)
        if len(old) + len(self.text) > COMPARED:
            return {"is_too_long": True, "replaced_at": self.stored.replaced_at}
        lines = list(_difference(old.split("\n"), self.text.split("\n")))
        return {"changes": lines, "replaced_at": self.stored.replaced_at}


def _of_chunks(document: Document, chosen: Place | None) -> tuple[Passage, int, int]:
    """The texts of the chosen chunk and its neighbours, as one."""
    at = chosen.ordinal if chosen else 0
    rows = Chunk.objects.filter(
        document=document, ordinal__range=(at - NEIGHBOURS, at + NEIGHBOURS)
    )
    body, start, end = "", 0, 0
    rows = rows.order_by("ordinal").annotate(beginning=Left("content", LONGEST_CHUNK))
    for ordinal, content in rows.values_list("ordinal", "beginning"):
        if chosen and ordinal == chosen.ordinal:
            start, end = len(body), len(body) + len(content)
        body += f"{content}\n\n"
    return Passage(0, len(body), "", body), start, end


def _last_line(known: Sequence[Location], at: int, file: Sequence[str]) -> int:
    """The line before the one that the next known place is on, without blank lines."""
    following = known[at + 1].number if at + 1 < len(known) else len(file) + 1
    last = min(following - 1, len(file))
    while last > known[at].number and not file[last - 1].strip():
        last -= 1
    return max(last, known[at].number)


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


@dataclass(frozen=True)
class Change:
    """A line of a difference: `sign` is "+", "-", "@" or empty."""

    sign: str
    text: str


def _difference(old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    """The lines that differ, with three around each."""
    lines: Iterable[str] = difflib.unified_diff(old, new, lineterm="", n=3)
    for number, line in enumerate(lines):
        if number > DIFFERENCES:
            yield Change("@", "More follows.")
            return
        if number > 1:  # after the names of the two
            yield Change(line[:1].strip(), line if line.startswith("@") else line[1:])
