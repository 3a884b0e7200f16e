"""OLLAMA_HOST in the forms that it may have, in the process that a person starts."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.settings.place import Place
from tests.support.ollama_server import OllamaServer, Reply, Request


@pytest.fixture
def other() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


@pytest.fixture
def down() -> Iterator[str]:
    """An address where nothing listens, and nothing can while the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def texts(server: OllamaServer) -> set[str]:
    return {text for text in server.embedded if "word" in text}


def test_two_hosts_share_the_texts(place: Place, other: OllamaServer) -> None:
    place.fresh(*(f"page{number}" for number in range(12)))
    said = place.ingest(OLLAMA_HOST=f"{place.ollama.host},{other.host}")
    assert texts(place.ollama)
    assert texts(other)
    assert len(texts(place.ollama) | texts(other)) == 24
    assert "Traceback" not in said


def test_a_host_that_is_down_is_named_and_the_other_does_the_work(place: Place, down: str) -> None:
    file = place.folder / "hosts"
    file.write_text(f"{down} , {place.ollama.host}\n")
    said = place.ingest(unset=("OLLAMA_HOST",), OLLAMA_HOST_FILE=str(file))
    assert len(texts(place.ollama)) == 6
    assert f"Ollama host left out for now: {down}" in said
    assert any(down in line for line in place.log())


def test_a_host_that_goes_down_meanwhile_is_named(place: Place, other: OllamaServer) -> None:
    def go(request: Request) -> Reply:
        other.stop()
        return Reply(disconnect=True)

    other.for_text("word", go)
    said = place.ingest(OLLAMA_HOST=f"{place.ollama.host},{other.host}")
    assert len(texts(place.ollama)) == 6
    assert f"Ollama host skipped for 30 s: {other.host}" in said
    assert any(other.host in line for line in place.log())


def test_hosts_that_are_all_down_start_nothing(place: Place, down: str) -> None:
    said = place.ingest(code=2, OLLAMA_HOST=f"{down},{down}/ollama")
    assert "No Ollama host can be used." in said
    assert "Traceback" not in said


FORMS = [
    "{address}",
    "http://{address}/",
    "http://localhost:{port}",
    "http://me:p%40ss@{address}",
    "me@{address}",
    "0.0.0.0:{port}",
    '"{address}"',
]


def test_each_form_of_an_address_leads_to_its_server(place: Place) -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(OllamaServer()) for _ in FORMS]
        given = [
            form.format(address=f"127.0.0.1:{server.port}", port=server.port)
            for form, server in zip(FORMS, servers, strict=True)
        ]
        place.fresh(*(f"page{number}" for number in range(2 * len(FORMS))))
        said = place.ingest(OLLAMA_HOST=f",{', '.join(given)},", EMBEDDING_BATCH_SIZE="1")
        assert all(map(texts, servers)), [len(texts(server)) for server in servers]
    assert "p%40ss" not in said


WORLD_OUTSIDE: dict[str, Any] = {
    "ALL_PROXY": "socks5://127.0.0.1:1",
    "HTTP_PROXY": "gopher://127.0.0.1:1",
    "NO_PROXY": "[::1",
    "SSL_CERT_FILE": "/nowhere/ca.pem",
}


def test_what_is_set_for_the_world_outside_does_not_stop_this_machine(place: Place) -> None:
    place.ingest(**WORLD_OUTSIDE)
    assert len(texts(place.ollama)) == 6
