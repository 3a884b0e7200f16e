"""Tokens of the HTTP API in the admin: made, shown once, revoked."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from ingestion import access
from ingestion.api import tokens
from ingestion.models import ApiToken
from tests.admin.test_admin import page, post
from tests.admin.test_roles import person
from tests.support.indexed import source as make_source

pytestmark = pytest.mark.django_db


TYPED = {
    **{"name": "editor", "requests_per_minute": "30", "every_source": "True"},
    **{"may_search": "on", "may_read": "on"},
}


def add(client: Client, **changes: str) -> str:
    return post(client, "ingestion_apitoken_add", **{**TYPED, **changes})


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
    response = admin_client.post(url, TYPED)
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
    admin_client.post(url, {**TYPED, "requests_per_minute": "60"})
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
        client.post(url, TYPED)
    assert ApiToken.objects.count() == 1


def test_a_token_is_limited_to_sources_and_rights(admin_client: Client) -> None:
    harbours, hills = make_source("harbours"), make_source("hills")
    chosen = {"every_source": "False", "sources": [harbours.pk], "may_read": "", "may_run": "on"}
    html = post(admin_client, "ingestion_apitoken_add", **{**TYPED, **chosen})
    assert "It may search and start runs, in harbours only." in html
    row = ApiToken.objects.get()
    assert access.of_token(row).sources == (harbours.pk,)
    assert access.of_token(row).rights == {"search", "run"}
    url = reverse("admin:ingestion_apitoken_change", args=[row.pk])
    admin_client.post(url, {**TYPED, "every_source": "False", "sources": [hills.pk]})
    row.refresh_from_db()
    assert access.of_token(row).sources == (hills.pk,)
    assert access.of_token(row).rights == {"search", "read"}
    assert "search and read documents, in hills only" in page(
        admin_client, "ingestion_apitoken_changelist"
    )


def test_a_token_whose_sources_are_deleted_sees_nothing(admin_client: Client) -> None:
    source = make_source("harbours")
    row, _ = tokens.make("editor", sources=[source])
    source.delete()
    row = ApiToken.objects.get()
    assert access.of_token(row).sources == ()
    html = page(admin_client, "ingestion_apitoken_changelist")
    assert "nothing: its sources were deleted" in html
    url = reverse("admin:ingestion_apitoken_change", args=[row.pk])
    admin_client.post(url, {**TYPED, "every_source": "False"})
    assert access.of_token(ApiToken.objects.get()).sources == ()


def test_a_token_without_rights_or_sources_is_not_made(admin_client: Client) -> None:
    assert "at least one thing" in add(admin_client, may_search="", may_read="")
    assert "or choose all" in add(admin_client, every_source="False")
    assert not ApiToken.objects.exists()


def test_a_new_token_searches_and_reads_every_source_and_runs_nothing(
    admin_client: Client,
) -> None:
    html = page(admin_client, "ingestion_apitoken_add")
    checked = set(re.findall(r'<input[^>]* name="(\w+)"[^>]* checked', html))
    assert checked == {"may_search", "may_read", "every_source"}
