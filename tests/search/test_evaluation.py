"""How answers to given questions are judged, reported and compared."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from ingestion.exceptions import ConfigError
from ingestion.search import comparison, evaluation
from ingestion.search.evaluation import Answer, Place, Question
from ingestion.search.query_analysis import prose
from ingestion.search.results import Hit
from tests.support.indexed import document, index

QUESTIONS = Path(__file__).parents[1] / "data"


def question(**fields: Any) -> Question:
    return Question.model_validate({"query": "q", "expected": ["docs://a"], **fields})


def write(path: Path, *lines: Any) -> Path:
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return path


def test_the_first_place_of_any_answer_counts() -> None:
    answer = Answer(question(), [Place(3, 3000)])
    assert answer.reciprocal_rank == pytest.approx(1 / 3)
    assert (answer.recall(1), answer.recall(3)) == (0, 1)


def test_a_question_for_all_counts_each() -> None:
    answer = Answer(question(all=True), [Place(1, 1000), Place()])
    assert answer.reciprocal_rank == 0.5
    assert answer.recall(10) == 0.5


def test_scores_are_told_by_kind_and_over_all() -> None:
    answers = [
        Answer(question(kind="code"), [Place(1, 1000)]),
        Answer(question(kind="typo"), [Place(2, 2000)]),
        Answer(question(kind="typo"), [Place()]),
    ]
    told = evaluation.scores(answers)
    assert list(told) == ["code", "typo", "all"]
    assert told["typo"].mrr == 0.25
    assert told["all"].recall[5] == pytest.approx(2 / 3)


def hit(url: str, content: str, header: str = "") -> Hit:
    return Hit.model_construct(url=url, display_url="", content=content, context_header=header)


def asked(*passages: tuple[str, str], **fields: Any) -> Question:
    given = [{"document": document, "phrase": phrase} for document, phrase in passages]
    return Question.model_validate({"query": "q", "passages": given, **fields})


def test_a_passage_is_found_if_its_document_says_so_and_counts_what_is_read_until_then() -> None:
    hits = [
        hit("docs://b", "Locks **a record**."),
        hit("docs://a", "Another text."),
        hit("docs://a", "It `locks` a Record, then reads."),
    ]
    [place] = asked(("docs://a", "locks a record")).places(hits)
    assert place == Place(
        3, len(hits[0].content) + len(hits[1].content) + len("It `locks` a Record")
    )
    assert asked(("docs://a", "locks a recording")).places(hits) == [Place()]


def test_any_passage_answers_unless_all_are_asked_for() -> None:
    hits = [hit("docs://a", "One thing."), hit("docs://b", "Another thing.")]
    both = ("docs://b", "another thing"), ("docs://a", "one thing")
    assert asked(*both).places(hits) == [Place(1, 9)]
    assert asked(*both, all=True).places(hits) == [Place(2, 23), Place(1, 9)]


def test_the_characters_that_are_read_count_and_not_only_the_rank() -> None:
    answer = Answer(question(), [Place(1, 3000)])
    assert [answer.within(most) for most in evaluation.BUDGETS] == [0, 1, 1]


def told(*ranks: int, kind: str = "code") -> dict[str, Any]:
    places = {str(n): {"kind": kind, "places": [[rank, 10]]} for n, rank in enumerate(ranks)}
    return {"questions": places}


def test_a_kind_that_got_worse_is_told_from_chance() -> None:
    worse = comparison.changes(told(*[3] * 30), told(*[1] * 30))["code"]
    assert (worse.better, worse.worse, worse.is_worse) == (0, 30, True)
    mixed = comparison.changes(told(*[1, 2] * 15), told(*[2, 1] * 15))["code"]
    assert (mixed.better, mixed.worse, mixed.is_worse) == (15, 15, False)
    assert mixed.low < 0 < mixed.high


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "line 2"),
        ({"query": ""}, "query"),
        ({"query": "x"}, "expected"),
        ({"query": "x", "expected": ["a"], "more": 1}, "more"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path: Path, line: Any, said: str) -> None:
    path = write(tmp_path / "q.jsonl", {"query": "x", "expected": ["a"]}, line)
    with pytest.raises(ConfigError, match=said):
        evaluation.read_questions(path)


def test_a_half_without_questions_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", {"query": "x", "expected": ["a"], "half": "tune"})
    assert len(evaluation.read_questions(path, "tune")) == 1
    with pytest.raises(ConfigError, match="no question of the half 'other'"):
        evaluation.read_questions(path, "other")


@pytest.mark.parametrize(
    "name",
    [
        "questions_sample.jsonl",
        "questions_corpus.jsonl",
        "questions_passages.jsonl",
        "questions_harder.jsonl",
    ],
)
def test_the_projects_own_questions_can_be_read(name: str) -> None:
    read = evaluation.read_questions(QUESTIONS / name)
    assert len(read) >= 50
    assert len({q.query for q in read}) == len(read)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("How do I open a window?", 1.0),
        ("addButton", 0.0),
        ("PROCESS_EVENTS", 0.0),
        ("if x = 1 then goto the_end", 0.0),
        ("odds ratio meta analysis", 0.0),
        ("addWorkdays and makeCall", 0.0),
        ("get user principal", 0.0),
        ("How do I write a class in BBj?", 1.0),
        ("What was new in version 2020.1?", 2 / 3),
    ],
)
def test_sentences_are_told_from_names_and_code(query: str, expected: float) -> None:
    assert prose(query) == pytest.approx(expected)


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("evaluate", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.mark.django_db
def test_the_command_evaluates_each_mode_and_tells_what_changed(tmp_path: Path) -> None:
    index(document("Files", "The verb EXTRACT locks a record."), document("Windows", "A window."))
    path = write(
        tmp_path / "q.jsonl",
        {"query": "lock a record", "kind": "natural", "expected": ["docs://Files"]},
        {"query": "window", "kind": "keyword", "phrases": ["A  window."]},
    )
    saved = tmp_path / "result.json"
    out, _ = run(str(path), "--json", "--save", str(saved))
    report = json.loads(out)
    assert list(report) == ["hybrid", "dense", "text"]
    assert report["hybrid"]["scores"]["all"]["mrr"] == 1.0
    index(document("Locks", "Lock a record, a record to lock."))
    write(path, {"query": "lock a record", "kind": "natural", "expected": ["docs://Files"]})
    _, err = run(str(path), "--json", "--mode", "text", "--compare", str(saved))
    assert "text: place 1 -> 2: lock a record" in err
    assert "text, natural: MRR -0.500 (was 1.000)" in err


@pytest.mark.django_db
def test_the_command_refuses_what_it_cannot_compare_with(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", {"query": "x", "expected": ["a"]})
    with pytest.raises(CommandError, match="not a result of"):
        run(str(path), "--compare", str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        run(str(tmp_path / "none.jsonl"))
    with pytest.raises(CommandError, match="no source 'nope'"):
        run(str(path), "--source", "nope")


@pytest.mark.django_db
def test_the_command_asks_nothing_if_its_result_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.search.evaluation.ask", lambda *_: pytest.fail("it asked"))
    path = write(tmp_path / "q.jsonl", {"query": "x", "expected": ["a"]})
    with pytest.raises(CommandError, match=r"result\.json cannot be written: No such file"):
        run(str(path), "--save", str(tmp_path / "none" / "result.json"))
