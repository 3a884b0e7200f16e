"""Why a document is found at its place, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.models import Document
from ingestion.search.explain import Explanation, explain
from tests.support.indexed import document, index

pytestmark = pytest.mark.django_db

TEXTS = {
    "Window": "A window holds controls, and is opened with addWindow.",
    "Grid": "A grid shows rows and columns of a result set.",
    "Weather": "Rain falls from clouds in autumn.",
}


@pytest.fixture
def stored(db: None) -> None:
    index(*(document(name, text) for name, text in TEXTS.items()))


def why(query: str, title: str, **chosen: Any) -> Explanation:
    return explain(query, Document.objects.get(title=title), **chosen)


def test_the_places_by_words_and_by_meaning(stored: None) -> None:
    found = why("controls of a window", "Window")
    assert found.shown == 1
    assert found.words is not None
    assert found.words.place == 1
    assert [place.place for place in found.meaning] == [1]
    assert found.found == ["controls", "window"]
    assert found.missing == []
    assert found.reasons == []


def test_the_words_it_lacks(stored: None) -> None:
    found = why("controls of a window in autumn", "Weather")
    assert found.found == ["autumn"]
    assert found.missing == ["controls", "window"]
    assert found.words is not None
    assert found.words.place > 1


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"sources": ["other"]}, "The filter keeps source other only; this one has docs."),
        ({"doc_types": ["example"]}, "The filter keeps type example only; this one has concept."),
        ({"generations": ["dwc"]}, "The filter keeps generation dwc only; this one has bbj."),
    ],
)
def test_the_filter_that_keeps_it_out(stored: None, chosen: dict[str, Any], reason: str) -> None:
    found = why("controls of a window", "Window", **chosen)
    assert found.shown is None
    assert found.reasons == [reason]


def test_what_is_deprecated_is_left_out_on_request(stored: None) -> None:
    Document.objects.filter(title="Window").update(deprecated=True)
    assert why("window", "Window").shown is not None
    found = why("window", "Window", include_deprecated=False)
    assert found.reasons == ["It is deprecated, and deprecated documents are left out."]


def test_a_document_without_chunks(stored: None) -> None:
    Document.objects.get(title="Grid").chunks.all().delete()
    assert why("grid", "Grid").reasons == ["Nothing of it is stored: it has no chunk."]


def test_a_twin_that_is_shown_instead(stored: None) -> None:
    index(document("Copy", TEXTS["Window"], title="Window"))
    copy = Document.objects.get(url="docs://Copy")
    found = explain("controls of a window", copy)
    assert found.shown is None
    assert "docs://Window" in found.reasons[0]
    assert "shows only one of several equal chunks" in found.reasons[0]


def test_a_question_without_words(stored: None) -> None:
    found = why("the of", "Window")
    assert found.words is None or found.words.place >= 1
