"""What clients of the HTTP API get, and what monitoring sees."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ingestion.api import tokens, views
from ingestion.api.openapi import description
from ingestion.models import ApiToken, Document
from ingestion.monitoring.readiness import CHECKS, Answer, Readiness
from tests.support.indexed import document, index, source
from tests.support.reading import until

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def client() -> Client:
    """A client with a token."""
    _, token = tokens.make("tests")
    return Client(SERVER_NAME="localhost", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def stored() -> None:
    index(
        document(
            "Files",
            "## Locks\n\nThe verb EXTRACT reads a record and locks it.",
            display_url="https://example.com/files",
        ),
        document("Windows", "A window holds controls."),
    )


def post(client: Client, body: Any) -> Any:
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post("/api/search", data, content_type="application/json")


def test_search_gives_hits_with_marks_and_score(client: Client, stored: None) -> None:
    response = post(client, {"query": "lock a record", "limit": 1})
    assert response.status_code == 200
    (hit,) = response.json()["hits"]
    assert hit["title"] == "Files"
    assert hit["display_url"] == "https://example.com/files"
    marked = [hit["snippet"][mark["start"] : mark["end"]] for mark in hit["marks"]]
    assert marked == ["Locks", "record", "locks"]
    assert [part["ranking"].split()[0] for part in hit["parts"]] == ["text", "dense"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": 7}, "query"),
        ({"query": "x" * 8193}, "query"),
        ({"query": "x", "limit": 0}, "limit"),
        ({"query": "x", "limit": 51}, "limit"),
        ({"query": "x", "limit": "10"}, "limit"),
        ({"query": "x", "limit": True}, "limit"),
        ({"query": "x", "mode": "best"}, "mode"),
        ({"query": "x", "sources": ["no/slash"]}, "sources.0"),
        ({"query": "x", "sources": ["unknown"]}, "sources"),
        ({"query": "x", "generations": ["a"] * 31}, "generations"),
        ({"query": "x", "doc_types": "concept"}, "doc_types"),
        ({"query": "x", "more": 1}, "more"),
        ([], "body"),
        ("nonsense", "body"),
        (b"\xff\xfe", "body"),
        ('{"query": "\\ud800"}', "body"),
    ],
)
def test_a_bad_request_names_the_field(client: Client, body: Any, field: str) -> None:
    response = post(client, body)
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [field]


@pytest.mark.parametrize(
    "query", ["", "' & | ! <-> :*", "a\0b", "💥", "שלום", "x " * 4096, "'; DROP TABLE x; --"]
)
def test_any_text_is_a_query(client: Client, stored: None, query: str) -> None:
    assert post(client, {"query": query}).status_code == 200


def test_the_request_in_the_documentation_is_answered(client: Client, stored: None) -> None:
    page = Path(settings.BASE_DIR, "docs", "search.md").read_text()
    example = page.partition("```json\n")[2].partition("```")[0]
    assert post(client, example).status_code == 200


def test_a_whole_number_may_be_written_with_a_point(client: Client, stored: None) -> None:
    assert len(post(client, '{"query": "window", "limit": 1.0}').json()["hits"]) == 1


def test_a_body_that_is_too_large_is_refused(client: Client) -> None:
    assert post(client, {"query": "x", "sources": ["a" * 140_000]}).status_code == 413


@hypothesis_settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.fixed_dictionaries(
            {"query": st.text(max_size=60)},
            optional={
                "limit": st.one_of(st.integers(), st.none(), st.floats()),
                "sources": st.lists(st.text(max_size=10), max_size=3),
                "generations": st.lists(st.text(max_size=10), max_size=3),
                "mode": st.sampled_from(["hybrid", "dense", "text", "?"]),
                "include_deprecated": st.one_of(st.booleans(), st.none(), st.integers()),
            },
        ),
    )
)
def test_nothing_a_client_sends_is_a_server_error(client: Client, body: Any) -> None:
    assert post(client, body).status_code in (200, 400)


def test_a_document_comes_in_its_chunks(client: Client, stored: None) -> None:
    row = Document.objects.get(title="Files")
    response = client.get(f"/api/documents/{row.pk}")
    assert response.status_code == 200
    assert response.json()["url"] == "docs://Files"
    assert "EXTRACT" in response.json()["chunks"][0]["content"]


@pytest.mark.parametrize("pk", ["0", "999999", str(2**63), str(10**40), "-1", "x", "1/2", "a%0Ab"])
def test_a_document_that_is_not_there_is_404(client: Client, pk: str) -> None:
    response = client.get(f"/api/documents/{pk}")
    assert response.status_code == 404
    assert response.json()["error"]


def test_stats_count_what_is_stored(client: Client, stored: None) -> None:
    found = client.get("/api/stats").json()
    assert (found["documents"], found["chunks"]) == (2, 2)
    (counted,) = (row for row in found["sources"] if row["source"] == "docs")
    assert counted["documents"] == 2
    assert found["profiles"][0]["provider"] == "wordllama"


def test_stats_and_metrics_tell_how_far_embedding_again_is(
    client: Client, stored: None, settings: Any
) -> None:
    assert client.get("/api/stats").json()["meaning"] is None
    assert "bbjrag_chunks_to_reembed 0.0" in client.get("/metrics").content.decode()
    settings.EMBEDDING_PROVIDER = "auto"
    assert client.get("/api/stats").json()["meaning"] == {"done": 0, "chunks": 2}
    assert "bbjrag_chunks_to_reembed 2.0" in client.get("/metrics").content.decode()


def test_another_method_is_405(client: Client) -> None:
    response = client.get("/api/search")
    assert (response.status_code, response["Allow"]) == (405, "POST")


# -- tokens


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", "Basic abc", "Bearer " + "x" * 500, "Bearer ü"]
)
def test_without_a_valid_token_nothing_is_told(header: str) -> None:
    response = Client(SERVER_NAME="localhost").get("/api/stats", headers={"Authorization": header})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"


def test_a_token_is_kept_as_a_hash_only() -> None:
    row, token = tokens.make("editor")
    stored = ApiToken.objects.filter(pk=row.pk).values().get()
    assert token not in str(stored)
    assert stored["beginning"] == token[:12]


def test_a_revoked_token_is_no_token() -> None:
    row, token = tokens.make("editor")
    assert tokens.find(token) == row
    ApiToken.objects.update(revoked_at=timezone.now())
    assert tokens.find(token) is None


def test_a_token_may_ask_so_often_a_minute(client: Client) -> None:
    ApiToken.objects.update(requests_per_minute=2)
    statuses = [client.get("/api/stats").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert 1 <= int(client.get("/api/stats")["Retry-After"]) <= 60
    ApiToken.objects.update(window_start=timezone.now() - timedelta(seconds=61))
    assert client.get("/api/stats").status_code == 200


def test_a_session_is_no_token(admin_client: Client) -> None:
    assert admin_client.get("/api/stats").status_code == 401


# -- monitoring


def test_health_needs_nothing() -> None:
    assert Client(SERVER_NAME="localhost").get("/health").json() == {"healthy": True}


def test_ready_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {"embedder": lambda: "", "worker": lambda: "No worker is alive."}
    monkeypatch.setattr(views, "readiness", Readiness(checks))
    response = Client(SERVER_NAME="localhost").get("/ready")
    assert response.status_code == 503
    assert response.json()["problems"] == {"worker": "No worker is alive."}
    assert response.json()["ready"] is False


def test_ready_is_ready_when_all_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "readiness", Readiness({"database": CHECKS["database"]}))
    response = Client(SERVER_NAME="localhost").get("/ready")
    assert (response.status_code, response.json()["ready"]) == (200, True)


def test_without_a_database_nothing_else_is_said() -> None:
    readiness = Readiness({"database": lambda: "Down.", "worker": lambda: "None."})
    assert readiness.answer().problems == {"database": "Down."}


def test_readiness_is_asked_again_after_a_while() -> None:
    times, answers = [0.0], ["Down."]
    readiness = Readiness({"embedder": lambda: answers[0]}, clock=lambda: times[0])
    assert readiness.answer().problems
    answers[0] = ""
    assert readiness.answer().problems
    times[0] = 11.0
    until(lambda: not readiness.answer().problems, 5)


def test_a_check_that_hangs_keeps_nobody_waiting() -> None:
    """Until it is late its last answer counts; that is told with its age."""
    times, hang = [0.0], threading.Event()
    answers: list[Callable[[], str]] = [lambda: "", lambda: str(hang.wait(30))]
    readiness = Readiness({"embedder": lambda: answers.pop(0)()}, clock=lambda: times[0])
    assert readiness.answer().problems == {}
    times[0] = 11.0
    assert readiness.answer() == Answer({}, 11.0)
    times[0] = 22.0
    assert readiness.answer().problems == {"embedder": "It has not answered for 11 seconds."}
    hang.set()


def test_a_check_that_never_answered_is_waited_for_by_few_and_shortly() -> None:
    hang = threading.Event()
    readiness = Readiness({"embedder": lambda: str(hang.wait(30))})
    begin = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        found = [one.result() for one in [pool.submit(readiness.answer) for _ in range(200)]]
    assert {one.problems["embedder"] for one in found} == {"It has not answered yet."}
    assert time.monotonic() - begin < 3
    begin = time.monotonic()
    assert readiness.answer().problems
    assert time.monotonic() - begin < 0.5
    hang.set()


def test_a_check_that_crashes_is_logged_and_what_was_known_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    times, answers = [0.0], ["Down."]
    readiness = Readiness({"embedder": lambda: answers.pop()}, clock=lambda: times[0])
    assert readiness.answer().problems == {"embedder": "Down."}
    times[0] = 11.0
    assert readiness.answer().problems == {"embedder": "Down."}
    until(lambda: "A check of monitoring failed" in caplog.text, 5)


def test_missing_migrations_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_: [("ingestion", "0099")])
    assert "migrate" in CHECKS["database"]()


def test_a_database_that_fails_is_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise DatabaseError("connection lost: secret details")

    monkeypatch.setattr(views, "search", failing)
    response = post(client, {"query": "x"})
    assert response.status_code == 503
    assert "secret" not in response.content.decode()


def test_metrics_count_chunks_and_searches(client: Client, stored: None) -> None:
    post(client, {"query": "window"})
    shown = client.get("/metrics").content.decode()
    assert 'bbjrag_chunks{source="docs"} 2.0' in shown
    assert 'bbjrag_search_seconds_count{mode="hybrid"}' in shown
    assert 'bbjrag_api_responses_total{status="200",view="search_view"}' in shown


# -- OpenAPI


def test_the_description_names_every_address(client: Client) -> None:
    shown = client.get("/api/openapi.json").json()
    runs = {"/api/runs", *(f"/api/runs/{{id}}{what}" for what in ("", "/cancel", "/removals"))}
    others = {"/api/search", "/api/documents/{id}", "/api/stats", "/api/sources"}
    assert set(shown["paths"]) == runs | others


def test_only_a_token_is_told_the_names_of_sources(client: Client) -> None:
    source(name="merger-plans")
    revoked, old = tokens.make("left")
    ApiToken.objects.filter(pk=revoked.pk).update(revoked_at=timezone.now())
    asked = client.get("/api/openapi.json").json()["components"]["schemas"]["SearchRequest"]
    assert "merger-plans" in asked["properties"]["sources"]["items"]["enum"]
    for header in ("", "Bearer bbjrag_x", f"Bearer {old}"):
        stranger = Client(SERVER_NAME="localhost", headers={"Authorization": header})
        answer = stranger.get("/api/openapi.json")
        assert answer.status_code == 200
        assert "merger-plans" not in answer.content.decode()
        assert "Authorization" in answer["Vary"]


@pytest.mark.parametrize("levels", [100, 900, 3000, 20_000])
@pytest.mark.parametrize("shape", ['{{"query": {0}1{1}}}', '{{"x": {0}1{1}}}', "{0}1{1}"])
def test_json_nested_far_too_deep_is_a_bad_request(client: Client, levels: int, shape: str) -> None:
    answer = post(client, shape.format("[" * levels, "]" * levels))
    assert answer.status_code == 400
    assert answer.json()["fields"]


def test_every_reference_of_the_description_leads_somewhere() -> None:
    text = json.dumps(description())
    known = description()["components"]["schemas"]
    referred = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred <= set(known)
