"""The admin in a real browser, with a real worker and a real PostgreSQL."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect, sync_playwright

from ingestion.models import SourceRun, State
from ingestion.worker import Worker

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
PATIENCE = 30_000  # milliseconds


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        pytest.skip("there is no chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def data_dir(settings: Any, tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/window.md").write_text("# Windows\n\nA window holds controls.\n")
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def admin(transactional_db: None, data_dir: Path) -> User:
    return User.objects.create_superuser("ada", "ada@example.org", "secret")


@pytest.fixture
def worker(transactional_db: None, data_dir: Path) -> Iterator[Worker]:
    worker = Worker(1)
    worker.start()
    yield worker
    worker.cluster.stop()
    worker.presence.connection.close()


@pytest.fixture
def page(browser: Any, live_server: Any, admin: User) -> Iterator[Page]:
    """A page of the admin, logged in; anything the browser complains about fails the test."""
    context = browser.new_context(base_url=live_server.url)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/admin/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()
    yield page
    context.close()
    assert complaints == []


def add_source(page: Page, path: str) -> None:
    page.goto("/admin/sources/source/add/")
    page.get_by_label("Title").fill("Window guide")
    page.get_by_label("Parser").select_option("MdxParser")
    page.get_by_label("Paths").fill(path)
    page.get_by_role("button", name="Save", exact=True).click()


def test_a_source_is_added_and_its_chunks_appear(page: Page, worker: Worker) -> None:
    add_source(page, "nowhere")
    expect(page.locator(".field-paths .errorlist")).to_contain_text("does not exist")
    page.get_by_label("Paths").fill("docs")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("was added successfully")

    page.get_by_role("row", name="window-guide").get_by_role("checkbox").check()
    page.get_by_label("Action:").select_option(label="Re-ingest selected sources")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("Queued window-guide")

    page.get_by_role("link", name="Follow run").click()
    wait_for_the_end("window-guide")
    page.reload()
    expect(page.locator(".source-run")).to_contain_text("1 documents added")

    page.goto("/admin/ingestion/chunk/?q=controls")
    page.get_by_role("link", name="Windows").first.click()
    expect(page.locator("pre.text").last).to_contain_text("A window holds controls.")


def wait_for_the_end(name: str) -> None:
    """Look at the rows, as the worker is another process."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        row = SourceRun.objects.filter(source_name=name).first()
        if row and row.state in (State.SUCCEEDED, State.PARTIAL, State.FAILED):
            return
        time.sleep(0.2)
    raise AssertionError(f"{name} did not end: {row}")


def test_the_form_shows_what_the_chosen_parser_needs(page: Page) -> None:
    page.goto("/admin/sources/source/add/")
    page.get_by_label("Parser").select_option("PdfParser")
    expect(page.get_by_label("Paths")).to_be_visible()
    expect(page.get_by_label("Start URL")).to_be_hidden()
    expect(page.locator('[data-parser="PdfParser"]')).to_be_visible()
    expect(page.locator('[data-parser="MdxParser"]')).to_be_hidden()
