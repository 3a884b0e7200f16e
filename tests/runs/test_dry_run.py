"""Trials as the admin's Test and Preview start them: a process for each, on the sample data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_network

import pytest
from pytest_django import Settings

from ingestion.parsers import PARSERS
from ingestion.parsers.web_settings import WebSettings
from ingestion.runs import dry_run
from sample_data.serve import HERE, served
from sources.models import Source
from tests.support.web_server import WebServer, endless

pytestmark = pytest.mark.django_db
SEEDED = (
    *("flare", "pdf", "mdx-dwc", "mdx-beginner", "mdx-db-modernization", "bbj-source"),
    *("javadoc", "advantage", "kb", "web-crawl"),
)


@pytest.fixture(scope="module")
def origins() -> Iterator[dict[str, str]]:
    """The sample sites, served on the loopback as `make serve` does."""
    with ExitStack() as stack:
        sites = [path for path in (HERE / "web").iterdir() if path.is_dir()]
        yield {f"https://{site.name}": stack.enter_context(served(site)) for site in sites}


@pytest.fixture(autouse=True)
def web(settings: Settings, origins: dict[str, str]) -> None:
    settings.WEB = WebSettings(
        allow_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")), origin_map=origins
    )


def test_every_parser_is_among_the_seeded_sources() -> None:
    assert set(Source.objects.values_list("parser", flat=True)) == set(PARSERS)
    assert set(Source.objects.values_list("name", flat=True)) == set(SEEDED)


@pytest.mark.parametrize("name", SEEDED)
def test_every_seeded_source_can_be_tried(name: str) -> None:
    found = dry_run.run(dry_run.order(Source.objects.get(name=name), seconds=30))
    assert found.problem == ""
    assert found.complete
    assert found.documents
    assert all(document.hashes for document in found.documents)


def test_an_order_reaches_the_process_as_it_was_given() -> None:
    source = Source(
        name="site",
        parser="WebCrawlParser",
        start_url="https://site.example/",
        paths=["a", "b"],
        generation="dwc",
        display_base_url="https://shown.example/",
        options={"exclude": ["x"], "delay": 0.5},
    )
    order = dry_run.order(source, seconds=3, documents=7, texts=True)
    web = every_field_changed(order.config.web)
    prefixes = {"a": "", "b": "b"}
    order = replace(order, config=replace(order.config, web=web, address_prefixes=prefixes))
    assert dry_run.understood(dry_run.written(order)) == order


def every_field_changed(web: WebSettings | None) -> WebSettings:
    assert web is not None
    return WebSettings(
        contact="docs@example.com",
        version="2.3.4",
        allow_networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
        origin_map={"https://a.example": "http://127.0.0.1:1"},
        connect_seconds=1.0,
        read_seconds=2.0,
        request_seconds=3.0,
        attempts=4,
        retry_wait=5.0,
        retry_after_max=6.0,
    )


def test_a_trial_ends_at_the_number_it_was_given() -> None:
    found = dry_run.run(dry_run.order(Source.objects.get(name="flare"), seconds=30, documents=2))
    assert (len(found.documents), found.complete, found.problem) == (2, False, "")


def site(server: WebServer, delay: float) -> Source:
    return Source(
        name="site",
        parser="WebCrawlParser",
        start_url=f"{server.origin}/",
        options={"delay": delay},
    )


def test_a_site_that_does_not_answer_is_named_and_what_came_before_is_kept(
    settings: Settings,
) -> None:
    """The kernel ends the process, whatever it is at."""
    with WebServer() as server:
        server.page("/", '<h1>Start</h1><p>A text of its own.</p><a href="slow.htm">slow</a>')
        server.always("/slow.htm", endless(part=b"x", pause=0.2))
        settings.WEB = replace(settings.WEB, origin_map={})
        source = site(server, delay=0)
        found = dry_run.run(replace(dry_run.order(source, seconds=5), patience=1))
    assert found.problem.startswith("site was stopped after 6 seconds")
    assert "a run waits longer" in found.problem
    assert not found.complete


def test_of_a_large_site_the_first_pages_are_shown(settings: Settings) -> None:
    """A crawl holds its first 40 pages to learn what the site repeats: no try lasts so long.

    Read here, because a process takes longer than that to start on a busy machine.
    """
    with WebServer() as server:
        links = "".join(f'<a href="p{number}.htm">Page {number}</a> ' for number in range(60))
        server.page("/", f"<h1>Start</h1><p>A text of its own.</p><p>{links}</p>")
        for number in range(60):
            server.page(f"/p{number}.htm", f"<h1>Page {number}</h1><p>The text of {number}.</p>")
        settings.WEB = replace(settings.WEB, origin_map={})
        source = site(server, delay=0.2)
        *documents, end = dry_run.read(dry_run.order(source, seconds=3))
    assert end == {"kind": "end", "complete": False, "problem": ""}
    assert {one["kind"] for one in documents} == {"document"}
    assert {"Start", "Page 0"} <= {one["title"] for one in documents}


def test_what_is_wrong_with_a_source_is_its_problem() -> None:
    source = Source(name="lost", parser="MdxParser", paths=["nowhere"])
    found = dry_run.run(dry_run.order(source, seconds=30))
    assert found.problem.startswith("'nowhere' does not exist under DATA_DIR")
    assert (found.documents, found.complete) == ([], False)


def test_documents_come_with_their_texts_and_chunks_if_wanted() -> None:
    source = Source.objects.get(name="mdx-dwc")
    first = dry_run.run(dry_run.order(source, seconds=30)).documents[0]
    found = dry_run.run(dry_run.order(source, seconds=30, texts=True))
    (shown,) = [document for document in found.documents if document.url == first.url]
    assert shown.content
    assert not first.content
    assert [chunk["content_hash"] for chunk in shown.chunks] == first.hashes
    assert shown.generations == first.generations
