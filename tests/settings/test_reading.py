"""The settings of a reading, in one `ingest_all` that has them all; each effect by itself."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ingestion.text.tokenizer import count_tokens
from tests.settings.place import Place
from tests.support.ollama_server import DIGEST, MODEL, OllamaServer, Reply, Request
from tests.support.pages import page
from tests.support.reading import until

SOURCES = {"alpha": "mdx-dwc", "beta": "mdx-beginner", "gamma": "mdx-db-modernization"}
SETTINGS = {
    "EMBEDDING_MODEL": "other",
    "EMBEDDING_BATCH_SIZE": "3",
    "EMBEDDING_CONCURRENCY": "4",
    "CHUNK_SIZE": "150",
    "CHUNK_OVERLAP": "0",
    "ORIGINAL_LIMIT_KB": "1",
    "WORKERS": "3",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "info",
}


@dataclass
class Seen:
    """What was seen while each request of the readings was held back, and afterwards."""

    at_once: set[str] = field(default_factory=set)
    requests: Counter[str] = field(default_factory=Counter)
    log: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    chunks: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    stored_files: list[int] = field(default_factory=list)  # sizes in bytes
    other_files: list[int] = field(default_factory=list)


def long_page(name: str) -> str:
    sentences = " ".join(f"{name} has the word{number} in it." for number in range(40))
    return f"---\ntitle: Page {name}\n---\n\n## Only section\n\n{sentences}\n"


def prepare(place: Place) -> None:
    """Three sources, in a folder beside the usual one."""
    for name, source in SOURCES.items():
        folder = place.folder / "elsewhere" / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(6):
            (folder / f"{name}{number}.md").write_text(page(f"{name}{number}", sections=4))
        (folder / "long.md").write_text(long_page(name))
        where = f"paths = '{{{name}}}' WHERE name = '{source}'"
        place.do(f"UPDATE sources_source SET enabled = true, {where}")


def undo(place: Place) -> None:
    place.do("UPDATE sources_source SET enabled = name = 'mdx-dwc'")
    place.do("UPDATE sources_source SET paths = '{pages}' WHERE name = 'mdx-dwc'")


def look(place: Place, command: Any, seen: Seen) -> None:
    """Until nothing more happens, as each reading waits for its embedder."""
    requests = place.ollama.calls
    until(lambda: len([call for call in requests if "word" in call[0]]) >= 12, 60)
    time.sleep(0.5)
    seen.at_once = set(
        place.all("SELECT source_name FROM ingestion_sourcerun WHERE state = 'running'")
    )
    for call in requests:
        seen.requests.update(name for name in SOURCES if any(name in text for text in call[:1]))


@pytest.fixture(scope="module")
def seen(installation: Place) -> Iterator[Seen]:
    place, go_on = installation, threading.Event()
    place.fresh()
    prepare(place)

    def wait(request: Request) -> Reply:
        go_on.wait(60)
        return request.server.honest(request.texts, request.body)

    with OllamaServer(models={MODEL: DIGEST, "other:latest": "0" * 64}) as ollama:
        usual, place.ollama = place.ollama, ollama
        ollama.for_text("word", wait)
        given = {"OLLAMA_HOST": ollama.host, "DATA_DIR": str(place.folder / "elsewhere")}
        command = place.manage("ingest_all", **given, **SETTINGS)
        found = Seen()
        try:
            look(place, command, found)
        finally:
            go_on.set()
            _, found.log = command.communicate(timeout=120)
            place.ollama = usual
    assert command.returncode == 0, found.log
    found.bodies = ollama.bodies
    found.chunks = place.all("SELECT content FROM ingestion_chunk ORDER BY document_id, ordinal")
    found.documents = place.all("SELECT url FROM ingestion_document")
    sizes = "SELECT original_size FROM ingestion_documenttext WHERE original_id"
    found.stored_files = place.all(f"{sizes} IS NOT NULL")
    found.other_files = place.all(f"{sizes} IS NULL")
    yield found
    undo(place)


@pytest.mark.setting("DATA_DIR")
def test_the_folder_that_is_named_is_read(seen: Seen) -> None:
    assert {url.rpartition("/")[2] for url in seen.documents} == {
        f"{name}.md"
        for name in ["long", *(f"{name}{number}" for name in SOURCES for number in range(6))]
    }


@pytest.mark.setting("EMBEDDING_PROVIDER")
@pytest.mark.setting("OLLAMA_HOST")
def test_the_texts_go_to_the_host_that_is_named(seen: Seen) -> None:
    asked = {text for body in seen.bodies for text in body["input"]}
    assert all(any(chunk in text for text in asked) for chunk in seen.chunks)


@pytest.mark.setting("EMBEDDING_MODEL")
def test_the_model_that_is_named_is_asked(seen: Seen) -> None:
    assert {body["model"] for body in seen.bodies} == {"other"}


@pytest.mark.setting("EMBEDDING_BATCH_SIZE")
def test_so_many_texts_go_in_one_request(seen: Seen) -> None:
    assert max(len(body["input"]) for body in seen.bodies) == 3


@pytest.mark.setting("EMBEDDING_CONCURRENCY")
def test_so_many_requests_are_under_way(seen: Seen) -> None:
    assert seen.requests == dict.fromkeys(SOURCES, 4)


@pytest.mark.setting("WORKERS")
def test_so_many_sources_are_read_at_once(seen: Seen) -> None:
    assert seen.at_once == set(SOURCES.values())


@pytest.mark.setting("ORIGINAL_LIMIT_KB")
def test_files_up_to_the_limit_are_stored(seen: Seen) -> None:
    assert max(seen.stored_files) <= 1024 < min(seen.other_files)


@pytest.mark.setting("CHUNK_SIZE")
def test_chunks_are_as_long_as_they_may_be(seen: Seen) -> None:
    longest = max(map(count_tokens, seen.chunks))
    assert 100 < longest <= 150


@pytest.mark.setting("CHUNK_OVERLAP")
def test_chunks_overlap_as_they_should(seen: Seen) -> None:
    words = Counter(re.findall(r"alpha has the word\d+ in", " ".join(seen.chunks)))
    assert len(words) == 40
    assert set(words.values()) == {1}


@pytest.mark.setting("LOG_FORMAT")
def test_each_line_of_the_log_is_an_object(seen: Seen) -> None:
    lines = [json.loads(line) for line in seen.log.splitlines()]
    assert {line.get("source") for line in lines} >= set(SOURCES.values())


@pytest.mark.setting("LOG_LEVEL")
def test_the_log_tells_more(seen: Seen) -> None:
    assert '"level": "INFO", "logger": "ingestion.' in seen.log
