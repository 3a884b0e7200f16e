"""What the Ollama embedder makes of each fault: nothing wrong is ever stored, a text is told apart
from a host, and an outage is reported in bounded time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ingestion.embedding import served
from ingestion.embedding.base import EmbedderSettings
from ingestion.embedding.ollama import OllamaEmbedder
from ingestion.embedding.registry import embed_each
from ingestion.exceptions import EmbedderError, EmbedderUnavailable, TextRejected, TextTooLong
from tests.support.ollama_server import (
    Fault,
    OllamaServer,
    cut_off,
    disconnected,
    filled,
    hanging,
    html,
    raw,
    runner_died,
    status,
    truncated,
    wrong_count,
    wrong_length,
)

TEXTS = [f"text number {number}" for number in range(8)]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "PAUSES", (0.0, 0.01, 0.02))


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


@pytest.fixture
def other() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


def connect(*servers: OllamaServer, timeout: float = 5.0, batch_size: int = 32) -> OllamaEmbedder:
    hosts = tuple(server.host for server in servers)
    settings = EmbedderSettings(
        "ollama", "all-minilm", hosts, timeout=timeout, batch_size=batch_size
    )
    embedder = OllamaEmbedder.open(settings)
    for server in servers:
        server.calls.clear()
        server.embedded.clear()
    return embedder


def is_right(server: OllamaServer, vectors: object, texts: list[str]) -> bool:
    expected = np.array([server.vector(text) for text in texts])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    return bool(np.allclose(np.asarray(vectors), expected, atol=1e-5))


FAULTS = {
    "400 with EOF": runner_died(400),
    "500 with an empty object": runner_died(500),
    "500 with NaN": status(500, "failed to encode response: json: unsupported value: NaN"),
    "413 of a proxy": html(413),
    "502 of a proxy": html(502),
    "503 busy": status(503, "server busy, please try again.  maximum pending requests exceeded"),
    "429": status(429),
    "HTML": html(200),
    "truncated JSON": truncated(),
    "connection cut": cut_off(),
    "disconnected": disconnected(),
    "empty body": raw(b""),
    "JSON of another kind": raw(b"[1, 2]"),
    "JSON without vectors": raw(b'{"embedding": [1, 2]}'),
    "null": raw(b'{"embeddings": null}'),
    "no vectors": raw(b'{"embeddings": []}'),
    "words for numbers": raw(b'{"embeddings": [["a", "b"]]}'),
    "too few vectors": wrong_count(-1),
    "too many vectors": wrong_count(1),
    "wrong length": wrong_length(),
    "NaN": filled(float("nan")),
    "infinity": filled(float("inf")),
    "zeros": filled(0.0),
}
BROKEN = {"no vectors", "too few vectors", "too many vectors", "wrong length", "NaN", "infinity"}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_that_passes_costs_nothing(server: OllamaServer, fault: Fault) -> None:
    embedder = connect(server)
    server.next(fault)
    vectors, rejected = embed_each(embedder, TEXTS)
    assert not rejected
    assert is_right(server, vectors, TEXTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_stays_is_the_hosts_and_is_reported(server: OllamaServer, name: str) -> None:
    embedder = connect(server)
    server.always(FAULTS[name])
    with pytest.raises(EmbedderError) as reported:
        embed_each(embedder, TEXTS)
    broken = name in BROKEN | {"zeros"}
    assert isinstance(reported.value, EmbedderUnavailable) is not broken
    assert not isinstance(reported.value, TextRejected)
    assert server.host in str(reported.value)
    assert len(server.calls) <= 9


TEXT_FAULTS = [name for name in FAULTS if name not in ("502 of a proxy", "503 busy", "429")]


@pytest.mark.parametrize("name", TEXT_FAULTS)
def test_a_fault_of_one_text_leaves_the_others(server: OllamaServer, name: str) -> None:
    embedder = connect(server)
    server.for_text("number 5", FAULTS[name])
    vectors, rejected = embed_each(embedder, TEXTS)
    assert list(rejected) == [5]
    assert "while other texts work" in str(rejected[5])
    others = [text for text in TEXTS if text != TEXTS[5]]
    assert is_right(server, np.delete(vectors, 5, axis=0), others)


def test_one_poison_text_in_five_hundred(server: OllamaServer) -> None:
    texts = [f"text {number}" for number in range(499)]
    texts.insert(321, "poison")
    embedder = connect(server)
    server.for_text("poison", runner_died())
    batches = [texts[start : start + 32] for start in range(0, 500, 32)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda batch: embed_each(embedder, batch), batches))
    rejected = [start * 32 + index for start, (_, bad) in enumerate(found) for index in bad]
    assert rejected == [321]
    assert {text: server.embedded[text] for text in texts} == {
        text: int(text != "poison") for text in texts
    }


def test_a_neighbour_of_poison_is_not_blamed(server: OllamaServer) -> None:
    """A killed runner takes down every request that it was working on."""
    embedder = connect(server)
    dying = threading.Event()

    def kill(request: object) -> object:
        dying.set()
        time.sleep(0.05)
        dying.clear()
        return runner_died()(request)  # type: ignore[arg-type]

    def fall_with_it(request: object) -> object:
        time.sleep(0.02)
        if dying.is_set():
            return runner_died()(request)  # type: ignore[arg-type]
        return request.answer()  # type: ignore[attr-defined]

    server.for_text("poison", kill)  # type: ignore[arg-type]
    server.for_text("victim", fall_with_it)  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as pool:
        poisoned = pool.submit(embed_each, embedder, ["poison", "a", "b", "c"])
        victims = [embed_each(embedder, [f"victim {n}"])[1] for n in range(20)]
        assert list(poisoned.result()[1]) == [0]
    assert victims == [{}] * 20


@pytest.mark.parametrize(
    "message",
    [
        "input length exceeds maximum context length",
        "the input length exceeds the context length",
        "input (2500 tokens) is too large to process. increase the physical batch size",
    ],
)
def test_a_text_that_the_server_finds_too_long_says_so(server: OllamaServer, message: str) -> None:
    embedder = connect(server)
    server.for_text("number 5", status(400, message))
    _, rejected = embed_each(embedder, TEXTS)
    assert list(rejected) == [5]
    assert isinstance(rejected[5], TextTooLong)


# Down


def test_a_server_that_is_down_at_the_start_says_how_to_start_it(server: OllamaServer) -> None:
    server.stop()
    with pytest.raises(EmbedderUnavailable, match=r"refused.*ollama serve.*OLLAMA_HOST") as down:
        connect(server)
    assert server.host in str(down.value)


def test_credentials_are_not_in_messages(server: OllamaServer) -> None:
    server.stop()
    host = server.host.replace("//", "//user:secret@")
    with pytest.raises(EmbedderUnavailable) as down:
        OllamaEmbedder.open(EmbedderSettings("ollama", "all-minilm", (host,)))
    assert "secret" not in str(down.value)


def test_a_server_that_goes_down_is_unavailable_and_comes_back(server: OllamaServer) -> None:
    embedder = connect(server)
    server.stop()
    with pytest.raises(EmbedderUnavailable, match="ollama serve"):
        embedder.embed(TEXTS)
    server.start()
    assert is_right(server, embedder.embed(TEXTS), TEXTS)


def test_a_server_that_restarts_meanwhile_is_waited_for(
    server: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "PAUSES", (0.0, 0.2, 0.5))
    embedder = connect(server)
    server.stop()
    threading.Timer(0.1, server.start).start()
    assert is_right(server, embedder.embed(TEXTS), TEXTS)


def test_a_server_that_hangs_is_unavailable_after_its_timeout(server: OllamaServer) -> None:
    embedder = connect(server, timeout=0.2)
    server.always(hanging())
    started = time.monotonic()
    with pytest.raises(EmbedderUnavailable, match=r"within 0.2 s"):
        embed_each(embedder, TEXTS)
    assert len(server.calls) == 2
    assert time.monotonic() - started < 4


def test_a_text_that_hangs_is_rejected_when_others_do_not(server: OllamaServer) -> None:
    embedder = connect(server, timeout=0.2)
    server.for_text("number 5", hanging())
    _, rejected = embed_each(embedder, TEXTS)
    assert list(rejected) == [5]


def test_a_slow_server_is_asked_for_less_at_once(server: OllamaServer) -> None:
    def slow(request: object) -> object:
        time.sleep(0.05 * len(request.texts))  # type: ignore[attr-defined]
        return request.answer()  # type: ignore[attr-defined]

    embedder = connect(server, timeout=0.3)
    server.always(slow)  # type: ignore[arg-type]
    vectors, rejected = embed_each(embedder, TEXTS)
    assert not rejected
    assert is_right(server, vectors, TEXTS)
    server.calls.clear()
    embed_each(embedder, TEXTS)
    assert max(map(len, server.calls)) <= 4
    server.always(None)
    for _ in range(4):
        embed_each(embedder, TEXTS)
    assert len(server.calls[-1]) == len(TEXTS)


def test_a_model_removed_meanwhile_is_no_outage(server: OllamaServer) -> None:
    embedder = connect(server)
    server.models.clear()
    with pytest.raises(EmbedderError, match="ollama pull all-minilm") as gone:
        embedder.embed(TEXTS)
    assert not isinstance(gone.value, EmbedderUnavailable)


def test_a_model_that_changed_while_the_server_was_away_is_refused(server: OllamaServer) -> None:
    embedder = connect(server)
    server.next(status(503), times=3)
    with pytest.raises(EmbedderUnavailable):
        embedder.embed(TEXTS)
    server.models["all-minilm:latest"] = "0" * 64
    with pytest.raises(EmbedderError, match="not the same everywhere"):
        embedder.embed(TEXTS)
    assert not server.embedded


@pytest.mark.parametrize("code", [301, 401, 403, 404])
def test_an_address_that_is_no_ollama_says_to_check_it(server: OllamaServer, code: int) -> None:
    embedder = connect(server)
    server.always(html(code))
    with pytest.raises(EmbedderError, match="check the address") as refused:
        embedder.embed(TEXTS)
    assert not isinstance(refused.value, EmbedderUnavailable)


# Several hosts


def test_a_failed_host_is_skipped_for_a_while(server: OllamaServer, other: OllamaServer) -> None:
    embedder = connect(server, other)
    server.always(status(503))
    for text in TEXTS:
        embedder.embed([text])
    assert len(server.calls) == 1
    assert [call[0] for call in other.calls] == TEXTS


def test_a_host_that_is_down_at_the_start_is_used_when_it_comes(
    server: OllamaServer, other: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "SKIPPED_SECONDS", 0.0)
    other.stop()
    embedder = connect(server, other)
    embedder.embed(["before"])
    other.start()
    for text in TEXTS:
        embedder.embed([text])
    assert other.calls


def test_a_host_that_comes_with_another_model_is_not_used(
    server: OllamaServer, other: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "SKIPPED_SECONDS", 0.0)
    other.stop()
    embedder = connect(server, other)
    other.models["all-minilm:latest"] = "0" * 64
    other.start()
    for text in TEXTS:
        embedder.embed([text])
    assert not other.calls


def test_all_hosts_failing_names_each_and_its_reason(
    server: OllamaServer, other: OllamaServer
) -> None:
    embedder = connect(server, other)
    server.always(html(502))
    other.stop()
    with pytest.raises(EmbedderUnavailable) as down:
        embedder.embed(TEXTS)
    message = str(down.value)
    assert f"{server.host}: it answers 502 (an HTML page)" in message
    assert f"{other.host}: no connection" in message


def test_a_broken_host_does_not_stop_a_good_one(server: OllamaServer, other: OllamaServer) -> None:
    embedder = connect(server, other)
    server.always(filled(float("nan")))
    for text in TEXTS:
        assert is_right(other, embedder.embed([text]), [text])
