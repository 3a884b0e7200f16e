"""Paths of a source are chosen from the folders that are there."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Locator, Page, expect
from pytest_django import Settings

from ingestion.parsers import PARSERS, folders, parser_class
from ingestion.runs import dry_run
from sources.models import Source
from tests.admin.test_browser import admin, page
from tests.admin.test_roles import person
from tests.git.conftest import data, kept, project
from tests.support.git_servers import Project

__all__ = ["admin", "data", "kept", "page", "project"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def data_dir(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    write(settings.DATA_DIR, "docs/a.md", "docs/deep/b.MDX", "docs/deep/c.txt", "empty/x.pdf")
    write(settings.DATA_DIR, "docs/.hidden/d.md", "docs/node_modules/e.md", ".git/f.md", "top.md")
    return Path(settings.DATA_DIR)


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# A page\n\nIt says something.\n")


def looked(client: Client, path: str = "", parser: str = "MdxParser", **fields: str) -> str:
    asked = {"path": path, "parser": parser, **fields}
    answer = client.get(reverse("admin:sources_source_folders"), asked)
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def counts(found: str) -> dict[str, str]:
    """The folders of a level, with what is beside each."""
    return dict(re.findall(r"(\S+) ((?:[\d,]+ files?|none|more than)\b[^.]*?) Add", found))


def test_it_works(data_dir: Path) -> None:
    manager = person("Manager")
    assert counts(looked(manager)) == {"docs": "2 files", "empty": "none"}
    assert "Here: 1 file." in looked(manager)
    assert counts(looked(manager, "docs")) == {"deep": "1 file"}
    assert "There are no folders in it" in looked(manager, "docs/deep")
    assert counts(looked(manager, parser="PdfParser")) == {"docs": "none", "empty": "1 file"}


@pytest.mark.parametrize(
    ("permissions", "status"),
    [([], 403), (["view_source"], 403), (["add_source"], 200), (["change_source"], 200)],
)
def test_who_may_look(data_dir: Path, permissions: list[str], status: int) -> None:
    user = User.objects.create_user("someone", password="secret", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    assert client.get(reverse("admin:sources_source_folders")).status_code == status


def test_nobody_looks_without_a_login(data_dir: Path) -> None:
    answer = Client().get(reverse("admin:sources_source_folders"))
    assert answer.status_code == 302


@pytest.mark.parametrize("path", ["..", "../outside", "docs/../../outside", "out", "out/deep"])
def test_nothing_outside_is_shown(data_dir: Path, path: str) -> None:
    write(data_dir.parent / "outside", "deep/secret.md")
    (data_dir / "out").symlink_to(data_dir.parent / "outside")
    found = looked(person("Manager"), path)
    assert "is not a folder in DATA_DIR (any more)" in found
    assert "secret" not in found
    assert counts(found) == {}


@pytest.mark.parametrize("path", ["/etc", "a\0b", "x" * 5000, "top.md", "nowhere"])
def test_what_is_not_a_folder_is_said(data_dir: Path, path: str) -> None:
    assert "is not a folder" in looked(person("Manager"), path)


def test_links_are_judged(data_dir: Path) -> None:
    """One that leads out is not shown nor counted; one that stays inside can be a path."""
    write(data_dir.parent / "outside", "secret.md")
    (data_dir / "out").symlink_to(data_dir.parent / "outside")
    (data_dir / "docs/out.md").symlink_to(data_dir.parent / "outside/secret.md")
    (data_dir / "circle").symlink_to("circle")
    (data_dir / "same").symlink_to("docs")
    found = counts(looked(person("Manager")))
    assert found == {"docs": "2 files", "empty": "none", "same": "2 files"}


def test_names_that_cannot_be_typed_are_left_out(data_dir: Path) -> None:
    for name in (b"bad-\xff", b"two\nlines", b" blank"):
        os.mkdir(os.fsencode(data_dir) + b"/" + name)
    (data_dir / "<b>&").mkdir()
    found = looked(person("Manager"))
    assert "&lt;b&gt;&amp; none" in found
    assert not any(part in found for part in ("bad-", "two", "blank"))


def test_a_huge_folder_is_counted_within_the_bound(data_dir: Path) -> None:
    for number in range(45):
        write(data_dir, f"huge/{number}/0.md")
        for other in range(1, 600):
            os.link(data_dir / f"huge/{number}/0.md", data_dir / f"huge/{number}/{other}.md")
    begun = time.monotonic()
    found = looked(person("Manager"))
    assert time.monotonic() - begun < 2 * folders.MOST_SECONDS
    assert re.search(r"huge [\d,]+ files among the first 20,000 entries Add", found)
    assert "docs 2 files" in found


def test_counting_ends_when_its_time_is_over(data_dir: Path) -> None:
    found = folders.level(data_dir, "docs", (".md",), seconds=-1)
    assert str(found.files) == "more than could be counted in a second"
    assert not found.is_whole


def test_too_many_folders_are_not_all_shown(data_dir: Path) -> None:
    for number in range(folders.MOST_SHOWN + 1):
        (data_dir / f"many/{number}").mkdir(parents=True)
    assert "There are more than can be shown here" in looked(person("Manager"), "many")


@pytest.mark.parametrize("parser", PARSERS)
def test_each_parser_of_paths_says_its_endings(parser: str) -> None:
    cls = parser_class(parser)
    assert bool(cls.endings) == (cls.reads == "paths")
    assert all(ending.startswith(".") and ending == ending.lower() for ending in cls.endings)


def test_the_folders_of_a_repository_are_there_once_it_was_fetched(project: Project) -> None:
    manager = person("Manager")
    given = {"repository": f"file://{project.bare}"}
    assert "press Test, which fetches it" in looked(manager, **given)
    guide = Source(name="guide", parser="MdxParser", paths=["docs"], **given)
    list(dry_run.read(dry_run.order(guide, seconds=20)))
    found = looked(manager, **given)
    assert counts(found) == {"docs": "3 files"}
    assert "All of it" in found
    assert "press Test" in looked(manager, revision="other", **given)
    project.commit({"more/new.md": "# New\n"})
    list(dry_run.read(dry_run.order(guide, seconds=20)))
    assert set(counts(looked(manager, **given))) == {"docs", "more"}


def test_a_link_in_a_repository_leads_nowhere_else(project: Project) -> None:
    (project.folder / "out").symlink_to("/etc")
    project.commit()
    given = {"repository": f"file://{project.bare}"}
    guide = Source(name="guide", parser="MdxParser", paths=["docs"], **given)
    list(dry_run.read(dry_run.order(guide, seconds=20)))
    assert set(counts(looked(person("Manager"), **given))) == {"docs"}
    assert "is not a folder" in looked(person("Manager", "other"), "out", **given)


def test_a_wrong_address_is_said(data_dir: Path) -> None:
    assert "outside DATA_DIR" in looked(person("Manager"), repository="file:///etc")


def panel(page: Page) -> Locator:
    return page.get_by_role("region", name="Folders to choose from")


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 390])
def test_a_folder_is_chosen_with_the_keyboard(page: Page, data_dir: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto("/admin/sources/source/add/")
    page.get_by_label("Kind").select_option("MdxParser")
    browse = page.get_by_role("button", name="Browse")
    browse.press("Enter")
    first = panel(page).get_by_role("button", name="Open docs, 2 files")
    expect(first).to_be_focused()
    first.press("Enter")
    expect(panel(page).get_by_role("button", name="Open deep, 1 file")).to_be_focused()
    panel(page).get_by_role("button", name="Add docs/deep").press("Enter")
    expect(page.get_by_role("textbox", name="Paths, entry 1")).to_have_value("docs/deep")
    expect(panel(page).get_by_text("in the list", exact=True)).to_be_visible()
    panel(page).get_by_role("button", name="DATA_DIR").press("Enter")
    expect(panel(page).get_by_text("a part is in the list")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.keyboard.press("Escape")
    expect(panel(page)).to_be_hidden()
    expect(browse).to_be_focused()


@pytest.mark.browser
def test_what_is_chosen_is_saved(page: Page, data_dir: Path) -> None:
    page.goto("/admin/sources/source/add/")
    page.get_by_label("Title").press_sequentially("Guide")
    page.get_by_label("Kind").select_option("MdxParser")
    page.get_by_role("button", name="Browse").click()
    panel(page).get_by_role("button", name="Add docs").click()
    panel(page).get_by_role("button", name="Open docs, 2 files").click()
    expect(panel(page).get_by_text("included")).to_be_visible()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("was added")
    assert Source.objects.get(name="guide").paths == ["docs"]
