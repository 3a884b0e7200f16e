"""LATE_INTERACTION: what it needs is made beside the runs, once for each text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from ingestion.embedding import minilm
from ingestion.embedding import token_vectors as vectors
from ingestion.models import Chunk, State, TokenVectors
from ingestion.runs import retention, token_vectors
from ingestion.runs.background import Progress
from ingestion.worker.reembedder import Reembedder
from sources.models import Source
from tests.support.reading import make_source, read, write_pages

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pages(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    settings.DATA_DIR = tmp_path
    settings.LATE_INTERACTION = True
    monkeypatch.setattr(token_vectors, "AT_ONCE", 2)
    write_pages(tmp_path / "pages", ["one", "two", "three"], sections=1, words=15)
    source = make_source("pages")
    assert read(source).state == State.SUCCEEDED
    return source


def hashes() -> set[str]:
    return set(TokenVectors.objects.values_list("pk", flat=True))


def texts() -> set[str]:
    return set(Chunk.objects.values_list("content_hash", flat=True))


def test_it_works(pages: Source) -> None:
    total = Chunk.objects.count()
    assert token_vectors.progress() == Progress(0, total)
    assert "python manage.py late_interaction" in token_vectors.outlook(has_worker=False)
    assert sum(token_vectors.steps()) == total
    assert hashes() == texts()
    assert token_vectors.progress() == Progress(total, total)
    assert not token_vectors.is_needed()
    assert token_vectors.outlook(has_worker=False) == ""


def test_what_was_begun_goes_on(pages: Source) -> None:
    made = next(token_vectors.steps())
    done = {row.pk: bytes(row.vectors) for row in TokenVectors.objects.all()}
    assert len(done) == made < Chunk.objects.count()
    assert sum(token_vectors.steps()) == Chunk.objects.count() - made
    again = {row.pk: bytes(row.vectors) for row in TokenVectors.objects.all()}
    assert done.items() <= again.items()


def test_a_changed_text_is_read_and_nothing_else(pages: Source, tmp_path: Path) -> None:
    list(token_vectors.steps())
    before = texts()
    write_pages(tmp_path / "pages", ["two"], sections=2, words=15)
    assert read(pages).state == State.SUCCEEDED
    new = texts() - before
    assert new
    assert sum(token_vectors.steps()) == len(new)


def test_those_with_all_tokens_are_pooled_without_the_model(
    pages: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(vectors, "ALIKE", 2.0)
        list(token_vectors.steps())
    total = TokenVectors.objects.update(version=vectors.WITH_ALL_TOKENS)
    before = {row.pk: bytes(row.vectors) for row in TokenVectors.objects.all()}
    assert token_vectors.is_needed()
    monkeypatch.setattr(token_vectors, "POOLED_AT_ONCE", 2)
    monkeypatch.delattr(minilm, "states")
    assert sum(token_vectors.steps()) == total
    after = {row.pk: bytes(row.vectors) for row in TokenVectors.objects.all()}
    assert after == {text: vectors.pooled(all_of_it) for text, all_of_it in before.items()}
    assert after != before
    assert not token_vectors.is_needed()


def test_those_of_another_version_are_made_again(
    pages: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(token_vectors.steps())
    monkeypatch.setattr(vectors, "VERSION", vectors.VERSION + 1)
    assert token_vectors.is_needed()
    assert sum(token_vectors.steps()) == Chunk.objects.count() == TokenVectors.objects.count()


def test_those_of_texts_that_are_gone_are_pruned(pages: Source, tmp_path: Path) -> None:
    list(token_vectors.steps())
    (tmp_path / "pages" / "one.md").unlink(missing_ok=True)
    pages.documents.order_by("pk").first().delete()  # type: ignore[union-attr]
    assert texts() < hashes()
    retention.prune()
    assert texts() == hashes()


def test_a_worker_makes_them_once_and_looks_again_when_chunks_are_stored(pages: Source) -> None:
    worker = Reembedder()
    connections.close_all()
    worker.look()
    assert worker.process is not None
    worker.process.join(60)
    assert worker.process.exitcode == 0
    assert hashes() == texts()
    worker.look()
    assert worker.process is None
    Chunk.objects.update(content_hash="changed")
    worker.look()
    assert worker.process is None  # nothing was stored since
    pages.documents.update(fingerprint="")
    assert read(pages).state == State.SUCCEEDED
    TokenVectors.objects.all().delete()
    connections.close_all()
    worker.look()
    assert worker.process is not None
    worker.stop()


def test_the_command_makes_and_removes_them(
    pages: Source, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    total = Chunk.objects.count()
    call_command("late_interaction")
    assert f"{total} of {total} chunks have their token vectors." in capsys.readouterr().out
    call_command("late_interaction")
    assert "Every chunk has its token vectors." in capsys.readouterr().out
    settings.LATE_INTERACTION = False
    call_command("late_interaction")
    assert "there is nothing to do" in capsys.readouterr().out
    call_command("late_interaction", "--remove")
    assert f"The token vectors of {total} texts were removed." in capsys.readouterr().out
    assert not TokenVectors.objects.exists()
