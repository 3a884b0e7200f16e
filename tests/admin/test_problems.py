"""The pages of problems at the server: who decides, the file of them, what addresses may hold."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from ingestion.models import Failure, IgnoredProblem, SourceRun, State
from sources.models import Source
from tests.admin.test_admin import page as html_of
from tests.admin.test_admin import post, source, source_run
from tests.admin.test_roles import person

__all__ = ["source"]
pytestmark = pytest.mark.django_db
LIST = "/admin/ingestion/failure/"


def fail(row: SourceRun, name: str, message: str, **fields: Any) -> Failure:
    fields = {"stage": "parse", "document_url": name and f"mine://{name}", **fields}
    return Failure.objects.create(source_run=row, source=row.source, message=message, **fields)


def test_ignoring_needs_a_reason(admin_client: Client, source: Source) -> None:
    failure = fail(source_run(source, State.PARTIAL), "a.md", "Torn.")
    html = post(admin_client, "ingestion_problem_ignore", failure=failure.pk, note="  ")
    assert "say why" in html
    assert not IgnoredProblem.objects.exists()


@pytest.mark.parametrize("name", ["retry", "ignore", "undo"])
def test_the_address_of_a_button_leads_to_the_problems(
    admin_client: Client, source: Source, name: str
) -> None:
    url = reverse(f"admin:ingestion_problem_{name}") + "?tab=warning"
    answer = admin_client.get(url, follow=True)
    assert answer.redirect_chain == [(f"{LIST}?tab=warning", 302)]
    assert "Nothing was done" in answer.content.decode()


@pytest.mark.parametrize("name", ["retry", "ignore", "undo"])
def test_a_viewer_decides_nothing(source: Source, name: str) -> None:
    failure = fail(source_run(source, State.PARTIAL), "a.md", "Torn.")
    client = person("Viewer")
    url = reverse(f"admin:ingestion_problem_{name}")
    assert client.post(url, {"failure": failure.pk, "note": "x"}).status_code == 403
    html = html_of(client, "ingestion_failure_changelist")
    assert "Torn." in html
    assert "Ignore" not in html.replace("Ignored", "")
    assert ">Retry" not in html


def test_the_file_holds_what_is_filtered_and_no_formula(
    admin_client: Client, source: Source
) -> None:
    row = source_run(source, State.PARTIAL)
    fail(row, "a.md", '=HYPERLINK("http://evil")')
    fail(row, "b.md", 'Odd, "quoted"\nand long.', level=Failure.Level.WARNING)
    fail(row, "c.md", "@SUM(A1)", document_url="-2+3")
    other = Source.objects.create(name="other", title="O", parser="MdxParser", paths=["docs"])
    fail(source_run(other, State.PARTIAL), "d.md", "Elsewhere.")
    query: dict[str, Any] = {
        "source__id__exact": source.pk,
        "level__exact": "error",
        "standing": "waiting",
    }
    answer = admin_client.get(reverse("admin:ingestion_failure_csv"), query)
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    found = list(csv.DictReader(text.splitlines(keepends=True)))
    assert answer["Content-Type"].startswith("text/csv")
    assert [line["message"] for line in found] == ["'@SUM(A1)", '\'=HYPERLINK("http://evil")']
    assert [line["document"] for line in found] == ["'-2+3", "mine://a.md"]
    assert {line["state"] for line in found} == {"open"}


def test_a_problem_of_a_deleted_source_needs_nobody(admin_client: Client, source: Source) -> None:
    fail(source_run(source, State.PARTIAL), "a.md", "Torn.")
    source.delete()
    assert Failure.objects.open().count() == 1
    assert "There are no errors" in html_of(admin_client, "ingestion_failure_changelist")
    assert admin_client.get(reverse("admin:pulse")).json()["problems"] == 0


@pytest.mark.parametrize(
    "query",
    [
        {"source__id__exact": "x"},
        {"tab": "nonsense", "page": "-1"},
        {"page": "99999999999"},
        {"q": "\x00", "stage": "\x00"},
        {"reason__exact": "a" * 500},
    ],
)
def test_an_address_of_any_kind_is_answered(
    admin_client: Client, source: Source, query: dict[str, str]
) -> None:
    fail(source_run(source, State.PARTIAL), "a.md", "Torn.")
    assert "Problems" in html_of(admin_client, "ingestion_failure_changelist", **query)
    html = post(admin_client, "ingestion_problem_retry", group="x.y", failure="\u00b2")
    assert "nothing to retry" in html


@pytest.mark.parametrize("name", ["retry", "ignore"])
def test_a_key_without_end_is_answered(admin_client: Client, source: Source, name: str) -> None:
    fail(source_run(source, State.PARTIAL), "a.md", "Torn.")
    html = post(admin_client, f"ingestion_problem_{name}", failure="9" * 5000, note="x")
    assert "None of these problems is open any more" in html


def test_many_causes_ask_a_bounded_number_of_questions(
    admin_client: Client, source: Source, django_assert_max_num_queries: Any
) -> None:
    row = source_run(source, State.PARTIAL)
    for number in range(60):
        kind = chr(97 + number % 26) * (1 + number // 26)
        fail(row, f"{number}.md", f"Broken in the way {kind}.")
    with django_assert_max_num_queries(14):
        html = html_of(admin_client, "ingestion_failure_changelist")
    assert html.count('<div class="cause">') == 20
    assert "page=2" in html
    assert (
        html_of(admin_client, "ingestion_failure_changelist", page="3").count('<div class="cause">')
        == 20
    )


def test_a_document_with_two_problems_of_a_cause_is_counted_once(
    admin_client: Client, source: Source
) -> None:
    row = source_run(source, State.PARTIAL)
    for number in (1, 2):
        fail(row, "a.md", f"Row {number} is torn.")
    fail(row, "b.md", "Row 3 is torn.")
    fail(row, "", "Nothing is there.")
    html = html_of(admin_client, "ingestion_failure_changelist")
    assert "<summary>2 documents</summary>" in html
    assert ">Retry 2 documents</button>" in html
    assert "<summary>The source itself</summary>" in html
    assert html.count(">Retry ") == 1
