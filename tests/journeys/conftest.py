from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, StorageState

from tests.journeys.site import NAME, PASSWORD, SAMPLES, Site
from tests.support.browser import chromium, log_in, visit


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site that journeys share, on a copy of the sample data: each journey adds sources and
    folders of its own. Without a browser none is started."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(SAMPLES, folder / "samples")
    with Site(folder, folder / "samples").served() as site:
        site.create_superuser()
        yield site


@pytest.fixture(scope="package")
def session(browser: Browser, site: Site) -> StorageState:
    """The cookies of the shared site's superuser."""
    with visit(browser, site.url) as page:
        log_in(page, NAME, PASSWORD)
        return page.context.storage_state()


@pytest.fixture
def page(browser: Browser, site: Site, session: StorageState) -> Iterator[Page]:
    """The shared site, with its superuser logged in."""
    with visit(browser, site.url, session) as page:
        page.goto("/admin/")
        yield page


@pytest.fixture
def data(site: Site) -> Path:
    return site.data
