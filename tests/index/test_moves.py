"""Addresses stay what they are, and a document that is met at another address is the same one."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from pytest_django import Settings

from ingestion.embedding.configured import configured_embedder
from ingestion.index import moves
from ingestion.models import Chunk, Document, SourceRun
from ingestion.parsers.files import address_prefixes
from ingestion.runs import dry_run, preflight, removals
from ingestion.runs.comparison import Comparison
from sources.models import PathAddress, Source
from tests.support.reading import make_source, physical_rows, read, urls, write_pages, wrong
from tests.test_pipeline import no_index_left

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_index_left")]
__all__ = ["no_index_left"]

NAMES = [f"topic{number}" for number in range(12)]


@pytest.fixture(autouse=True)
def data_dir(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    for folder in ("guide", "extra"):
        write_pages(tmp_path / folder, [f"{folder}-{name}" for name in NAMES])
    return tmp_path


def rows(beginning: str) -> dict[str, Any]:
    """Each document below an address with its key, and its chunks as they lie in the table."""
    places = physical_rows()
    found: dict[str, Any] = {}
    chunks = Chunk.objects.filter(document__url__startswith=beginning).order_by("pk")
    for url, document, pk in chunks.values_list("document__url", "document", "pk"):
        found.setdefault(url, []).append((document, pk, places[pk]))
    return found


def counted(row: SourceRun) -> tuple[int, int, int, int, int]:
    return row.added, row.changed, row.moved, row.removed, row.embedded


def previewed(source: Source) -> Any:
    """What a preview finds, by the kinds of documents."""
    found, comparison = dry_run.run(dry_run.order(source, seconds=30)), Comparison(source)
    kinds = [(comparison.document(one), one) for one in found.documents]
    for failure in found.failures:
        comparison.failure(failure)
    gone = comparison.gone()
    moved = dict(comparison.moved(gone))
    stays = [url for url in gone if url not in moved]
    new = set(moved.values())
    return SimpleNamespace(
        unchanged=[one for kind, one in kinds if kind == "unchanged"],
        changed=[one for kind, one in kinds if kind == "changed"],
        added=[one for kind, one in kinds if kind == "added" and one.url not in new],
        moved=list(moved.items()),
        removed=stays,
        held=comparison.held(stays),
        to_embed=comparison.to_embed(),
    )


@pytest.mark.parametrize("stays", ["guide", "extra"])
def test_a_path_less_leaves_the_others_documents_alone(stays: str) -> None:
    source = make_source("docs", paths=["guide", "extra"])
    read(source)
    before = rows(f"docs://{stays}/")
    assert len(before) == len(NAMES)
    source.paths = [stays]
    shown = previewed(source)
    assert (len(shown.unchanged), shown.added, shown.changed, shown.moved) == (12, [], [], [])
    assert {url.split("/")[2] for url in shown.removed} == {"guide", "extra"} - {stays}
    source.save()
    row = read(source)
    assert rows(f"docs://{stays}/") == before
    assert (row.state, counted(row)) == ("needs_approval", (0, 0, 0, 0, 0))
    assert {url.split("/")[2] for url in row.vanished} == {"guide", "extra"} - {stays}
    removals.decide_removal(row, approve=True, who="editor")
    assert rows("docs://") == before
    assert previewed(source).unchanged
    assert not wrong()


def test_a_path_more_leaves_the_others_documents_alone() -> None:
    source = make_source("docs", paths=["guide"])
    read(source)
    before = rows("docs://")
    source.paths = ["extra", "guide"]
    assert [document.url for document in previewed(source).unchanged] == sorted(before)
    source.save()
    row = read(source)
    assert {url: rows("docs://")[url] for url in before} == before
    assert (row.state, row.added, row.changed, row.moved, row.removed) == ("succeeded", 12, 0, 0, 0)
    assert "docs://extra/extra-topic0.md" in urls()
    source.paths = ["extra"]
    source.save()
    read(source)
    assert "docs://extra/extra-topic0.md" in urls()


@pytest.mark.parametrize(
    ("paths", "known", "expected"),
    [
        (["a"], {}, {"a": ""}),
        (["a", "b"], {}, {"a": "a", "b": "b"}),
        (["a/", "./b"], {}, {"a": "a", "b": "b"}),
        (["a", "b"], {"a": ""}, {"a": "", "b": "b"}),
        (["b"], {"a": "a", "b": "b"}, {"b": "b"}),
        (["c"], {"a": "a", "b": "b"}, {"c": ""}),
        (["a", "b"], {"a": "", "b": ""}, {"a": "", "b": "b"}),
        ([], {}, {}),
    ],
)
def test_a_path_keeps_what_its_addresses_begin_with(
    paths: list[str], known: dict[str, str], expected: dict[str, str]
) -> None:
    assert address_prefixes(paths, known) == expected


def test_a_folder_that_is_renamed_with_its_path_changes_nothing(data_dir: Path) -> None:
    source = make_source("docs", paths=["guide"])
    read(source)
    before = rows("docs://")
    (data_dir / "guide").rename(data_dir / "manual")
    source.paths = ["manual"]
    source.save()
    row = read(source)
    assert (row.state, counted(row)) == ("succeeded", (0, 0, 0, 0, 0))
    assert rows("docs://") == before


def test_a_renamed_file_moves_its_document(data_dir: Path) -> None:
    source = make_source("docs", paths=["guide"])
    read(source)
    before = rows("docs://")
    first_seen = Document.objects.get(url="docs://guide-topic3.md").first_seen
    (data_dir / "guide/guide-topic3.md").rename(data_dir / "guide/renamed.md")
    shown = previewed(source)
    assert shown.moved == [("docs://guide-topic3.md", "docs://renamed.md")]
    assert (shown.added, shown.removed, len(shown.unchanged), shown.to_embed) == ([], [], 11, 0)
    row = read(source)
    assert (row.state, counted(row)) == ("succeeded", (0, 0, 1, 0, 0))
    assert row.moves == [["docs://guide-topic3.md", "docs://renamed.md"]]
    assert "moved: 1" in row.last_line
    after = rows("docs://")
    assert after.pop("docs://renamed.md") == before.pop("docs://guide-topic3.md")
    assert after == before
    moved = Document.objects.get(url="docs://renamed.md")
    assert moved.first_seen == first_seen
    assert moved.inputs[0][0] == "guide/renamed.md"
    assert counted(read(source)) == (0, 0, 0, 0, 0)
    assert not wrong()


def test_a_renamed_folder_moves_its_documents_though_their_headings_change(data_dir: Path) -> None:
    """Its name is in the context of each chunk, so that these are embedded, but nobody is
    asked whether all documents may vanish."""
    shutil.move(data_dir / "guide", data_dir / "all/guide")
    source = make_source("docs", paths=["all"])
    read(source)
    keys = set(Document.objects.values_list("first_seen", flat=True))
    (data_dir / "all/guide").rename(data_dir / "all/manual")
    shown = previewed(source)
    assert (len(shown.moved), shown.added, shown.removed, shown.held) == (12, [], [], "")
    row = read(source)
    assert (row.state, row.added, row.moved, row.removed) == ("succeeded", 0, 12, 0)
    assert set(Document.objects.values_list("first_seen", flat=True)) == keys
    assert all("/manual/" in url for url in urls())
    assert not Chunk.objects.filter(context_header__contains="uide >").exists()
    assert not wrong()


def test_one_of_two_copies_that_goes_is_removed_and_not_moved(data_dir: Path) -> None:
    shutil.copy(data_dir / "guide/guide-topic1.md", data_dir / "guide/copy.md")
    source = make_source("docs", paths=["guide"])
    read(source)
    (data_dir / "guide/copy.md").unlink()
    row = read(source)
    assert (row.moved, row.removed) == (0, 1)
    assert "docs://guide-topic1.md" in urls()


def test_a_file_that_is_changed_and_renamed_is_another_document(data_dir: Path) -> None:
    source = make_source("docs", paths=["guide"])
    read(source)
    renamed = data_dir / "guide/renamed.md"
    (data_dir / "guide/guide-topic1.md").rename(renamed)
    renamed.write_text(f"{renamed.read_text()}\nAnother sentence.\n")
    row = read(source)
    assert (row.added, row.moved, row.removed) == (1, 0, 1)


def test_a_move_that_an_earlier_run_saw_half_of_is_recognised(data_dir: Path) -> None:
    """That run stored the document at its new address, and ended before it judged the old one."""
    source = make_source("docs", paths=["guide"])
    read(source)
    before = rows("docs://guide-topic3.md")
    (data_dir / "guide/guide-topic3.md").rename(data_dir / "guide/renamed.md")
    folder = data_dir / "guide/locked"
    folder.mkdir()
    half = read(source, addresses=["docs://renamed.md"])
    assert (half.added, half.moved) == (1, 0)
    assert {"docs://guide-topic3.md", "docs://renamed.md"} <= urls()
    row = read(source)
    assert (row.added, row.moved, row.removed) == (0, 1, 0)
    assert [*rows("docs://renamed.md").values()] == [*before.values()]


def test_of_several_copies_each_goes_to_the_nearest_address() -> None:
    old = {"s://a/licence.md": "x", "s://b/licence.md": "x", "s://b/other.md": "y", "s://e": ""}
    new = {"s://c/a/licence.md": "x", "s://c/b/licence.md": "x", "s://z.md": "x", "s://f": ""}
    assert dict(moves.pairs(old, new)) == {
        "s://a/licence.md": "s://c/a/licence.md",
        "s://b/licence.md": "s://c/b/licence.md",
    }


def test_the_same_files_under_another_name_of_data_dir_are_not_read_again(
    data_dir: Path, settings: Settings
) -> None:
    source = make_source("docs", paths=["guide"])
    read(source)
    release = data_dir.parent / f"{data_dir.name}-link"
    release.symlink_to(data_dir)
    moved = data_dir.with_name(f"{data_dir.name}-moved")
    data_dir.rename(moved)
    settings.DATA_DIR = moved
    try:
        assert preflight.remakes([source], configured_embedder()) == []
        row = read(source)
        assert (row.unchanged, row.embedded) == (12, 0)
        assert "parse" in row.timings
    finally:
        moved.rename(data_dir)


def test_a_run_counts_the_vectors_of_what_it_met(data_dir: Path) -> None:
    source = make_source("docs", paths=["guide", "extra"])
    first = read(source)
    assert first.reused == 0
    source.paths = ["extra"]
    source.save()
    row = read(source)
    assert (row.read, row.embedded) == (12, 0)
    assert row.reused == sum(map(len, rows("docs://extra/").values())) < first.chunks


def test_an_upgrade_keeps_the_addresses_that_documents_have() -> None:
    """Of sources with documents; the others have none to keep."""
    one, two = make_source("one", paths=["guide"]), make_source("two", paths=["guide/", "./extra"])
    make_source("new", paths=["guide"])
    read(one)
    read(two)
    PathAddress.objects.all().delete()
    migration = import_module("sources.migrations.0004_path_addresses")
    migration.keep_addresses(apps, connection.schema_editor())
    kept = PathAddress.objects.values_list("source__name", "path", "prefix")
    assert set(kept) == {
        ("one", "guide", ""),
        ("two", "guide", "guide"),
        ("two", "extra", "./extra"),
    }
