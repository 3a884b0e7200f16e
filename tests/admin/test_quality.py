"""The figures of what is stored, and what the quality page makes of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingestion.admin import quality as quality_page
from ingestion.admin.standings import Standing
from ingestion.index import quality
from ingestion.models import Chunk, State
from sources.models import Source
from tests.admin.test_admin import add_chunk, chunk, data_dir, page, source, source_run

__all__ = ["chunk", "data_dir", "source"]
pytestmark = pytest.mark.django_db


def content(chunk: Chunk, text: str) -> Chunk:
    Chunk.objects.filter(pk=chunk.pk).update(content=text)
    return chunk


def test_figures_count_a_source(chunk: Chunk) -> None:
    found = quality.figures(chunk.document.source_id)
    assert found["documents"] == found["chunks"] == found["small"] == 1
    assert found["by_generation"] == {"dwc": 1}
    assert found["lengths"] == {"0": 1}


def test_figures_are_taken_anew_only_of_other_chunks(chunk: Chunk) -> None:
    kept = []
    for _ in range(3):
        run = source_run(chunk.document.source, State.SUCCEEDED)
        quality.keep(run)
        run.refresh_from_db()
        kept.append(bool(run.quality))
        if len(kept) == 2:
            chunk.pk = None  # what is read again is stored again
            Chunk.objects.all().delete()
            chunk.save()
    assert kept == [True, False, True]


def test_only_newer_chunks_are_searched_for_markup(
    chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    content(chunk, "A <b>bold</b> word.")
    first = quality.figures(chunk.document.source_id)
    text = "An <i>italic</i> word."
    added = add_chunk(chunk.document.source, chunk.profile, text, "window-guide://more.md")
    searched: list[int] = []
    look = quality.with_markup

    def watched(chunks: Any) -> Any:
        searched.extend(chunks.values_list("pk", flat=True))
        return look(chunks)

    monkeypatch.setattr(quality, "with_markup", watched)
    both = quality.figures(chunk.document.source_id, first)
    assert (both["markup_ids"], searched) == ([chunk.pk, added.pk], [added.pk])
    chunk.delete()
    assert quality.figures(added.document.source_id, both)["markup_ids"] == [added.pk]


def test_figures_are_taken_anew_when_others_are_counted(
    chunk: Chunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    quality.keep(source_run(chunk.document.source, State.SUCCEEDED))
    monkeypatch.setattr(quality, "VERSION", quality.VERSION + 1)
    run = source_run(chunk.document.source, State.SUCCEEDED)
    quality.keep(run)
    run.refresh_from_db()
    assert run.quality["version"] == quality.VERSION


@pytest.mark.parametrize(
    ("text", "is_markup"),
    [
        ("A <b>bold</b> word", True),
        ("left &nbsp; over", True),
        ("import Tabs from '@theme/Tabs';", True),
        ('<div className="x">', True),
        ("# Title {#anchor}", True),
        ("plain < and > signs, a <type> too", False),
        ("inline `<b>` code", False),
        ("```html\n<b>bold</b>\n```", False),
        ("```html\n<b>x</b>\n```\n\nsaid <i>so</i>\n\n```\n<b>y</b>\n```", True),
        ("  ~~~\n<p>in a list</p>\n  ~~~\n", False),
    ],
)
def test_markup_counts_outside_of_code(chunk: Chunk, text: str, is_markup: bool) -> None:
    content(chunk, text)
    assert quality.with_markup(Chunk.objects.all()).exists() is is_markup


def test_texts_that_stand_twice_are_counted(chunk: Chunk) -> None:
    add_chunk(chunk.document.source, chunk.profile, chunk.content, "mine://other.md")
    Chunk.objects.update(content_hash="same")
    assert quality.duplicates() == (1, 2)
    assert quality.with_duplicates(Chunk.objects.all()).count() == 2


def test_the_page_links_each_figure_to_its_rows(admin_client: Client, chunk: Chunk) -> None:
    quality.keep(source_run(chunk.document.source, State.SUCCEEDED))
    html = page(admin_client, "quality")
    assert "generation=dwc" in html
    assert "quality=small" in html
    assert "tokens__gte=0&amp;tokens__lt=50" in html
    for query in (
        {"quality": "small"},
        {"generation": "dwc"},
        {"tokens__gte": 0, "tokens__lt": 50},
    ):
        assert "A window holds" in page(admin_client, "ingestion_chunk_changelist", **query)
    for query in ({"quality": "markup"}, {"quality": "duplicate"}, {"quality": "large"}):
        assert "A window holds" not in page(admin_client, "ingestion_chunk_changelist", **query)


def test_the_page_warns(admin_client: Client, chunk: Chunk) -> None:
    empty = Source.objects.create(name="empty", title="Empty", parser="MdxParser", paths=["docs"])
    source_run(empty, State.SUCCEEDED, finished_at=timezone.now())
    chunk.document.generations = ["untagged"]
    chunk.document.save()
    quality.keep(source_run(chunk.document.source, State.SUCCEEDED))
    html = page(admin_client, "quality")
    assert "empty has been read and has no chunks" in html
    assert "100 % of all chunks are those of mine" in html
    assert "100 % of the documents have no generation" in html


@pytest.mark.parametrize(
    ("schedule", "days", "stale"), [("", 29, False), ("", 31, True), ("0 3 * * *", 3, True)]
)
def test_a_source_grows_stale(source: Source, schedule: str, days: int, stale: bool) -> None:
    now = timezone.now()
    source.schedule = schedule
    read_at = now - timedelta(days=days)
    standing = Standing(source, None, read_at, 0, 0, 0, 0, None)
    assert quality_page.is_stale(standing, now) is stale


def test_the_page_asks_a_bounded_number_of_queries(
    admin_client: Client, chunk: Chunk, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        extra = Source.objects.create(
            name=f"s{number}", title="S", parser="MdxParser", paths=["docs"]
        )
        quality.keep(source_run(extra, State.SUCCEEDED))
    with django_assert_max_num_queries(15):
        admin_client.get(reverse("admin:quality"))


def test_a_generation_that_the_source_gives_counts(admin_client: Client, chunk: Chunk) -> None:
    chunk.document.generations = ["untagged", "bbj"]
    chunk.document.save()
    quality.keep(source_run(chunk.document.source, State.SUCCEEDED))
    assert "have no generation" not in page(admin_client, "quality")
    listed = page(admin_client, "ingestion_document_changelist", quality="untagged")
    assert "0 documents" in listed
    chunk.document.generations = ["untagged"]
    chunk.document.save()
    listed = page(admin_client, "ingestion_document_changelist", quality="untagged")
    assert "1 document" in listed


def test_a_source_that_has_only_failed_has_not_been_read(
    admin_client: Client, source: Source
) -> None:
    source_run(source, State.FAILED)
    html = page(admin_client, "quality")
    assert "mine has never been read to its end" in html
    assert "has been read and has no chunks" not in html
