"""Tokens of the HTTP API in the admin: made, shown once, revoked."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from ingestion.api import tokens
from ingestion.models import ApiToken
from tests.admin.test_admin import page, post
from tests.admin.test_roles import person

pytestmark = pytest.mark.django_db


def add(client: Client, **changes: str) -> str:
    typed = {"name": "editor", "requests_per_minute": "30", **changes}
    return post(client, "ingestion_apitoken_add", **typed)


def token_in(html: str) -> str:
    found = re.search(rf'value="({tokens.PREFIX}[^"]+)"', html)
    assert found
    return found[1]


def test_a_token_is_made_and_shown_once(admin_client: Client) -> None:
    token = token_in(add(admin_client))
    row = ApiToken.objects.get()
    assert tokens.find(token) == row
    assert (row.name, row.requests_per_minute) == ("editor", 30)
    for name, *args in (
        ("ingestion_apitoken_changelist",),
        ("ingestion_apitoken_change", row.pk),
        ("ingestion_apitoken_history", row.pk),
    ):
        html = page(admin_client, name, *args)
        assert token not in html
        assert row.digest not in html
        assert "editor" in html
    assert token not in str(LogEntry.objects.values())


def test_the_page_with_the_token_is_kept_nowhere(admin_client: Client) -> None:
    url = reverse("admin:ingestion_apitoken_add")
    response = admin_client.post(url, {"name": "editor", "requests_per_minute": "30"})
    assert "no-store" in response["Cache-Control"]
    token = token_in(response.content.decode())
    assert token not in str(response.cookies)


def test_the_token_itself_cannot_be_chosen(admin_client: Client) -> None:
    add(admin_client, digest="0" * 64, beginning="mine", revoked_at="2020-01-01")
    row = ApiToken.objects.get()
    assert row.digest != "0" * 64
    assert row.beginning.startswith(tokens.PREFIX)
    assert row.revoked_at is None


def test_changing_a_token_keeps_what_it_is_and_counts(admin_client: Client) -> None:
    token = token_in(add(admin_client))
    row = ApiToken.objects.get()
    html = page(admin_client, "ingestion_apitoken_change", row.pk)
    tokens.use(row)  # a request while somebody edits
    assert "valid" in html
    url = reverse("admin:ingestion_apitoken_change", args=[row.pk])
    admin_client.post(url, {"name": "editor", "requests_per_minute": "60"})
    again = ApiToken.objects.get()
    assert (again.requests_per_minute, again.window_requests) == (60, 1)
    assert tokens.find(token) == row


def test_a_token_is_revoked_after_a_question(admin_client: Client) -> None:
    token = token_in(add(admin_client))
    row = ApiToken.objects.get()
    chosen = {"action": "revoke", "_selected_action": str(row.pk)}
    assert "Yes, revoke" in post(admin_client, "ingestion_apitoken_changelist", **chosen)
    assert tokens.find(token) == row
    html = post(admin_client, "ingestion_apitoken_changelist", **chosen, confirmed="yes")
    assert "are refused from now on" in html
    assert tokens.find(token) is None
    assert "Revoked." in LogEntry.objects.latest("pk").change_message
    html = post(admin_client, "ingestion_apitoken_changelist", **chosen, confirmed="yes")
    assert "revoked already" in html


def test_only_an_administrator_keeps_tokens() -> None:
    url = reverse("admin:ingestion_apitoken_add")
    for role, code in (("Viewer", 403), ("Manager", 403), ("Administrator", 200)):
        client = person(role, name=role)
        assert client.get(url).status_code == code, role
        client.post(url, {"name": "editor", "requests_per_minute": "30"})
    assert ApiToken.objects.count() == 1
