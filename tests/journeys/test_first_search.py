"""From an empty database to the first document that a search finds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.journeys.admin import (
    content,
    ingest_all,
    search_for,
    title_is,
    wait_for_run,
)
from tests.journeys.site import NAME, PASSWORD, Site
from tests.support.browser import log_in, visit

pytestmark = pytest.mark.browser

SEEDED = (
    *("advantage", "bbj-source", "flare", "javadoc", "kb", "mdx-beginner"),
    *("mdx-db-modernization", "mdx-dwc", "pdf", "web-crawl"),
)


@pytest.fixture
def new_site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("new")).served() as site:
        yield site


def test_from_the_first_login_to_the_first_search(browser: Browser, new_site: Site) -> None:
    new_site.create_superuser()
    with visit(browser, new_site.url) as page:
        page.goto("/")
        log_in(page, NAME, PASSWORD)
        expect(content(page).get_by_text("never run")).to_have_count(len(SEEDED))
        expect(search_for(page, "window")).to_contain_text("Nothing was found")

        ingest_all(page)
        for name in SEEDED:
            wait_for_run(page, name)

        results = search_for(page, "Which method adds a push button to a window?")
        results.get_by_role("link", name="BBjWindow::addButton").first.click()
        title_is(page, "BBjWindow::addButton")
        expect(content(page)).to_contain_text("Adds a push button to a window and returns it.")
