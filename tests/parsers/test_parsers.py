"""What holds for all parsers: one document that trips the parser up does not end the reading."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingestion.documents import DocumentFailure, Parsed, ParsedDocument
from ingestion.exceptions import SourceError
from ingestion.parsers import parser_class
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.bbj import parser as bbj_parser
from ingestion.parsers.flare import parser as flare_parser
from ingestion.parsers.mdx import parser as mdx_parser
from ingestion.parsers.pdf import parser as pdf_parser
from ingestion.parsers.web import page_reading
from ingestion.parsers.web.page import WebPage
from ingestion.parsers.web.page_buffer import PageBuffer
from tests.support.web_known import Kept
from tests.support.web_known import read as read_site
from tests.support.web_server import WebServer

PDF = Path(__file__).parents[1] / "fixtures" / "pdf" / "columns.pdf"
TOPIC = (
    '<html xmlns:MadCap="http://www.madcapsoftware.com/Schemas/MadCap.xsd">'
    "<body><h1>Windows</h1><p>A window holds controls.</p></body></html>"
)
PAGE = "# Windows\n\nA window holds controls.\n"
PAGES: list[tuple[str, Any, str, str, str | Path]] = [
    ("MdxParser", mdx_parser.MdxParser, "_document", "{}.md", PAGE),
    ("BbjSourceParser", bbj_parser, "_no_program", "{}.bbj", 'print "A window"\n'),
    ("BbjSourceParser", bbj_parser.BbjSourceParser, "_document", "{}.bbj", 'print "A window"\n'),
    ("FlareParser", flare_parser._Topics, "_document", "Content/{}.htm", TOPIC),
    ("PdfParser", pdf_parser, "_documents", "{}.pdf", PDF),
]


def tripping(
    read: Callable[..., Any], error: Exception, word: str = "poison"
) -> Callable[..., Any]:
    """Fails where `word` is in one of its arguments."""

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
    (failure,) = (item for item in parsed if isinstance(item, DocumentFailure))
    assert failure.url == f"mine://{place.format('poison')}"
    assert not failure.warning
    assert "IndexError: no such row" in failure.message
    read = {item.url.partition("#")[0] for item in parsed if isinstance(item, ParsedDocument)}
    assert read == {f"mine://{place.format(stem)}" for stem in ("a", "z")}


@pytest.mark.parametrize(
    ("name", "owner", "method", "word", "files"),
    [
        (
            "MdxParser",
            mdx_parser,
            "_title",
            "index.md",
            {"guide/index.md": PAGE, "guide/z.md": PAGE},
        ),
        (
            "FlareParser",
            flare_parser._Topics,
            "_title",
            "Content/first.htm",
            {
                "Content/first.htm": TOPIC,
                "Content/z.htm": TOPIC.replace(
                    "controls", '<MadCap:xref href="first.htm"></MadCap:xref>'
                ),
            },
        ),
    ],
)
def test_a_file_whose_title_trips_the_parser_up_fails_alone(
    name: str,
    owner: Any,
    method: str,
    word: str,
    files: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though its neighbours ask for its title."""
    trips = tripping(getattr(owner, method), IndexError("no such row"), word)
    monkeypatch.setattr(owner, method, trips)
    for path, content in files.items():
        (tmp_path / "p" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / path).write_text(content)
    parsed = list(parser_class(name)(SourceConfig("mine", tmp_path, ("p",))).parse())
    first, last = files
    assert [f.url for f in parsed if isinstance(f, DocumentFailure)] == [f"mine://{first}"]
    assert [d.url for d in parsed if isinstance(d, ParsedDocument)] == [f"mine://{last}"]


@pytest.mark.parametrize("error", [SourceError("It is gone."), MemoryError()])
def test_what_concerns_the_whole_source_ends_the_reading(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, owner, method, place, content = PAGES[0]
    monkeypatch.setattr(owner, method, tripping(getattr(owner, method), error))
    with pytest.raises(type(error)):
        parse(tmp_path, name, place, content)


@pytest.mark.parametrize(
    ("owner", "name", "word"),
    [(page_reading, "WebPage", "/poison', b"), (PageBuffer, "_document", "/poison', content")],
)
def test_a_page_that_trips_the_parser_up_is_a_failure_and_its_site_is_read(
    owner: Any, name: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "A text that is long enough to be the content of a page of its own."
    links = '<a href="poison">first</a> <a href="z">last</a>'
    trips = tripping(getattr(owner, name), IndexError("no such row"), word)
    monkeypatch.setattr(owner, name, trips)
    with WebServer() as server:
        server.page("/", f"<h1>Start</h1><p>{text}</p>{links}", title="Start")
        for stem in ("poison", "z"):
            server.page(f"/{stem}", f"<h1>About {stem}</h1><p>{stem}: {text}</p>", title=stem)
        kept = Kept()
        reading, again = (read_site("WebCrawlParser", server.origin, kept=kept) for _ in range(2))
    assert set(again.errors) == {"/poison"}
    assert set(reading.documents) == {"/", "/z"}
    assert set(reading.errors) == {"/poison"}
    assert "IndexError: no such row" in reading.errors["/poison"]


def test_a_start_page_that_trips_the_parser_up_ends_the_reading_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        page_reading, "WebPage", tripping(WebPage, IndexError("no such row"), "http")
    )
    with WebServer() as server:
        server.page("/", "<h1>Start</h1><p>A text.</p>", title="Start")
        with pytest.raises(SourceError, match="only it lists the site's pages"):
            read_site("WebCrawlParser", server.origin)
