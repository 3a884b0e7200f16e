"""The page of a run in a browser: figures that agree, what is cancelled at once, the comparison."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from ingestion.models import Failure, Run, SourceRun, State
from ingestion.runs import requests
from ingestion.worker.cluster import Worker
from sources.models import Source
from tests.admin.test_admin import page as html_of
from tests.admin.test_admin import source, source_run
from tests.support.looks import serious, width_beyond
from tests.support.pages import page as text_of
from tests.support.reading import make_source, read

__all__ = ["source"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

STATES = (State.SUCCEEDED, State.PARTIAL, State.FAILED)
# What a page says at one moment: the badge, the figures of its total, and those of its lines.
SAID = """() => {
  const number = (text) => Number(text.replaceAll(",", ""));
  const sum = (name) => [...document.querySelectorAll(`[data-${name}]`)]
    .reduce((total, one) => total + Number(one.dataset[name]), 0);
  const total = document.querySelector(".total").innerText;
  return {
    badge: document.querySelector("[data-state]").dataset.state,
    lines: [...document.querySelectorAll("section.line")]
      .map((one) => one.querySelector(".state").innerText),
    read: [number(total.match(/([\\d,]+)( of about [\\d,]+)? documents?/)[1]), sum("read")],
    embedded: [number(total.match(/([\\d,]+) chunks embedded/)[1]), sum("embedded")],
    stored: total.match(/([\\d,]+) added/) && number(total.match(/([\\d,]+) added/)[1]),
  };
}"""


@pytest.fixture
def data_dir(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def page(page: Page) -> Page:
    page.set_viewport_size({"width": 1400, "height": 900})
    return page


@pytest.fixture
def worker(transactional_db: None, data_dir: Path) -> Iterator[Worker]:
    worker = Worker(1)
    worker.start()
    worker.tick()
    yield worker
    worker.stop()


def open_run(page: Page, run: int, part: str = "change") -> None:
    page.goto(f"/admin/ingestion/run/{run}/{part}/")


def ten_sources() -> list[Source]:
    return [
        Source.objects.create(name=f"guide-{n}", title="G", parser="MdxParser", paths=["docs"])
        for n in range(10)
    ]


def run_of(sources: list[Source], **fields: Any) -> Run:
    run = Run.objects.create(origin="admin")
    for number, one in enumerate(sources):
        begun = timezone.now() - timedelta(minutes=5)
        ended = begun + timedelta(seconds=30 + number)
        given = {"state": STATES[number % 3], "started_at": begun, "finished_at": ended, **fields}
        SourceRun.objects.create(run=run, source=one, source_name=one.name, read=20, **given)
    return run


def test_figures_that_mean_the_same_agree_at_every_moment(
    page: Page, worker: Worker, data_dir: Path
) -> None:
    asked = []
    for name in ("one", "two", "three"):
        (data_dir / name).mkdir()
        for number in range(120):
            (data_dir / f"{name}/{number}.md").write_text(text_of(f"{name}{number}", words=60))
        asked.append(Source.objects.create(name=name, title=name, parser="MdxParser", paths=[name]))
    run = requests.request(asked, origin=Run.Origin.ADMIN).run
    open_run(page, run.pk)
    seen = []
    for _ in range(300):
        seen.append(page.evaluate(SAID))
        if seen[-1]["badge"] not in ("queued", "running"):
            break
        page.wait_for_timeout(200)
    for said in seen:
        assert said["read"][0] == said["read"][1], said
        assert said["embedded"][0] == said["embedded"][1], said
        assert (said["badge"] == "running") == ("running" in said["lines"]), said
        assert (said["badge"] == "succeeded") == (set(said["lines"]) == {"succeeded"}), said
    assert len({said["read"][0] for said in seen}) > 3, "it was watched while it ran"
    assert seen[-1] == page.evaluate(SAID)
    assert (seen[-1]["badge"], seen[-1]["read"][0], seen[-1]["stored"]) == ("succeeded", 360, 360)
    page.wait_for_timeout(2000)
    assert page.locator("[data-live]").get_attribute("data-ended") == ""


def test_ten_finished_sources_fit_on_a_page(page: Page) -> None:
    run = run_of(ten_sources(), failures=2, warnings=58, timings={"parse": 2.0, "embed": 5.0})
    open_run(page, run.pk)
    expect(page.locator("section.line")).to_have_count(10)
    assert page.evaluate("document.documentElement.scrollHeight") <= 1200
    assert width_beyond(page) == 0
    first = page.locator("section.line .state").first
    expect(first).to_have_text("failed")


def test_ten_sources_are_cancelled_with_one_press(page: Page) -> None:
    run = run_of(ten_sources(), state=State.QUEUED, started_at=None, finished_at=None)
    open_run(page, run.pk)
    page.get_by_role("button", name="Cancel all").click()
    expect(page.locator(".messagelist")).to_contain_text("Cancelled guide-0, guide-1")
    expect(page.locator("section.line .state")).to_have_text(["cancelled"] * 10)
    expect(page.get_by_role("button", name="Cancel all")).to_have_count(0)


def test_one_source_of_a_run_is_cancelled(page: Page) -> None:
    run = run_of(ten_sources()[:2], state=State.QUEUED, started_at=None, finished_at=None)
    open_run(page, run.pk)
    page.get_by_role("button", name="Cancel guide-1").click()
    expect(page.get_by_role("region", name="guide-1 cancelled")).to_be_visible()
    expect(page.get_by_role("region", name="guide-0 queued")).to_be_visible()


def test_what_waits_for_an_answer_is_open_from_the_start(page: Page) -> None:
    sources = ten_sources()[:3]
    run = run_of(sources, state=State.SUCCEEDED)
    held = run.source_runs.filter(source_name="guide-1")
    held.update(state=State.NEEDS_APPROVAL, vanished=["guide-1://gone.md"])
    open_run(page, run.pk)
    expect(page.get_by_text("guide-1://gone.md")).to_be_visible()
    page.get_by_role("button", name="Keep them").click()
    expect(page.get_by_role("region", name="guide-1 succeeded")).to_be_visible()


@pytest.mark.parametrize("name", ["ingestion_run_cancel", "ingestion_retry", "ingestion_removal"])
def test_the_address_of_a_button_leads_to_its_page(
    admin_client: Client, source: Source, name: str
) -> None:
    row = source_run(source, State.QUEUED)
    key = row.run_id if name == "ingestion_run_cancel" else row.pk
    answer = admin_client.get(reverse(f"admin:{name}", args=[key]), follow=True)
    assert answer.redirect_chain[0][0].endswith(f"/run/{row.run_id}/change/")
    assert "Nothing was done" in answer.content.decode()
    row.refresh_from_db()
    assert row.state == State.QUEUED


def test_two_runs_are_compared(page: Page, data_dir: Path) -> None:
    (data_dir / "docs").mkdir()
    for name in ("grid", "window", "old"):
        (data_dir / f"docs/{name}.md").write_text(f"# {name}\n\nA {name} holds things.\n")
    guide = make_source("guide", "docs")
    first = read(guide)
    (data_dir / "docs/old.md").unlink()
    (data_dir / "docs/window.md").write_text("# window\n\nA window is closed by its user.\n")
    (data_dir / "docs/menu.md").write_text("# menu\n\nA menu lists what can be done.\n")
    last = read(guide)
    open_run(page, last.run_id, "compare")
    expect(page.get_by_role("heading", level=1)).to_have_text(
        f"Run {last.run_id} compared with run {first.run_id}"
    )
    part = page.get_by_role("region", name="guide")
    expect(part.get_by_role("row", name=re.compile("^Added"))).to_have_text(re.compile("3.*1.*-2"))
    for kind, name in (("Added", "menu"), ("Changed", "window")):
        listed = part.locator("details").filter(has_text=f"{kind} in between: 1")
        expect(listed).to_contain_text(f"guide://{name}")


def test_a_run_without_another_says_so(admin_client: Client, source: Source) -> None:
    row = source_run(source, State.SUCCEEDED)
    assert "nothing to compare with" in html_of(admin_client, "ingestion_run_compare", row.run_id)


def test_the_list_of_runs_is_narrowed_and_followed(page: Page) -> None:
    sources = ten_sources()
    done = run_of(sources, state=State.SUCCEEDED)
    failed = run_of(sources[:1], state=State.FAILED)
    going = run_of(sources[1:2], state=State.QUEUED, started_at=None, finished_at=None)
    page.goto("/admin/ingestion/run/")
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(2).get_by_text("10 sources")).to_have_attribute("title", re.compile("guide-9"))
    expect(rows.first.locator(".state")).to_have_text("queued")
    requests.cancel(going.source_runs.get())
    expect(rows.first.locator(".state")).to_have_text("cancelled")
    page.goto(f"/admin/ingestion/run/?state=failed&source={sources[0].pk}")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(f"Run {failed.pk}")
    page.goto(f"/admin/ingestion/run/?source={sources[5].pk}")
    expect(rows).to_contain_text([f"Run {done.pk}"])
    expect(page.get_by_role("link", name="Ingest all now")).to_be_visible()


def test_the_list_asks_a_few_questions_for_many_runs(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    sources = ten_sources()
    for _ in range(30):
        run_of(sources, vanished=["guide://x"] * 100)
    with django_assert_max_num_queries(8) as queries:
        html_of(admin_client, "ingestion_run_changelist", o="8")
    assert not any('"vanished"' in query["sql"] for query in queries.captured_queries)


def test_a_run_of_many_sources_asks_no_more_than_one_of_few(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    sources = ten_sources()
    run = run_of(sources, failures=1, added=3, changed=2, removed=1)
    for row in run.source_runs.all():
        Failure.objects.create(source_run=row, source=row.source, stage="parse", message="Torn.")
    with django_assert_max_num_queries(16):
        html_of(admin_client, "ingestion_run_live", run.pk)


@pytest.mark.parametrize("width", [390, 768, 1400])
def test_the_pages_of_runs_can_be_used_by_everybody(page: Page, width: int) -> None:
    sources = ten_sources()[:4]
    run_of(sources, state=State.SUCCEEDED)
    run = run_of(sources, error="The folder is gone: mount it. " * 20)
    run.source_runs.filter(source_name="guide-3").update(
        state=State.NEEDS_APPROVAL, vanished=["guide://" + "a" * 900]
    )
    row = run.source_runs.get(source_name="guide-1")
    for number in range(3):
        Failure.objects.create(
            source_run=row,
            source=row.source,
            stage="parse",
            document_url=f"guide-1://{'long' * 60}{number}.md",
            message="M" * 250,
        )
    page.set_viewport_size({"width": width, "height": 900})
    for address in (f"{run.pk}/change/", f"{run.pk}/compare/", ""):
        page.goto(f"/admin/ingestion/run/{address}")
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert width_beyond(page) == 0, address
        assert serious(page) == [], address


def test_how_a_run_ended_is_one_line_on_a_phone(page: Page) -> None:
    run = run_of(ten_sources()[:1], state=State.CANCELLED)
    page.set_viewport_size({"width": 390, "height": 844})
    open_run(page, run.pk)
    ended = page.locator(".total strong")
    expect(ended).to_have_text("Cancelled after 30 s")
    box = ended.bounding_box()
    assert box
    assert box["height"] < 40  # pixels: it was a column of single syllables
