"""One source read by several processes: the same rows, failures and counters as by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from ingestion.models import Document, Failure, SourceRun
from ingestion.parsers import PARSERS
from ingestion.processes import processors
from ingestion.runs import attempt
from sources.models import Source
from tests.support.reading import ask, digest, make_source, read, write_pages, wrong

NAMES = [f"page{number:03}" for number in range(120)]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pages(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Pages, one of which kills whoever reads it, and one without text."""
    monkeypatch.setitem(PARSERS, "HostileParser", "tests.support.odd_parsers.HostileParser")
    settings.DATA_DIR = tmp_path
    write_pages(tmp_path / "pages", [*NAMES, "cursor"], sections=4)
    (tmp_path / "pages" / "empty.md").write_text("---\n")
    return make_source("pages", parser="HostileParser", options={"does": "die"})


def outcome(row: SourceRun) -> tuple[Any, ...]:
    failures = Failure.objects.filter(source_run=row).values_list(
        "document_url", "stage", "message", "level"
    )
    counters = (row.read, row.added, row.embedded, row.reused, row.failures, row.warnings)
    return (row.state, row.attempt, *counters, sorted(failures))


@pytest.mark.parametrize("number", [2, 5])
def test_more_processes_store_the_same(pages: Source, settings: Settings, number: int) -> None:
    settings.CHUNKING_PROCESSES = 1
    alone, stored = outcome(read(pages)), digest()
    Document.objects.all().delete()
    settings.CHUNKING_PROCESSES = number
    assert outcome(read(pages)) == alone
    assert digest() == stored
    assert alone[:3] == ("partial", 1, len(NAMES) + 1)
    assert not wrong()


def test_what_is_stored_is_neither_cut_nor_embedded_again(pages: Source, tmp_path: Path) -> None:
    read(pages)
    changed = tmp_path / "pages" / "page007.md"
    changed.write_text(changed.read_text().replace("## Section 3", "## Section 3, changed"))
    row = read(pages)
    assert (row.changed, row.added, row.embedded) == (1, 0, 1)
    assert (row.unchanged, row.documents) == (len(NAMES), len(NAMES) + 1)


def test_sources_that_are_read_at_once_share_the_processors(
    pages: Source, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "usable", lambda: 8)
    settings.WORKERS, settings.CHUNKING_PROCESSES = 3, 0
    assert attempt.reading_processes() == 8
    for number, share in ((1, 8), (2, 4), (3, 2), (4, 2)):
        ask(make_source(f"source{number}"))
        assert attempt.reading_processes() == share
    settings.CHUNKING_PROCESSES = 5
    assert attempt.reading_processes() == 5
