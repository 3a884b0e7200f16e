"""A reading that was cut off within a file of several documents loses none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ingestion.models import Document, Failure, SourceRun, State
from ingestion.runs import recovery
from sources.models import Source
from tests.support.reading import make_source, read, write_pages

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def classes(settings: Any) -> Source:
    settings.DATA_DIR = Path(__file__).parents[2] / "sample_data"
    return make_source("classes", "javadoc", parser="JavaDocParser")


def cut_off(row: SourceRun, state: State) -> set[str]:
    """As if the reading had ended before the last document of a file; all addresses before."""
    before = set(Document.objects.values_list("url", flat=True))
    Document.objects.filter(url__contains="#").order_by("-pk")[0].delete()
    SourceRun.objects.filter(pk=row.pk).update(state=state)
    return before


@pytest.mark.parametrize("state", [State.INTERRUPTED, State.CANCELLED, State.FAILED])
def test_the_rest_of_a_file_is_read_by_the_next_run(classes: Source, state: State) -> None:
    before = cut_off(read(classes), state)
    row = read(classes)
    assert (row.state, row.added, row.changed) == (State.SUCCEEDED, 1, 0)
    assert set(Document.objects.values_list("url", flat=True)) == before


def test_a_file_that_was_read_to_its_end_is_not_read_again(classes: Source) -> None:
    cut_off(read(classes), State.SUCCEEDED)
    assert read(classes).added == 0


def test_a_reading_that_died_says_nothing_of_the_document_in_hand(
    settings: Any, tmp_path: Path
) -> None:
    """What it says of it holds until the next run, which finds the document as it is stored."""
    settings.DATA_DIR = tmp_path
    write_pages(tmp_path / "pages", ["anchor"])
    source = make_source("pages")
    row = read(source)
    url = Document.objects.get().url
    died = {"state": State.RUNNING, "stage": "reading", "current_url": url}
    SourceRun.objects.filter(pk=row.pk).update(attempt=settings.RUN_ATTEMPTS, **died)
    row.refresh_from_db()
    recovery.crashed(row, "It was killed.")
    row.refresh_from_db()
    assert (row.state, Failure.objects.get().document_url) == (State.FAILED, url)
    assert read(source).state == State.SUCCEEDED
    assert not Failure.objects.open().exists()
