"""The admin in a real browser, with a real worker and a real PostgreSQL."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connections
from playwright.sync_api import Page, expect, sync_playwright

from ingestion import runs
from ingestion.models import Chunk, Document, Failure, Run, SourceRun, State
from ingestion.worker import Worker
from sources.models import Source

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
ROLES = import_module("ingestion.migrations.0007_roles")
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
    with logged_in(browser, live_server.url, "ada") as page:
        yield page


@contextmanager
def logged_in(browser: Any, url: str, name: str) -> Iterator[Page]:
    """A page of the admin; anything the browser complains about fails the test."""
    context = browser.new_context(base_url=url)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/admin/")
    page.get_by_label("Username").fill(name)
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
    expect(page.locator(".source-run")).to_contain_text("Documents added: 1")

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


def test_a_list_is_sorted_on_a_narrow_window(page: Page) -> None:
    for name in ("narrow-one", "narrow-two"):
        source(name)
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto("/admin/sources/source/?q=narrow")
    names = page.locator("#result_list tbody th")
    expect(names).to_have_text(["narrow-one", "narrow-two"])
    page.locator("#result_list thead").get_by_role("link", name="Name", exact=True).click()
    expect(names).to_have_text(["narrow-two", "narrow-one"])


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
    live.get_by_role("link", name="many").first.click()
    expect(page.locator("ol.log")).to_contain_text("Embedding begins")
    page.goto("/admin/")
    page.get_by_role("button", name="Cancel many").click()
    expect(page.locator(".messagelist")).to_contain_text("many")
    expect(page.locator(".source-run .state").first).to_have_text("cancelled")
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
    page.get_by_role("button", name="Retry this document").click()
    expect(page.locator(".messagelist")).to_contain_text("Queued programs")
    expect(page.locator(".source-run .state").first).to_have_text("succeeded")
    assert Chunk.objects.filter(content__contains="mended").exists()
    assert not Failure.objects.filter(resolved=False, level="error").exists()


def test_a_form_is_tried_before_it_is_saved(page: Page, data_dir: Path) -> None:
    (data_dir / "drafts").mkdir()
    (data_dir / "drafts/grid.md").write_text("# Grids\n\nA grid shows rows.\n")
    guide = source("guide")
    page.goto(f"/admin/sources/source/{guide.pk}/change/")
    page.get_by_label("Paths").fill("nowhere")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".field-paths .errorlist")).to_contain_text("does not exist")
    page.get_by_label("Paths").fill("drafts")
    page.get_by_role("button", name="Test").click()
    expect(page.locator("#trial")).to_contain_text("It can be read")
    page.get_by_role("button", name="Preview", exact=True).click()
    expect(page.locator("#trial")).to_contain_text("Would be added (1)")
    page.get_by_role("button", name="Grids").click()
    expect(page.locator("#trial .beside pre")).to_contain_text(["A grid shows rows."] * 2)
    expect(page.get_by_label("Paths")).to_have_value("drafts")
    assert Source.objects.get(pk=guide.pk).paths == ["docs"]
    page.get_by_label("Title").press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    assert Source.objects.get(pk=guide.pk).paths == ["drafts"]


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


def things_to_look_at(data_dir: Path) -> tuple[Source, SourceRun]:
    """A source that was read, with a failure, a removal that waits and a reading in the queue."""
    (data_dir / "docs/broken.bbj").write_bytes(b"<<bbj>>\x00\x01\x02\x03" * 40)
    (data_dir / "docs/fine.bbj").write_text('rem fine\nprint "hello"\n')
    programs = source("programs", "BbjSourceParser")
    row = runs.request([programs], origin=Run.Origin.COMMAND).started[0]
    wait_for_the_end("programs")
    SourceRun.objects.filter(pk=row.pk).update(
        state=State.NEEDS_APPROVAL, vanished=["programs://fine.bbj"]
    )
    runs.request([source("other")], origin=Run.Origin.SCHEDULE)
    return programs, SourceRun.objects.get(pk=row.pk)


def test_a_viewer_sees_all_of_it_and_changes_nothing(
    browser: Any, live_server: Any, worker: Worker, data_dir: Path
) -> None:
    programs, row = things_to_look_at(data_dir)
    wait_for_the_end("other")
    open_run = runs.request([source("waiting")], origin=Run.Origin.SCHEDULE).started[0]
    worker.stop()
    ROLES.make_groups(apps, None)  # the tests before this one have emptied all tables
    viewer = User.objects.create_user("vera", password="secret", is_staff=True)
    viewer.groups.add(Group.objects.get(name="Viewer"))
    chunk, failure = Chunk.objects.latest("pk"), Failure.objects.latest("pk")
    before = stored()
    with logged_in(browser, live_server.url, "vera") as page:
        for address, said in {
            "": "programs",
            "search/?q=hello": "fine.bbj",
            "quality/": "Chunks by source",
            "sources/source/": "programs",
            f"sources/source/{programs.pk}/change/": "programs",
            "ingestion/run/": f"Run {row.run_id}",
            f"ingestion/run/{row.run_id}/change/": "1 document vanished",
            f"ingestion/run/{open_run.run_id}/change/": "waiting",
            "ingestion/failure/": "broken.bbj",
            f"ingestion/failure/{failure.pk}/change/": "broken.bbj",
            "ingestion/document/": "fine.bbj",
            f"ingestion/document/{chunk.document_id}/change/": chunk.document.title,
            "ingestion/chunk/": chunk.title,
            f"ingestion/chunk/{chunk.pk}/change/": chunk.title,
            "ingestion/embeddingprofile/": "wordllama",
        }.items():
            page.goto(f"/admin/{address}")
            expect(page.locator("#content")).to_contain_text(said)
            assert pressable(page) <= {"Search"}, address
        assert forged_answers(page, programs, row, open_run) == {403}
    assert stored() == before


def pressable(page: Page) -> set[str]:
    """What the buttons of the page's content say; its links only lead elsewhere."""
    buttons = page.locator("#content").locator("button, input[type=submit], select[name=action]")
    told = "element => element.innerText || element.value || element.name"
    return {str(button.evaluate(told)) for button in buttons.all() if button.is_visible()}


def forged_answers(page: Page, source: Source, row: SourceRun, open_run: SourceRun) -> set[int]:
    """The status codes of requests that no page offers, sent with the viewer's own cookies."""
    token = page.locator("input[name=csrfmiddlewaretoken]").first.get_attribute("value")
    headers = {"X-CSRFToken": str(token), "Referer": page.url}
    changed = {"title": "Forged", "name": source.name, "parser": source.parser, "paths": "docs"}
    requests: dict[str, dict[str, str | float | bool]] = {
        f"sources/source/{source.pk}/change/": {**changed},
        f"sources/source/{source.pk}/change/?": {**changed, "_test": "1"},
        f"sources/source/{source.pk}/act/": {"action": "reingest"},
        f"sources/source/{source.pk}/act/?": {"action": "disable"},
        f"sources/source/{source.pk}/delete/": {"post": "yes"},
        "sources/source/add/": {**changed, "name": "forged"},
        f"ingestion/run/source-run/{open_run.pk}/cancel/": {},
        f"ingestion/run/source-run/{row.pk}/retry/": {},
        f"ingestion/run/source-run/{row.pk}/removal/": {"decision": "approve"},
        "ingestion/apitoken/add/": {"name": "forged", "requests_per_minute": "9"},
        "auth/user/add/": {"username": "forged"},
    }
    return {
        page.request.post(f"/admin/{address}", form=fields, headers=headers).status
        for address, fields in requests.items()
    }


def stored() -> list[Any]:
    return [
        *Source.objects.values_list("name", "title", "enabled"),
        *SourceRun.objects.values_list("pk", "state", "cancel_requested"),
        *Document.objects.values_list("url", flat=True),
        *User.objects.values_list("username", flat=True),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages(
    page: Page, worker: Worker, data_dir: Path, scheme: Literal["light", "dark"]
) -> None:
    programs, row = things_to_look_at(data_dir)
    run, chunk = row.run_id, Chunk.objects.latest("pk")
    looked = page.context.new_page()  # axe itself sets styles, which the policy refuses
    looked.emulate_media(color_scheme=scheme)
    found = []
    for address in (
        "",
        "search/?q=hello",
        "quality/",
        "sources/source/",
        f"sources/source/{programs.pk}/change/",
        "sources/source/add/",
        "ingestion/run/",
        f"ingestion/run/{run}/change/",
        "ingestion/chunk/",
        f"ingestion/chunk/{chunk.pk}/change/",
        f"ingestion/document/{chunk.document_id}/change/",
        "ingestion/failure/",
        "ingestion/apitoken/",
        "ingestion/apitoken/add/",
    ):
        looked.goto(f"/admin/{address}")
        looked.wait_for_load_state("networkidle")
        looked.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        for violation in Axe().run(looked).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                nodes = [node["html"][:150] for node in violation["nodes"][:5]]
                found.append(f"{address}: {violation['id']}: {nodes}")
    assert not found, "\n".join(found)
