"""Servers with an OpenAI-compatible interface: a stand-in for what they may do, and if OLLAMA_HOST
names a real Ollama, its /v1/embeddings."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from ingestion.embedding import served
from ingestion.embedding.base import EmbedderSettings
from ingestion.embedding.openai import WINDOWS, OpenAIEmbedder
from ingestion.embedding.openai_host import parse_url
from ingestion.embedding.prefixes import SENTENCE
from ingestion.embedding.registry import embed_each, open_embedder
from ingestion.exceptions import ConfigError, EmbedderError, EmbedderUnavailable, TextTooLong
from tests.embedding.test_ollama_faults import FAULTS, TEXTS, is_right
from tests.support.ollama_server import Fault, disconnected, hanging, html, raw, status
from tests.support.openai_server import (
    NAME,
    OpenAIServer,
    redirected,
    refused,
    too_many_requests,
)

KEY = "sk-sesame-1234"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "PAUSES", (0.0, 0.01, 0.02))


@pytest.fixture(autouse=True)
def _nothing_known_of_a_server_whose_port_was_taken_again() -> None:
    WINDOWS.known.clear()


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def other() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


def connect(*servers: OpenAIServer, **given: object) -> OpenAIEmbedder:
    hosts = tuple(server.url for server in servers)
    given = {"model": NAME, "timeout": 5.0} | given
    embedder = OpenAIEmbedder.open(EmbedderSettings("openai", hosts=hosts, **given))  # type: ignore[arg-type]
    for server in servers:
        server.calls.clear()
        server.embedded.clear()
    return embedder


def test_it_works(server: OpenAIServer) -> None:
    embedder = connect(server)
    vectors = embedder.embed(TEXTS)
    assert is_right(server, vectors, TEXTS)
    assert (embedder.provider, embedder.model, embedder.digest) == ("openai", NAME, "")
    assert (embedder.dimensions, embedder.context) == (16, 2046)
    assert (embedder.document_prefix, embedder.query_prefix) == ("", SENTENCE)
    assert {body["encoding_format"] for body in server.bodies} == {"float"}
    embedder.embed_query("How?")
    assert server.calls[-1] == [f"{SENTENCE}How?"]


def test_vectors_may_come_in_base64(server: OpenAIServer) -> None:
    server.in_base64 = True
    assert is_right(server, connect(server).embed(TEXTS), TEXTS)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("gpu", "http://gpu:8000/v1"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com:443/v1"),
        ("http://gpu:8080/v1/embeddings", "http://gpu:8080/v1"),
        ("http://gpu/proxy/v3", "http://gpu:80/proxy/v3"),
        ("http://user:secret@gpu", "http://gpu:80/v1"),
    ],
)
def test_an_address_is_what_embeddings_is_below(given: str, url: str) -> None:
    assert parse_url(given).url == url


def test_an_address_that_is_none_is_refused_without_credentials() -> None:
    with pytest.raises(ConfigError, match="EMBEDDING_URL") as wrong:
        parse_url("ftp://me:secret@gpu")
    assert "secret" not in str(wrong.value)


@pytest.mark.parametrize(("hosts", "model"), [((), NAME), (("http://gpu/v1",), "")])
def test_what_is_not_set_is_named(hosts: tuple[str, ...], model: str) -> None:
    with pytest.raises(ConfigError, match=r"Set EMBEDDING_(URL|MODEL)"):
        open_embedder(EmbedderSettings("openai", model, hosts))


# The key


def test_the_key_goes_to_the_server_alone(server: OpenAIServer, other: OpenAIServer) -> None:
    server.key = KEY
    embedder = connect(server, key=KEY)
    embedder.embed(TEXTS)
    server.always(redirected(f"{other.url}/embeddings"))
    with pytest.raises(EmbedderError, match=r"answers 307.*check the address in EMBEDDING_URL"):
        embedder.embed(TEXTS)
    assert not other.headers


@pytest.mark.parametrize("key", ["", "sk-wrong-secret"])
def test_a_key_that_is_not_accepted_is_an_error_that_does_not_show_it(
    server: OpenAIServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.key = KEY
    caplog.set_level(logging.INFO)
    with pytest.raises(EmbedderError, match=r"answers 401.*check EMBEDDING_KEY") as wrong:
        connect(server, key=key)
    assert not isinstance(wrong.value, EmbedderUnavailable)
    assert "wrong-secret" not in f"{wrong.value} {wrong.value!r} {caplog.text}"


def test_a_key_that_cannot_be_sent_is_not_shown() -> None:
    settings = EmbedderSettings("openai", NAME, ("http://gpu.invalid/v1",), key="sécret")
    with pytest.raises(ConfigError, match="EMBEDDING_KEY") as wrong:
        open_embedder(settings)
    assert "cret" not in str(wrong.value).replace("SECRET", "")
    assert "sécret" not in repr(settings)


# The model


def test_a_model_that_is_not_there_is_named_with_those_that_are(server: OpenAIServer) -> None:
    with pytest.raises(EmbedderError, match=f"correct EMBEDDING_MODEL. It has: {NAME}"):
        connect(server, model="other")


def test_the_address_of_something_else_says_so(server: OpenAIServer) -> None:
    wrong = EmbedderSettings("openai", NAME, (f"{server.host}/v2",))
    with pytest.raises(EmbedderError, match=r"answers 404.*often ends in /v1"):
        open_embedder(wrong)


def test_more_dimensions_than_can_be_indexed_are_refused() -> None:
    with OpenAIServer(dimensions=4096) as large, pytest.raises(EmbedderError, match="4096 dim"):
        connect(large)


def test_tei_says_by_which_digest_a_model_is_known() -> None:
    with OpenAIServer(says="tei", window=512) as tei:
        embedder = connect(tei)
        assert (embedder.digest, embedder.context) == (tei.sha, 510)


def test_hosts_with_different_models_are_refused(
    server: OpenAIServer, other: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other, "vector", lambda text: server.vector(f"otherwise {text}")[::-1])
    with pytest.raises(EmbedderError, match="not the same everywhere"):
        connect(server, other)


def test_a_host_that_comes_back_with_another_model_is_not_used(
    server: OpenAIServer, other: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.stop()
    embedder = connect(server, other)
    other.start()
    monkeypatch.setattr(other, "vector", lambda text: server.vector(f"otherwise {text}")[::-1])
    embedder.hosts.all[1].failed_until = 0.0
    for _ in range(4):
        assert is_right(server, embedder.embed(TEXTS), TEXTS)
    assert set(other.embedded) <= {"Zähle 3 words, x_y.z(): the same text for each host."}


# The length of a text


@pytest.mark.parametrize("says", ["vllm", "tei", ""])
def test_the_context_is_learned(says: str) -> None:
    with OpenAIServer(says=says, window=512) as server:
        assert connect(server).context == 510


def test_a_context_that_nobody_knows_is_assumed_or_set(caplog: pytest.LogCaptureFixture) -> None:
    with OpenAIServer(counts=False, cuts=True) as silent:
        assert connect(silent).context == 510
        assert "Set EMBEDDING_CONTEXT" in caplog.text
        assert connect(silent, context=1000).context == 998


@pytest.mark.parametrize(("says", "cuts"), [("vllm", False), ("", False), ("", True)])
def test_a_context_above_the_models_is_refused(says: str, cuts: bool) -> None:
    with (
        OpenAIServer(says=says, cuts=cuts, window=512) as server,
        pytest.raises(EmbedderError, match="EMBEDDING_CONTEXT"),
    ):
        connect(server, context=1024)


def test_texts_go_together_if_the_server_refuses_what_is_too_long() -> None:
    texts = ["word " * 200, "x " * 600, "word " * 300]
    with OpenAIServer(says="vllm", window=512) as server:
        embedder = connect(server)
        _, rejected = embed_each(embedder, texts)
        assert list(rejected) == [1]
        assert isinstance(rejected[1], TextTooLong)
        assert len(server.calls[0]) == 3


def test_a_text_that_may_be_cut_off_silently_goes_alone_and_is_counted() -> None:
    texts = ["word " * 100, "word " * 600, "word " * 300]
    with OpenAIServer(cuts=True, window=512) as server:
        embedder = connect(server)
        vectors, rejected = embed_each(embedder, texts)
        assert list(rejected) == [1]
        assert isinstance(rejected[1], TextTooLong)
        assert is_right(server, vectors[[0, 2]], [texts[0], texts[2]])


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 512 tokens. However, you requested 700 tokens",
        "Input validation error: `inputs` must have less than 512 tokens. Given: 700",
        "input (700 tokens) is too large to process. increase the physical batch size",
    ],
)
@pytest.mark.parametrize("code", [400, 413, 500])
def test_what_servers_say_of_a_text_that_is_too_long_is_understood(
    server: OpenAIServer, message: str, code: int
) -> None:
    embedder = connect(server)
    server.for_text("number 5", lambda request: refused(code, message))
    _, rejected = embed_each(embedder, TEXTS)
    assert {index: type(error) for index, error in rejected.items()} == {5: TextTooLong}


# Faults


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_that_passes_costs_nothing(server: OpenAIServer, fault: Fault) -> None:
    embedder = connect(server)
    server.next(fault)
    vectors, rejected = embed_each(embedder, TEXTS)
    assert not rejected
    assert is_right(server, vectors, TEXTS)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_that_stays_is_the_servers(server: OpenAIServer, fault: Fault) -> None:
    embedder = connect(server)
    server.always(fault)
    with pytest.raises(EmbedderError, match=server.host):
        embed_each(embedder, TEXTS)


ROWS = {
    "the same index twice": b'{"data": [{"index": 0, "embedding": [1]}, {"index": 0}]}',
    "an index of no text": b'{"data": [{"index": 1, "embedding": [1]}]}',
    "an index that is no number": b'{"data": [{"index": "a", "embedding": [1]}, {"index": 1}]}',
    "no embedding": b'{"data": [{"index": 0}]}',
    "broken base64": b'{"data": [{"index": 0, "embedding": "?"}]}',
    "nested": b'{"data": [{"index": 0, "embedding": [[1]]}]}',
    "no list": b'{"data": 5}',
    "a list": b"[5]",
}


@pytest.mark.parametrize("body", ROWS.values(), ids=ROWS)
def test_an_answer_that_is_none_is_not_stored(server: OpenAIServer, body: bytes) -> None:
    embedder = connect(server)
    server.always(raw(body))
    with pytest.raises(EmbedderError, match=server.host):
        embedder.embed(["text"])


@pytest.mark.parametrize("fault", [status(400), html(500), disconnected()])
def test_a_text_at_fault_is_found(server: OpenAIServer, fault: Fault) -> None:
    embedder = connect(server)
    server.for_text("number 5", fault)
    vectors, rejected = embed_each(embedder, TEXTS)
    assert list(rejected) == [5]
    assert is_right(server, np.delete(vectors, 5, axis=0), [t for t in TEXTS if "5" not in t])


def test_more_texts_than_a_server_takes_are_sent_in_several_requests() -> None:
    with OpenAIServer(says="tei", most_texts=3) as server:
        embedder = connect(server)
        vectors, rejected = embed_each(embedder, TEXTS)
        assert not rejected
        assert is_right(server, vectors, TEXTS)
        server.calls.clear()
        embed_each(embedder, TEXTS[:3])
        assert [len(call) for call in server.calls] == [2, 1]


def test_a_server_that_asks_to_wait_is_waited_for(server: OpenAIServer) -> None:
    embedder = connect(server)
    server.next(too_many_requests(0.3), times=5)
    began = time.monotonic()
    assert is_right(server, embedder.embed(TEXTS), TEXTS)
    assert time.monotonic() - began >= 5 * 0.3


def test_a_server_that_asks_for_a_long_wait_is_an_outage(server: OpenAIServer) -> None:
    embedder = connect(server)
    server.always(too_many_requests(90))
    began = time.monotonic()
    with pytest.raises(EmbedderUnavailable, match="answers 429"):
        embedder.embed(TEXTS)
    assert time.monotonic() - began < 50
    assert embedder.hosts.all[0].failed_until > time.monotonic() + 60


def test_a_server_that_has_too_much_to_do_is_asked_for_less_at_once(server: OpenAIServer) -> None:
    embedder = connect(server, concurrency=8)
    server.next(too_many_requests(0.1))
    embedder.embed(TEXTS)
    assert embedder.hosts.all[0].pace.at_once == 4


def test_a_failed_host_is_skipped_for_a_while(server: OpenAIServer, other: OpenAIServer) -> None:
    embedder = connect(server, other)
    server.always(status(503))
    for _ in range(6):
        embedder.embed(TEXTS)
    assert len(server.calls) == 1
    assert len(other.calls) == 6


def test_a_server_that_hangs_is_unavailable_after_its_timeout(server: OpenAIServer) -> None:
    embedder = connect(server, timeout=0.5)
    server.always(hanging())
    with pytest.raises(EmbedderUnavailable, match=r"within 0.5 s"):
        embed_each(embedder, TEXTS)


def test_a_server_that_is_down_says_how_to_go_on(server: OpenAIServer) -> None:
    server.stop()
    with pytest.raises(EmbedderUnavailable, match="Start the server, or correct EMBEDDING_URL"):
        connect(server)


# A real one


@pytest.fixture(scope="module")
def real() -> str:
    host = os.environ.get("OLLAMA_HOST", "")
    if not host:
        pytest.skip("OLLAMA_HOST names no server")
    try:
        httpx.get(f"{host}/v1/models", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        pytest.skip(f"no Ollama answers at OLLAMA_HOST: {error}")
    return f"{host}/v1"


@pytest.mark.ollama
def test_a_real_server_gives_the_vectors_of_its_own_interface(real: str) -> None:
    texts = ["PRINT writes to a channel.", "word " * 200, "open a file " * 300]
    given = {"model": "all-minilm", "timeout": 60.0}
    here = open_embedder(EmbedderSettings("openai", hosts=(real,), **given))  # type: ignore[arg-type]
    own = open_embedder(EmbedderSettings("ollama", hosts=(real.removesuffix("/v1"),), **given))  # type: ignore[arg-type]
    (vectors, rejected), (expected, _) = embed_each(here, texts), embed_each(own, texts)
    assert (here.dimensions, here.context) == (384, 254)
    assert list(rejected) == [2]
    assert np.allclose(vectors[:2], expected[:2], atol=1e-3)
