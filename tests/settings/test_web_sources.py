"""The settings of web sources, in one `parse` of a site on the loopback interface."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from bbjrag import __version__
from tests.settings.place import Place
from tests.support.web_server import Answer, WebServer, endless, status

TEXT = "The grid shows its rows as soon as the window that it belongs to has been opened once."
SETTINGS: dict[str, Any] = {
    "WEB_CONTACT": "docs@example.org",
    "WEB_ALLOW_NETWORKS": "127.0.0.0/8,::1",
    "WEB_TIMEOUT": "0.5",
    "WEB_REQUEST_LIMIT": "1.5",
    "WEB_ATTEMPTS": "2",
}


@pytest.fixture(scope="module")
def site() -> Iterator[WebServer]:
    """A start page that links one that is busy, one that is silent, and one that never ends."""
    with WebServer() as server:
        names = ("busy", "silent", "endless", "good")
        links = "".join(f'<a href="{name}">{name}</a> ' for name in names)
        server.page("/", f"<h1>Start</h1><p>{TEXT}</p>{links}")
        server.page("/good", f"<h1>Good</h1><p>good: {TEXT}</p>")
        server.always("/busy", status(503))
        server.always("/silent", Answer(hang=3.0))
        server.always("/endless", endless(b"<p>x</p>", pause=0.1))
        yield server


def mapped(site: WebServer) -> str:
    return f"https://other.invalid=http://127.0.0.1:9, https://docs.invalid/={site.origin}/"


@pytest.fixture(scope="module")
def said(installation: Place, site: WebServer) -> tuple[str, str]:
    place = installation
    place.source("WebCrawlParser", '{"delay": 0}', "{}")
    place.do("UPDATE sources_source SET start_url = 'https://docs.invalid/' WHERE name = 'mdx-dwc'")
    given = SETTINGS | {"WEB_ORIGIN_MAP": mapped(site)}
    return place.says("parse", "mdx-dwc", **given)


@pytest.mark.setting("WEB_ORIGIN_MAP")
@pytest.mark.setting("WEB_ALLOW_NETWORKS")
def test_a_site_is_read_from_elsewhere(said: tuple[str, str], site: WebServer) -> None:
    assert f"good: {TEXT}" in said[0]
    assert "https://docs.invalid/good" in said[0]
    assert site.origin not in said[0]


@pytest.mark.setting("WEB_CONTACT")
def test_the_owners_of_a_site_see_whom_to_ask(said: tuple[str, str], site: WebServer) -> None:
    agents = {headers["User-Agent"] for headers in site.headers}
    assert agents == {f"bbjrag/{__version__} (+docs@example.org)"}


@pytest.mark.setting("WEB_ATTEMPTS")
def test_a_page_that_is_busy_is_asked_for_again(said: tuple[str, str], site: WebServer) -> None:
    assert Counter(site.requests)["/busy"] == 2


@pytest.mark.setting("WEB_TIMEOUT")
def test_a_page_that_stays_silent_is_given_up(said: tuple[str, str]) -> None:
    assert "https://docs.invalid/silent: No complete answer" in said[1]
    assert "0.5 seconds of silence" in said[1]


@pytest.mark.setting("WEB_REQUEST_LIMIT")
def test_a_page_that_does_not_end_is_given_up(said: tuple[str, str]) -> None:
    assert "https://docs.invalid/endless: No complete answer" in said[1]
    assert "1.5 in all" in said[1]


@pytest.mark.setting("WEB_ALLOW_NETWORKS")
def test_a_network_that_is_not_named_is_refused(
    said: tuple[str, str], installation: Place, site: WebServer
) -> None:
    asked = len(site.requests)
    given = SETTINGS | {"WEB_ORIGIN_MAP": mapped(site)}
    given |= {"WEB_ALLOW_NETWORKS": "10.0.0.0/8"}
    _, errors = installation.says("parse", "mdx-dwc", code=1, **given)
    assert "WEB_ALLOW_NETWORKS" in errors
    assert len(site.requests) == asked
