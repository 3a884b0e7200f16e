"""What people do in the admin, in words. Everything is found by its role and its visible name, so a
redesign of the pages changes this file and no journey."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

A_RUN = 60_000  # milliseconds that a run may take, tenfold


def content(page: Page) -> Locator:
    """The page without its navigation."""
    return page.get_by_role("main")


def open_section(page: Page, name: str) -> None:
    link = page.get_by_role("navigation").get_by_role("link", name=re.compile(rf"^{name}\b"))
    link.first.click()
    expect(content(page).get_by_role("heading", level=1)).to_have_text(name)


def open_source(page: Page, name: str) -> None:
    open_section(page, "Sources")
    content(page).get_by_role("link", name=name, exact=True).click()


def field(page: Page, label: str) -> Locator:
    return content(page).get_by_label(re.compile(rf"^{label}:?$"))


def press(page: Page, name: str | re.Pattern[str]) -> None:
    content(page).get_by_role("button", name=name, exact=True).click()


def open_settings(page: Page, name: str) -> None:
    """The form of a source."""
    open_source(page, name)
    content(page).get_by_role("link", name="Settings").click()
    expect(field(page, "Kind")).to_be_visible()


def fill_entry(page: Page, label: str, value: str) -> None:
    """The only entry of a list."""
    entries = content(page).get_by_role("textbox", name=re.compile(f"^{label}, entry"))
    if not entries.count():
        press(page, f"Add to {label}")
    entries.fill(value)


def fill_in(page: Page, **values: str) -> None:
    """Each value into the field whose label is the name, `start_URL` for "Start URL"."""
    for name, value in values.items():
        if name == "paths":
            fill_entry(page, "Paths", value)
            continue
        if name == "options" and not field(page, "Options").is_visible():
            content(page).get_by_text("Advanced: the options as JSON").click()
        label = "Kind" if name == "parser" else name
        found = field(page, label.capitalize().replace("_", " ").replace("url", "URL"))
        if found.evaluate("element => element.tagName") == "SELECT":
            found.select_option(value)
        else:
            found.fill(value)
            found.press("Tab")  # the name follows the title when the title is left


def new_source(page: Page, **values: str) -> None:
    """The form of a new source, filled in and not saved. The name follows from the title."""
    open_section(page, "Sources")
    content(page).get_by_role("link", name="Add source").click()
    fill_in(page, **values)


def act_on_selected(page: Page, action: str) -> None:
    content(page).get_by_role("combobox", name="Action").select_option(label=action)
    press(page, "Go")


def title_is(page: Page, title: str) -> None:
    expect(content(page).get_by_role("heading", level=1)).to_contain_text(title)


def is_said(page: Page, words: str | re.Pattern[str]) -> None:
    expect(content(page).get_by_text(words).first).to_be_visible()


def is_refused(page: Page, label: str, words: str | re.Pattern[str]) -> None:
    """The field is marked as wrong, and what is wrong is said once on the page."""
    expect(field(page, label)).to_have_attribute("aria-invalid", "true")
    expect(content(page).get_by_text(words)).to_have_count(1)


def add_source(page: Page, **values: str) -> None:
    new_source(page, **values)
    press(page, "Save")
    expect(page.get_by_text("was added successfully")).to_be_visible()


def delete_source(page: Page, name: str) -> None:
    open_source(page, name)
    content(page).get_by_text("More", exact=True).click()
    content(page).get_by_role("link", name="Delete").click()
    press(page, re.compile("^Yes, I.m sure$"))
    expect(page.get_by_text("was deleted successfully")).to_be_visible()


def reingest(page: Page, name: str) -> None:
    """Ask for a run on the source's own page, which leads to the page of the run."""
    open_source(page, name)
    press(page, "Ingest")
    expect(page.get_by_text(f"Queued {name}")).to_be_visible()
    title_is(page, "Run ")


def ingest_all(page: Page) -> None:
    open_section(page, "Overview")
    content(page).get_by_role("link", name="Ingest all now").click()
    press(page, re.compile(r"^Ingest \d+ sources$"))
    title_is(page, "Run ")


def part_of(page: Page, source: str, state: str) -> Locator:
    """What the page of a run says about one source that is in this state."""
    return content(page).get_by_role("region", name=re.compile(rf"^{source}\W+{state}$"))


def wait_for_run(page: Page, source: str, state: str = "succeeded") -> Locator:
    """Watch the page of the run, which follows the run by itself, until the source is there."""
    part = part_of(page, source, state)
    expect(part).to_be_visible(timeout=A_RUN)
    return part


def row_of(page: Page, name: str) -> Locator:
    """The row of a list that begins with this name."""
    header = page.get_by_role("rowheader", name=re.compile(rf"^{re.escape(name)}\b"))
    return content(page).get_by_role("row").filter(has=header)


def invite(page: Page, name: str, role: str) -> str:
    """The link by which somebody with this name and role chooses a password."""
    open_section(page, "People")
    content(page).get_by_role("link", name="Invite somebody").click()
    fill_in(page, Name_to_log_in_with=name)
    content(page).get_by_role("radio", name=re.compile(f"^{role}")).check()
    press(page, "Make the link")
    return field(page, "Link").input_value()


def accept(page: Page, link: str, password: str) -> None:
    """Open an invitation in a browser of its own, choose a password, and be logged in."""
    page.goto(link)
    page.get_by_label("New password:").fill(password)
    page.get_by_label("New password confirmation:").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def search_for(page: Page, query: str) -> Locator:
    """The results."""
    open_section(page, "Search")
    field(page, "Search for").fill(query)
    press(page, "Search")
    return content(page).get_by_role("region", name="Results")
