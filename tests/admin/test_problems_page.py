"""The pages of problems in a browser: causes, what is retried, what is ignored and comes back."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from playwright.sync_api import Locator, Page, expect

from ingestion.models import Failure, IgnoredProblem, Run, SourceRun, State
from sources.models import Source
from tests.admin.test_admin import source, source_run
from tests.support.looks import serious, width_beyond
from tests.support.reading import make_source, read

__all__ = ["source"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
TORN = b"<<bbj>>\x00\x01\x02\x03" * 40
LIST = "/admin/ingestion/failure/"


@pytest.fixture
def page(page: Page) -> Page:
    page.set_viewport_size({"width": 1400, "height": 900})
    return page


@pytest.fixture
def programs(settings: Any, tmp_path: Path) -> Source:
    """Two programs that cannot be read."""
    (tmp_path / "docs").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"docs/{name}.bbj").write_bytes(TORN)
    settings.DATA_DIR = tmp_path
    return make_source("programs", "docs", parser="BbjSourceParser")


def fail(row: SourceRun, name: str, message: str, **fields: Any) -> Failure:
    fields = {"stage": "parse", "document_url": name and f"mine://{name}", **fields}
    return Failure.objects.create(source_run=row, source=row.source, message=message, **fields)


def causes(page: Page) -> Locator:
    return page.locator("ul.causes > li")


def counted(page: Page) -> str:
    """The number of open problems in the menu; empty if there is none."""
    badge = page.locator("#menu [data-problems]")
    return badge.inner_text().split()[0] if badge.is_visible() else ""


def ignore(page: Page, why: str) -> None:
    cause = causes(page).first
    cause.get_by_text("Ignore until it changes").click()
    cause.get_by_label("Why").fill(why)
    cause.get_by_role("button", name="Ignore").click()


def test_problems_are_shown_by_their_cause(page: Page, source: Source) -> None:
    row = source_run(source, State.PARTIAL)
    for number in range(30):
        fail(row, f"{number}.pdf", f"{number}.pdf: Bad page {number}.")
    fail(row, "x.pdf", "It needs a password: remove it.")
    fail(row, "y.pdf", "Odd.", level=Failure.Level.WARNING)
    page.goto(LIST)
    expect(causes(page)).to_have_count(2)
    first = causes(page).first
    expect(first).to_contain_text("30")
    expect(first).to_contain_text("Parse, mine. First seen just now")
    first.get_by_text("30 documents", exact=True).first.click()
    expect(first.locator("ul.urls li")).to_have_count(10)
    first.get_by_role("link", name="All 30").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(30)
    tabs = page.get_by_role("navigation", name="Kinds of problems")
    tabs.get_by_role("link", name="Warnings 1").click()
    expect(causes(page)).to_contain_text(["Odd."])
    assert counted(page) == "31"


def test_the_documents_of_one_cause_are_read_again(
    page: Page, programs: Source, tmp_path: Path
) -> None:
    read(programs)
    row = source_run(programs, State.PARTIAL)
    fail(row, "c", "Another cause.", document_url="programs://c.bbj")
    page.goto(LIST)
    expect(causes(page)).to_have_count(2)
    causes(page).first.get_by_role("button", name="Retry 2 documents").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Run ")
    options = Run.objects.latest("pk").options
    assert options["addresses"] == ["programs://a.bbj", "programs://b.bbj"]
    expect(page.get_by_text("a retry of 2 documents")).to_be_visible()


def test_what_is_ignored_comes_back_when_it_changes(
    page: Page, programs: Source, tmp_path: Path
) -> None:
    read(programs)
    page.goto(LIST)
    assert counted(page) == "2"
    ignore(page, "They are samples of torn files.")
    expect(page.locator(".messagelist")).to_contain_text("2 problems are ignored")
    expect(page.get_by_text("There are no errors")).to_be_visible()
    assert counted(page) == ""
    page.goto("/admin/")
    expect(page.get_by_role("link", name="Open problems")).to_contain_text("0")

    read(programs)  # the same problems again, in a later run
    page.goto(LIST)
    expect(page.get_by_text("There are no errors")).to_be_visible()

    failure = Failure.objects.open().latest("pk")
    Failure.objects.filter(pk=failure.pk).update(message="Something else is wrong with it.")
    page.goto(LIST)
    expect(causes(page)).to_contain_text(["Something else is wrong with it."])
    assert counted(page) == "1"


def test_ignoring_says_who_and_why_and_is_undone(page: Page, source: Source) -> None:
    row = source_run(source, State.PARTIAL)
    for number in range(3):
        fail(row, f"{number}.pdf", f"{number}.pdf: Bad page {number}.")
    page.goto(LIST)
    ignore(page, "The printer made them so.")
    page.get_by_role("link", name="Ignored 3").click()
    expect(causes(page)).to_contain_text(["by ada: The printer made them so."])
    assert LogEntry.objects.filter(change_message__contains="Ignored 3 problems").exists()
    causes(page).get_by_text("3 documents").click()
    causes(page).get_by_role("button", name="Ignore no more: mine://1.pdf").click()
    expect(page.locator(".messagelist")).to_contain_text("1 problem is no longer ignored")
    causes(page).get_by_role("button", name="Ignore no more").first.click()
    expect(page.get_by_text("Nothing is ignored.")).to_be_visible()
    page.goto(LIST)
    expect(causes(page)).to_contain_text(["Bad page"])
    assert counted(page) == "3"


def test_one_problem_is_ignored_on_its_own_page(page: Page, source: Source) -> None:
    row = source_run(source, State.PARTIAL)
    one, _ = fail(row, "a.md", "Torn."), fail(row, "b.md", "Torn.")
    page.goto(f"{LIST}{one.pk}/change/")
    page.get_by_label("Why").fill("It is meant to be torn.")
    page.get_by_role("button", name="Ignore it").click()
    expect(causes(page)).to_contain_text(["mine://b.md"])
    page.goto(f"{LIST}{one.pk}/change/")
    expect(page.get_by_text("It is meant to be torn.")).to_be_visible()
    page.get_by_role("button", name="Ignore no more").click()
    assert not IgnoredProblem.objects.exists()


def test_the_link_to_the_file_has_the_filters_of_the_page(page: Page, source: Source) -> None:
    row = source_run(source, State.PARTIAL)
    fail(row, "a.md", "Torn.")
    fail(row, "b.md", "Odd.", level=Failure.Level.WARNING)
    for address in (f"{LIST}?tab=warning", f"{LIST}rows/?level__exact=warning"):
        page.goto(address)
        with page.expect_download() as download:
            page.get_by_role("link", name="Download as CSV").click()
        text = Path(download.value.path()).read_text("utf-8-sig")
        assert [line["message"] for line in csv.DictReader(text.splitlines())] == ["Odd."]


@pytest.mark.parametrize("width", [390, 768, 1400])
def test_long_texts_push_nothing_out(page: Page, source: Source, width: int) -> None:
    row = source_run(source, State.PARTIAL)
    for number in range(3):
        fail(row, f"{'long/' * 300}{number}.md", "M" * 250)
        fail(row, f"{number}.md", "It is bad. " * 25, level=Failure.Level.WARNING)
    one = fail(row, f"{'unbroken' * 100}.md", "N" * 2000)
    page.set_viewport_size({"width": width, "height": 900})
    for address in ("", "?tab=warning", "?tab=ignored", "rows/", f"{one.pk}/change/"):
        page.goto(LIST + address)
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert width_beyond(page) == 0, address
        if address == "rows/":
            inner = "document.querySelector('.results')"
            assert page.evaluate(f"{inner}.scrollWidth == {inner}.clientWidth"), address
        assert serious(page) == [], address
