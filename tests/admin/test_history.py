"""Who changed what in the admin: the values before and after, and never a secret."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from ingestion.admin.changes import LONGEST, Change, differences, state
from ingestion.api import tokens
from ingestion.models import Question
from sources.models import Source
from tests.admin.test_admin import data_dir, form, page, post, run_action, source

__all__ = ["data_dir", "source"]
pytestmark = pytest.mark.django_db


def told(client: Client, name: str, pk: int) -> str:
    """The text of a row's history."""
    html = page(client, f"{name}_history", pk)
    body = html.partition('aria-label="Changes"')[2].partition("</section>")[0]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", "", body)))


def change(client: Client, source: Source, **typed: Any) -> str:
    source.refresh_from_db()
    given = form(name="mine", version="", **{"title": source.title, **typed})
    assert "Please correct" not in post(client, "sources_source_change", source.pk, **given)
    return told(client, "sources_source", source.pk)


def test_each_changed_field_has_its_values(admin_client: Client, source: Source) -> None:
    text = change(admin_client, source, title="Other", enabled="", generation="dwc")
    assert "Title: “Mine” → “Other”" in text
    assert "Enabled: “yes” → “no”" in text
    assert "Generation: “auto (the parser decides, document by document)” → “dwc”" in text
    assert "Start URL" not in text


def test_options_are_named_by_their_key(admin_client: Client, source: Source) -> None:
    change(admin_client, source, options='{"exclude": ["a/*"]}')
    text = change(admin_client, source, options='{"exclude": ["a/*", "b/*"]}')
    assert "Options: exclude: nothing → “a/*”" in text
    assert "Options: exclude: “a/*” → “a/*, b/*”" in text


def test_a_repository_shows_no_credential(source: Source) -> None:
    before = state(source)
    source.repository = "https://me:hunter2@git.example.com/docs.git?access_token=hunter3&x=1"
    source.credential = "docs-key"
    source.options = {"api_key": "hunter4"}
    found = {one.label: one for one in differences(before, state(source))}
    assert found["repository"].after == "https://…@git.example.com/docs.git?access_token=…&x=1"
    assert found["credential"] == Change("credential", None, None)
    assert found["options: api_key"] == Change("options: api_key", None, None)
    assert "hunter" not in repr(found)


def test_long_values_are_cut_where_they_differ(source: Source) -> None:
    source.title = "a" * 500 + " old " + "b" * 500
    before = state(source)
    source.title = source.title.replace("old", "new")
    [found] = differences(before, state(source))
    assert (found.before or "").startswith("…aaa")
    assert "a old b" in (found.before or "")
    assert "a new b" in (found.after or "")
    assert max(len(found.before or ""), len(found.after or "")) <= LONGEST


def test_of_a_long_list_the_difference_is_shown(source: Source) -> None:
    source.paths = [f"folder-{number}" for number in range(60)]
    before = state(source)
    source.paths = [*source.paths[1:], "another"]
    assert differences(before, state(source)) == [Change("paths", "folder-0", "another")]


def test_a_question_shows_its_passages(admin_client: Client) -> None:
    row = Question.objects.create(query="How?", expected=["docs://a"])
    sent = {"query": "How is it?", "kind": "question", "expected": "docs://b", "half": "tune"}
    passages = {"passages-document": ["docs://c"], "passages-phrase": ["a lock"]}
    post(admin_client, "ingestion_question_change", row.pk, **sent, **passages)
    text = told(admin_client, "ingestion_question", row.pk)
    assert "Query: “How?” → “How is it?”" in text
    assert "Passages: nothing → “phrase: a lock, document: docs://c”" in text
    assert "Expected: “docs://a” → “docs://b”" in text


def test_a_token_shows_what_it_may_and_not_itself(admin_client: Client, source: Source) -> None:
    row, token = tokens.make("editor", 120)
    sent = {"name": "editor", "requests_per_minute": 60, "may_search": "on", "may_run": "on"}
    sent |= {"every_source": "False", "sources": [source.pk]}
    post(admin_client, "ingestion_apitoken_change", row.pk, **sent)
    text = told(admin_client, "ingestion_apitoken", row.pk)
    assert "Requests per minute: “120” → “60”" in text
    assert "Start and cancel runs, decide on removals: “no” → “yes”" in text
    assert "Sources: nothing → “mine” " in text
    assert token not in text
    assert row.digest not in str(LogEntry.objects.values())


def test_the_roles_of_a_person_are_named_and_a_password_is_not(admin_client: Client) -> None:
    person = User.objects.create_user("bea", password="old-horse-battery", is_staff=True)
    person.groups.add(Group.objects.get(name="Viewer"))
    roles = Group.objects.filter(name__in=["Viewer", "Manager"]).values_list("pk", flat=True)
    joined = {"date_joined_0": "2024-01-01", "date_joined_1": "10:00:00"}
    sent = {"username": "bea", "is_staff": "on", "is_active": "on", "groups": list(roles), **joined}
    post(admin_client, "auth_user_change", person.pk, **sent)
    new = {"password1": "new-horse-battery", "password2": "new-horse-battery"}
    post(admin_client, "auth_user_password_change", person.pk, **new)
    text = told(admin_client, "auth_user", person.pk)
    assert "Roles: “Viewer” → “Manager, Viewer”" in text
    assert "Changed password." in text
    assert "horse" not in text
    person.refresh_from_db()
    assert person.password not in str(LogEntry.objects.values())


def test_what_is_done_by_a_button_is_there_too(admin_client: Client, source: Source) -> None:
    run_action(admin_client, "disable", source)
    run_action(admin_client, "enable", source)
    assert re.search("Disabled.*Enabled", told(admin_client, "sources_source", source.pk))


def test_older_entries_are_shown_as_they_were(admin_client: Client, source: Source) -> None:
    who = User.objects.get(username="admin")
    said = '[{"changed": {"fields": ["Title", "Paths"]}}]', "[broken", "Asked for run 7."
    for text in said:
        LogEntry.objects.log_actions(who.pk, [source], CHANGE, text)
    text = told(admin_client, "sources_source", source.pk)
    for words in ("Changed Title and Paths.", "[broken", "Asked for run 7."):
        assert words in text


def test_who_may_not_see_the_row_sees_no_history(client: Client, source: Source) -> None:
    client.force_login(User.objects.create_user("bea", is_staff=True))
    url = reverse("admin:sources_source_history", args=[source.pk])
    assert client.get(url).status_code == 403
