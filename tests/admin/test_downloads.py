"""The lists of sources and documents as files: the rows of the filters, and nothing that a
spreadsheet would work out."""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingestion.models import Chunk, Document, Failure, State
from sources.models import Source
from tests.admin.test_admin import chunk, data_dir, page, source, source_run
from tests.admin.test_roles import person

__all__ = ["chunk", "data_dir", "source"]
pytestmark = pytest.mark.django_db
FILES = ("sources_source_csv", "ingestion_document_csv", "ingestion_failure_csv")


def lines_of(client: Client, name: str, **query: Any) -> list[dict[str, str]]:
    answer: Any = client.get(reverse(f"admin:{name}"), query)
    assert answer.streaming
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer["Content-Disposition"]
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(text.splitlines(keepends=True)))


def document(source: Source, name: str, **fields: Any) -> Document:
    now = timezone.now()
    times = {"first_seen": now, "last_seen": now, "changed_at": now}
    fields = {"title": name, "doc_type": "article", **times, **fields}
    return Document.objects.create(source=source, url=f"{source.name}://{name}", **fields)


def test_the_list_of_documents_is_a_file(admin_client: Client, chunk: Chunk) -> None:
    mine = chunk.document
    Document.objects.filter(pk=mine.pk).update(generations=["bbj", "vpro5"])
    assert reverse("admin:ingestion_document_csv") in page(
        admin_client, "ingestion_document_changelist"
    )
    (line,) = lines_of(admin_client, "ingestion_document_csv")
    assert (line["title"], line["address"], line["chunks"]) == (mine.title, mine.url, "1")
    assert (line["source"], line["generations"]) == ("mine", "bbj, vpro5")
    assert line["changed"] == f"{timezone.localtime(mine.changed_at):%Y-%m-%d %H:%M:%S}"


def test_the_file_honours_the_filters_the_words_and_the_order(
    admin_client: Client, source: Source
) -> None:
    other = Source.objects.create(name="other", title="O", parser="MdxParser", paths=["docs"])
    early = timezone.now() - timedelta(days=3)
    for name in ("b", "a", "c"):
        document(source, name)
    document(source, "old", deprecated=True, changed_at=early)
    document(other, "a")
    chosen = {"source__id__exact": source.pk, "o": "0"}
    found = lines_of(admin_client, "ingestion_document_csv", **chosen, deprecated__exact="0")
    assert [line["title"] for line in found] == ["a", "b", "c"]
    assert {line["source"] for line in found} == {"mine"}
    found = lines_of(admin_client, "ingestion_document_csv", q="old")
    assert [(line["title"], line["deprecated"]) for line in found] == [("old", "yes")]
    html = page(admin_client, "ingestion_document_changelist", q="old")
    assert f"{reverse('admin:ingestion_document_csv')}?q=old" in html


def test_a_file_has_the_rows_of_all_pages(admin_client: Client, source: Source) -> None:
    for number in range(120):
        document(source, str(number))
    assert len(lines_of(admin_client, "ingestion_document_csv", p="2")) == 120


@pytest.mark.parametrize(
    "title",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1+1"],  # noqa: RUF001
)
def test_no_title_is_a_formula(admin_client: Client, source: Source, title: str) -> None:
    document(source, "a", title=title)
    document(source, "b", title=f"Begin;{title}")
    answer: Any = admin_client.get(reverse("admin:ingestion_document_csv"), {"o": "2"})
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    titles = {row[0] for row in csv.reader(text.splitlines(keepends=True))}
    assert f"Begin;'{title}" in titles
    assert f"'{title}" in titles


def test_the_list_of_sources_is_a_file(admin_client: Client, source: Source, chunk: Chunk) -> None:
    row = source_run(source, State.PARTIAL, finished_at=timezone.now())
    for level in (Failure.Level.ERROR, Failure.Level.WARNING, Failure.Level.WARNING):
        Failure.objects.create(
            source_run=row, source=source, level=level, stage="parse", message="Torn."
        )
    fields = {"parser": "MdxParser", "paths": ["docs"]}
    Source.objects.create(name="off", title="=1", enabled=False, **fields)
    found = {line["name"]: line for line in lines_of(admin_client, "sources_source_csv", o="1")}
    assert list(found) == sorted(found)
    mine, off = found["mine"], found["off"]
    assert (mine["name"], mine["state"]) == ("mine", State.PARTIAL.label)
    numbers = [mine[name] for name in ("documents", "chunks", "errors", "warnings")]
    assert numbers == ["1", "1", "1", "2"]
    assert (off["title"], off["state"], off["enabled"]) == ("'=1", "never run", "no")
    disabled = lines_of(admin_client, "sources_source_csv", enabled__exact="0")
    assert [line["name"] for line in disabled] == ["off"]


def test_files_ask_a_bounded_number_of_questions(
    admin_client: Client, source: Source, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        fields = {"parser": "MdxParser", "paths": ["docs"], "title": "T"}
        document(Source.objects.create(name=f"s{number}", **fields), "a")
    for name in FILES:
        with django_assert_max_num_queries(24):
            lines_of(admin_client, name)


@pytest.mark.parametrize("name", FILES)
def test_a_file_needs_the_permission_to_view(name: str) -> None:
    url = reverse(f"admin:{name}")
    assert person(None, "nobody").get(url).status_code == 403
    assert person("Viewer").get(url).status_code == 200
    assert Client().get(url).status_code == 302


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("query", "answered"),
    [({"p": "x"}, (200, 302)), ({"source__id__exact": "x"}, (302, 400)), ({"q": "\x00"}, (200,))],
)
def test_a_file_with_any_address_is_answered(
    admin_client: Client, name: str, query: dict[str, str], answered: tuple[int, ...]
) -> None:
    assert admin_client.get(reverse(f"admin:{name}"), query).status_code in answered
