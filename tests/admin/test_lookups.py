"""What the address of a list may ask of the database."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from ingestion.models import Chunk, EmbeddingProfile, Failure, State
from tests.admin.test_admin import chunk, data_dir, source, source_run
from tests.admin.test_roles import person

__all__ = ["chunk", "data_dir", "source"]
pytestmark = pytest.mark.django_db

SLOW = "((.{0,100}){0,100}.*x){0,2}zq"


def lists() -> list[str]:
    names = [f"{m._meta.app_label}_{m._meta.model_name}" for m in admin.site._registry]
    return [reverse(f"admin:{name}_changelist") for name in names]


def asked(client: Client, url: str, **query: Any) -> int:
    """The status of the answer; a server error raises."""
    return client.get(url, query).status_code


def test_a_viewer_cannot_keep_the_database_busy_with_a_pattern(chunk: Chunk) -> None:
    Chunk.objects.filter(pk=chunk.pk).update(content="abcdefghij" * 300)
    viewer, url = person("Viewer"), reverse("admin:ingestion_chunk_changelist")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '2s'")
    began = time.monotonic()
    assert [asked(viewer, url, content__regex=SLOW) for _ in range(8)] == [400] * 8
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("lookup", ["regex", "iregex", "icontains", "endswith", "in", "gt"])
def test_no_list_filters_by_what_it_does_not_offer(admin_client: Client, lookup: str) -> None:
    for model in admin.site._registry:
        if model is EmbeddingProfile:
            continue  # its page shows all models, and reads nothing from its address
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        for field in model._meta.get_fields():
            given = {f"{field.name}__{lookup}": "("}
            url = reverse(f"admin:{name}_changelist")
            assert asked(admin_client, url, **given) == 400, f"{url} {given}"


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("ingestion_chunk", {"profile__id__exact": "x"}),
        ("ingestion_chunk", {"profile__id__exact": 10**30}),
        ("ingestion_chunk", {"document__doc_type": "a\x00b"}),
        ("ingestion_chunk", {"document__doc_type": "\ud800"}),
        ("ingestion_chunk", {"generation": "a\x00b"}),
        ("ingestion_chunk", {"tokens__gte": "many"}),
        ("ingestion_chunk", {"tokens__gte": 10**30}),
        ("ingestion_chunk", {"q": "a\x00b"}),
        ("ingestion_chunk", {"p": 10**30}),
        ("ingestion_chunk", {"o": f"{10**30}.-7"}),
        ("ingestion_run", {"created_at__gte": "then"}),
        ("ingestion_run", {"created_at__gte": "9999-99-99"}),
        ("ingestion_document", {"deprecated__exact": "perhaps"}),
        ("ingestion_document", {"deprecated__isnull": "perhaps"}),
        ("sources_source", {"parser__exact": "a\x00b"}),
        ("ingestion_apitoken", {"revoked_at__isempty": "perhaps"}),
    ],
)
def test_a_value_that_makes_no_sense_is_no_error_of_the_server(
    admin_client: Client, chunk: Chunk, page: str, query: dict[str, Any]
) -> None:
    given = {name: str(value).encode("utf-8", "surrogatepass") for name, value in query.items()}
    url = reverse(f"admin:{page}_changelist")
    answer = admin_client.get(url, given)
    assert answer.status_code in (200, 302, 400)
    assert answer.status_code != 302 or answer.headers["Location"].endswith("?e=1")


def test_each_link_to_a_list_is_answered(
    admin_client: Client, admin_user: User, chunk: Chunk
) -> None:
    """Of all pages, and of the lists and filters that they lead to."""
    row = source_run(chunk.document.source, State.PARTIAL, failures=1)
    Failure.objects.create(source_run=row, source=row.source, stage="read", message="No.")
    row.quality = _figures()
    row.save()
    begin = [reverse(f"admin:{name}") for name in ("index", "overview", "quality")]
    rows = {"run": row.run_id, "document": chunk.document_id, "chunk": chunk.pk}
    rows["embeddingprofile"] = chunk.profile_id
    begin += [reverse(f"admin:ingestion_{name}_change", args=[pk]) for name, pk in rows.items()]
    begin += [reverse("admin:sources_source_change", args=[row.source_id]), *lists()]
    for name in ("document__id__exact", "tokens__gte", "tokens__lt"):
        begin.append(f"{reverse('admin:ingestion_chunk_changelist')}?{name}={chunk.pk}")
    begin.append(f"{reverse('admin:ingestion_failure_changelist')}?source_run__id__exact={row.pk}")
    seen: set[str] = set()
    for url in begin:
        html = _answered(admin_client, url)
        for link in re.findall(r'href="([^"]*\?[^"]*)"', html):
            there = link.replace("&amp;", "&")
            seen.add(there if there.startswith("/") else url.partition("?")[0] + there)
    for url in seen:
        _answered(admin_client, url)
    assert len(seen) > 60


def _answered(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, url
    return str(answer.content.decode())


def _figures() -> dict[str, Any]:
    numbers = dict.fromkeys(("chunks", "documents", "tokens", "untagged", "deprecated"), 1)
    numbers |= dict.fromkeys(("empty", "small", "large", "markup"), 1)
    shares = {"by_generation": {"dwc": 1}, "by_type": {"concept": 1}, "lengths": {"0": 1}}
    return numbers | shares | {"markup_ids": []}
