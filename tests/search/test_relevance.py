"""What puts the hits of a search in order, and how its weights are learnt."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from ingestion.search import relevance, search
from ingestion.search.query_expansion import query_terms
from ingestion.search.word_meanings import WordMeanings, word_meanings
from tests.support.indexed import document, index

OTHERS = [
    document(f"Page {number}", f"{topic} is described here, with the steps that a person takes.")
    for number, topic in enumerate(
        ["A mailbox", "A printer", "The colour of a border", "A calendar", "The width of a column"]
    )
]


def titles(query: str) -> list[str]:
    return [hit.title for hit in search(query).hits]


@pytest.mark.django_db
def test_a_word_of_similar_meaning_counts() -> None:
    index(
        *OTHERS,
        document("Erasing", "Choose the picture, and press Erase. The picture is gone for good."),
        document("Adding", "Choose the picture, and press Add. The picture is there at once."),
    )
    assert titles("remove a photo")[0] == "Erasing"


@pytest.mark.django_db
def test_what_is_said_in_the_headings_counts() -> None:
    index(
        *OTHERS,
        document("Backups", "## Restoring a database\n\nStart with the newest file, then go back."),
        document("Servers", "## Names\n\nStart with the newest file, then go back."),
    )
    hits = search("restoring a database").hits
    assert hits[0].title == "Backups"
    assert hits[0].relevance["said in headings"] > 0


@pytest.mark.django_db
def test_the_score_is_the_sum_of_what_is_known_of_a_hit() -> None:
    index(*OTHERS)
    for hit in search("How wide is a column?").hits:
        assert hit.score == pytest.approx(sum(hit.relevance.values()))
        assert hit.relevance.keys() <= set(relevance.FEATURES)


@pytest.mark.django_db
def test_each_weight_belongs_to_a_feature() -> None:
    kept = json.loads(relevance.WEIGHTS.read_text())["weights"]
    assert set(kept) == {"words", "sentences"}
    assert all(set(weights) == set(relevance.FEATURES) for weights in kept.values())


def test_the_nearest_word_of_a_text_counts() -> None:
    near = word_meanings.nearness(
        ["delete", "window"], [["Delete", "it"], ["remove", "it"], [], ["zebra"]]
    )
    assert near.shape == (2, 4)
    assert near[0, 0] == pytest.approx(1, abs=1e-3)
    assert 0 < near[0, 1] < 1
    assert near[0, 2] == near[1, 2] == 0
    assert near[0, 3] < near[0, 1]


def test_as_many_words_are_remembered_as_there_is_room_for() -> None:
    small = WordMeanings(most=10)
    first = small.vectors(["delete"])
    for number in range(100):
        small.vectors([f"word{number}"])
        assert len(small.rows) <= 10
    assert np.array_equal(first, small.vectors(["delete"]))
    assert small.vectors([f"word{number}" for number in range(50)]).shape == (50, 256)


@pytest.mark.django_db
def test_weights_are_learnt_from_questions(tmp_path: Path) -> None:
    """Of two documents that say the same, the questions prefer the one without code."""
    pages = [
        page
        for number in range(6)
        for page in (
            document(f"Told {number}", f"The ledger{number} is opened by its name."),
            document(f"Coded {number}", f"```\nopen ledger{number} by its name\n```"),
        )
    ]
    index(*pages)
    asked = tmp_path / "questions.jsonl"
    lines = [
        {"query": f"ledger{n} opened by name", "expected": [f"docs://Told {n}"], "half": "tune"}
        for n in range(6)
    ]
    asked.write_text("\n".join(map(json.dumps, lines)))
    into = tmp_path / "relevance.json"
    out = StringIO()
    call_command("learn_ranking", str(asked), "--into", str(into), stdout=out)
    assert "6 of 6 questions" in out.getvalue()
    assert json.loads(into.read_text())["weights"]["words"]["code"] < 0


@pytest.mark.django_db
def test_nothing_is_learnt_without_an_answer(tmp_path: Path) -> None:
    asked = tmp_path / "questions.jsonl"
    asked.write_text(json.dumps({"query": "x", "expected": ["docs://none"], "half": "tune"}))
    index(*OTHERS)
    with pytest.raises(CommandError, match="ingest the documents first"):
        call_command("learn_ranking", str(asked), "--into", str(tmp_path / "relevance.json"))


@pytest.mark.django_db
def test_a_query_of_stop_words_and_one_of_many_words_have_features() -> None:
    index(*OTHERS)
    for query in ("what is it", "column " * 900, "zzz qqq"):
        hits = search(query).hits
        values = relevance.features(query, query_terms(query), hits)
        assert values.shape == (len(hits), len(relevance.FEATURES))
        assert np.isfinite(values).all()
