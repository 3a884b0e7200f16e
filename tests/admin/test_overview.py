"""The first page: figures, what needs a person, the strip of each source, and the first steps."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingestion.admin.growth import growth
from ingestion.embedding.base import EmbedderSettings
from ingestion.embedding.registry import open_embedder
from ingestion.index.writer import profile_of
from ingestion.models import Chunk, Document, Failure, Run, SourceRun, State
from ingestion.runs import token_vectors
from sources.models import Source
from tests.admin.test_admin import chunk, data_dir, page, source, source_run

__all__ = ["chunk", "data_dir", "source"]
pytestmark = pytest.mark.django_db


def needs(client: Client) -> str:
    found = re.search(r'<ul class="needs">.*?</ul>', page(client, "overview"), re.S)
    return re.sub(r"\s+", " ", found[0]) if found else ""


def test_a_new_installation_shows_three_steps(admin_client: Client, source: Source) -> None:
    html = page(admin_client, "index")
    assert "Three steps to your first answer" in html
    source_run(source, State.SUCCEEDED)
    assert "Three steps" not in page(admin_client, "index")


def test_a_disabled_source_with_a_schedule_is_read_when_it_is_enabled(
    admin_client: Client, source: Source
) -> None:
    source_run(source, State.SUCCEEDED)
    Source.objects.filter(pk=source.pk).update(schedule="0 3 * * *", enabled=False)
    assert "when enabled" in page(admin_client, "overview")
    Source.objects.filter(pk=source.pk).update(enabled=True)
    assert "when enabled" not in page(admin_client, "overview")


def test_a_failed_source_can_be_tried_again_from_here(admin_client: Client, source: Source) -> None:
    source_run(source, State.FAILED, error="The folder is gone: mount it.")
    shown = needs(admin_client)
    assert "The folder is gone: mount it." in shown
    assert 'aria-label="Try again: mine"' in shown
    source_run(source, State.SUCCEEDED)
    assert "The folder is gone" not in needs(admin_client)


def test_a_removal_is_decided_from_here(admin_client: Client, chunk: Chunk) -> None:
    fields: dict[str, Any] = {"vanished": [chunk.document.url], "started_at": timezone.now()}
    row = source_run(chunk.document.source, State.NEEDS_APPROVAL, **fields)
    shown = needs(admin_client)
    assert "1 document vanished at the source" in shown
    decide = reverse("admin:ingestion_removal", args=[row.pk])
    assert f'action="{decide}"' in shown
    assert 'value="approve" aria-label="Remove: mine"' in shown
    admin_client.post(decide, {"decision": "approve"})
    assert not Document.objects.exists()


@pytest.mark.parametrize(("schedule", "words"), [("", "no schedule"), ("0 3 * * *", "two times")])
def test_an_old_source_is_named(
    admin_client: Client, source: Source, schedule: str, words: str
) -> None:
    Source.objects.filter(pk=source.pk).update(schedule=schedule)
    long_ago = timezone.now() - timedelta(days=41)
    source_run(source, State.SUCCEEDED, started_at=long_ago, finished_at=long_ago)
    shown = needs(admin_client)
    assert "last read 41 days ago" in shown
    assert words in shown


def test_problems_are_counted_and_warnings_are_not(admin_client: Client, source: Source) -> None:
    row = source_run(source, State.PARTIAL)
    fields: dict[str, Any] = {"source_run": row, "source": source, "stage": "parse"}
    Failure.objects.create(message="Torn.", **fields)
    Failure.objects.create(message="Odd.", level=Failure.Level.WARNING, **fields)
    html = page(admin_client, "overview")
    assert 'data-problems-now="1"' in html
    assert "1 warning<" in html
    assert "1 problem<" in html
    assert admin_client.get(reverse("admin:pulse")).json()["problems"] == 1


def test_the_strip_has_the_last_thirty_runs(admin_client: Client, source: Source) -> None:
    for _ in range(33):
        source_run(source, State.SUCCEEDED)
    source_run(source, State.FAILED)
    html = page(admin_client, "overview")
    assert html.count('class="fill-succeeded"') == 29
    assert html.count('class="fill-failed"') == 1


def test_the_growth_adds_the_sources_up(source: Source) -> None:
    other = Source.objects.create(name="other", title="O", parser="MdxParser", paths=["docs"])
    today = timezone.localtime().replace(hour=12)
    for days, one, chunks in ((20, source, 10), (10, other, 5), (10, source, 20), (2, source, 15)):
        when = today - timedelta(days=days)
        source_run(one, State.SUCCEEDED, chunks=chunks, started_at=when, finished_at=when)
    found = growth(today)
    assert found is not None
    assert [chunks for _, chunks in found.points] == [10, 25, 20, 20]
    assert found.line.startswith("M0.0 60.0 L300.0 0.0 ")


def test_there_is_no_growth_before_the_second_day(source: Source) -> None:
    assert growth() is None


def test_everything_is_ingested_after_one_question(
    admin_client: Client, source: Source, data_dir: Path
) -> None:
    Source.objects.exclude(pk=source.pk).delete()
    Source.objects.create(name="lost", title="L", parser="MdxParser", paths=["nowhere"])
    html = page(admin_client, "ingest")
    assert "1 source will be read" in html
    assert "lost</a>: " in html
    answer = admin_client.post(reverse("admin:ingest"))
    run = Run.objects.get()
    assert answer.headers["Location"] == reverse("admin:ingestion_run_change", args=[run.pk])
    assert [row.source_name for row in SourceRun.objects.all()] == ["mine"]


def test_how_far_embedding_again_is_and_what_to_do_without_a_worker(
    admin_client: Client, chunk: Chunk, settings: Any
) -> None:
    assert "Meaning:" not in page(admin_client, "overview")
    settings.EMBEDDING_PROVIDER = "auto"
    shown = page(admin_client, "overview")
    assert "Meaning: 0 of 1 chunks" in shown
    assert "manage.py reembed" in shown
    Chunk.objects.update(profile=profile_of(open_embedder(EmbedderSettings("minilm"))))
    assert "Meaning:" not in page(admin_client, "overview")


def test_how_far_token_vectors_are_and_what_to_do_without_a_worker(
    admin_client: Client, chunk: Chunk, settings: Any
) -> None:
    assert "Answers in other words:" not in page(admin_client, "overview")
    settings.LATE_INTERACTION = True
    shown = page(admin_client, "overview")
    assert "Answers in other words: 0 of 1 chunks" in shown
    assert "manage.py late_interaction" in shown
    Chunk.objects.update(content_hash="a")
    list(token_vectors.steps())
    assert "Answers in other words:" not in page(admin_client, "overview")
