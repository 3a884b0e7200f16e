"""Documents of the sample are cut much too small: the next evaluation says that search got worse,
and by which questions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from pytest_django import Settings

from ingestion import tasks
from ingestion.models import Evaluation
from ingestion.runs import evaluations
from ingestion.search import questions
from sources.models import Source
from tests.support.reading import make_source, read

ROOT = Path(__file__).parents[2]
SOURCES = {
    "mdx-dwc": "bbj-dwc-tutorial/docs",
    "mdx-beginner": "bbj-beginner-tutorial/docs",
    "mdx-db-modernization": "bbj-db-modernization-tutorial/docs",
}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sources(settings: Settings) -> Iterator[list[Source]]:
    settings.DATA_DIR = ROOT / "sample_data"
    Source.objects.all().delete()
    yield [make_source(name, folder) for name, folder in SOURCES.items()]
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'chunk_hnsw%'")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP INDEX {name}")


def sample() -> str:
    """The questions of the sample that are about these sources alone."""
    lines = (ROOT / "tests/data/questions_sample.jsonl").read_text().splitlines()
    kept = []
    for line in lines:
        told = json.loads(line)
        given = [one["document"] for one in told.get("passages", ())] + told.get("expected", [])
        if all(address.startswith("mdx-") for address in given):
            kept.append(line)
    return "\n".join(kept)


def ingested(sources: list[Source]) -> Evaluation:
    """Ingest, as a person does, and let the worker measure what follows by itself."""
    for source in sources:
        read(source)
    assert "changed the index" in evaluations.follow_runs()
    row = Evaluation.objects.latest("pk")
    tasks.evaluate(row.pk)
    return Evaluation.objects.get(pk=row.pk)


def found(row: Evaluation) -> list[str]:
    """The questions with an answer among the hits."""
    told = row.report["hybrid"]["questions"]
    return [query for query, answer in told.items() if any(rank for rank, _ in answer["places"])]


def test_chunks_that_are_much_too_small_are_flagged(
    sources: list[Source], settings: Settings
) -> None:
    assert questions.import_text(sample()).added > 20
    before = ingested(sources)
    settings.CHUNK_SIZE, settings.CHUNK_OVERLAP = 60, 10
    after = ingested(sources)
    assert after.run is not None
    assert after.change["fell"] > after.change["rose"]
    assert "all" in after.change["worse"]
    assert after.figures["hybrid"]["all"]["mrr"] < before.figures["hybrid"]["all"]["mrr"] - 0.1
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    html = client.get(reverse("admin:search_quality")).content.decode()
    assert "Search got worse" in html
    assert "Chunks were cut at 400 tokens then, and at 60 now." in html
    lost = [query for query in found(before) if query not in found(after)]
    assert lost
    assert all(escape(query) in html for query in lost)
    assert f'Fell <span class="quiet">{after.change["fell"]}<' in html
