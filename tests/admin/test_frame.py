"""The frame of every page in a browser: the menu, the way back from errors, a lost session."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from ingestion.models import Run
from sources.models import Source
from tests.support.browser import session_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SECTIONS = (
    *("Overview", "Sources", "Runs", "Problems", "Search", "Quality", "Documents"),
    *("Models", "People", "API tokens"),
)


@pytest.fixture
def guide(transactional_db: None, settings: Any, tmp_path: Any) -> Source:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/window.md").write_text("# Windows\n\nA window holds controls.\n")
    settings.DATA_DIR = tmp_path
    return Source.objects.create(name="guide", title="Guide", parser="MdxParser", paths=["docs"])


def log_in_again(page: Page) -> None:
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()


@pytest.mark.parametrize("name", SECTIONS)
def test_a_phone_reaches_every_section_in_two_taps(page: Page, name: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/admin/sources/source/")
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("navigation", name="Menu").get_by_role("link", name=name).click()
    expect(page.get_by_role("main").get_by_role("heading", level=1)).to_have_text(name)
    wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wider <= 0


def test_the_menu_shows_where_one_is(page: Page) -> None:
    page.goto("/admin/ingestion/run/")
    current = page.get_by_role("navigation", name="Menu").locator("[aria-current=page]")
    expect(current).to_have_text("Runs")


def test_a_button_pressed_after_the_session_ended_leads_back_to_its_page(
    page: Page, guide: Source
) -> None:
    page.goto("/admin/")
    button = page.get_by_role("button", name="Ingest guide")
    expect(button).to_be_visible()
    Session.objects.all().delete()
    button.click()
    expect(page.get_by_text("nothing was done")).to_be_visible()
    log_in_again(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("guide")
    expect(page.get_by_text("Nothing was done")).to_be_visible()
    assert not Run.objects.exists()


def test_what_was_typed_outlives_the_session(page: Page, guide: Source) -> None:
    Group.objects.bulk_create([Group(name="Viewer"), Group(name="Manager")], ignore_conflicts=True)
    page.goto("/admin/auth/user/invite/")
    page.get_by_label("Name to log in with").fill("vera")
    page.get_by_role("radio", name="Manager").check()
    Session.objects.all().delete()
    page.get_by_role("button", name="Make the link").click()
    log_in_again(page)
    expect(page.get_by_text("What you had typed is filled in again")).to_be_visible()
    expect(page.get_by_label("Name to log in with")).to_have_value("vera")
    expect(page.get_by_role("radio", name="Manager")).to_be_checked()
    page.get_by_role("button", name="Make the link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The link for vera")
    page.goto("/admin/auth/user/invite/")
    expect(page.get_by_label("Name to log in with")).to_have_value("")


def test_what_was_typed_outlives_the_line_about_the_session(page: Page, guide: Source) -> None:
    page.goto("/admin/auth/user/invite/")
    page.get_by_label("Name to log in with").fill("vera")
    Session.objects.all().delete()
    page.get_by_role("alert").get_by_role("link", name="Log in again").click()
    log_in_again(page)
    expect(page.get_by_label("Name to log in with")).to_have_value("vera")


def test_what_was_typed_outlives_a_login_in_another_window(
    browser: Browser, live_server: Any
) -> None:
    ada = User.objects.create_superuser("ada", "ada@example.org", "secret")
    context = browser.new_context(  # the console complains about the 403
        base_url=live_server.url, storage_state=session_of(ada, live_server.url)
    )
    page = context.new_page()
    page.goto("/admin/sources/source/add/")
    page.get_by_label("Title").fill("My tutorial")
    Session.objects.all().delete()
    other = context.new_page()
    other.goto("/admin/")
    log_in_again(other)
    expect(other.get_by_role("button", name="Log out")).to_be_visible()
    page.get_by_role("button", name="Test").click()
    page.get_by_text("This page is older than your login").get_by_role("link").click()
    expect(page.get_by_text("What you had typed is filled in again")).to_be_visible()
    expect(page.get_by_label("Title")).to_have_value("My tutorial")
    context.clear_cookies(name="csrftoken")
    other.reload()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="Open it again, with what you typed").click()
    expect(page.get_by_label("Title")).to_have_value("My tutorial")
    context.close()


def test_a_live_page_says_that_what_it_shows_was_deleted(
    browser: Browser, live_server: Any, guide: Source
) -> None:
    ada = User.objects.create_superuser("ada", "ada@example.org", "secret")
    context = browser.new_context(  # the console complains about the 404
        base_url=live_server.url, storage_state=session_of(ada, live_server.url)
    )
    page = context.new_page()
    page.goto(f"/admin/sources/source/{guide.pk}/change/")
    guide.delete()
    line = page.get_by_role("alert")
    expect(line).to_contain_text("What this page shows was deleted", timeout=10_000)
    with page.expect_response("**/pulse/"):  # which is answered, and does not hide the line
        pass
    expect(line).to_contain_text("What this page shows was deleted")
    context.close()


def test_a_message_links_what_it_is_about(page: Page, guide: Source) -> None:
    page.goto(f"/admin/sources/source/{guide.pk}/change/?tab=settings")
    page.get_by_role("button", name="Save", exact=True).click()
    message = page.locator(".messagelist")
    expect(message).to_have_text("The source “guide” was changed successfully.")
    expect(message.get_by_role("link", name="guide")).to_be_visible()


def test_a_live_page_says_that_the_session_has_ended(page: Page) -> None:
    page.goto("/admin/")
    Session.objects.all().delete()
    line = page.get_by_role("alert")
    expect(line).to_contain_text("Your session has ended", timeout=10_000)
    line.get_by_role("link", name="Log in again").click()
    log_in_again(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/admin/nothing/", 404, "There is nothing at this address"),
        ("/nowhere", 404, "There is nothing at this address"),
        ("/admin/ingestion/run/999/live/", 404, "There is no run 999"),
        ("/admin/ingestion/document/add/", 403, "You may not do this"),
        ("/admin/logout/", 405, "This address only takes what a button sends"),
    ],
)
def test_an_error_has_the_menu_and_a_way_back(
    admin_client: Client, address: str, status: int, words: str
) -> None:
    answer = admin_client.get(address)
    html = answer.content.decode()
    assert answer.status_code == status
    assert words in html
    assert 'id="menu"' in html
    assert "To the overview" in html


def test_an_error_of_the_server_has_the_menu_too(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("broken for this test")

    monkeypatch.setattr("ingestion.admin.quality.page", broken)
    admin_client.raise_request_exception = False
    answer = admin_client.get(reverse("admin:quality"))
    assert answer.status_code == 500
    assert "Something went wrong here" in answer.content.decode()
    assert "To the overview" in answer.content.decode()


def test_a_form_from_before_the_login_says_so(guide: Source) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("eve", "", "secret"))
    url = reverse("admin:sources_source_act", args=[guide.pk])
    answer = client.post(url, {"action": "reingest", "csrfmiddlewaretoken": "x" * 64})
    assert answer.status_code == 403
    assert "This form is too old" in answer.content.decode()


def test_programs_get_errors_as_json(client: Client) -> None:
    answer = client.get("/api/nothing")
    assert answer.status_code == 404
    assert answer.json()
