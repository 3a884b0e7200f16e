"""What is stored of what documents were read from, by real readings in child processes."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from ingestion.index import texts
from ingestion.models import Chunk, Document, DocumentText, Original, State
from ingestion.runs import retention
from sources.models import Source
from tests.support.reading import make_source, physical_rows, read, write_pages

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ["anchor", "button", "cursor"]


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    write_pages(tmp_path / "pages", NAMES, words=150)
    return tmp_path / "pages"


@pytest.fixture
def source(folder: Path) -> Source:
    source = make_source("pages")
    assert read(source).state == State.SUCCEEDED
    return source


def rewrite(path: Path, text: str) -> None:
    before = path.stat().st_mtime_ns
    path.write_text(text)
    os.utime(path, ns=(before + 1_000_000, before + 1_000_000))


def text_of(name: str) -> str:
    return texts.unpacked(_row(name).text)


def _row(name: str) -> DocumentText:
    return DocumentText.objects.select_related("original").get(document__url__contains=name)


def everything() -> list[tuple[Any, ...]]:
    fields = ("document", "text", "places", "chunks", "original", "media_type", "original_size")
    rows = DocumentText.objects.order_by("document").values_list(*fields)
    return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in rows]


def test_each_document_has_its_text_its_file_and_the_places_of_its_chunks(
    source: Source, folder: Path
) -> None:
    assert DocumentText.objects.count() == len(NAMES)
    for name in NAMES:
        row = _row(name)
        assert row.original is not None
        assert texts.file_bytes(row.original) == (folder / f"{name}.md").read_bytes()
        assert row.media_type == texts.MARKDOWN
        chunks = Chunk.objects.filter(document=row.document).order_by("ordinal")
        parts = texts.parts(row.chunks)
        assert len(parts) == chunks.count() > 1
        for (start, end), chunk in zip(parts, chunks, strict=True):
            assert text_of(name)[start:end] == chunk.content


def test_an_index_from_before_gets_texts_and_files_without_a_change_of_its_chunks(
    source: Source,
) -> None:
    stored, rows = everything(), physical_rows()
    times = dict(Document.objects.values_list("url", "changed_at"))
    DocumentText.objects.all().delete()
    Original.objects.all().delete()

    row = read(source)

    assert (row.state, row.unchanged, row.embedded) == ("succeeded", 3, 0)
    assert (row.added, row.changed, row.removed) == (0, 0, 0)
    assert everything() == stored
    assert physical_rows() == rows
    assert dict(Document.objects.values_list("url", "changed_at")) == times
    assert read(source).unchanged == 3


def test_chunks_that_are_cut_otherwise_now_have_no_places(source: Source) -> None:
    DocumentText.objects.all().delete()
    Chunk.objects.filter(document__url__contains="anchor", ordinal=0).update(content_hash="other")

    read(source)

    assert texts.parts(_row("anchor").chunks) == []
    assert texts.parts(_row("button").chunks) != []


def test_a_file_above_the_limit_comes_when_the_limit_is_raised(
    folder: Path, settings: Settings
) -> None:
    settings.ORIGINAL_LIMIT = 1
    source = make_source("pages")
    read(source)
    assert not Original.objects.exists()
    assert _row("anchor").original_size == (folder / "anchor.md").stat().st_size
    rows = physical_rows()
    assert read(source).unchanged == 3

    settings.ORIGINAL_LIMIT = 100_000
    assert read(source).unchanged == 3

    assert Original.objects.count() == 3
    assert physical_rows() == rows


def test_a_file_is_stored_again_if_it_changed_and_its_text_did_not(
    source: Source, folder: Path
) -> None:
    path = folder / "anchor.md"
    changed = path.read_text() + "\n\n\n"
    rows = physical_rows()
    rewrite(path, changed)

    row = read(source)

    assert (row.unchanged, row.changed) == (3, 0)
    stored = _row("anchor").original
    assert stored is not None
    assert texts.file_bytes(stored) == changed.encode()
    assert physical_rows() == rows


def test_files_with_the_same_bytes_are_stored_once(folder: Path) -> None:
    text = "# One text\n\nIt is in two files.\n"
    (folder / "first.md").write_text(text)
    (folder / "second.md").write_text(text)

    read(make_source("pages"))

    assert Original.objects.count() == len(NAMES) + 1
    assert _row("first").original == _row("second").original


def test_the_text_before_a_change_is_kept_as_long_as_runs_are(source: Source, folder: Path) -> None:
    before = text_of("anchor")
    rewrite(folder / "anchor.md", (folder / "anchor.md").read_text() + "\nOne more line.\n")
    assert read(source).changed == 1
    row = _row("anchor")
    assert row.previous is not None
    assert texts.unpacked(row.previous) == before
    assert text_of("anchor") != before

    long_ago = timezone.now() - timedelta(days=400)
    DocumentText.objects.update(replaced_at=long_ago)
    Original.objects.update(stored_at=long_ago)
    assert retention.prune()

    assert not DocumentText.objects.filter(previous__isnull=False).exists()
    assert Original.objects.count() == 3, "the file before the change is gone"


def test_what_is_stored_of_a_document_goes_with_it(source: Source, folder: Path) -> None:
    (folder / "anchor.md").unlink()
    assert read(source).removed == 1
    assert DocumentText.objects.count() == 2


def test_a_moved_document_takes_its_text_along(source: Source, folder: Path) -> None:
    text = text_of("anchor")
    (folder / "anchor.md").rename(folder / "ankle.md")
    assert read(source).moved == 1
    assert text_of("ankle") == text
    assert DocumentText.objects.count() == 3
