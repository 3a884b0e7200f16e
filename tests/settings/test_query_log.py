"""What people ask is kept by the web server, if they want that."""

from __future__ import annotations

import pytest

from tests.settings.place import Place, end
from tests.settings.test_web_server import PASSWORD, Site, make_manager, serve
from tests.support.reading import until

KEPT = "SELECT count(*) FROM ingestion_askedquery"


@pytest.fixture
def asked(place: Place) -> Place:
    place.do("TRUNCATE ingestion_askedquery")
    place.ingest()
    make_manager(place)
    return place


def ask(place: Place, **given: str) -> None:
    """Search in the admin of a web server with these settings."""
    site: Site = serve(place, "127.0.0.1", **given)
    try:
        site.log_in(PASSWORD, Origin="http://127.0.0.1")
        answer = site.ask("/admin/search/?q=one0word1")
        assert "one0word1" in answer.text
    finally:
        end(site.process)


@pytest.mark.setting("QUERY_LOG_DAYS")
def test_it_is_kept_for_so_many_days(asked: Place) -> None:
    """Also what waits to be stored when the process ends."""
    ask(asked)
    assert asked.ask(KEPT) == 0
    ask(asked, QUERY_LOG_DAYS="2")
    until(lambda: asked.ask(KEPT) == 1, 30)
    asked.do("UPDATE ingestion_askedquery SET at = now() - interval '36 hours'")
    asked.says("prune", QUERY_LOG_DAYS="2")
    assert asked.ask(KEPT) == 1
    asked.says("prune", QUERY_LOG_DAYS="1")
    assert asked.ask(KEPT) == 0
