"""Runs over HTTP: started, followed, cancelled and decided on, within the sources of the token."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from ingestion.access import RIGHTS, Right
from ingestion.api import runs, tokens
from ingestion.models import Document, LogLine, Run, SourceRun, State
from ingestion.worker import supervisor
from sources.models import Source
from tests.support.reading import make_source, read, write_pages

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NAMES = [f"page{number}" for number in range(12)]


class Api:
    def __init__(self, *sources: Source, rights: tuple[Right, ...] = RIGHTS) -> None:
        _, token = tokens.make("docs build", 10_000, sources=sources, rights=rights)
        self.client = Client(SERVER_NAME="localhost", headers={"Authorization": f"Bearer {token}"})

    def get(self, path: str) -> tuple[int, Any]:
        response = self.client.get(path)
        return response.status_code, response.json()

    def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        response = self.client.post(
            path, json.dumps(body or {}), content_type="application/json", headers=headers
        )
        return response.status_code, response.json()


@pytest.fixture
def harbours(settings: Settings, tmp_path: Path) -> Source:
    settings.DATA_DIR = tmp_path
    write_pages(tmp_path / "harbours", NAMES)
    return make_source("harbours")


@pytest.fixture
def hills(harbours: Source, tmp_path: Path) -> Source:
    write_pages(tmp_path / "hills", NAMES[:2])
    return make_source("hills")


@pytest.fixture(autouse=True)
def only_these() -> None:
    Source.objects.exclude(name__in=["harbours", "hills"]).update(enabled=False)


def work() -> None:
    for row in SourceRun.objects.open():
        supervisor.supervise(row.pk)


def test_a_source_is_ingested_and_followed(harbours: Source) -> None:
    api = Api()
    status, started = api.post("/api/runs", {"sources": ["harbours"]})
    assert (status, started["started"], started["joined"]) == (201, ["harbours"], {})
    assert "No worker is alive" in started["notes"][0]
    status, run = api.get(f"/api/runs/{started['run']}")
    assert (run["state"], run["ended"], run["ok"]) == ("queued", False, False)
    work()
    status, run = api.get(f"/api/runs/{started['run']}?wait=5")
    assert (status, run["state"], run["ended"], run["ok"]) == (200, "succeeded", True, True)
    assert (run["origin"], run["by"]) == ("api", "token docs build")
    (row,) = run["sources"]
    assert (row["source"], row["added"], row["documents"]) == ("harbours", 12, 12)
    (source,) = [one for one in api.get("/api/sources")[1]["sources"] if one["documents"]]
    assert (source["source"], source["run"], source["state"]) == (
        "harbours",
        run["run"],
        "succeeded",
    )
    assert source["age"] < 60


def test_the_admin_names_the_token(harbours: Source, admin_client: Client) -> None:
    run = Api().post("/api/runs")[1]["run"]
    for name, args in (("run_changelist", []), ("run_change", [run])):
        html = admin_client.get(reverse(f"admin:ingestion_{name}", args=args)).content.decode()
        assert "token docs build (api)" in html


def test_all_enabled_sources_of_the_token_are_read(harbours: Source, hills: Source) -> None:
    assert Api(hills).post("/api/runs")[1]["started"] == ["hills"]
    all_of_them = Api().post("/api/runs")[1]
    assert (all_of_them["started"], list(all_of_them["joined"])) == (["harbours"], ["hills"])


def test_an_empty_list_of_sources_starts_nothing(harbours: Source) -> None:
    status, said = Api().post("/api/runs", {"sources": []})
    assert status == 400
    assert "leave it out to start all" in json.dumps(said)
    assert not Run.objects.exists()


def test_without_the_right_nothing_is_started_or_followed(harbours: Source) -> None:
    run = read(harbours).run_id
    api = Api(rights=("search", "read"))
    for status, said in (
        api.post("/api/runs"),
        api.get(f"/api/runs/{run}"),
        api.post(f"/api/runs/{run}/cancel"),
        api.post(f"/api/runs/{run}/removals", {"decision": "approve"}),
    ):
        assert status == 403
        assert "may not start or follow runs" in said["error"]
    assert api.get("/api/sources")[0] == 200
    assert Run.objects.count() == 1


def test_a_run_is_seen_as_far_as_it_reads_sources_of_the_token(
    harbours: Source, hills: Source
) -> None:
    run = Api().post("/api/runs")[1]["run"]
    mine = Api(hills)
    assert [row["source"] for row in mine.get(f"/api/runs/{run}")[1]["sources"]] == ["hills"]
    assert mine.post("/api/runs", {"sources": ["harbours"]})[0] == 400
    status, after = mine.post(f"/api/runs/{run}/cancel")
    assert (status, after["state"]) == (200, "cancelled")
    assert {row.source_name: row.state for row in SourceRun.objects.all()} == {
        "hills": State.CANCELLED,
        "harbours": State.QUEUED,
    }
    assert "Cancelled by token docs build." in SourceRun.objects.get(source=hills).error
    assert mine.post(f"/api/runs/{run}/cancel")[0] == 409
    other = SourceRun.objects.get(source=harbours)
    alone = Run.objects.create(origin="admin")
    SourceRun.objects.filter(pk=other.pk).update(run=alone)
    assert mine.get(f"/api/runs/{alone.pk}")[0] == 404
    assert mine.get(f"/api/runs/{alone.pk + 1}")[0] == 404


def test_what_cannot_be_read_is_not_started_and_says_why(harbours: Source, hills: Source) -> None:
    Source.objects.filter(pk=hills.pk).update(enabled=False)
    api = Api()
    status, said = api.post("/api/runs", {"sources": ["harbours", "hills"]})
    assert (status, said["not_started"]) == (201, {"hills": "It is disabled: enable it."})
    status, said = api.post("/api/runs", {"sources": ["hills"]})
    assert (status, said["fields"]["sources"]) == (409, ["hills: It is disabled: enable it."])
    status, said = api.post("/api/runs", {"sources": ["harbours"], "retry_failed": True})
    assert (status, "Nothing to retry" in said["fields"]["sources"][0]) == (409, True)


def test_failures_are_retried_and_shown_in_pages(
    harbours: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PROBLEMS", 2)
    for name in NAMES[:3]:
        (tmp_path / "harbours" / f"{name}.md").write_bytes(b"\x00\xff\x00")
    api = Api()
    run = api.post("/api/runs")[1]["run"]
    work()
    first, second, none = (
        api.get(f"/api/runs/{run}?page={page}")[1]["problems"] for page in (1, 2, 3)
    )
    assert (first["total"], first["pages"], len(first["problems"])) == (3, 2, 2)
    assert (len(second["problems"]), none["problems"]) == (1, [])
    assert {one["source"] for one in first["problems"]} == {"harbours"}
    write_pages(tmp_path / "harbours", NAMES[:3])
    started = api.post("/api/runs", {"retry_failed": True})[1]
    work()
    assert api.get(f"/api/runs/{started['run']}")[1]["ok"]


def test_a_key_starts_once(harbours: Source) -> None:
    api = Api()
    key = {"Idempotency-Key": "build 7"}
    status, first = api.post("/api/runs", {"sources": ["harbours"]}, **key)
    work()
    again, second = api.post("/api/runs", {"sources": ["harbours"]}, **key)
    assert (status, again, first) == (201, 200, second)
    assert Run.objects.count() == 1
    assert api.post("/api/runs", {}, **key)[0] == 409
    assert api.post("/api/runs", {}, **{"Idempotency-Key": "x" * 101})[0] == 400
    assert Api().post("/api/runs", {}, **key)[1]["run"] != first["run"]


def test_a_key_starts_once_however_many_ask_at_the_same_time(harbours: Source) -> None:
    api, answers = Api(), list[Any]()
    key = {"Idempotency-Key": "build 8"}
    in_threads(4, lambda: answers.append(api.post("/api/runs", {}, **key)[1]))
    assert len({json.dumps(answer, sort_keys=True) for answer in answers}) == 1
    assert Run.objects.count() == 1


def test_waiting_ends_with_the_run_and_holds_few_threads(
    harbours: Source, settings: Settings
) -> None:
    settings.REQUEST_TIMEOUT = 1.5
    api = Api()
    run = api.post("/api/runs")[1]["run"]
    took = list[float]()

    def follow() -> None:
        began = time.monotonic()
        assert not api.get(f"/api/runs/{run}?wait=600")[1]["ended"]
        took.append(time.monotonic() - began)

    in_threads(5, follow)
    waited = [seconds for seconds in took if seconds >= 1.4]
    assert len(waited) == settings.SERVER_THREADS // 4
    assert max(took) < 10


def test_removals_are_decided(harbours: Source, tmp_path: Path) -> None:
    read(harbours)
    for name in NAMES[:11]:
        (tmp_path / "harbours" / f"{name}.md").unlink()
    api = Api(harbours)
    run = api.post("/api/runs")[1]["run"]
    work()
    state = api.get(f"/api/runs/{run}")[1]
    assert (state["state"], state["ended"], state["ok"]) == ("needs_approval", True, False)
    assert (state["sources"][0]["removals"], len(state["sources"][0]["vanished"])) == (11, 11)
    assert api.post(f"/api/runs/{run}/removals", {"decision": "maybe"})[0] == 400
    status, after = api.post(f"/api/runs/{run}/removals", {"decision": "approve"})
    assert (status, after["ok"], after["sources"][0]["removed"]) == (200, True, 11)
    assert Document.objects.count() == 1
    line = "Removal approved by token docs build."
    assert LogLine.objects.filter(message__contains=line).exists()
    assert api.post(f"/api/runs/{run}/removals", {"decision": "approve"})[0] == 409


def in_threads(number: int, call: Callable[[], Any]) -> None:
    def one() -> None:
        try:
            call()
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
