"""What was asked is kept beside the searches, grouped by meaning, and tells what is missing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from ingestion.api import tokens
from ingestion.mcp import tools
from ingestion.models import AskedQuery
from ingestion.runs import retention
from ingestion.search import query_log as module
from ingestion.search import search
from ingestion.search.gaps import grouped
from ingestion.search.query_log import QueryLog, query_log
from ingestion.search.results import Results
from ingestion.search.trust import DOUBTFUL, trusted
from tests.support.indexed import document, index, pages

pytestmark = pytest.mark.django_db(transaction=True)

WINDOW = """# Opening a window

A window is opened with the method addWindow of BBjSysGui, which takes a context, its place and its
size, and a title. A window is shown at once unless it was asked to be invisible."""
GRID = """# Colours of a grid

The cells of a BBjStandardGrid get a background colour by setCellBackColor."""


@pytest.fixture(autouse=True)
def indexed(settings: Any) -> Iterator[None]:
    settings.QUERY_LOG_DAYS = 30
    index(document("window.md", WINDOW), document("grid.md", GRID), *pages(30, "printing"))
    yield
    query_log.finish()


def kept() -> list[AskedQuery]:
    query_log.finish(10)
    return list(AskedQuery.objects.order_by("pk"))


def api(query: str, **fields: Any) -> None:
    _, token = tokens.make("editor plug-in")
    headers = {"Authorization": f"Bearer {token}"}
    body = json.dumps({"query": query, **fields})
    answer = Client().post("/api/search", body, content_type="application/json", headers=headers)
    assert answer.status_code == 200, answer.content


def test_a_search_of_the_api_is_kept() -> None:
    api("How is a window opened?", mode="text", doc_types=["concept"])
    (row,) = kept()
    assert (row.query, row.mode, row.asked_by) == (
        "How is a window opened?",
        "text",
        "editor plug-in",
    )
    assert row.filters == {"doc_types": ["concept"]}
    assert (row.source_name, row.url) == ("docs", "docs://window.md")
    assert row.hits >= 1
    assert row.trusted >= DOUBTFUL
    assert row.profile is not None
    assert len(row.embedding) == 256


def test_those_of_assistants_and_of_the_admin_are(admin_client: Client) -> None:
    tools.search_bbj_knowledge("addWindow")
    for page in ("1", "2"):
        admin_client.get("/admin/search/", {"q": "setCellBackColor", "page": page})
    assert [(row.query, row.asked_by) for row in kept()] == [
        ("addWindow", "mcp"),
        ("setCellBackColor", "admin"),
    ]


def test_nothing_is_kept_by_default(settings: Any) -> None:
    settings.QUERY_LOG_DAYS = 0
    api("How is a window opened?")
    assert kept() == []


def test_no_column_says_who_asked() -> None:
    named = {field.name for field in AskedQuery._meta.get_fields()}
    assert not named & {"address", "ip", "user", "person", "token"}


def test_a_log_that_cannot_keep_up_loses_queries_and_slows_nobody_down(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = QueryLog(size=2)
    monkeypatch.setattr(log, "_start", lambda: None)
    began = time.monotonic()
    for number in range(50):
        log.note(Results(query=f"query {number}", mode="text"), "mcp")
    assert time.monotonic() - began < 1
    assert (log.waiting.qsize(), log.lost) == (2, 48)
    assert caplog.text.count("some are not in the log") == 1


def test_a_database_that_does_not_take_them_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ingestion_askedquery RENAME TO elsewhere")
    try:
        api("How is a window opened?")
        query_log.finish(10)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO ingestion_askedquery")
    assert "are not in the log" in caplog.text
    api("addWindow")
    assert [row.query for row in kept()] == ["addWindow"]


def test_they_are_removed_when_they_are_old(settings: Any) -> None:
    api("How is a window opened?")
    kept()
    AskedQuery.objects.update(at=timezone.now() - timedelta(days=29))
    retention.prune()
    assert AskedQuery.objects.count() == 1
    AskedQuery.objects.update(at=timezone.now() - timedelta(days=31))
    settings.RETENTION_DAYS = 0
    retention.prune()
    assert AskedQuery.objects.count() == 0


def test_turning_the_log_off_removes_what_it_held(settings: Any) -> None:
    api("How is a window opened?")
    kept()
    settings.QUERY_LOG_DAYS = 0
    retention.prune()
    assert AskedQuery.objects.count() == 0


@pytest.mark.parametrize(
    ("query", "good"),
    [
        ("How is a window opened?", True),
        ("addWindow", True),
        ("window", True),
        ("backgruond color of a grid cell", True),
        ("send a text message by Twilio", False),
        ("Which fertilizer do roses need?", False),
        ("opening a window with Kubernetes", False),
    ],
)
def test_what_is_not_in_the_index_is_not_trusted(query: str, good: bool) -> None:
    assert (trusted(search(query)) >= DOUBTFUL) is good


def test_no_hits_are_not_trusted_at_all() -> None:
    assert trusted(Results(query="anything", mode="hybrid")) == 0.0


def asked_in_many_words(*queries: str) -> list[tuple[AskedQuery, int]]:
    for query in queries:
        query_log.note(search(query), "mcp")
    return [(row, 1) for row in kept()]


def test_questions_are_grouped_by_meaning() -> None:
    groups = grouped(
        asked_in_many_words(
            "How can a BBj program upload a file by SFTP?",
            "Which telescope shows the rings of Saturn?",
            "sftp upload from BBj",
            "upload files to an SFTP server in BBj",
        )
    )
    assert [len(group.queries) for group in groups] == [3, 1]
    assert [group.number for group in groups] == [3, 1]


def test_a_query_without_a_vector_is_a_group_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_vector", lambda profile, query: None)
    groups = grouped(asked_in_many_words("sftp upload", "upload by sftp"))
    assert [len(group.queries) for group in groups] == [1, 1]


def test_the_page_says_what_to_write_next(admin_client: Client) -> None:
    for query in ("sftp upload from BBj", "SFTP  upload from bbj", "How is a window opened?"):
        api(query)
    kept()
    page = admin_client.get("/admin/asked/")
    text = page.content.decode()
    (gap,) = page.context["gaps"]
    assert (gap.group.first.query, gap.group.number) == ("SFTP  upload from bbj", 2)
    assert "/admin/search/?q=SFTP++upload+from+bbj" in text
    assert [(one.name, one.number, one.doubtful) for one in page.context["by_source"]] == [
        ("docs", 3, 2)
    ]
    assert [number for _, number, _, _ in page.context["top"]] == [2, 1]


def test_what_is_answered_by_now_is_no_gap(admin_client: Client) -> None:
    api("sftp upload from BBj")
    kept()
    index(document("sftp.md", "# SFTP\n\nAn upload from BBj by SFTP takes a key and a host."))
    api("sftp upload from BBj")
    kept()
    assert admin_client.get("/admin/asked/").context["gaps"] == []


def test_the_page_says_how_it_is_turned_on(admin_client: Client, settings: Any) -> None:
    settings.QUERY_LOG_DAYS = 0
    assert "QUERY_LOG_DAYS" in admin_client.get("/admin/asked/").content.decode()


def test_who_may_not_look_does_not(client: Client, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_user("eve", is_staff=True))
    assert client.get("/admin/asked/").status_code == 403


def test_the_questions_about_what_is_missing_are_forty() -> None:
    path = Path(__file__).parents[1] / "data/questions_missing.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({row["query"] for row in rows}) == 40
    assert sum(row["kind"] == "bbj" for row in rows) == 20
