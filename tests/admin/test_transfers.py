"""Sources as a file in the admin: out, and in again after a look at what it changes."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from sources.models import Source
from tests.admin.test_admin import data_dir, page, source

__all__ = ["data_dir", "source"]
pytestmark = pytest.mark.django_db

IMPORT = "/admin/sources/source/import/"


def file(*rows: dict[str, Any]) -> SimpleUploadedFile:
    text = json.dumps({"format": "bbjrag sources", "version": 1, "sources": rows})
    return SimpleUploadedFile("mine.json", text.encode())


def row(**fields: Any) -> dict[str, Any]:
    return {"name": "mine", "title": "Mine", "parser": "MdxParser", "paths": ["docs"], **fields}


def looked(client: Client, sent: SimpleUploadedFile) -> str:
    response = client.post(IMPORT, {"file": sent})
    assert response.status_code == 200
    return str(response.content.decode())


def hidden(html: str) -> dict[str, str]:
    """What the button that imports sends."""
    found = re.findall(r'<input type="hidden" name="(text|seen|partial)" value="([^"]*)"', html)
    return {name: unescape(value) for name, value in found} | {"apply": "1"}


def test_all_sources_go_out_and_come_in_again(admin_client: Client, source: Source) -> None:
    text = admin_client.get(reverse("admin:sources_source_export"))
    assert text["Content-Disposition"] == 'attachment; filename="sources.json"'
    assert len(text.json()["sources"]) == Source.objects.count()
    Source.objects.filter(pk=source.pk).update(title="Changed")
    html = looked(admin_client, SimpleUploadedFile("sources.json", text.content))
    assert "title: &quot;Changed&quot; -&gt; &quot;Mine&quot;" in html
    assert ">Import 1 source</button>" in html
    assert Source.objects.get(pk=source.pk).title == "Changed"
    answer = admin_client.post(IMPORT, hidden(html), follow=True)
    assert "Imported 1 of" in answer.content.decode()
    assert Source.objects.get(pk=source.pk).title == "Mine"
    history = page(admin_client, "sources_source_history", source.pk)
    assert "Imported from a file." in history
    assert re.search("Title: “<del[^>]*>Changed</del>” → “<ins[^>]*>Mine</ins>”", history)


def test_selected_sources_go_out(admin_client: Client, source: Source) -> None:
    sent = {"action": "export_selected", "_selected_action": [source.pk]}
    answer = admin_client.post(reverse("admin:sources_source_changelist"), sent)
    assert [one["name"] for one in answer.json()["sources"]] == ["mine"]


def test_what_is_wrong_is_said_at_its_row_and_the_others_can_come(
    admin_client: Client, source: Source
) -> None:
    html = looked(admin_client, file(row(name="good"), row(name="bad", parser="Nothing")))
    assert "1 new, 1 refused" in html
    assert "Nothing" in html
    admin_client.post(IMPORT, hidden(html))
    assert Source.objects.filter(name="good").exists()
    assert not Source.objects.filter(name="bad").exists()


def test_what_changed_meanwhile_is_looked_at_again(admin_client: Client, source: Source) -> None:
    html = looked(admin_client, file(row(title="Theirs")))
    Source.objects.filter(pk=source.pk).update(title="Another")
    again = admin_client.post(IMPORT, hidden(html)).content.decode()
    assert "have changed since you looked" in again
    assert Source.objects.get(pk=source.pk).title == "Another"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe", "not a text"), (b"no = ", "neither TOML nor JSON"), (b"{}", "no sources")],
)
def test_what_is_no_file_of_sources_is_refused(
    admin_client: Client, content: bytes, said: str
) -> None:
    html = looked(admin_client, SimpleUploadedFile("odd.json", content))
    assert said in html
    assert "/odd.json" not in html


def test_who_may_look_exports_and_does_not_import(client: Client, source: Source) -> None:
    person = User.objects.create_user("bea", password="secret", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_source"))
    client.force_login(person)
    html = page(client, "sources_source_changelist")
    assert reverse("admin:sources_source_export") in html
    assert IMPORT not in html
    assert client.get(reverse("admin:sources_source_export")).status_code == 200
    assert client.get(IMPORT).status_code == 403
    assert client.post(IMPORT, {"file": file(row(title="Theirs"))}).status_code == 403
