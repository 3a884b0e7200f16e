"""A Viewer looks at everything and changes nothing, by the pages and past them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.admin import (
    accept,
    add_source,
    content,
    invite,
    open_section,
    open_source,
    reingest,
    row_of,
    title_is,
    wait_for_run,
)
from tests.journeys.material import write_topics
from tests.journeys.site import PASSWORD, Site
from tests.support.browser import log_in, visit

pytestmark = pytest.mark.browser
SECTIONS = {
    *("Overview", "Search", "Quality", "Sources", "Runs"),
    *("Problems", "Documents", "Models"),
}
LOOKING = {"Search", "Show"}  # buttons that change nothing


@dataclass(frozen=True)
class Request:
    """What pressing a button sends."""

    button: str
    url: str
    fields: dict[str, Any]


SENT = """button => {
    const form = button.form;  // form.action may be one of its fields
    const action = button.getAttribute("formaction") ?? form.getAttribute("action") ?? "";
    const url = new URL(action, location.href);
    return [url.href, form.method, Object.fromEntries(new FormData(form, button))];
}"""


def requests_of(page: Page) -> Iterator[Request]:
    """What the buttons of the page would send that change something."""
    for button in content(page).get_by_role("button").all():
        if button.get_attribute("type") == "button":
            continue  # it changes the page only
        name = button.inner_text() or str(button.get_attribute("value"))
        url, method, fields = button.evaluate(SENT)
        if method == "post":
            yield Request(name, url, fields)


def stored_with_failure_and_question(page: Page, data: Path) -> str:
    """A source that was read, a document of which failed, and ten are to be removed; the address
    of that run."""
    topics = write_topics(data / "buffer", 12)
    add_source(page, title="buffer", parser="MdxParser", paths="buffer")
    reingest(page, "buffer")
    wait_for_run(page, "buffer")
    for topic in topics[2:]:
        topic.unlink()
    topics[0].write_bytes(b"\x00\x01\x02\x03" * 40)
    reingest(page, "buffer")
    wait_for_run(page, "buffer", "needs approval")
    return page.url


def what_a_manager_can_press(page: Page, run: str) -> list[Request]:
    page.goto(run)
    found = list(requests_of(page))
    open_source(page, "buffer")
    found += requests_of(page)
    content(page).get_by_role("link", name="Settings").click()
    expect(content(page).get_by_role("button", name="Save")).to_be_visible()
    found += requests_of(page)
    content(page).get_by_text("More", exact=True).click()
    content(page).get_by_role("link", name="Delete").click()
    title_is(page, "Delete")
    found += requests_of(page)
    for section, link in (("Sources", "Add source"), ("API tokens", "Add API token")):
        open_section(page, section)
        content(page).get_by_role("link", name=link).click()
        title_is(page, link)
        found += requests_of(page)
    return found


def test_a_viewer_looks_and_does_not_touch(
    page: Page, browser: Browser, site: Site, data: Path
) -> None:
    link = invite(page, "vera", "Viewer")
    with visit(browser, site.url) as viewer:
        accept(viewer, link, PASSWORD)
    with visit(browser, site.url) as other:
        other.goto(link)
        expect(other.get_by_text("This link was used already")).to_be_visible()
    run = stored_with_failure_and_question(page, data)
    requests = what_a_manager_can_press(page, run)
    pressed = {request.button for request in requests}
    assert pressed >= {"Save", "Test", "Preview", "Ingest", "Keep them", "Retry this document"}
    with visit(browser, site.url) as viewer:
        log_in(viewer, "vera", PASSWORD)
        looks_at_everything(viewer)
        answers = {request.button: by_hand(viewer, request) for request in requests}
        assert answers == dict.fromkeys(answers, 403)
    page.goto(run)
    wait_for_run(page, "buffer", "needs approval")
    open_section(page, "Overview")
    expect(row_of(page, "buffer").get_by_role("cell").nth(3)).to_have_text("12")


def looks_at_everything(page: Page) -> None:
    shown = page.get_by_role("navigation").get_by_role("link").all_inner_texts()
    links = {re.split(r"\d", text)[0].strip() for text in shown}  # without the number of problems
    assert set(links) >= SECTIONS
    assert not set(links) & {"People", "API tokens", "Add"}
    for name in sorted(SECTIONS):
        open_section(page, name)
        has_nothing_to_press(page)
        first = content(page).get_by_role("table").get_by_role("rowheader").get_by_role("link")
        if name not in ("Overview", "Quality") and first.count():
            first.first.click()
            expect(content(page)).not_to_have_text("")
            has_nothing_to_press(page)


def has_nothing_to_press(page: Page) -> None:
    buttons = content(page).get_by_role("button").all()
    names = {button.inner_text() or button.get_attribute("value") for button in buttons}
    assert names <= LOOKING, page.url
    changing = content(page).get_by_role("link", name=re.compile(r"^(Add|Delete)\b"))
    expect(changing).to_have_count(0)


def by_hand(page: Page, request: Request) -> int:
    """The status code of a request that the person's pages do not offer."""
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    token = {"csrfmiddlewaretoken": cookies["csrftoken"]}
    answer = page.request.post(
        request.url, form=request.fields | token, headers={"Referer": page.url}
    )
    return answer.status
