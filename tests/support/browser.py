"""A real browser, and a page of it that fails the test for anything the browser complains about."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Response,
    StorageState,
    expect,
    sync_playwright,
)

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
PATIENCE = 30_000  # milliseconds


@contextmanager
def chromium() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        pytest.skip("there is no chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def visit(browser: Browser, url: str, session: StorageState | None = None) -> Iterator[Page]:
    """A page with cookies of its own, or those of this session. An error in the console, of
    which a violation of the content security policy is one, an uncaught exception and a server
    error fail the test."""
    context = browser.new_context(base_url=url, storage_state=session)
    context.set_default_timeout(PATIENCE)
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(f"{message.location.get('url')}: {message.text}")

    def look(response: Response) -> None:
        if response.status >= 500:
            complaints.append(f"{response.url}: {response.status}")

    page = context.new_page()
    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", look)
    yield page
    context.close()
    assert complaints == [], "\n".join(complaints)


def session_of(user: User, url: str) -> StorageState:
    """The cookies of somebody who is logged in at this server, whose database is ours."""
    client = Client()
    client.force_login(user)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    sent = {"name": cookie.key, "value": cookie.value, "path": "/", "sameSite": "Lax"}
    host = {"domain": urlsplit(url).hostname, "expires": -1, "httpOnly": True, "secure": False}
    return cast(StorageState, {"cookies": [sent | host], "origins": []})


def log_in(page: Page, name: str, password: str) -> None:
    page.goto("/admin/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
