"""Passages that stand beside what the rankings found."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.models import Chunk, EmbeddingProfile
from ingestion.search import fetching, hybrid, retrievers, search
from ingestion.search.fetching import beside
from ingestion.search.results import Hit
from tests.support.indexed import document, index, pages

pytestmark = pytest.mark.django_db

ASKED = "how does the harbour master keep ships apart"
AT_ALL = 40
SECTIONS = "\n\n".join(
    f"## Berth {n}\n\nThe harbour master keeps ship {n} apart from others, with "
    + " ".join(f"rope{n}x{number}" for number in range(80))
    for n in range(AT_ALL)
)


@pytest.fixture
def of_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded model counts as one of sentences."""
    monkeypatch.setattr(retrievers, "STATIC_PROVIDERS", frozenset())


@pytest.fixture
def stored() -> EmbeddingProfile:
    return index(document("Harbour", SECTIONS), *pages(12, "accounting"))


def ordinals(hits: list[Hit], *, found: bool) -> list[int]:
    return sorted(
        hit.ordinal for hit in hits if hit.title == "Harbour" and bool(hit.parts) == found
    )


@pytest.mark.usefixtures("of_sentences", "stored")
def test_further_passages_of_the_best_document_are_put_in_order_too() -> None:
    hits = hybrid.candidates(ASKED).hits
    found, further = ordinals(hits, found=True), ordinals(hits, found=False)
    assert 0 < len(found) <= 2 * retrievers.PER_DOCUMENT_RANKED
    assert len(further) == hybrid.BESIDE
    assert len({hit.chunk_id for hit in hits}) == len(hits)
    assert all(hit.near is not None for hit in hits)


@pytest.mark.usefixtures("stored")
def test_a_model_of_words_is_not_asked_for_more() -> None:
    assert all(hit.parts for hit in hybrid.candidates(ASKED).hits)


@pytest.mark.usefixtures("of_sentences")
def test_what_no_ranking_finds_is_found_in_a_document_that_is() -> None:
    """It has no word of the query, and a hundred others are nearer to it."""
    others = [
        document(f"Quay {n}", f"The harbour master keeps ships apart at quay {n}.")
        for n in range(retrievers.DEPTH)
    ]
    text = f"## Berth\n\n{ASKED}\n\n## Colours\n\nRed is left, green is right."
    index(document("Harbour", text, whole_sections=True), *others)
    hits = hybrid.candidates(ASKED).hits
    [colours] = [hit for hit in hits if hit.heading_path[-1:] == ("Colours",)]
    assert colours.parts == ()
    assert search(ASKED).hits


@pytest.mark.usefixtures("of_sentences", "stored")
def test_filters_hold_for_them_too() -> None:
    index(document("Other harbour", SECTIONS), into="elsewhere")
    found = search(ASKED, sources=["elsewhere"], limit=hybrid.MAX_LIMIT).hits
    assert {hit.title for hit in found} == {"Other harbour"}
    assert any(not hit.parts for hit in found)
    assert search(ASKED, sources=["nowhere"]).hits == ()


@pytest.mark.usefixtures("stored")
def test_the_nearest_come_first_and_not_too_many() -> None:
    hits = [hit for hit in hybrid.candidates(ASKED).hits if hit.title == "Harbour"]
    there = next(hit for hit in hits if 5 <= hit.ordinal < AT_ALL - 5)
    further = beside([there], [], documents=1, number=4).hits
    assert sorted(hit.ordinal - there.ordinal for hit in further) == [-2, -1, 1, 2]


@pytest.mark.usefixtures("stored")
def test_at_the_end_of_a_document_they_are_those_before() -> None:
    last = Chunk.objects.filter(document__title="Harbour").order_by("-ordinal")[0]
    hits = [hit for hit in hybrid.candidates(ASKED).hits if hit.title == "Harbour"]
    at_the_end = hits[0].model_copy(update={"ordinal": last.ordinal})
    further = beside([at_the_end], [], documents=1, number=4).hits
    assert sorted(last.ordinal - hit.ordinal for hit in further) == [1, 2, 3, 4]


@pytest.mark.usefixtures("stored")
def test_a_passage_that_was_moved_meanwhile_does_not_come_twice() -> None:
    found = next(hit for hit in hybrid.candidates(ASKED).hits if hit.title == "Harbour")
    chunks = Chunk.objects.filter(document=found.document_id)
    chunks.filter(pk=found.chunk_id).update(ordinal=chunks.count())
    moved = found.model_copy(update={"ordinal": chunks.count() - 1})
    further = beside([moved], [], documents=1, number=4).hits
    assert len(further) == 4
    assert found.chunk_id not in {hit.chunk_id for hit in further}


@pytest.mark.usefixtures("stored")
def test_without_hits_the_server_is_not_asked(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert beside([], [], documents=3, number=30) == fetching.NOTHING
