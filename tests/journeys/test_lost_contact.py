"""A page that stays open while the database stops says so, and recovers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.journeys.site import NAME, PASSWORD, Site
from tests.support.browser import log_in

pytestmark = pytest.mark.browser
SOON = 10_000  # milliseconds


@pytest.fixture
def own_site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("lost")).served() as site:
        site.create_superuser()
        yield site


def test_the_overview_says_when_the_database_is_gone(browser: Browser, own_site: Site) -> None:
    context = browser.new_context(base_url=own_site.url)  # the console may complain here
    page = context.new_page()
    log_in(page, NAME, PASSWORD)
    line = page.get_by_role("alert")
    expect(line).to_be_hidden()
    own_site.manage("postgres", "stop")
    expect(line).to_contain_text("No contact with the server since", timeout=SOON)
    own_site.manage("postgres", "start")
    expect(line).to_be_hidden(timeout=3 * SOON)
    expect(page.get_by_role("main")).to_contain_text("never run")
    context.close()
