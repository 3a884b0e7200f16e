"""Texts of any length that sources and queries bring: cut where they are stored, shown in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from ingestion import access
from ingestion.admin.chunks import word_query
from ingestion.documents import DocumentFailure
from ingestion.models import Failure, LogLine, State
from ingestion.runs import log
from ingestion.runs.failures import FailureRecord
from ingestion.runs.state_machine import move
from ingestion.search.highlighting import Gains, snippet
from ingestion.search.query_analysis import clauses, prose
from ingestion.search.query_expansion import query_terms
from sources.models import Source
from tests.admin.test_admin import data_dir, page, source, source_run
from tests.support.reading import read

__all__ = ["data_dir", "source"]
pytestmark = pytest.mark.django_db

ENDLESS = "a" * 200_000
SOON = 1.0  # seconds, of what takes some milliseconds


@pytest.mark.django_db(transaction=True)
def test_a_link_of_any_length_becomes_a_warning_that_can_be_read(
    admin_client: Client, source: Source, data_dir: Path
) -> None:
    """A file of the source is the attacker's."""
    Source.objects.filter(pk=source.pk).update(parser="FlareParser")
    content = data_dir / "docs" / "Content"
    content.mkdir()
    (data_dir / "docs" / "window.md").unlink()
    html = f'<html><body><h1>A</h1><p>Text.</p><img src="{ENDLESS}.png"/></body></html>'
    (content / "a.htm").write_text(html)
    (content / "b.htm").write_text(
        f'<html><body><p>B <a href="{ENDLESS}.htm">x</a></p></body></html>'
    )
    row = read(Source.objects.get(pk=source.pk))
    messages = list(Failure.objects.values_list("message", flat=True))
    assert "characters are left out" in " ".join(messages)
    assert max(map(len, messages)) <= 2000
    assert row.state in (State.PARTIAL, State.SUCCEEDED, State.FAILED)
    began = time.monotonic()
    page(admin_client, "ingestion_run_change", row.run_id)
    assert time.monotonic() - began < SOON


def test_each_text_says_what_is_left_out_of_it(source: Source) -> None:
    row = source_run(source, State.RUNNING)
    FailureRecord(row, None).add(DocumentFailure("mine://a", f"{ENDLESS} Fix it."))
    log.note(row.pk, f"{ENDLESS} Noted.")
    move(row, State.FAILED, error=f"{ENDLESS} Start it again.")
    row.refresh_from_db()
    kept = [Failure.objects.get().message, row.error]
    kept += list(LogLine.objects.order_by("pk").values_list("message", flat=True))
    assert [len(text) <= 2000 for text in kept] == [True] * 4
    assert all("characters are left out) ..." in text for text in kept)
    assert [text[-3:] for text in kept] == ["it.", "in.", "ed.", "in."]


def test_what_earlier_versions_stored_is_shown_too(admin_client: Client, source: Source) -> None:
    row = source_run(source, State.PARTIAL, error=ENDLESS, last_line=ENDLESS, failures=20)
    one, *_ = Failure.objects.bulk_create(
        Failure(source_run=row, source=source, stage="read", message=ENDLESS) for _ in range(20)
    )
    began = time.monotonic()
    page(admin_client, "ingestion_run_change", row.run_id)
    page(admin_client, "ingestion_failure_change", one.pk)
    html = page(admin_client, "ingestion_failure_changelist")
    page(admin_client, "index")
    assert time.monotonic() - began < 4 * SOON
    assert len(html) < 200_000


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("'a' is not in /x/y.md, line 12.", "'b c' is not in /z.md, line 7."),
        ('a.md: and/or "b" it\'s 3x', 'and/or "d" it\'s 4x'),
        ("It links to d/A b.htm, which is gone.", "It links to ../c.htm, which is gone."),
    ],
)
def test_failures_that_differ_in_names_alone_have_one_reason(
    source: Source, one: str, other: str
) -> None:
    fields = {"source_run": source_run(source, State.PARTIAL), "document_url": "mine://a.md"}
    for message in (one, other, "Another."):
        Failure.objects.create(stage="read", message=message, **fields)
    assert Failure.objects.values("reason").distinct().count() == 2


AT_ONCE = 2.5  # seconds of CPU time: tenfold; what grows with the square takes minutes


def took(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


QUERIES = {
    "blanks": "a" + " " * 8190 + "b",
    "commas": "a," * 4096,
    "between": "between a " * 819,
    "compare": "compare a " * 819,
    "and how": "and also " * 900,
    "questions": "? " * 4096,
    "quotes": '"a ' * 2730,
    "digits": "1" * 8192,
    "versions": "1." * 4096,
    "capitals": "A" * 8191 + "b",
    "brackets": "(" * 8192,
    "words": " ".join(f"w{number}" for number in range(1400)),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("ask", [clauses, prose, word_query, query_terms])
@access.everything()
def test_a_query_of_any_kind_is_understood_at_once(ask: Callable[[str], Any], query: str) -> None:
    assert took(lambda: ask(query)) < AT_ONCE


@pytest.mark.parametrize("content", [*QUERIES.values(), "bbj " * 5000, "| " * 9000 + "x", ENDLESS])
def test_the_marks_of_a_text_of_any_kind_are_found_at_once(content: str) -> None:
    gains = {"bbj": 2.0, "a": 1.0, "b*": 1.0}
    assert took(lambda: snippet(content, Gains(gains))) < AT_ONCE


def test_a_search_of_blanks_is_answered(admin_client: Client) -> None:
    began = time.monotonic()
    answer = admin_client.get(reverse("admin:search"), {"q": QUERIES["blanks"]})
    assert answer.status_code == 200
    assert time.monotonic() - began < 2 * SOON
