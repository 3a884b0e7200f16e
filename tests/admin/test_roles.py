"""Who may do what in the admin: by the page, and by a request forged past the page."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from ingestion.models import Chunk, Document, Run, SourceRun, State
from sources.models import Source
from tests.admin.test_admin import chunk, data_dir, form, source, source_run

__all__ = ["chunk", "data_dir", "source"]
pytestmark = pytest.mark.django_db

LOOKING = (
    ("index",),
    ("overview",),
    ("pulse",),
    ("search",),
    ("quality",),
    ("search_quality",),
    ("asked",),
    ("ingestion_question_changelist",),
    ("sources_source_changelist",),
    ("ingestion_document_changelist",),
    ("ingestion_chunk_changelist",),
    ("ingestion_run_changelist",),
    ("ingestion_failure_changelist",),
    ("ingestion_embeddingprofile_changelist",),
)


def person(role: str | None, name: str = "someone") -> Client:
    user = User.objects.create_user(name, password="secret", is_staff=True)
    if role:
        user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def forged(client: Client, chunk: Chunk, row: SourceRun) -> dict[str, int]:
    """What is answered to each request that changes something."""
    source = chunk.document.source_id
    listed: dict[str, Any] = {"_selected_action": [source], "index": "0"}
    requests: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
        "add": ("sources_source_add", [], form()),
        "change": ("sources_source_change", [source], form(title="Changed")),
        "act": ("sources_source_act", [source], {"action": "reingest"}),
        "disable": ("sources_source_act", [source], {"action": "disable"}),
        "test": ("sources_source_change", [source], form(_test="1")),
        "preview": ("sources_source_add", [], form(_preview="1")),
        "cancel": ("ingestion_cancel", [row.pk], {}),
        "retry": ("ingestion_retry", [row.pk], {}),
        "removal": ("ingestion_removal", [row.pk], {"decision": "approve"}),
        "delete": ("sources_source_delete", [source], {"post": "yes"}),
        "list action": ("sources_source_changelist", [], listed | {"action": "reingest"}),
        "list delete": (
            "sources_source_changelist",
            [],
            listed | {"action": "delete_selected", "post": "yes"},
        ),
        "chunk": ("ingestion_chunk_change", [chunk.pk], {"content": "changed"}),
        "document": ("ingestion_document_delete", [chunk.document_id], {"post": "yes"}),
    }
    return {
        name: client.post(reverse(f"admin:{url}", args=args), data).status_code
        for name, (url, args, data) in requests.items()
    }


def state_of_things() -> list[Any]:
    return [
        list(Source.objects.values("title", "enabled")),
        list(SourceRun.objects.values("state", "cancel_requested")),
        list(Chunk.objects.values("content")),
        Document.objects.count(),
        Run.objects.count(),
    ]


@pytest.mark.parametrize("role", ["Viewer", "Manager", "Administrator"])
def test_everybody_with_a_role_sees_all_of_it(role: str, chunk: Chunk) -> None:
    client = person(role)
    row = source_run(chunk.document.source, State.RUNNING)
    single = (
        ("sources_source_change", chunk.document.source_id),
        ("ingestion_run_change", row.run_id),
        ("ingestion_run_live", row.run_id),
        ("ingestion_chunk_change", chunk.pk),
        ("ingestion_chunk_plain", chunk.pk),
        ("ingestion_document_change", chunk.document_id),
    )
    for name, *args in (*LOOKING, *single):
        url = reverse(f"admin:{name}", args=args)
        assert client.get(url, follow=True).status_code == 200, name


def test_a_viewer_changes_nothing(chunk: Chunk) -> None:
    row = source_run(chunk.document.source, State.NEEDS_APPROVAL, vanished=[chunk.document.url])
    before = state_of_things()
    answers = forged(person("Viewer"), chunk, row)
    assert state_of_things() == before
    assert not LogEntry.objects.exists()
    refused = {name for name, code in answers.items() if code == 403}
    assert refused >= {"add", "change", "test", "preview", "cancel", "retry", "removal", "delete"}


def test_a_viewer_is_offered_nothing_to_press(chunk: Chunk) -> None:
    client = person("Viewer")
    row = source_run(chunk.document.source, State.NEEDS_APPROVAL, vanished=[chunk.document.url])
    for name, *args in (
        ("sources_source_change", chunk.document.source_id),
        ("ingestion_run_change", row.run_id),
        ("overview",),
    ):
        html = client.get(reverse(f"admin:{name}", args=args)).content.decode()
        assert "Ingest" not in html
        assert "Remove these documents" not in html
        assert ">Cancel" not in html


def test_a_manager_runs_and_edits_but_does_not_delete(chunk: Chunk) -> None:
    client = person("Manager")
    row = source_run(chunk.document.source, State.QUEUED)
    answers = forged(client, chunk, row)
    assert answers["delete"] == answers["document"] == 403
    assert Source.objects.get(name="mine").title == "Changed"
    assert not Source.objects.get(name="mine").enabled
    row.refresh_from_db()
    assert row.state == State.CANCELLED
    assert Document.objects.count() == 1


def test_trying_a_source_needs_the_right_to_run_it(source: Source) -> None:
    client = person("Manager")
    Group.objects.get(name="Manager").permissions.remove(
        Permission.objects.get(codename="start_run")
    )
    url = reverse("admin:sources_source_change", args=[source.pk])
    assert "_test" not in client.get(url).content.decode()
    assert client.post(url, form(_test="1")).status_code == 403


def test_a_manager_keeps_no_users(chunk: Chunk) -> None:
    assert person("Manager").get(reverse("admin:auth_user_changelist")).status_code == 403


def test_an_administrator_deletes_sources_and_keeps_users(chunk: Chunk) -> None:
    client = person("Administrator")
    assert client.get(reverse("admin:auth_user_changelist")).status_code == 200
    url = reverse("admin:sources_source_delete", args=[chunk.document.source_id])
    client.post(url, {"post": "yes"})
    assert not Chunk.objects.exists()


def test_who_has_no_role_sees_no_source(chunk: Chunk) -> None:
    client = person(None)
    html = client.get(reverse("admin:index")).content.decode()
    assert "ask an administrator" in html
    assert client.get(reverse("admin:pulse")).json() == {"problems": 0, "checks": []}
    for (name,) in LOOKING[1:]:
        if name == "pulse":
            continue
        assert client.get(reverse(f"admin:{name}")).status_code == 403, name


def test_what_people_do_stands_in_the_history(source: Source) -> None:
    client = person("Manager")
    client.post(reverse("admin:sources_source_act", args=[source.pk]), {"action": "reingest"})
    client.post(reverse("admin:sources_source_act", args=[source.pk]), {"action": "disable"})
    url = reverse("admin:sources_source_history", args=[source.pk])
    html = client.get(url).content.decode()
    assert "Asked for run" in html
    assert "Disabled." in html
    assert "someone" in html
