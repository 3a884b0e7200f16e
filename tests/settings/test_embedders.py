"""Embedders as the environment names them, in the process that a person starts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.settings.place import Place
from tests.support.ollama_server import Reply, Request, honest, status
from tests.support.openai_server import NAME, OpenAIServer, too_many_requests

KEY = "sk-sesame-1234"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(key=KEY, says="vllm") as server:
        yield server


def given(server: OpenAIServer, **more: str) -> dict[str, Any]:
    named = {"EMBEDDING_PROVIDER": "openai", "EMBEDDING_URL": server.url, "EMBEDDING_MODEL": NAME}
    return named | {"EMBEDDING_KEY": KEY} | more


def found(place: Place, query: str, **settings: Any) -> list[dict[str, Any]]:
    out, _ = place.says("search", query, "--json", **settings)
    hits: list[dict[str, Any]] = json.loads(out)["hits"]
    return hits


@pytest.mark.setting("EMBEDDING_URL")
@pytest.mark.setting("EMBEDDING_KEY")
def test_the_server_that_is_named_embeds_and_is_searched(
    place: Place, server: OpenAIServer, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    settings = given(server, EMBEDDING_KEY="", EMBEDDING_KEY_FILE=str(key))
    said = place.ingest(**settings)
    assert len([text for text in server.embedded if "0word1 " in text or "1word1 " in text]) == 6
    named = place.all("SELECT provider || model || digest FROM ingestion_embeddingprofile")
    assert f"openai{NAME}" in named
    before = len(server.calls)
    assert found(place, "two0word1", **settings)[0]["title"] == "Page two"
    assert any("two0word1" in text for call in server.calls[before:] for text in call)
    place.is_sound()
    assert KEY not in said + "".join(place.log())
    assert not place.ollama.calls


@pytest.mark.parametrize("key", ["", "sk-wrong-secret"])
def test_a_key_that_is_not_accepted_ends_the_command_with_the_way_out(
    place: Place, server: OpenAIServer, key: str
) -> None:
    out, said = place.says("ingest_all", code=2, **given(server, EMBEDDING_KEY=key))
    assert "check EMBEDDING_KEY" in out + said
    assert "wrong-secret" not in out + said


def test_what_is_missing_is_said_when_a_process_starts(place: Place) -> None:
    _, said = place.says("check", code=2, EMBEDDING_PROVIDER="openai", unset=("EMBEDDING_MODEL",))
    assert "set EMBEDDING_URL" in said


@pytest.mark.setting("EMBEDDING_CONTEXT")
def test_the_context_that_is_set_limits_chunks(place: Place, server: OpenAIServer) -> None:
    words = " ".join(f"long{number}" for number in range(400))
    (place.pages / "one.md").write_text(f"---\ntitle: One\n---\n\n{words}\n")
    place.ingest(**given(server, CHUNK_SIZE="400"))
    before = place.ask("SELECT count(*) FROM ingestion_chunk")
    place.ingest(**given(server, CHUNK_SIZE="400", EMBEDDING_CONTEXT="128"))
    assert place.ask("SELECT count(*) FROM ingestion_chunk") > before
    _, said = place.says("ingest_all", code=2, **given(server, EMBEDDING_CONTEXT="4096"))
    assert "EMBEDDING_CONTEXT is 4096 tokens" in said


def test_a_server_that_wants_to_be_asked_later_is_no_failure(
    place: Place, server: OpenAIServer
) -> None:
    left = iter(range(3))

    def busy(request: Request) -> Reply:
        fault = honest() if next(left, None) is None else too_many_requests(0.5)
        return fault(request)

    server.for_text("two0word1", busy)
    said = place.ingest(**given(server))
    assert "it answers 429" in said
    assert place.ask("SELECT state || attempt FROM ingestion_sourcerun") == "succeeded1"
    assert not any("Waits for" in line for line in place.log())


def test_a_text_that_the_server_refuses_costs_its_chunk_alone(
    place: Place, server: OpenAIServer
) -> None:
    server.for_text("two0word1", status(400, "cannot be embedded"))
    place.ingest(code=1, **given(server))
    assert place.ask("SELECT count(*) FROM ingestion_failure") == 1
    assert len(place.all("SELECT id FROM ingestion_chunk")) == 5


def test_what_was_given_to_a_server_at_once_is_in_the_log_of_the_run(
    place: Place, server: OpenAIServer
) -> None:
    place.ingest(**given(server), EMBEDDING_BATCH_SIZE="0", EMBEDDING_CONCURRENCY="0")
    assert f"{server.url} was given 32 texts in a request and 2 requests at once." in place.log()


@pytest.mark.ollama
def test_the_interface_of_a_real_ollama_fills_an_index_that_is_searched(place: Place) -> None:
    host = os.environ.get("OLLAMA_HOST", "")
    try:
        httpx.get(f"{host}/v1/models", timeout=5).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        pytest.skip(f"no Ollama answers at OLLAMA_HOST: {error}")
    settings: dict[str, Any] = {"EMBEDDING_PROVIDER": "openai", "EMBEDDING_MODEL": "all-minilm"}
    settings |= {"EMBEDDING_URL": f"{host}/v1", "EMBEDDING_BATCH_SIZE": "0"}
    (place.pages / "four.md").write_text(
        "---\ntitle: Fruit\n---\n\nApples and pears grow on trees in the orchard.\n"
    )
    place.ingest(**settings)
    assert place.ask("SELECT count(*) FROM ingestion_chunk WHERE vector_dims(embedding) = 384") == 7
    hits = found(place, "Where can I pick something sweet to eat?", **settings)
    assert hits[0]["title"] == "Fruit"
    place.is_sound()
