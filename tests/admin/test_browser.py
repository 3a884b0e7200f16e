"""The admin in a real browser, with a real worker and a real PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from ingestion.models import Chunk, Document, Run, SourceRun, State
from ingestion.runs import requests
from ingestion.worker.cluster import Worker
from sources.models import Source
from tests.support.browser import session_of, visit
from tests.support.indexed import document, index

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


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
def page(browser: Browser, live_server: Any, admin: User) -> Iterator[Page]:
    with visit(browser, live_server.url, session_of(admin, live_server.url)) as page:
        yield page


def wait_for_the_end(name: str) -> None:
    """Look at the rows, as the worker is another process."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        row = SourceRun.objects.filter(source_name=name).first()
        if row and row.state in (State.SUCCEEDED, State.PARTIAL, State.FAILED):
            return
        time.sleep(0.2)
    raise AssertionError(f"{name} did not end: {row}")


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
    page.get_by_role("button", name="Ingest", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text(f"Queued {source.name}")


def test_a_form_is_tried_before_it_is_saved(page: Page, data_dir: Path) -> None:
    (data_dir / "drafts").mkdir()
    (data_dir / "drafts/grid.md").write_text("# Grids\n\nA grid shows rows.\n")
    guide = source("guide")
    page.goto(f"/admin/sources/source/{guide.pk}/change/?tab=settings")
    paths, shown = page.get_by_role("textbox", name="Paths, entry 1"), page.locator("#preview")
    paths.fill("nowhere")
    page.locator("#preview-button").click()
    expect(page.locator(".field-paths .errorlist")).to_contain_text("does not exist")
    paths.fill("drafts")
    page.get_by_role("button", name="Test", exact=True).click()
    expect(shown).to_contain_text("It can be read")
    page.locator("#preview-button").click()
    expect(shown).to_contain_text("Added (1)")
    expect(paths).to_have_value("drafts")
    assert Source.objects.get(pk=guide.pk).paths == ["docs"]
    page.get_by_label("Title:").press("Enter")
    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    assert Source.objects.get(pk=guide.pk).paths == ["drafts"]


def test_a_target_of_a_flare_project_is_chosen_from_a_list(page: Page, data_dir: Path) -> None:
    for folder in ("manual/Content", "manual/Project/Targets"):
        (data_dir / folder).mkdir(parents=True)
    for name in ("HTML5", "Intranet"):
        (data_dir / f"manual/Project/Targets/{name}.fltar").write_text("<CatapultTarget/>")
    manual = source("manual", "FlareParser")
    Source.objects.filter(pk=manual.pk).update(paths=["manual"])
    page.goto(f"/admin/sources/source/{manual.pk}/change/?tab=settings")
    target = page.locator(".field-option-FlareParser-target")
    offered = target.locator("option").evaluate_all("all => all.map(one => one.value)")
    assert {"HTML5", "Intranet"} <= set(offered)
    target.locator("input").fill("Intranet")
    page.locator(".save-row").get_by_role("button", name="Save").click()
    expect(target.locator("input")).to_have_value("Intranet")
    assert Source.objects.get(pk=manual.pk).options == {"target": "Intranet"}


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
    names = reached(page, f"/admin/sources/source/{topics.pk}/change/?tab=settings")
    assert {"TEST", "PREVIEW", "INGEST", "SAVE", "ID_TITLE", "SEARCH"} <= names
    assert "PATHS, ENTRY 1" in names


def reached(page: Page, address: str) -> set[str]:
    """The names of what the tab key comes to on a page."""
    page.goto(address)
    found = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        active = "document.activeElement"
        names = f"[{active}.innerText, {active}.id, {active}.ariaLabel]"
        found.update(page.evaluate(f"{names}.filter(Boolean)"))
    return {str(name).strip().upper() for name in found}


def things_to_look_at(data_dir: Path) -> tuple[Source, SourceRun]:
    """A source that was read, with a failure, a removal that waits and a reading in the queue."""
    (data_dir / "docs/broken.bbj").write_bytes(b"<<bbj>>\x00\x01\x02\x03" * 40)
    (data_dir / "docs/fine.bbj").write_text('rem fine\nprint "hello"\n')
    programs = source("programs", "BbjSourceParser")
    row = requests.request([programs], origin=Run.Origin.COMMAND).started[0]
    wait_for_the_end("programs")
    SourceRun.objects.filter(pk=row.pk).update(
        state=State.NEEDS_APPROVAL, vanished=["programs://fine.bbj"]
    )
    requests.request([source("other")], origin=Run.Origin.SCHEDULE)
    return programs, SourceRun.objects.get(pk=row.pk)


def test_no_form_is_wider_than_a_phone(page: Page, admin: User) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for address in (
        "auth/user/add/",
        f"auth/user/{admin.pk}/change/",
        f"auth/user/{admin.pk}/password/",
        "ingestion/apitoken/add/",
        "ingestion/question/add/",
        "sources/source/add/",
    ):
        page.goto(f"/admin/{address}")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, address


@pytest.mark.parametrize("width", [390, 1400])
def test_what_is_found_is_seen_at_once(page: Page, width: int) -> None:
    """On a phone, what narrows the results comes after them; beside them there is room."""
    index(*(document(f"Page {n}", "A row is locked.") for n in range(12)))
    page.set_viewport_size({"width": width, "height": 844})
    page.goto("/admin/search/?q=locked")
    hit, narrow = page.locator("ol.hits > li").first, page.get_by_label("Narrow the results")
    hit_place, narrow_place = hit.bounding_box(), narrow.bounding_box()
    assert hit_place is not None
    assert narrow_place is not None
    assert hit_place["y"] < 844 / 2
    assert (narrow_place["y"] < 844 / 2) == (width == 1400)
    link = page.get_by_role("link", name="Narrow the results")
    if width == 390:
        link.click()
        expect(page.get_by_role("link", name="docs")).to_be_in_viewport()
    else:
        expect(link).to_be_hidden()


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
