"""What an upgrade or a changed setting re-makes, what it leaves alone, and what is said before."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.test import override_settings

from ingestion.embedding.configured import configured_embedder
from ingestion.models import Chunk, Document, EmbeddingProfile
from ingestion.monitoring import health
from ingestion.parsers import parser_class
from ingestion.runs import preflight
from sources.models import Source

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "---\ntitle: {0}\n---\n\nThe page says that {0} opens a window.\n"


@pytest.fixture
def stored(tmp_path: Path, settings: Any) -> Path:
    """Two sources of two pages each, read by a run."""
    settings.DATA_DIR = tmp_path
    Source.objects.all().delete()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        for page in ("one", "two"):
            (tmp_path / name / f"{page}.md").write_text(PAGE.format(f"{name} {page}"))
        Source.objects.create(name=name, title=name, parser="MdxParser", paths=[name])
    ingest()
    return tmp_path


def ingest() -> tuple[dict[str, int], str]:
    """The totals of a run of everything, and what was said on the way."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit):
        call_command("ingest_all", "--json", stdout=out, stderr=err)
    totals: dict[str, int] = json.loads(out.getvalue())["totals"]
    return totals, err.getvalue()


def remakes() -> list[preflight.Remake]:
    return preflight.remakes(Source.objects.order_by("name"), configured_embedder())


def test_it_works_and_nothing_is_remade_without_a_reason(stored: Path) -> None:
    assert remakes() == []
    totals, said = ingest()
    assert totals["embedded"] == 0
    assert "again" not in said


def test_a_new_parser_version_remakes_and_says_so(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = parser_class("MdxParser")
    monkeypatch.setattr(cls, "version", cls.version + 1)
    assert [(r.source, r.again, r.documents) for r in remakes()] == [
        ("first", 2, 2),
        ("second", 2, 2),
    ]
    totals, said = ingest()
    assert "first: 2 of 2 documents are read again" in said
    assert "keep their vectors" in said
    assert totals["embedded"] == 0
    assert remakes() == []


def test_a_changed_row_remakes_that_source_only(stored: Path) -> None:
    Source.objects.filter(name="first").update(generation="dwc")
    assert [r.source for r in remakes()] == ["first"]
    before = dict(Document.objects.filter(source__name="second").values_list("url", "changed_at"))
    _, said = ingest()
    assert "first: 2 of 2" in said
    assert "second" not in said
    after = dict(Document.objects.filter(source__name="second").values_list("url", "changed_at"))
    assert after == before


def test_a_changed_chunk_size_remakes_all(stored: Path) -> None:
    with override_settings(CHUNK_SIZE=64, CHUNK_OVERLAP=0):
        assert sum(r.again for r in remakes()) == 4
        ingest()
        assert remakes() == []


def test_another_model_tells_how_many_chunks_have_to_be_embedded(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile of another digest stands for the model before."""
    EmbeddingProfile.objects.update(digest="of an earlier release")
    monkeypatch.setattr(preflight, "WORTH_MEASURING", 1)
    chunks = Chunk.objects.count()
    assert sum(r.foreign for r in remakes()) == chunks
    totals, said = ingest()
    assert f"{chunks} chunks have vectors of another model" in said
    assert "within a minute" in said
    assert totals["embedded"] == chunks
    assert remakes() == []
    assert set(Chunk.objects.values_list("profile__digest", flat=True)) == {
        configured_embedder().digest
    }


def test_an_empty_index_has_nothing_to_remake(db: None) -> None:
    assert remakes() == []


def test_the_admin_shows_what_the_next_run_remakes(stored: Path) -> None:
    cache.clear()
    assert health.upgrades().state == "ok"
    Source.objects.filter(name="first").update(generation="dwc")
    cache.clear()
    shown = health.upgrades()
    assert shown.state == "warn"
    assert "first: 2 of 2 documents are read again" in shown.text


def test_an_embedder_that_is_away_is_no_error_of_the_page(stored: Path, settings: Any) -> None:
    settings.EMBEDDING_PROVIDER, settings.EMBEDDING_MODEL = "ollama", "all-minilm"
    settings.OLLAMA_HOSTS = ["http://127.0.0.1:9"]
    cache.clear()
    assert health.upgrades().state == "warn"
