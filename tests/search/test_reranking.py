"""An optional reranker: what it changes, and that nothing depends on it.

It is a stand-in on the loopback that behaves as the protocols are documented; no model is behind
it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ingestion.admin import attention
from ingestion.exceptions import RerankerError
from ingestion.monitoring import health
from ingestion.search import reranking as module
from ingestion.search import retrievers, search
from ingestion.search.query_embedding import QueryVectors
from ingestion.search.reranking import RERANKED, RETRY_SECONDS, Reranking
from ingestion.search.results import Results
from tests.support.indexed import document, index
from tests.support.rerank_server import (
    Fault,
    RerankServer,
    changed,
    hanging,
    raw,
    status,
    trickling,
)

pytestmark = pytest.mark.django_db

PATHS = ["/v1/rerank", "/rerank"]
QUERY = "lock a record of a keyed file"
LEFT_OUT = "The reranker is left out"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Nothing is known of the reranker or the embedder of another test."""
    clock = Clock()
    monkeypatch.setattr(retrievers, "query_vectors", QueryVectors())
    monkeypatch.setattr(module, "reranking", Reranking(clock))
    module._reranker.cache_clear()
    return clock


@pytest.fixture
def server(clock: Clock) -> Iterator[RerankServer]:
    with RerankServer(favourite="zebra") as server:
        yield server


@pytest.fixture(params=PATHS)
def stored(request: Any, settings: Any, server: RerankServer) -> str:
    """Documents of which the last for the query is the one that the reranker likes best; the path
    of the reranker."""
    settings.RERANKER_URL = server.host + request.param
    settings.RERANKER_TIMEOUT = 1.0
    index(
        document("Locks", "EXTRACT locks a record of a keyed file. Lock it and keep it locked."),
        document("Files", "A keyed file holds records; a record may be locked."),
        document("Striped", "A zebra is no record, and there is one file of a zebra here."),
    )
    return str(request.param)


def titles(results: Results) -> list[str]:
    return [hit.title for hit in results.hits]


def test_it_puts_the_hits_in_its_order(stored: str, settings: Any, server: RerankServer) -> None:
    results = search(QUERY)
    assert titles(results)[0] == "Striped"
    assert results.notes == ()
    settings.RERANKER_URL = ""
    without = titles(search(QUERY))
    assert without[0] == "Locks"
    assert titles(results)[1:] == [title for title in without if title != "Striped"]
    assert len(server.bodies) == 1


def test_each_protocol_is_asked_in_its_words(
    stored: str, settings: Any, server: RerankServer
) -> None:
    settings.RERANKER_MODEL = "bge-reranker"
    settings.RERANKER_KEY = "sesame"
    server.key = "sesame"
    assert titles(search(QUERY))[0] == "Striped"
    (body,) = server.bodies
    (texts,) = [value for value in body.values() if isinstance(value, list)]
    assert any("A zebra is no record" in text and text.startswith("Striped") for text in texts)
    assert (
        body
        == {
            "/v1/rerank": {"query": QUERY, "documents": texts, "top_n": 3, "model": "bge-reranker"},
            "/rerank": {"query": QUERY, "texts": texts, "truncate": True},
        }[stored]
    )


def _without_index(entries: list[dict[str, Any]]) -> object:
    return [{key: value for key, value in entry.items() if key != "index"} for entry in entries]


def _scored(value: object) -> Fault:
    def change(entries: list[dict[str, Any]]) -> object:
        return [entry | dict.fromkeys(entry.keys() - {"index"}, value) for entry in entries]

    return changed(change)


NONSENSE: dict[str, tuple[Fault, str]] = {
    "busy": (status(503), "answers 503 (something went wrong)"),
    "overloaded": (status(429), "too much to do"),
    "refused for its number": (status(422), "max-client-batch-size"),
    "too long": (status(413), "CHUNK_SIZE"),
    "wrong key": (status(401), "RERANKER_KEY"),
    "moved": (status(302), "RERANKER_URL"),
    "a page": (raw(b"<html>Bad gateway</html>", 502), "an HTML page"),
    "no JSON": (raw(b"<html>Hello</html>"), "not JSON"),
    "nested": (raw(b"[" * 100_000), "not JSON"),
    "huge": (raw(b" " * 5_000_000), "longer than"),
    "other JSON": (raw(b'{"hello": "world"}'), "not that of a reranker"),
    "a number": (raw(b"7"), "not that of a reranker"),
    "one missing": (changed(lambda entries: entries[1:]), "scored 2 texts"),
    "one twice": (changed(lambda entries: [entries[0], *entries[:2]]), "instead of each of 3"),
    "one too far": (changed(lambda e: [*e[1:], e[0] | {"index": 99}]), "instead of each of 3"),
    "no index": (changed(_without_index), "not that of a reranker"),
    "no number": (_scored("high"), "not that of a reranker"),
    "null": (_scored(None), "not that of a reranker"),
    "NaN": (_scored(float("nan")), "not a finite number"),
    "endless": (_scored(float("inf")), "not a finite number"),
    "a list as index": (changed(lambda e: [x | {"index": [1]} for x in e]), "not that of"),
}


@pytest.mark.parametrize(("fault", "said"), NONSENSE.values(), ids=NONSENSE)
def test_nonsense_costs_a_note_and_no_answer(
    stored: str, settings: Any, server: RerankServer, fault: Fault, said: str
) -> None:
    server.always(fault)
    results = search(QUERY)
    (note,) = results.notes
    assert note.startswith(LEFT_OUT)
    assert said in note
    settings.RERANKER_URL = ""
    assert results.hits == search(QUERY).hits


@pytest.mark.parametrize("fault", [hanging(), trickling(0.05)], ids=["silent", "byte by byte"])
def test_a_slow_one_is_waited_for_no_longer_than_its_limit(
    stored: str, settings: Any, server: RerankServer, fault: Fault
) -> None:
    settings.RERANKER_TIMEOUT = 0.5
    server.always(fault)
    started = time.monotonic()
    results = search(QUERY)
    assert time.monotonic() - started < 1.5
    assert "0.5 s" in results.notes[0]
    assert titles(results)[0] == "Locks"


def test_after_a_failure_it_is_left_alone_for_a_while(
    stored: str, server: RerankServer, clock: Clock
) -> None:
    server.always(status(503))
    notes = search(QUERY).notes
    server.always(None)
    clock.now += RETRY_SECONDS - 1
    assert search(QUERY).notes == notes
    assert len(server.bodies) == 1
    clock.now += 2
    assert titles(search(QUERY))[0] == "Striped"
    assert search(QUERY).notes == ()


def test_a_silent_one_holds_up_no_more_than_the_threads_that_ask_it(
    stored: str, settings: Any, server: RerankServer
) -> None:
    settings.RERANKER_TIMEOUT = 0.5
    server.always(hanging())
    started = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(_scores) for _ in range(12)]
        assert all("did not answer" in one.result() for one in asked)
    assert time.monotonic() - started < 1.5


def _scores() -> str:
    try:
        module.reranking.scores("query", ["one", "two"])
    except RerankerError as error:
        return str(error)
    return "an answer"


def test_nobody_listens(stored: str, settings: Any) -> None:
    settings.RERANKER_URL = f"http://127.0.0.1:1{stored}"
    results = search(QUERY)
    assert "no connection" in results.notes[0]
    assert titles(results)[0] == "Locks"


def test_hits_of_the_same_score_stay_in_their_order(
    stored: str, settings: Any, server: RerankServer
) -> None:
    server.favourite = ""
    same = search(QUERY)
    settings.RERANKER_URL = ""
    assert same == search(QUERY)


def test_only_the_first_are_sent_and_the_others_follow(
    stored: str, settings: Any, server: RerankServer
) -> None:
    index(*(document(f"Page {n}", f"A record of file number {n}.") for n in range(50)))
    long = document("Long", "record " + "x" * 100 + " zebra file lock word " * 60)
    index(long)
    settings.CHUNK_SIZE = 4000
    results = search(QUERY + " x" * 2000, limit=50)
    assert results.notes == ()
    (body,) = server.bodies
    (texts,) = [value for value in body.values() if isinstance(value, list)]
    assert len(texts) == RERANKED
    assert max(map(len, texts)) <= module.LONGEST_PASSAGE
    assert len(body["query"]) == module.LONGEST_QUERY
    assert len(results.hits) == 50


def test_the_overview_says_whether_it_answers(stored: str, server: RerankServer) -> None:
    assert health.reranker().state == "ok"
    server.always(status(503))
    found = health.reranker()
    assert found.state == "warn"
    assert "answers 503" in found.text
    assert found.text.endswith("Start it, or correct RERANKER_URL.")
    assert [need.kind for need in attention.needs([], [], [found])] == ["left out"]
    assert "Reranker" in [check.name for check in health.checks()]


def test_without_the_setting_nothing_of_it_is_shown(settings: Any) -> None:
    assert settings.RERANKER_URL == ""
    assert "Reranker" not in [check.name for check in health.checks()]


def test_a_proxy_of_the_environment_is_for_the_world_outside(
    stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert titles(search(QUERY))[0] == "Striped"
