"""What a crawl needs to know of what it fetched, read where a document may be given up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ingestion.documents import DocumentFailure, Parsed
from ingestion.exceptions import DocumentError, failure_at
from ingestion.parsers.pdf import PdfOrigin, read_pdf
from ingestion.parsers.readers import Task
from ingestion.parsers.web import sitemaps
from ingestion.parsers.web.frontier import Lead
from ingestion.parsers.web.links import read_list
from ingestion.parsers.web.page import Content, WebPage
from ingestion.parsers.web.page_facts import PageFacts


@dataclass(frozen=True, slots=True)
class FetchedPage:
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class FetchedList:
    lead: Lead
    body: bytes


@dataclass(frozen=True, slots=True)
class FetchedPdf:
    title: str
    validators: Mapping[str, str]
    body: bytes


Fetched = FetchedPage | FetchedList | FetchedPdf


Found = Parsed | PageFacts | Content | sitemaps.Listed


@dataclass(frozen=True)
class Reading:
    """Reads what was fetched: of a page its facts, then its content in one of the `regions`; the
    addresses in a list; the sections of a PDF."""

    regions: tuple[str, ...]

    def __call__(self, task: Task[Fetched]) -> Iterator[Found | None]:
        try:
            yield from self._read(task.url, task.item)
        except DocumentError as error:
            yield DocumentFailure(task.url, str(error))
        except Exception as error:  # noqa: BLE001 - all but what concerns the whole source
            yield failure_at(task.url, error)

    def _read(self, url: str, fetched: Fetched) -> Iterator[Found | None]:
        if isinstance(fetched, FetchedPage):
            page = WebPage(url, fetched.body, fetched.content_type)
            yield PageFacts.of(page)
            yield page.content(self.regions)
        elif isinstance(fetched, FetchedList):
            yield read_list(fetched.lead, fetched.body)
        else:
            origin = PdfOrigin(url, url, fetched.title, validators=fetched.validators)
            yield from read_pdf(fetched.body, origin)


def first_failure(found: list[Found]) -> DocumentFailure | None:
    return next((one for one in found if isinstance(one, DocumentFailure)), None)
