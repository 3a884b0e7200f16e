"""Search goes on while sources are read anew, and while their chunks change to another model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from ingestion import search as search_module
from ingestion.models import EmbeddingProfile, SourceRun, State
from ingestion.query_vectors import QueryVectors
from ingestion.search import search
from sources.models import Source
from tests.reading import make_source, read, write_pages

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = [f"page{chr(97 + n)}" for n in range(20)]


@pytest.fixture
def pages(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """A source that was read; each of its pages holds words that no other page has."""
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(search_module, "query_vectors", QueryVectors())
    write_pages(tmp_path / "pages", NAMES, sections=12, words=40)
    source = make_source("pages")
    assert read(source).state == State.SUCCEEDED
    yield source
    connections.close_all()


class Searcher(threading.Thread):
    """Asks for one page after the other while a run is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.missed: list[str] = []
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            while not SourceRun.objects.filter(state=State.RUNNING).exists():
                time.sleep(
                    0.01
                )  # until the reading's process is there: it must not be forked later
            while not self.ended.is_set():
                self._ask(NAMES[self.asked % len(NAMES)])
        finally:
            connections.close_all()

    def _ask(self, name: str) -> None:
        hits = search(f"{name}3word7 of {name}", limit=3).hits
        self.asked += 1
        if not hits or hits[0].title != f"Page {name}":
            self.missed.append(name)


def read_while_searching(source: Source, **options: Any) -> Searcher:
    searcher = Searcher()
    searcher.start()
    try:
        assert read(source, **options).state == State.SUCCEEDED
    finally:
        searcher.ended.set()
        searcher.join()
    return searcher


def test_each_query_finds_everything_while_all_is_read_anew(pages: Source) -> None:
    searcher = read_while_searching(pages, clean=True)
    assert searcher.asked > 5
    assert searcher.missed == []


def test_each_query_finds_everything_while_the_model_changes(pages: Source) -> None:
    EmbeddingProfile.objects.update(digest="of an older version")
    searcher = read_while_searching(pages)
    assert searcher.asked > 5
    assert searcher.missed == []
    assert EmbeddingProfile.objects.count() == 2
