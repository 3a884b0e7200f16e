"""The browser of all these tests, and a window of it in which somebody who may do everything is
logged in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from playwright.sync_api import Browser, Page

from tests.support.browser import chromium, session_of, visit


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Under Playwright's event loop Django keeps other connections than before it and after it; one
    # left open here would be inherited by the worker's processes, and closed by them.
    connections.close_all()
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, live_server: Any, transactional_db: None) -> Iterator[Page]:
    ada = User.objects.create_superuser("ada", "ada@example.org", "secret")
    with visit(browser, live_server.url, session_of(ada, live_server.url)) as page:
        yield page
