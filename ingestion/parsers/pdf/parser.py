"""PDF files: one Document per section, text in reading order, with page numbers.

`read_pdf` reads bytes from anywhere; PdfParser calls it with a source's files.
"""

from __future__ import annotations

import gc
import io
import itertools
import logging
import re
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote

from pypdf import PageObject, PdfReader, apply_configuration
from pypdf.errors import (
    DependencyError,
    FileNotDecryptedError,
    LimitReachedError,
    PdfReadError,
    PyPdfError,
)
from pypdfium2 import PdfiumError

from ingestion.documents import (
    DocumentFailure,
    InputFile,
    Location,
    Parsed,
    ParsedDocument,
)
from ingestion.exceptions import DocumentError, failure_at
from ingestion.parsers.base import NOTHING_KNOWN, FileOptions, Known, Parser
from ingestion.parsers.files import SourceFile, find_files, kept, read_file, tasks_of
from ingestion.parsers.pdf import pdfium
from ingestion.parsers.pdf.blocks import Block, BlockBuilder
from ingestion.parsers.pdf.content import PageContent, read_content
from ingestion.parsers.pdf.font import Faces
from ingestion.parsers.pdf.layout import Item, PageLayout, lay_out
from ingestion.parsers.pdf.outline import (
    Section,
    addresses,
    fold,
    from_headings,
    from_outline,
    from_pages,
    heading_text,
    read_outline,
    title_lines,
)
from ingestion.parsers.pdf.repair import rebuild
from ingestion.parsers.pdf.survey import Survey
from ingestion.parsers.pdf.typography import Typography, drop_boilerplate, study
from ingestion.parsers.readers import SAME_PROCESS, Isolation, Task

# pypdf logs each oddity that it handles; what matters is reported as a Failure.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)

MAX_PAGES = 5_000
END_OF_FILE = b"%%EOF"
# The most bytes a stream may unpack to. A page of text needs far less; a bomb does not.
LIMITS: dict[str, Any] = {
    "zlib_maximum_output_length": 64_000_000,
    "lzw_maximum_output_length": 64_000_000,
    "run_length_maximum_output_length": 64_000_000,
    "array_based_stream_maximum_output_length": 64_000_000,
    "stream_decoding_work_maximum_length": 200_000_000,
}
# What pypdf raises, in addition to its own errors, for files broken in unexpected ways.
BROKEN = (
    PyPdfError, AssertionError, AttributeError, IndexError, KeyError, NotImplementedError,
    OSError, OverflowError, PdfiumError, RecursionError, TypeError, UnicodeError, ValueError,
    zlib.error,
)  # fmt: skip
EMPTY_TITLE = re.compile(
    r"^(?:untitled.*|unbenannt.*|unknown|title|document\d*|dokument\d*|.{0,2})$", re.IGNORECASE
)
PRODUCER_PREFIX = re.compile(r"^Microsoft (?:Word|PowerPoint|Excel) - ", re.IGNORECASE)
FILE_SUFFIX = re.compile(
    r"\.(?:docx?|pdf|dvi|tex|indd|pptx?|xlsx?|odt|rtf|fm|qxd|wpd)$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class PdfOrigin:
    """Where a PDF comes from: the base address of its sections, what people are shown, and the data
    that documents keep for the next run. `title` is used if the file has none."""

    url: str
    display_url: str
    title: str
    breadcrumb: tuple[str, ...] = ()
    inputs: tuple[InputFile, ...] = ()
    validators: Mapping[str, str] = field(default_factory=dict)


class PdfParser(Parser):
    """Reads the .pdf files of a source's paths."""

    version = 5
    endings = (".pdf",)
    Options = FileOptions

    def parse(
        self, known: Known = NOTHING_KNOWN, isolation: Isolation = SAME_PROCESS
    ) -> Iterator[Parsed]:
        found = kept(find_files(self.config, self.endings), self.options)
        yield from isolation.documents(self._read, tasks_of(self.config, found, known))

    def _read(self, task: Task[SourceFile]) -> Iterator[Parsed | None]:
        file = task.item
        try:
            data, read = read_file(self.config, file.path)
        except DocumentError as error:
            yield DocumentFailure(file.url, str(error), stage="read")
            return
        base = self.config.display_base_url
        shown = f"{base.rstrip('/')}/{quote(file.relative.as_posix())}" if base else file.path.name
        title = PurePosixPath(file.relative).stem
        yield from read_pdf(data, PdfOrigin(file.url, shown, title, inputs=(read,)))


def read_pdf(data: bytes, origin: PdfOrigin) -> Iterator[Parsed | None]:
    """The sections of a PDF as Documents, and Failures at `origin.url` for what cannot be read.
    None for each step.

    An error means that all text is missing (password, damage, no text layer), a warning that some
    is.
    """
    with apply_configuration(**LIMITS):
        parsed: list[Parsed] = []
        try:
            for step in _without_collections(_read_pdf(data, origin)):
                yield None
                parsed += [] if step is None else [step]
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            parsed = [failure_at(origin.url, error)]
    yield from parsed


def _without_collections(steps: Iterator[Parsed | None]) -> Iterator[Parsed | None]:
    """The steps, in none of which Python looks for cycles of objects: what a page is made of is in
    use until the page is laid out, and to look through it took a tenth of the time."""
    going = True
    while going:
        with _no_collections():
            found = list(itertools.islice(steps, 1))
        yield from found
        going = bool(found)


@contextmanager
def _no_collections() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read_pdf(data: bytes, origin: PdfOrigin) -> Iterator[Parsed | None]:
    try:
        opened = _open(data)
        reader, damage = opened.reader, opened.damage
    except DocumentError as error:
        yield DocumentFailure(origin.url, str(error))
        return
    pages, failures = yield from _read_pages(opened, origin)
    read = sum(bool(page.items) for page in pages)
    if damage:
        yield DocumentFailure(
            origin.url, f"{damage}. {read} pages could still be read: get it again."
        )
    yield from failures
    if read:
        yield from _documents(reader, pages, origin)
    elif not damage:
        yield DocumentFailure(origin.url, _why_no_text(reader, failures))


class _Opened(NamedTuple):
    reader: PdfReader
    data: bytes
    damage: str = ""


def _open(data: bytes) -> _Opened:
    """A reader, and what is damaged if the file had to be repaired.

    Raises DocumentError if the file is not a PDF, is beyond repair, or needs a password.
    """
    if b"%PDF-" not in data[:1024]:
        raise DocumentError("The file is not a PDF (it has no %PDF header): replace it.")
    try:
        opened = _Opened(_checked(data), data)
    except FileNotDecryptedError:
        raise DocumentError(
            "The file needs a password: remove it (qpdf --password=… --decrypt in.pdf out.pdf)."
        ) from None
    except DependencyError as error:
        raise DocumentError(f"The file's encryption cannot be read: {_say(error)}.") from error
    except BROKEN as error:
        opened = _repaired(data, error)
    if len(opened.reader.pages) > MAX_PAGES:
        raise DocumentError(f"The file has more than {MAX_PAGES:,} pages: split it.")
    return opened


def _checked(data: bytes) -> PdfReader:
    reader = PdfReader(io.BytesIO(data))
    if not len(reader.pages):
        raise PdfReadError("it has no pages")
    return reader


def _repaired(data: bytes, error: Exception) -> _Opened:
    what = "its end is missing" if END_OF_FILE not in data[-2048:] else _say(error)
    try:
        repaired = rebuild(data)
        if repaired is not None:
            return _Opened(_checked(repaired), repaired, f"The file is damaged ({what})")
    except BROKEN as second:
        what = f"{what}; {_say(second)}"
    raise DocumentError(
        f"The file is damaged ({what}): get it again or repair it (qpdf in.pdf out.pdf)."
    ) from error


def _say(error: BaseException) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


# Pages


def _read_pages(
    opened: _Opened, origin: PdfOrigin
) -> Generator[None, None, tuple[list[PageLayout], list[DocumentFailure]]]:
    pages: list[PageLayout] = []
    failures: list[DocumentFailure] = []
    odd: dict[int, PageContent] = {}
    with pdfium.opened(opened.reader, opened.data) as file:
        reader = _PageReader(opened.reader, file)
        for number in range(1, len(opened.reader.pages) + 1):
            yield
            try:
                layout, content = reader.read(number)
            except BROKEN as error:
                failures.append(_page_failure(origin, number, error))
                continue
            pages.append(layout)
            if content.unreadable or content.cut_short:
                odd[number] = content
    return pages, [*failures, *_warnings(origin, odd, reader.survey.missing_fonts)]


class _PageReader:
    """Reads the pages of one file, whose fonts, forms and columns are alike."""

    def __init__(self, reader: PdfReader, file: pdfium.File) -> None:
        self.reader = reader
        self.file = file
        self.faces = Faces()
        self.survey = Survey()
        self.gutters: list[float] = []

    def read(self, number: int) -> tuple[PageLayout, PageContent]:
        source = self.reader.pages[number - 1]
        whole = self.survey.check(source)
        with self.file.page(number) as page:
            content = read_content(page, self.faces, source)
        layout = lay_out(content, _seen_box(source), number, self.gutters)
        unreadable, cut_short = content.unreadable, content.cut_short or not whole
        return layout, PageContent(unreadable=unreadable, cut_short=cut_short)


def _seen_box(page: PageObject) -> tuple[float, float, float, float]:
    box = page.cropbox
    return float(box.left), float(box.bottom), float(box.right), float(box.top)


def _page_failure(origin: PdfOrigin, number: int, error: BaseException) -> DocumentFailure:
    limit = isinstance(error, LimitReachedError)
    what = "was skipped because it unpacks to too much" if limit else "could not be read"
    return DocumentFailure(
        origin.url, f"Page {number} {what} ({_say(error)}); the others were.", warning=True
    )


def _warnings(
    origin: PdfOrigin, contents: Mapping[int, PageContent], missing_fonts: set[str]
) -> Iterator[DocumentFailure]:
    if missing_fonts:
        names = ", ".join(sorted(missing_fonts))
        yield DocumentFailure(
            origin.url,
            f"Fonts are missing ({names}): letters may be wrong.",
            warning=True,
        )
    unreadable = {n: content.unreadable for n, content in contents.items() if content.unreadable}
    if unreadable:
        fonts = sorted({font for counts in unreadable.values() for font in counts})
        yield DocumentFailure(
            origin.url,
            f"{_pages(unreadable)}: signs in fonts that name no characters ({', '.join(fonts)}) "
            "were left out. If text is missing, run OCR (ocrmypdf --force-ocr in.pdf out.pdf).",
            warning=True,
        )
    broken = [number for number, content in contents.items() if content.cut_short]
    if broken:
        yield DocumentFailure(
            origin.url,
            f"{_pages(broken)}: broken drawing instructions were left out. "
            "If text is missing, write the file again (qpdf in.pdf out.pdf).",
            warning=True,
        )


def _pages(numbers: Iterable[int]) -> str:
    listed = sorted(numbers)
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    shown = ", ".join(map(str, listed[:8])) + more
    return f"Page {shown}" if len(listed) == 1 else f"Pages {shown}"


def _why_no_text(reader: PdfReader, failures: Sequence[DocumentFailure]) -> str:
    if failures:
        return "No text could be read: the warnings on this file say why."
    return (
        f"None of the {len(reader.pages)} pages has a text layer (a scan or pictures): "
        "run OCR over it (ocrmypdf in.pdf out.pdf)."
    )


# Documents


def _documents(
    reader: PdfReader, pages: Sequence[PageLayout], origin: PdfOrigin
) -> Iterator[ParsedDocument]:
    drop_boilerplate(pages)
    items: list[Item] = [item for page in pages for item in page.items]
    typography = study(items)
    own_title = _metadata_title(reader)
    place = title_lines(items, typography.levels, own_title)
    title = own_title or heading_text(items, place) or origin.title
    is_titled = 0 < len(place) < len(items)
    if is_titled:
        items, typography.levels = _without(items, typography.levels, place)
    root = Section(title, "start", 0)
    sections = _sections(reader, pages, items, typography, root)
    root.end = sections[0].start if sections else len(items)
    home, fragments = fold(root, items), addresses(root)
    for section in dict.fromkeys([root, *sections]):
        if home[section] is section:
            parts = [other for other in [root, *sections] if home[other] is section]
            writer = _Writer(items, typography, origin, len(reader.pages), is_titled)
            yield from writer.write(section, parts, fragments[section])


def _sections(
    reader: PdfReader,
    pages: Sequence[PageLayout],
    items: Sequence[Item],
    typography: Typography,
    root: Section,
) -> list[Section]:
    entries = read_outline(reader)
    if entries:
        return from_outline(entries, pages, items, root)
    if typography.levels:
        return from_headings(items, typography, root)
    if len({item.page for item in items}) > 1:
        return from_pages(items, root)
    return []


def _metadata_title(reader: PdfReader) -> str:
    """The title in the metadata; empty if it is missing or meaningless."""
    try:
        found = reader.metadata.title if reader.metadata else None
    except BROKEN:
        return ""
    title = " ".join(found.replace("\0", "").split()) if isinstance(found, str) else ""
    title = FILE_SUFFIX.sub("", PRODUCER_PREFIX.sub("", title)).strip()
    return "" if EMPTY_TITLE.match(title) else title


def _without(
    items: list[Item], levels: dict[int, int], place: range
) -> tuple[list[Item], dict[int, int]]:
    """The items and heading levels without those that only repeat the document's title."""
    kept = items[: place.start] + items[place.stop :]
    after = {i - len(place): level for i, level in levels.items() if i >= place.stop}
    return kept, {i: level for i, level in levels.items() if i < place.start} | after


class _Writer:
    """Writes the documents of a file. `is_titled` says that the file shows its title, which is not
    among the items."""

    def __init__(
        self,
        items: Sequence[Item],
        typography: Typography,
        origin: PdfOrigin,
        total: int,
        is_titled: bool,
    ) -> None:
        self.is_titled = is_titled
        self.items = items
        self.typography = typography
        self.origin = origin
        self.total = total

    def write(
        self, section: Section, parts: list[Section], fragment: str
    ) -> Iterator[ParsedDocument]:
        """The document of a section and of the tiny ones joined to it; none without text."""
        blocks = [block for part in parts for block in self._blocks(part, section)]
        if not blocks:
            return
        blocks = [*self._shown_title(section), *blocks]
        content, pages = _compose(blocks)
        first, last = min(p.number for p in pages), max(p.number for p in pages)
        yield ParsedDocument(
            url=f"{self.origin.url}#{fragment}",
            title=section.title,
            content=content,
            display_url=f"{self.origin.display_url}#page={first}",
            breadcrumb=self._breadcrumb(section),
            metadata={"page_start": first, "page_end": last, "pages": self.total},
            pages=pages,
            inputs=self.origin.inputs,
            validators=self.origin.validators,
        )

    def _shown_title(self, section: Section) -> list[Block]:
        """The title as a heading, if it stands above the section's text."""
        if not (section.heading or (section.parent is None and self.is_titled)):
            return []
        page = self.items[min(section.start, len(self.items) - 1)].page
        return [Block("heading", [f"# {section.title}"], [page])]

    def _breadcrumb(self, section: Section) -> tuple[str, ...]:
        above = [other.title for other in section.path()[:-1]]
        root = section
        while root.parent is not None:
            root = root.parent
        return (*self.origin.breadcrumb, *([] if section is root else [root.title]), *above)

    def _blocks(self, part: Section, home: Section) -> list[Block]:
        start = part.start + part.heading
        items = self.items[start : max(part.end, start)]
        levels = self._levels(part, home, start, items)
        builder = BlockBuilder(self.typography)
        if part is not home:
            level = min(6, 1 + part.depth - home.depth)
            at = self.items[min(part.start, len(self.items) - 1)].page
            builder.blocks.append(Block("heading", [f"{'#' * level} {part.title}"], [at]))
        return builder.build(items, levels)

    def _levels(
        self, part: Section, home: Section, start: int, items: Sequence[Item]
    ) -> dict[int, int]:
        """Levels of the headings inside a section by item index, starting one below its own."""
        found = {
            index - start: level
            for index, level in self.typography.levels.items()
            if start <= index < start + len(items)
        }
        if not found:
            return {}
        own = 1 + part.depth - home.depth
        highest = min(found.values())
        return {index: min(6, own + 1 + level - highest) for index, level in found.items()}


def _compose(blocks: Sequence[Block]) -> tuple[str, tuple[Location, ...]]:
    """The Markdown, and the lines at which a page begins."""
    lines: list[str] = []
    pages: list[Location] = []
    before = ""
    for block in blocks:
        if lines and not (before == block.kind == "item"):
            lines.append("")
        for text, page in zip(block.lines, block.pages, strict=True):
            if not pages or page > pages[-1].number:
                pages.append(Location(len(lines), page))
            lines.append(text)
        before = block.kind
    return "\n".join(lines), tuple(pages)
