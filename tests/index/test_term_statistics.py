"""The terms of the index after readings: little work for little change, never wrong for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from ingestion.index import term_statistics
from ingestion.models import Chunk
from sources.models import Source
from tests.support.reading import make_source, read, write_pages

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = [f"page{number}" for number in range(60)]


@pytest.fixture
def source(settings: Settings, tmp_path: Path) -> Source:
    settings.DATA_DIR = tmp_path
    write_pages(tmp_path / "pages", NAMES)
    return make_source("pages")


def write(folder: Path, name: str, words: str) -> None:
    (folder / "pages" / f"{name}.md").write_text(f"# {name}\n\n{words}\n")


def known(term: str) -> int:
    return term_statistics.counts([term])[0].get(term, 0)


def test_a_first_reading_counts_all_terms(source: Source) -> None:
    assert read(source).state == "succeeded"
    assert term_statistics.counts([])[1] == Chunk.objects.count()
    assert not term_statistics.is_stale()


def test_a_small_change_adds_its_new_terms_and_counts_nothing_else_anew(
    source: Source, tmp_path: Path
) -> None:
    write(tmp_path, NAMES[0], "A rare gyroscope.")
    read(source)
    write(tmp_path, NAMES[1], "A gyroscope beside a sextant.")
    read(source)
    assert (known("sextant"), known("gyroscop")) == (1, 1)
    assert not term_statistics.is_stale()


def test_several_small_changes_are_counted_in_the_end(source: Source, tmp_path: Path) -> None:
    read(source)
    for name in NAMES[:4]:
        write(tmp_path, name, "A sextant.")
        read(source)
    assert known("sextant") == 4


def test_removed_documents_count_as_changes(source: Source, tmp_path: Path) -> None:
    for name in NAMES[:4]:
        write(tmp_path, name, f"The {name} sextant.")
    read(source)
    for name in NAMES[:4]:
        (tmp_path / "pages" / f"{name}.md").unlink()
    read(source)
    assert known("sextant") == 0


def test_an_unchanged_reading_leaves_the_terms_alone(source: Source) -> None:
    read(source)
    before = term_statistics.counts([term_statistics.UNCOUNTED])
    read(source)
    assert term_statistics.counts([term_statistics.UNCOUNTED]) == before
