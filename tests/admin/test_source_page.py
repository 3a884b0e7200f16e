"""The page of a source in a real browser: settings without a brace, previews beside them."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Locator, Page, expect

from ingestion.parsers import PARSERS
from sources import timing
from sources.models import Source
from sources.option_fields import Option, options_of
from tests.admin.test_browser import admin, data_dir, page, source

__all__ = ["admin", "data_dir", "page"]

in_browser = pytest.mark.browser
FEEDBACK = 200  # milliseconds from the click to a sign that something happens


@pytest.fixture
def mine(page: Page) -> Source:
    return source("mine")


def settings_of(page: Page, it: Source) -> None:
    page.goto(f"/admin/sources/source/{it.pk}/change/?tab=settings")


def option(page: Page, parser: str, name: str) -> Locator:
    return page.locator(f'.parser-options[data-parser="{parser}"] .field-option-{parser}-{name}')


def save(page: Page) -> None:
    page.locator(".save-row").get_by_role("button", name="Save").click()


def is_wrong(row: Locator, words: str | re.Pattern[str]) -> None:
    expect(row.locator(".errorlist")).to_have_text(words)
    expect(row).to_be_visible()


@in_browser
def test_ingest_is_seen_without_scrolling(page: Page, mine: Source) -> None:
    page.set_viewport_size({"width": 1400, "height": 900})
    for tab in ("status", "settings", "documents", "problems", "history"):
        page.goto(f"/admin/sources/source/{mine.pk}/change/?tab={tab}")
        place = page.locator("#ingest-button").bounding_box()
        assert place
        assert place["y"] + place["height"] < 900


@in_browser
@pytest.mark.parametrize("width", [1400, 390])
def test_a_test_gives_a_sign_at_once(
    page: Page, mine: Source, width: int, record_property: Any
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    settings_of(page, mine)
    page.evaluate(
        """() => document.querySelector("button[name=_test]").addEventListener("click", () => {
            const begin = performance.now();
            const look = () => {
                const sign = document.querySelector("#preview .state-running");
                const place = sign?.getBoundingClientRect();
                if (place && place.height && place.top >= 0 && place.bottom <= innerHeight) {
                    window.feedback = performance.now() - begin;
                } else {
                    requestAnimationFrame(look);
                }
            };
            requestAnimationFrame(look);
        }, { capture: true })"""
    )
    page.get_by_role("button", name="Test", exact=True).click()
    passed = page.wait_for_function("window.feedback").json_value()
    record_property("milliseconds", passed)
    assert passed < FEEDBACK
    expect(page.locator("#preview")).to_contain_text("It can be read")


VALUES: dict[str, tuple[str, Any]] = {
    "delay": ("1.5", 1.5),
    "max_page_bytes": ("2", 2 * 1024**2),
    "max_pdf_bytes": ("3", 3 * 1024**2),
    "max_bytes": ("5", 5 * 1024**2),
    "max_seconds": ("10", 600),
    "target": ("", None),  # has to be one of the project
    "articles": ("/kb/a", "/kb/a"),
}
"""What is typed into an option's input, and what is stored; 7 into all other numbers."""


def type_option(row: Locator, it: Option) -> Any:
    """Set an option to something else than its default; what has to be stored."""
    if it.kind == "switch":
        row.get_by_role("checkbox").click()
        return not it.default
    if it.kind == "lines":
        for text in (".one", ".two", ".three"):
            row.get_by_role("button", name=re.compile("^Add to")).click()
            row.get_by_role("textbox").last.fill(text)
        row.get_by_role("button", name=re.compile("^Remove")).nth(1).click()
        return [".one", ".three"]
    typed, stored = VALUES.get(it.name, ("7", 7))
    row.locator("input").fill(typed)
    return stored


@in_browser
@pytest.mark.parametrize("parser", list(PARSERS))
def test_every_kind_is_set_up_without_a_brace(page: Page, data_dir: Path, parser: str) -> None:
    page.goto("/admin/sources/source/add/")
    page.get_by_label("Title:").fill("Set up")
    page.get_by_label("Title:").press("Tab")  # the name follows
    page.get_by_label("Kind:").select_option(parser)
    if page.get_by_label("Start URL:").is_visible():
        page.get_by_label("Start URL:").fill("http://127.0.0.1:9/")
    else:
        page.get_by_role("button", name="Add to Paths").click()
        page.get_by_role("textbox", name="Paths, entry 1").fill("docs")
    page.get_by_label("Enabled").uncheck()
    wanted = {
        one.name: type_option(option(page, parser, one.name), one) for one in options_of(parser)
    }
    save(page)
    expect(page.get_by_text("was added successfully")).to_be_visible()
    stored = Source.objects.latest("pk")
    assert (stored.name, stored.title) == ("set-up", "Set up")
    assert stored.options == {name: value for name, value in wanted.items() if value is not None}


@in_browser
def test_an_error_of_an_option_is_at_its_input(page: Page, mine: Source) -> None:
    Source.objects.filter(pk=mine.pk).update(
        parser="WebCrawlParser", start_url="http://127.0.0.1:9/", paths=[]
    )
    settings_of(page, mine)
    row = option(page, "WebCrawlParser", "delay")
    row.locator("input").fill("500")
    page.get_by_role("button", name="Test", exact=True).click()
    is_wrong(row, "Must be 120 seconds or less.")
    expect(page.locator("#preview")).to_contain_text("Nothing was read")
    page.locator("#source_form").evaluate("form => form.noValidate = true")
    save(page)
    is_wrong(row, "Must be 120 seconds or less.")
    expect(row.locator("input")).to_have_value("500")


@in_browser
def test_json_and_inputs_follow_each_other(page: Page, mine: Source) -> None:
    settings_of(page, mine)
    page.get_by_text("Advanced: the options as JSON").click()
    json = page.locator("#id_options")
    option(page, "MdxParser", "number_prefixes").get_by_role("checkbox").click()
    expect(json).to_have_value('{"number_prefixes":false}')
    json.fill('{"exclude": ["a", "b"]}')
    json.press("Tab")
    rows = option(page, "MdxParser", "exclude").get_by_role("textbox")
    expect(rows).to_have_count(2)
    expect(option(page, "MdxParser", "number_prefixes").get_by_role("checkbox")).to_be_checked()
    json.fill('{"exclude": 7}')
    save(page)
    is_wrong(page.locator(".field-options"), re.compile("exclude: must be a list"))
    mine.refresh_from_db()
    assert mine.options == {}


@in_browser
def test_back_brings_the_preview_back(page: Page, mine: Source) -> None:
    settings_of(page, mine)
    page.get_by_label("Title:").fill("Typed")
    page.locator("#preview-button").click()
    page.locator("#preview").get_by_role("link", name="Windows").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Windows")
    page.go_back()
    expect(page.locator("#preview")).to_contain_text("It can be read")
    expect(page.get_by_label("Title:")).to_have_value("Typed")


@in_browser
def test_what_was_typed_survives_the_end_of_the_session(page: Page, mine: Source) -> None:
    settings_of(page, mine)
    page.get_by_label("Title:").fill("Typed")
    page.get_by_role("button", name="Add to Leave out").click()
    option(page, "MdxParser", "exclude").get_by_role("textbox").fill("drafts/*")
    Session.objects.all().delete()
    save(page)
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_label("Title:")).to_have_value("Typed")
    expect(option(page, "MdxParser", "exclude").get_by_role("textbox")).to_have_value("drafts/*")
    save(page)
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    mine.refresh_from_db()
    assert (mine.title, mine.options) == ("Typed", {"exclude": ["drafts/*"]})


@in_browser
def test_a_schedule_is_said_in_words_and_wrong_lines_at_their_field(
    page: Page, mine: Source
) -> None:
    settings_of(page, mine)
    page.get_by_label("Schedule:").select_option("weekly")
    page.get_by_label("Day:").select_option("5")
    page.get_by_label("Time:").fill("04:30")
    page.get_by_label("Time:").press("Tab")
    words = page.locator("#schedule-words")
    expect(words).to_contain_text(re.compile(r"Every Friday at 04:30 \(.+\)\. Next: (.+, ){2}.+\."))
    page.get_by_label("Schedule:").select_option("custom")
    page.get_by_label("Cron line:").fill("no line")
    save(page)
    is_wrong(page.locator(".field-schedule"), re.compile("cron"))
    page.get_by_label("Cron line:").fill("30 4 * * 1-5")
    save(page)
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    mine.refresh_from_db()
    assert mine.schedule == "30 4 * * 1-5"


@in_browser
def test_the_second_to_save_is_told(page: Page, mine: Source) -> None:
    settings_of(page, mine)
    page.get_by_label("Title:").fill("Second")
    theirs = Source.objects.get(pk=mine.pk)
    theirs.title = "First"
    theirs.save()
    save(page)
    expect(page.locator(".errornote + .errorlist, .errorlist.nonfield")).to_contain_text(
        "Somebody saved this source"
    )
    expect(page.get_by_label("Title:")).to_have_value("Second")
    mine.refresh_from_db()
    assert mine.title == "First"
    save(page)
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    mine.refresh_from_db()
    assert mine.title == "Second"


def test_the_next_times_keep_their_hour_when_the_clocks_change(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    zone = ZoneInfo("Europe/Berlin")
    for now, hours in (
        (datetime(2026, 3, 27, 12, tzinfo=zone), (1, 2, 2)),
        (datetime(2026, 10, 23, 12, tzinfo=zone), (2, 1, 1)),
    ):
        times = timing.next_times("0 3 * * *", now)
        assert [one.astimezone(zone).hour for one in times] == [3, 3, 3]
        offsets = [one.utcoffset().total_seconds() / 3600 for one in times]  # type: ignore[union-attr]
        assert offsets == list(hours)
