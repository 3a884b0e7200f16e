"""Runs of a web source, in a real child process with a real PostgreSQL and a site on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from ingestion.models import Document, Failure, State
from sources.models import Source, SourceMemory
from tests.support.reading import read
from tests.support.web_known import SETTINGS
from tests.support.web_server import Answer, WebServer, status

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ("anchor", "button", "cursor", "dialog")


@pytest.fixture
def server(settings: Settings) -> Iterator[WebServer]:
    settings.WEB = replace(SETTINGS, attempts=1)
    with WebServer() as server:
        links = "".join(f'<a href="{name}.htm">{name}</a>' for name in NAMES)
        server.page("/", f"<h1>Start</h1><p>A text of its own for the start.</p>{links}")
        for name in NAMES:
            server.page(f"/{name}.htm", f"<h1>{name}</h1><p>What the {name} is made for.</p>")
        yield server


@pytest.fixture
def site(server: WebServer) -> Source:
    return Source.objects.create(
        name="site",
        title="Site",
        parser="WebCrawlParser",
        start_url=f"{server.origin}/",
        options={"delay": 0},
    )


def counted(row: Any) -> tuple[int, int, int, int]:
    return row.added, row.changed, row.removed, row.failures


def test_it_works(site: Source, server: WebServer) -> None:
    row = read(site)
    assert (row.state, counted(row), row.embedded) == (State.SUCCEEDED, (5, 0, 0, 0), 5)
    stored = Document.objects.get(url=f"{server.origin}/button.htm")
    assert (stored.title, stored.display_url) == ("button", stored.url)
    assert stored.http_validators["etag"]


def test_an_unchanged_site_transfers_no_body_and_nothing_is_embedded(
    site: Source, server: WebServer
) -> None:
    read(site)
    server.forget()
    row = read(site)
    assert (row.state, row.unchanged, row.embedded) == (State.SUCCEEDED, 5, 0)
    assert server.bodies == 0


def test_of_one_changed_page_one_is_embedded(site: Source, server: WebServer) -> None:
    read(site)
    server.page("/cursor.htm", "<h1>cursor</h1><p>What the cursor is made for now.</p>")
    server.forget()
    row = read(site)
    assert (counted(row), row.embedded, server.bodies) == ((0, 1, 0, 0), 1, 1)


def test_a_page_that_is_gone_is_removed(site: Source, server: WebServer) -> None:
    read(site)
    server.always("/cursor.htm", status(404))
    row = read(site)
    assert (row.state, counted(row)) == (State.SUCCEEDED, (0, 0, 1, 0))
    assert not Document.objects.filter(url__endswith="cursor.htm").exists()


@pytest.mark.parametrize("answer", [status(500), Answer(hang=0.8)], ids=["500", "time-out"])
def test_a_page_that_cannot_be_judged_stays_and_is_a_failure_until_it_can(
    site: Source, server: WebServer, answer: Answer
) -> None:
    read(site)
    good = server.answers["/cursor.htm"]
    server.always("/cursor.htm", answer)
    row = read(site)
    assert (row.state, counted(row)) == (State.PARTIAL, (0, 0, 0, 1))
    assert Document.objects.count() == 5
    failure = Failure.objects.get(resolved=False)
    assert failure.document_url == f"{server.origin}/cursor.htm"
    server.always("/cursor.htm", good)
    assert read(site).state == State.SUCCEEDED
    assert not Failure.objects.filter(resolved=False).exists()


def test_a_site_that_is_down_fails_its_source_and_keeps_everything(
    site: Source, server: WebServer
) -> None:
    read(site)
    server.always("/robots.txt", status(503))
    row = read(site)
    assert row.state == State.FAILED
    assert "robots.txt" in row.error
    assert Document.objects.count() == 5


def test_clean_reads_and_embeds_all_again(site: Source, server: WebServer) -> None:
    read(site)
    server.forget()
    row = read(site, clean=True)
    assert (row.embedded, server.bodies) == (5, 5)


def test_other_options_ask_for_everything_again(site: Source, server: WebServer) -> None:
    read(site)
    Source.objects.filter(pk=site.pk).update(options={"delay": 0, "exclude": ["/dialog*"]})
    server.forget()
    row = read(Source.objects.get(pk=site.pk))
    assert (row.unchanged, row.removed, server.bodies) == (4, 1, 4)


def test_a_private_address_fails_the_source_with_the_way_out(
    site: Source, server: WebServer, settings: Settings
) -> None:
    settings.WEB = replace(SETTINGS, allow_networks=())
    row = read(site)
    assert row.state == State.FAILED
    assert "WEB_ALLOW_NETWORKS" in row.error
    assert server.requests == []


def test_what_a_crawl_remembers_goes_with_its_source(site: Source) -> None:
    read(site)
    assert SourceMemory.objects.count() == 1
    site.delete()
    assert SourceMemory.objects.count() == 0
