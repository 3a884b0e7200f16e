"""The admin in a real browser, with a real worker and a real PostgreSQL."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from django.contrib.auth.models import User
from django.db import connections
from playwright.sync_api import Page, expect, sync_playwright

from ingestion.models import Chunk, Document, Failure, SourceRun, State
from ingestion.worker import Worker
from sources.models import Source

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
PATIENCE = 30_000  # milliseconds


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        pytest.skip("there is no chromium")
    # Under Playwright's event loop Django keeps other connections than before it and after it; one
    # left open here would be inherited by the worker's processes, and closed by them.
    connections.close_all()
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
    worker.tick()
    yield worker
    worker.stop()


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


def source(name: str, parser: str = "MdxParser") -> Source:
    return Source.objects.create(name=name, title=name, parser=parser, paths=["docs"])


def reingest(page: Page, source: Source) -> None:
    page.goto(f"/admin/sources/source/{source.pk}/change/")
    page.get_by_role("button", name="Re-ingest", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text(f"Queued {source.name}")


def test_a_run_is_watched_and_cancelled(page: Page, worker: Worker, data_dir: Path) -> None:
    for number in range(4000):
        text = f"# Topic {number}\n\n" + f"Word{number} of a topic that takes a while. " * 40
        (data_dir / f"docs/topic{number}.md").write_text(text)
    many = source("many")
    reingest(page, many)
    page.goto("/admin/")
    live = page.locator("#overview")
    expect(live.locator("progress")).to_be_visible()
    expect(live).to_contain_text(re.compile(r"[1-9][\d,]* chunks embedded"))
    page.get_by_role("button", name="Cancel many").click()
    expect(page.locator(".messagelist")).to_contain_text("many")
    expect(page.locator(".source-run .state").first).to_have_text("Cancelled")
    assert 0 < Document.objects.count() < 4001


def test_a_failing_document_is_mended_and_retried(
    page: Page, worker: Worker, data_dir: Path
) -> None:
    program = data_dir / "docs/broken.bbj"
    program.write_bytes(b"<<bbj>>\x00\x01\x02\x03" * 40)
    (data_dir / "docs/fine.bbj").write_text('rem fine\nprint "hello"\n')
    programs = source("programs", "BbjSourceParser")
    reingest(page, programs)
    wait_for_the_end("programs")
    page.get_by_role("link", name="Follow run").click()
    expect(page.locator(".source-run")).to_contain_text("Failures by reason")
    expect(page.locator(".source-run")).to_contain_text("broken.bbj")
    program.write_text('rem mended\nprint "mended"\n')
    page.get_by_role("button", name="Retry the open failures").click()
    expect(page.locator(".messagelist")).to_contain_text("Queued programs")
    expect(page.locator(".source-run .state").first).to_have_text("Succeeded")
    assert Chunk.objects.filter(content__contains="mended").exists()
    assert not Failure.objects.filter(resolved=False, level="error").exists()


def test_a_removal_is_approved(page: Page, worker: Worker, data_dir: Path) -> None:
    for number in range(12):
        (data_dir / f"docs/topic{number}.md").write_text(f"# Topic {number}\n\nText {number}.\n")
    topics = source("topics")
    reingest(page, topics)
    wait_for_the_end("topics")
    for number in range(11):
        (data_dir / f"docs/topic{number}.md").unlink()
    reingest(page, topics)
    page.goto("/admin/")
    page.locator(".attention").get_by_role("link", name="topics").click()
    expect(page.locator(".attention")).to_contain_text("11 documents vanished")
    page.get_by_role("button", name="Remove these documents").click()
    expect(page.locator(".messagelist")).to_contain_text("11 documents of topics were removed")
    assert Document.objects.count() == 2


def test_a_chunk_is_found_by_meaning_and_followed_to_its_source(
    page: Page, worker: Worker, data_dir: Path
) -> None:
    (data_dir / "docs/weather.md").write_text("# Weather\n\nRain falls from clouds in autumn.\n")
    guide = source("guide")
    Source.objects.filter(pk=guide.pk).update(display_base_url="https://example.org/guide/")
    reingest(page, guide)
    wait_for_the_end("guide")
    page.goto("/admin/search/")
    page.get_by_label("Search for").fill("wet days with drops of water")
    page.get_by_label("by", exact=True).select_option("dense")
    page.get_by_role("button", name="Search").click()
    page.locator(".hits a.hit").first.click()
    expect(page.locator("#content h1")).to_contain_text("Weather")
    link = page.get_by_role("link", name="https://example.org/guide/")
    assert "weather" in str(link.get_attribute("href"))
    page.get_by_role("link", name="Search for its own text").click()
    expect(page.locator("#content")).to_contain_text("place 1.")


def test_hostile_text_does_nothing_in_a_browser(page: Page, worker: Worker, data_dir: Path) -> None:
    hostile = (
        "# <script>window.hurt=1</script>\n\n"
        "<img src=x onerror=window.hurt=1> [link](javascript:window.hurt=1)\n\n"
        "\u202etxet sdrawkcab \u05d0\u05d1\u05d2\n\n" + "x" * 300_000 + "\n"
    )
    (data_dir / "docs/window.md").write_text("# Start\n\n```html\n" + hostile + "```\n")
    bad = source("bad")
    reingest(page, bad)
    wait_for_the_end("bad")
    for chunk in Chunk.objects.order_by("ordinal")[:3]:
        page.goto(f"/admin/ingestion/chunk/{chunk.pk}/change/")
        assert page.evaluate("window.hurt") is None
        width = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert width <= 0
    document = Document.objects.get(url__contains="window")
    page.goto(f"/admin/ingestion/document/{document.pk}/change/")
    assert page.evaluate("window.hurt") is None


def test_the_keyboard_reaches_what_can_be_pressed(page: Page) -> None:
    topics = source("topics")
    page.goto(f"/admin/sources/source/{topics.pk}/change/")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.innerText || document.activeElement.id"))
    names = {str(name).strip().upper() for name in reached}
    assert {"TEST", "PREVIEW", "RE-INGEST", "ID_TITLE", "ID_PATHS", "SEARCH"} <= names


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages(
    page: Page, worker: Worker, data_dir: Path, scheme: Literal["light", "dark"]
) -> None:
    (data_dir / "docs/broken.bbj").write_bytes(b"<<bbj>>\x00\x01\x02\x03" * 40)
    (data_dir / "docs/fine.bbj").write_text('rem fine\nprint "hello"\n')
    programs = source("programs", "BbjSourceParser")
    reingest(page, programs)
    wait_for_the_end("programs")
    run, chunk = SourceRun.objects.latest("pk").run_id, Chunk.objects.latest("pk")
    looked = page.context.new_page()  # axe itself sets styles, which the policy refuses
    looked.emulate_media(color_scheme=scheme)
    found = []
    for address in (
        "",
        "search/?q=hello",
        "quality/",
        "sources/source/",
        f"sources/source/{programs.pk}/change/",
        f"ingestion/run/{run}/change/",
        "ingestion/chunk/",
        f"ingestion/chunk/{chunk.pk}/change/",
        f"ingestion/document/{chunk.document_id}/change/",
        "ingestion/failure/",
    ):
        looked.goto(f"/admin/{address}")
        looked.wait_for_load_state("networkidle")
        for violation in Axe().run(looked).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                nodes = [node["html"][:150] for node in violation["nodes"][:5]]
                found.append(f"{address}: {violation['id']}: {nodes}")
    assert not found, "\n".join(found)
