"""A source in Git, from nothing: added, read, searched, and read again after a push."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.admin import (
    accept,
    content,
    delete_source,
    fill_in,
    invite,
    is_refused,
    is_said,
    new_source,
    open_section,
    open_settings,
    open_source,
    press,
    reingest,
    row_of,
    search_for,
    wait_for_run,
)
from tests.journeys.site import Site
from tests.support.browser import visit
from tests.support.git_servers import HttpServer, Project

pytestmark = pytest.mark.browser
MINUTES = 180_000  # milliseconds; the schedule fires within one minute
LINKS = "https://git.example.com/book/{commit}/{path}#L{line}"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HttpServer]:
    """Smart HTTP of the repositories in a folder of its own."""
    with HttpServer(tmp_path) as server:
        yield server


@pytest.fixture
def manager(page: Page, browser: Browser, site: Site) -> Iterator[Page]:
    """The site for an invited manager; what they added is deleted for them."""
    link = invite(page, "mia", "Manager")
    with visit(browser, site.url) as theirs:
        accept(theirs, link, "books are kept in order")
        yield theirs
    delete_source(page, "book")


def written(word: str) -> str:
    return f"# The {word}\n\nA {word} is what this page is about.\n"


def choose(page: Page, folder: str) -> None:
    """A folder of the repository, once it was fetched."""
    panel = page.get_by_role("region", name="Folders to choose from")
    panel.get_by_role("button", name=re.compile("^(Add all|Look again)")).wait_for()
    panel.get_by_role("button", name=f"Add {folder}").click()


def test_a_repository_is_followed(manager: Page, host: HttpServer, tmp_path: Path) -> None:
    page = manager
    project = Project(tmp_path, "book")
    first = project.commit({"pages/quokka.md": written("quokka"), "other/notes.txt": "no"})
    new_source(page, title="book", parser="MdxParser", git_repository="book.git")
    press(page, "Test")
    is_refused(page, "Git repository", "is not the address of a repository")
    fill_in(page, git_repository=f"{host.origin}/book.git", branch_or_tag="gone", paths=".")
    fill_in(page, credential="nobody")
    press(page, "Test")
    is_refused(page, "Credential", "is unknown here")
    fill_in(page, credential="")
    press(page, "Test")
    is_said(page, re.compile("has no branch or tag 'gone'"))
    fill_in(page, branch_or_tag="")
    press(page, "Browse")
    is_said(page, re.compile("has not been fetched yet"))
    press(page, "Test")
    is_said(page, "It can be read")
    press(page, "Remove this entry from Paths")
    press(page, "Look again")
    choose(page, "pages")
    fill_in(page, links_to_lines=LINKS)
    press(page, "Save")
    expect(page.get_by_text("was added successfully")).to_be_visible()

    reingest(page, "book")
    line = wait_for_run(page, "book")
    expect(line).to_contain_text(first[:10])
    assert "quokka" in search_for(page, "quokka").inner_text()

    open_settings(page, "book")
    fill_in(page, schedule="custom", cron_line="* * * * *")
    press(page, "Save")
    second = project.commit({"pages/axolotl.md": written("axolotl")})
    open_source(page, "book")
    expect(content(page)).to_contain_text(second[:10], timeout=MINUTES)  # the page follows
    content(page).get_by_role("link", name="History").click()
    expect(content(page)).to_contain_text(first[:10])
    open_section(page, "Overview")
    row_of(page, "book").get_by_role("link", name=re.compile("now|ago")).click()
    expect(content(page)).to_contain_text("schedule")
    search_for(page, "axolotl").get_by_role("link", name="The axolotl").click()
    line = content(page).get_by_role("link", name=re.compile(r"^Line \d+ at its host$"))
    expect(line).to_have_attribute("href", re.compile(rf"/book/{second}/pages/axolotl.md#L\d+$"))
