"""A source in Git in the admin: its form, and the commit that was read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect
from pytest_django import Settings

from ingestion.models import Preview
from sources.models import Source
from tests.admin.test_admin import form, page, post, source_run
from tests.admin.test_browser import admin, data_dir
from tests.admin.test_browser import page as window
from tests.git.conftest import kept, with_git
from tests.support.git_servers import HttpServer, Project

__all__ = ["admin", "data_dir", "kept", "window"]
pytestmark = pytest.mark.django_db
REPOSITORY = "https://github.com/BasisHub/DWC-Course.git"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def given(**fields: Any) -> dict[str, Any]:
    return form(**{"repository": REPOSITORY, "revision": "", "credential": "", **fields})


def said(client: Client, **fields: Any) -> dict[str, list[str]]:
    """What is wrong at which field of a new source."""
    answer = client.post(reverse("admin:sources_source_add"), given(**fields))
    return {} if answer.status_code == 302 else dict(answer.context["adminform"].form.errors)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("repository", "hello", "is not the address of a repository"),
        ("repository", "git@github.com:a/b.git", "ssh://git@github.com/a/b.git"),
        ("repository", "https://me:secret@github.com/a/b.git", "Leave user names and passwords"),
        ("revision", "a..b", "cannot be the name of a branch or tag"),
        ("credential", "Docs Key", "Give the name of a secret"),
        ("credential", "docs-key", "set GIT_TOKEN_DOCS_KEY"),
        ("link_template", "https://x.y/{file}", "means nothing here"),
        ("paths", "../docs", "leaves the repository"),
    ],
)
@pytest.mark.parametrize("button", ["_save", "_test"])
def test_what_is_wrong_is_said_once_at_its_field(
    admin_client: Client, kept: Path, field: str, value: str, words: str, button: str
) -> None:
    errors = said(admin_client, **{field: value, button: "1"})
    assert list(errors) == [field]
    assert len(errors[field]) == 1
    assert words in errors[field][0]
    assert not Preview.objects.exists()


def test_a_credential_that_is_there_is_taken(
    admin_client: Client, kept: Path, settings: Settings
) -> None:
    with_git(settings, tokens={"GIT_TOKEN_DOCS_KEY": "abcdef"})
    assert said(admin_client, credential="docs-key") == {}
    assert Source.objects.get(name="new").credential == "docs-key"


def test_a_secret_that_is_gone_keeps_nobody_from_other_changes(
    admin_client: Client, kept: Path
) -> None:
    row = Source.objects.create(
        name="new", parser="MdxParser", paths=["docs"], repository=REPOSITORY, credential="gone"
    )
    post(admin_client, "sources_source_change", row.pk, **given(title="More", credential="gone"))
    row.refresh_from_db()
    assert row.title == "More"


@pytest.mark.parametrize("tab", ["status", "history"])
@pytest.mark.parametrize("repository", [REPOSITORY, "https://git.example.com/a/b.git"])
def test_the_commit_is_named_and_linked(admin_client: Client, tab: str, repository: str) -> None:
    row = Source.objects.create(
        name="new", title="New", parser="MdxParser", paths=["docs"], repository=repository
    )
    ran = source_run(row, "succeeded", commit=COMMIT)
    link = f"https://github.com/BasisHub/DWC-Course/commit/{COMMIT}"
    run = page(admin_client, "ingestion_run_change", ran.run_id)
    for html in (run, page(admin_client, "sources_source_change", row.pk, tab=tab)):
        assert f'<code title="{COMMIT}">{COMMIT[:10]}</code>' in html
        assert (f'href="{link}"' in html) == (repository == REPOSITORY)


def test_a_run_of_a_deleted_source_names_its_commit(admin_client: Client) -> None:
    row = Source.objects.create(
        name="new", title="New", parser="MdxParser", paths=["docs"], repository=REPOSITORY
    )
    ran = source_run(row, "succeeded", commit=COMMIT)
    type(ran).objects.filter(pk=ran.pk).update(source=None)
    assert COMMIT[:10] in page(admin_client, "ingestion_run_change", ran.run_id)


@pytest.mark.browser
def test_an_unsaved_source_in_git_is_tried(
    window: Page, data_dir: Path, kept: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps it from being read is said in words beside the form."""
    tokens = {"GIT_TOKEN_WRONG": "abcdef", "GIT_TOKEN_RIGHT": "ada:xylophone"}
    with_git(settings, tokens=tokens)
    for name, value in {**tokens, "WEB_ALLOW_NETWORKS": "127.0.0.0/8,::1/128"}.items():
        monkeypatch.setenv(name, value)  # of the process that reads
    Project(data_dir).commit({"pages/a.md": "# A\n\nIt says something.\n"})
    with HttpServer(data_dir, known="ada:xylophone") as server:
        window.set_viewport_size({"width": 390, "height": 844})
        window.goto("/admin/sources/source/add/")
        window.get_by_label("Title").press_sequentially("Guide")
        window.get_by_label("Kind").select_option("MdxParser")
        window.get_by_role("button", name="Add to Paths").click()
        window.get_by_role("textbox", name="Paths, entry 1").fill("pages")
        row = window.locator(".field-credential")
        expect(row).to_be_hidden()
        for name, credential, branch, words in (
            ("nothere", "right", "", "There is no repository at this address"),
            ("docs", "wrong", "", "does not let the credential 'wrong' in"),
            ("docs", "right", "gone", "The repository has no branch or tag 'gone'"),
            ("docs", "right", "", "It can be read"),
        ):
            window.get_by_label("Git repository").fill(f"{server.origin}/{name}.git")
            expect(row).to_be_visible()
            window.get_by_label("Credential").fill(credential)
            window.get_by_label("Branch or tag").fill(branch)
            window.get_by_role("button", name="Test").click()
            expect(window.locator("#preview")).to_contain_text(re.compile(re.escape(words)))
            assert "xylophone" not in window.locator("#preview").inner_text()
        assert window.evaluate("document.documentElement.scrollWidth") <= 390
    assert not Source.objects.filter(name="guide").exists()
