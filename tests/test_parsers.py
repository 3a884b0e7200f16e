"""What holds for all parsers: one document that trips the parser up does not end the reading."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestion.documents import Document, Failure, Parsed
from ingestion.exceptions import SourceError
from ingestion.parsers import parser_class
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.bbj.parser import BbjSourceParser
from ingestion.parsers.flare.parser import _Reader
from ingestion.parsers.mdx.parser import MdxParser
from ingestion.parsers.pdf import parser as pdf_parser
from ingestion.parsers.web import crawl
from ingestion.parsers.web.page import Page
from tests.web_known import read as read_site
from tests.web_server import WebServer

PDF = Path(__file__).parent / "fixtures" / "pdf" / "columns.pdf"
TOPIC = "<html><body><h1>Windows</h1><p>A window holds controls.</p></body></html>"
PAGES = [
    ("MdxParser", MdxParser, "_document", "{}.md", "# Windows\n\nA window holds controls.\n"),
    ("BbjSourceParser", BbjSourceParser, "_document", "{}.bbj", 'print "A window"\n'),
    ("FlareParser", _Reader, "_document", "Content/{}.htm", TOPIC),
    ("PdfParser", pdf_parser, "_documents", "{}.pdf", PDF),
]


def tripping(
    read: Callable[..., Any], error: Exception, word: str = "poison"
) -> Callable[..., Any]:
    """Fails where `word` stands in one of its arguments."""

    def trip(*args: Any, **named: Any) -> Any:
        if word in repr(args):
            raise error
        return read(*args, **named)

    return trip


def parse(folder: Path, name: str, place: str, content: str | Path) -> list[Parsed]:
    for stem in ("a", "poison", "z"):
        file = folder / "p" / place.format(stem)
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copy(content, file)
        else:
            file.write_text(content)
    return list(parser_class(name)(SourceConfig("mine", folder, ("p",))).parse())


@pytest.mark.parametrize(("name", "owner", "method", "place", "content"), PAGES)
def test_a_file_that_trips_the_parser_up_is_a_failure_and_the_rest_is_read(
    name: str,
    owner: Any,
    method: str,
    place: str,
    content: str | Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner, method, tripping(getattr(owner, method), IndexError("no such row")))
    parsed = parse(tmp_path, name, place, content)
    (failure,) = (item for item in parsed if isinstance(item, Failure))
    assert failure.url == f"mine://{place.format('poison')}"
    assert not failure.warning
    assert "IndexError: no such row" in failure.message
    read = {item.url.partition("#")[0] for item in parsed if isinstance(item, Document)}
    assert read == {f"mine://{place.format(stem)}" for stem in ("a", "z")}


@pytest.mark.parametrize("error", [SourceError("It is gone."), MemoryError()])
def test_what_concerns_the_whole_source_ends_the_reading(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, owner, method, place, content = PAGES[0]
    monkeypatch.setattr(owner, method, tripping(getattr(owner, method), error))
    with pytest.raises(type(error)):
        parse(tmp_path, name, place, content)


def test_a_page_that_trips_the_parser_up_is_a_failure_and_its_site_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "A text that is long enough to be the content of a page of its own."
    links = '<a href="poison">first</a> <a href="z">last</a>'
    error = IndexError("no such row")
    with WebServer() as server:
        server.page("/", f"<h1>Start</h1><p>{text}</p>{links}", title="Start")
        for name in ("poison", "z"):
            server.page(f"/{name}", f"<h1>About {name}</h1><p>{name}: {text}</p>", title=name)
        monkeypatch.setattr(crawl, "Page", tripping(Page, error, f"{server.origin}/poison"))
        reading = read_site("WebCrawlParser", server.origin)
        monkeypatch.setattr(crawl, "Page", tripping(Page, error, server.origin))
        with pytest.raises(SourceError, match="it alone says what the site holds"):
            read_site("WebCrawlParser", server.origin)
    assert set(reading.documents) == {"/", "/z"}
    assert set(reading.errors) == {"/poison"}
    assert "IndexError: no such row" in reading.errors["/poison"]
