"""Search goes on while sources are read again, and while their chunks change to another model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from ingestion import access
from ingestion.models import EmbeddingProfile, SourceRun, State
from ingestion.search import retrievers, search
from ingestion.search.query_embedding import QueryVectors
from ingestion.search.results import Mode
from sources.models import Source
from tests.support.ollama_server import OllamaServer, hanging
from tests.support.reading import make_source, read, write_pages

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = [f"page{chr(97 + n)}" for n in range(20)]


@pytest.fixture
def pages(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """A source that was read; each of its pages holds words that no other page has."""
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(retrievers, "query_vectors", QueryVectors())
    write_pages(tmp_path / "pages", NAMES, sections=12, words=40)
    source = make_source("pages")
    assert read(source).state == State.SUCCEEDED
    yield source
    connections.close_all()


class Searcher(threading.Thread):
    """Asks for one page after the other, in each mode, while a run is under way."""

    def __init__(self, modes: tuple[Mode, ...]) -> None:
        super().__init__()
        self.modes = modes
        self.asked = 0
        self.missed: list[str] = []
        self.profiles: set[str] = set()
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            while not SourceRun.objects.filter(state=State.RUNNING).exists():
                time.sleep(
                    0.01
                )  # until the reading's process is there: it must not be forked later
            while not self.ended.is_set():
                mode = self.modes[self.asked // len(NAMES) % len(self.modes)]
                self._ask(NAMES[self.asked % len(NAMES)], mode)
        finally:
            connections.close_all()

    @access.everything()
    def _ask(self, name: str, mode: Mode) -> None:
        hits = search(f"{name}3word7 {name}3word8 of {name}", limit=3, mode=mode).hits
        self.asked += 1
        if not hits or hits[0].title != f"Page {name}":
            self.missed.append(f"{mode}: {name}")
        self.profiles |= {part.ranking for hit in hits for part in hit.parts} - {"text"}


def read_while_searching(source: Source, *modes: Mode, **options: Any) -> Searcher:
    searcher = Searcher(modes)
    searcher.start()
    try:
        assert read(source, **options).state == State.SUCCEEDED
    finally:
        searcher.ended.set()
        searcher.join()
    return searcher


def test_each_query_finds_everything_while_all_is_read_anew(pages: Source) -> None:
    searcher = read_while_searching(pages, "hybrid", clean=True)
    assert searcher.asked > 5
    assert searcher.missed == []


def test_each_query_finds_everything_though_the_old_model_is_gone(pages: Source) -> None:
    EmbeddingProfile.objects.update(digest="of an older version")
    searcher = read_while_searching(pages, "hybrid")
    assert searcher.asked > 5
    assert searcher.missed == []
    assert EmbeddingProfile.objects.count() == 2


def test_each_query_finds_everything_while_both_models_answer(pages: Source, settings: Any) -> None:
    """By the vectors alone too: each document by those of the one model or the other."""
    models = {"old:latest": "a" * 64, "new:latest": "b" * 64}
    with OllamaServer(dimensions=384, models=models) as server:
        settings.EMBEDDING_PROVIDER, settings.OLLAMA_HOSTS = "ollama", [server.host]
        settings.EMBEDDING_MODEL, settings.EMBEDDING_BATCH_SIZE = "old", 8
        assert read(pages).state == State.SUCCEEDED
        settings.EMBEDDING_MODEL = "new"
        server.for_text("Section", hanging(0.03))  # what the run embeds, and no query
        searcher = read_while_searching(pages, "dense", "hybrid")
        connections.close_all()
    assert searcher.asked > len(NAMES)
    assert searcher.missed == []
    assert {name.split()[1].split("/")[1] for name in searcher.profiles} == {"old", "new"}
