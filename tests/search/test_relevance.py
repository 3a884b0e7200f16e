"""What puts the hits of a search in order, and how its weights are learnt."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from ingestion.search import relevance, search
from ingestion.search.lexicon import Lexicon, Lexicons, Text
from ingestion.search.query_expansion import query_terms
from ingestion.text import analyzer
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


def test_a_word_is_near_to_itself_and_to_what_means_the_same() -> None:
    lexicon = Lexicon()
    read = lexicon.passages([Text(n, word, "") for n, word in enumerate(["Delete", "remove", "x"])])
    near = [lexicon.nearness(["delete"], passage.text).max() for passage in read]
    assert near[0] == pytest.approx(1, abs=1e-3)
    assert 0 < near[1] < 1
    assert near[2] < near[1]


def test_a_text_without_words_holds_and_means_nothing() -> None:
    lexicon = Lexicon()
    (read,) = lexicon.passages([Text(1, "--", "Window")])
    assert lexicon.nearness(["window"], read.text).tolist() == [[0]]
    assert lexicon.masks(read.text, ["window"], []).tolist() == [0]
    assert 1 in lexicon.masks(read.headings, ["window"], [])


def test_a_word_holds_the_terms_of_its_parts_and_what_it_begins_with() -> None:
    lexicon = Lexicon()
    (read,) = lexicon.passages([Text(1, "addButton", "")])
    terms = ["addbutton", "button", "addbut", "window"]
    assert lexicon.masks(read.text, terms, []).max() == 0b0011
    assert lexicon.masks(read.text, terms, ["addbut"]).max() == 0b0111


def test_a_text_that_has_changed_is_read_again() -> None:
    lexicon = Lexicon()
    for said, held in (("window", True), ("button", False)):
        (read,) = lexicon.passages([Text(1, said, "")])
        assert lexicon.masks(read.text, ["window"], []).any() == held


def test_a_word_longer_than_the_index_has_is_left_out() -> None:
    lexicon = Lexicon()
    lexicon.passages([Text(1, "a" * 5000, "b" * (analyzer.LONGEST_WORD + 1))])
    assert len(lexicon.numbers) == 1


def test_no_more_words_and_passages_are_kept_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingestion.search.lexicon.PASSAGES", 5)
    small = Lexicons(most=10)
    for number in range(100):
        lexicon = small.current()
        lexicon.passages([Text(number, f"word{number} more{number}", "")])
        assert len(lexicon.numbers) <= 12
        assert len(lexicon.read) <= 5


def test_threads_share_a_lexicon() -> None:
    lexicon = Lexicon()
    said = [" ".join(f"word{number * 7 % 500}" for number in range(n, n + 90)) for n in range(200)]

    def held(number: int) -> bool:
        (read,) = lexicon.passages([Text(number, said[number], "")])
        masks = lexicon.masks(read.text, [f"word{number * 7 % 500}", "absent"], [])
        return int(masks.max()) == 1

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(held, [*range(200)] * 3))


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
