"""What one visitor may take of the web, in the server that people and their browsers meet."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.settings.place import Place, end
from tests.settings.test_web_server import PASSWORD, Site, make_manager, serve

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def limited(installation: Place) -> Iterator[Site]:
    """A server with narrow limits, and the manager logged in."""
    installation.fresh()
    make_manager(installation)
    given = {"WEB_STATEMENT_TIMEOUT": "0.5"}
    site = serve(installation, HOST, **given)
    answer = site.log_in(PASSWORD, Origin=f"http://{HOST}")
    assert answer.status_code == 302, answer.text
    yield site
    end(site.process)


def answered(site: Site, path: str) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    answer = site.ask(path)
    return answer, time.monotonic() - began


@pytest.mark.setting("WEB_STATEMENT_TIMEOUT")
def test_a_statement_that_takes_too_long_is_ended(limited: Site, installation: Place) -> None:
    """A lock that the test holds keeps the database from answering."""
    with installation.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE ingestion_document, ingestion_failure")
        page, lasted = answered(limited, "/admin/ingestion/failure/")
        assert page.status_code == 503
        assert "had not answered after 0.5 seconds" in page.text
        assert "Traceback" not in page.text
        assert lasted < 2
        answer, _ = answered(limited, "/metrics")
        assert answer.status_code == 503
        assert "had not answered after 0.5 s" in answer.json()["error"]
        waiting = installation.ask(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        assert waiting == 0
    assert limited.ask("/admin/ingestion/failure/").status_code == 200


@pytest.mark.setting("WEB_STATEMENT_TIMEOUT")
def test_commands_have_no_such_limit(place: Place) -> None:
    """They wait for the lock, and then do what they are for."""
    with place.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE ingestion_document")
        command = place.manage("sanity", WEB_STATEMENT_TIMEOUT="0.5")
        time.sleep(4.0)
        assert command.poll() is None
    assert command.wait(60) == 0
    command.communicate()
