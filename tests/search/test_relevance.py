"""What puts the hits of a search in order, and how its weights are learnt."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from ingestion.search import relevance, search
from ingestion.search.lexicon import lexicons
from ingestion.search.query_expansion import Wanted, query_terms
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
    assert set(kept) == {"words", "sentences", "words, late", "sentences, late"}
    assert all(set(weights) == set(relevance.FEATURES) for weights in kept.values())


@pytest.mark.django_db
def test_all_passages_at_once_hold_and_mean_what_each_does() -> None:
    """The features of many passages, against those of sets of words, one after the other."""
    index(*OTHERS, document("Widths", "## Wide columns\n\nWiden a column, or its border."))
    query = "How wide is the colum border"
    terms = query_terms(query)
    hits = search(query).hits
    said = relevance.features(query, terms, hits)[:, relevance.FEATURES.index("said")]
    everything = sum(term.gain for term in terms.wanted)
    for hit, share in zip(hits, said, strict=True):
        forms = [analyzer.forms(w) for w in analyzer.words(f"{hit.content} {hit.context_header}")]
        held = [term for term in terms.wanted if any(_is(form, term) for form in forms)]
        assert share == pytest.approx(sum(term.gain for term in held) / everything)
    assert said.min() < said.max()


def _is(form: analyzer.Forms, term: Wanted) -> bool:
    begins = term.beginning and form.whole.startswith(term.term)
    return begins or term.term in (form.whole, *form.parts)


@pytest.mark.django_db
def test_a_passage_that_was_met_is_not_read_again() -> None:
    index(*OTHERS)
    search("the width of a column")
    lexicon = lexicons.current()
    words, read = len(lexicon.numbers), {*lexicon.read}
    search("the colour of a column")
    assert len(lexicon.numbers) == words
    assert {*lexicon.read} == read


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
    more = tmp_path / "more.jsonl"
    more.write_text("\n".join(map(json.dumps, lines[:2])))
    call_command("learn_ranking", str(asked), str(more), "--into", str(into), stdout=out)
    assert "8 of 8 questions" in out.getvalue()


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
