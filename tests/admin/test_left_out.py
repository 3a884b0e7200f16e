"""Leaving a document out of search, in a browser: from its page, listed, and undone."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from playwright.sync_api import Page, expect

from ingestion.index import left_out
from ingestion.models import Document
from sources.models import LeftOut
from tests.support.indexed import document, index

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def stored() -> Document:
    index(
        document("Files", "The verb EXTRACT reads a record and locks it."),
        document("Windows", "A window holds controls."),
    )
    return Document.objects.get(url="docs://Files")


def found(page: Page, query: str) -> int:
    page.goto(f"/admin/search/?q={query}")
    return page.get_by_role("main").get_by_role("link", name="Files").count()


def test_a_document_is_left_out_and_taken_back(page: Page, stored: Document) -> None:
    assert found(page, "extract") > 0
    page.goto(f"/admin/ingestion/document/{stored.pk}/change/")
    page.get_by_text("Leave out of search", exact=True).click()
    page.get_by_label("Why").fill("describes a beta version")
    page.get_by_role("button", name="Leave it out").click()
    expect(page.get_by_text("is left out of search from now on")).to_be_visible()
    expect(page.get_by_label("Left out of search").first).to_contain_text("beta version (ada")
    assert found(page, "extract") == 0
    page.goto("/admin/quality/")
    row = page.get_by_role("row").filter(has_text="Documents left out of search")
    expect(row).to_contain_text("1")
    row.get_by_role("link").click()
    row = page.get_by_role("row").filter(has_text="docs://Files")
    expect(row).to_contain_text("describes a beta version")
    row.get_by_role("button", name="Find Files again").click()
    expect(page.get_by_text("Files is found again.")).to_be_visible()
    assert found(page, "extract") > 0


def test_the_list_of_documents_shows_what_is_left_out(page: Page, stored: Document) -> None:
    left_out.leave_out(stored, "wrong", "ada")
    page.goto("/admin/ingestion/document/")
    page.get_by_role("link", name="Left out of search", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="docs://Files")).to_be_visible()
    page.goto("/admin/ingestion/document/?left_out=1")
    expect(page.get_by_role("main")).to_contain_text("Files")
    expect(page.get_by_role("main")).not_to_contain_text("Windows")
    page.goto("/admin/ingestion/document/?left_out=0")
    expect(page.get_by_role("main")).to_contain_text("Windows")


def client_of(role: str) -> Client:
    user = User.objects.create_user(role.lower(), password="secret", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.django_db
@pytest.mark.parametrize(("role", "status"), [("Viewer", 403), ("Manager", 302)])
def test_who_may(stored: Document, role: str, status: int) -> None:
    client = client_of(role)
    there = f"/admin/ingestion/document/{stored.pk}/"
    assert client.post(f"{there}leave-out/", {"reason": "wrong"}).status_code == status
    assert LeftOut.objects.count() == (status == 302)
    row = left_out.leave_out(stored, "wrong", "ada")
    listed = client.get("/admin/ingestion/document/left-out/")
    assert listed.status_code == 200
    assert ("Find again" in listed.text) == (status == 302)
    back = client.post("/admin/ingestion/document/left-out/take-back/", {"row": row.pk})
    assert back.status_code == status
    assert LeftOut.objects.exists() == (status == 403)


@pytest.mark.django_db
def test_a_reason_is_asked_for(stored: Document) -> None:
    client = client_of("Manager")
    there = f"/admin/ingestion/document/{stored.pk}/"
    page = client.post(f"{there}leave-out/", {"reason": " \0 "}, follow=True)
    assert "say why it is to be left out" in page.text
    assert not LeftOut.objects.exists()
    assert "Press the button again" in client.get(f"{there}leave-out/", follow=True).text
    gone = client.post("/admin/ingestion/document/left-out/take-back/", {"row": "x"}, follow=True)
    assert "It is not left out any more" in gone.text
