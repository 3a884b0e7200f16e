"""The reranker as the environment names it, in the process that a person starts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.settings.place import Place
from tests.support.rerank_server import RerankServer, hanging


@pytest.fixture
def server() -> Iterator[RerankServer]:
    with RerankServer(favourite="three") as server:
        yield server


def first(place: Place, **given: Any) -> tuple[str, str]:
    """The title of the first hit, and all that a search says."""
    out, log = place.says("search", "one0word1", "--json", **given)
    return json.loads(out)["hits"][0]["title"], out + log


@pytest.mark.setting("RERANKER_URL")
@pytest.mark.setting("RERANKER_MODEL")
@pytest.mark.setting("RERANKER_KEY")
def test_the_reranker_that_is_named_is_asked(
    place: Place, server: RerankServer, tmp_path: Path
) -> None:
    place.ingest()
    key = tmp_path / "key"
    key.write_text("sesame\n")
    server.key = "sesame"
    url = f"{server.host}/v1/rerank"
    assert first(place)[0] == "Page one"
    assert not server.bodies
    title, _ = first(place, RERANKER_URL=url, RERANKER_MODEL="tiny", RERANKER_KEY_FILE=str(key))
    assert title == "Page three"
    assert server.bodies[0]["model"] == "tiny"
    title, said = first(place, RERANKER_URL=url, RERANKER_KEY="wrong")
    assert title == "Page one"
    assert "check RERANKER_KEY" in said


@pytest.mark.setting("RERANKER_TIMEOUT")
def test_it_is_waited_for_as_long_as_is_set(place: Place, server: RerankServer) -> None:
    place.ingest()
    server.always(hanging(8.0))
    started = time.monotonic()
    url = f"{server.host}/rerank"
    title, said = first(place, RERANKER_URL=url, RERANKER_TIMEOUT="0.3")
    assert time.monotonic() - started < 8
    assert title == "Page one"
    assert "did not answer within 0.3 s" in said


@pytest.mark.parametrize(
    "url", ["rerank", "ftp://host/rerank", "http://me:secret@host/v1/scores", "http:///rerank"]
)
def test_what_is_no_address_of_a_reranker_is_refused(place: Place, url: str) -> None:
    _, said = place.says("check", code=2, RERANKER_URL=url)
    assert "RERANKER_URL is not an address that ends in /rerank" in said
    assert "secret" not in said
