"""Evaluations as the worker runs them: figures, what fell, and how one ends or begins again."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from ingestion import tasks
from ingestion.index import texts
from ingestion.models import (
    Chunk,
    Document,
    DocumentText,
    Evaluation,
    Question,
    Run,
    SourceRun,
    State,
)
from ingestion.runs import evaluations, retention
from ingestion.search import evaluation, questions
from tests.support.indexed import document, index, source

pytestmark = pytest.mark.django_db
QUESTIONS = Path(__file__).parents[1] / "data"


def ask(query: str, url: str, phrase: str, **fields: Any) -> Question:
    passages = [{"document": url, "phrase": phrase}]
    return Question.objects.create(query=query, passages=passages, **fields)


def evaluated(**fields: Any) -> Evaluation:
    row = evaluations.request(**fields)
    tasks.evaluate(row.pk)
    row.refresh_from_db()
    return row


@pytest.fixture
def stored() -> None:
    index(document("Files", "The verb EXTRACT locks a record."), document("Windows", "A window."))
    ask("lock a record", "docs://Files", "locks a record", kind="natural")
    ask("window", "docs://Windows", "a window", kind="keyword")


def test_an_evaluation_has_the_figures_of_the_command(stored: None) -> None:
    row = evaluated(modes=["hybrid", "text"])
    out = StringIO()
    call_command("evaluate", "--json", "--mode", "hybrid", "--mode", "text", stdout=out)
    told = json.loads(out.getvalue())
    assert row.state == Evaluation.State.SUCCEEDED
    assert row.figures == {mode: told[mode]["scores"] for mode in ("hybrid", "text")}
    assert row.figures["hybrid"]["all"]["mrr"] == 1.0
    assert (row.questions, row.asked, row.chunks) == (2, 4, 2)
    assert row.profiles == ["wordllama/l2_supercat (256)"]


def test_the_report_keeps_the_hits_of_each_question(stored: None) -> None:
    told = evaluated().report["hybrid"]["questions"]["lock a record"]
    first = told["hits"][0]
    chunk = Chunk.objects.get(document__url="docs://Files")
    assert (first["rank"], first["chunk"], first["url"]) == (1, chunk.pk, "docs://Files")
    assert first["title"] == "Files"
    assert told["places"] == [[1, len("The verb EXTRACT locks a record")]]


def test_what_fell_is_counted_since_the_last_evaluation(stored: None) -> None:
    first = evaluated()
    assert first.change == {}
    index(document("Locks", "Lock a record, a record to lock."))
    change = evaluated().change
    assert (change["evaluation"], change["fell"], change["rose"]) == (first.pk, 1, 0)


def test_a_question_with_another_answer_than_before_has_not_fallen(stored: None) -> None:
    evaluated()
    row = Question.objects.get(query="window")
    row.passages = [{"document": "docs://Windows", "phrase": "no such words"}]
    row.save()
    assert evaluated().change["fell"] == 0


def test_without_a_question_it_says_what_to_do() -> None:
    row = evaluated()
    assert row.state == Evaluation.State.FAILED
    assert "Add questions, or import some." in row.error


def test_one_is_open_at_a_time(stored: None) -> None:
    assert evaluations.request() == evaluations.request()
    assert OrmQ.objects.count() == 1


def test_one_that_is_stopped_keeps_nothing(stored: None, monkeypatch: Any) -> None:
    monkeypatch.setattr(evaluations, "PAUSE", 0.0)
    row = evaluations.request()
    asked = iter([False, True])

    def stops() -> bool:
        if next(asked):
            evaluations.stop(row, "ada")
        return False

    assert evaluations.execute(row.pk, "here 1", stops) == f"{row}: cancelled."
    row.refresh_from_db()
    assert (row.report, row.error) == ({}, "Stopped by ada. Nothing of it was kept.")


def test_one_is_begun_again_when_its_worker_stops(stored: None) -> None:
    row = evaluations.request()
    OrmQ.objects.all().delete()
    assert "next one begins it again" in evaluations.execute(row.pk, "here 1", lambda: True)
    assert OrmQ.objects.count() == 1
    assert tasks.evaluate(row.pk) == f"{row}: succeeded."


def test_one_whose_worker_died_is_begun_again_and_given_up_at_last(
    stored: None, settings: Settings
) -> None:
    row = evaluations.request()
    OrmQ.objects.all().delete()
    long_ago = timezone.now() - timedelta(minutes=5)
    dead = {"state": Evaluation.State.RUNNING, "heartbeat": long_ago}
    Evaluation.objects.update(attempt=1, **dead)
    assert len(evaluations.reap()) == 2  # queued again, with a task
    assert OrmQ.objects.count() == 1
    Evaluation.objects.update(attempt=settings.RUN_ATTEMPTS, **dead)
    evaluations.reap()
    row.refresh_from_db()
    assert row.state == Evaluation.State.FAILED
    assert "Given up after 3 attempts" in row.error


def ended(**fields: Any) -> SourceRun:
    run = Run.objects.create(origin=Run.Origin.COMMAND)
    fields = {"state": State.SUCCEEDED, "finished_at": timezone.now(), **fields}
    return SourceRun.objects.create(run=run, source=source(), source_name="docs", **fields)


def test_a_run_that_changed_something_is_followed_by_one_evaluation(stored: None) -> None:
    ended(unchanged=2)
    assert evaluations.follow_runs() == ""
    row = ended(changed=1)
    assert "changed the index" in evaluations.follow_runs()
    assert Evaluation.objects.get().run == row.run
    assert evaluations.follow_runs() == ""
    tasks.evaluate(Evaluation.objects.get().pk)
    assert evaluations.follow_runs() == ""


def test_a_run_is_followed_when_all_of_it_has_ended(stored: None) -> None:
    row = ended(added=1)
    other = SourceRun.objects.create(run=row.run, source=source("b"), source_name="b")
    assert evaluations.follow_runs() == ""
    SourceRun.objects.filter(pk=other.pk).update(state=State.CANCELLED)
    assert evaluations.follow_runs()


def test_no_run_is_followed_without_questions() -> None:
    ended(added=1)
    assert evaluations.follow_runs() == ""


def test_old_evaluations_are_removed_but_for_the_newest(stored: None, settings: Settings) -> None:
    for _ in range(retention.EVALUATIONS_KEPT + 2):
        Evaluation.objects.create(modes=["hybrid"], state=Evaluation.State.SUCCEEDED)
    Evaluation.objects.update(created_at=timezone.now() - timedelta(days=1000))
    retention.prune()
    assert Evaluation.objects.count() == retention.EVALUATIONS_KEPT


@pytest.mark.parametrize("name", ["sample", "corpus", "passages"])
def test_what_is_imported_is_exported_as_it_was(name: str) -> None:
    text = (QUESTIONS / f"questions_{name}.jsonl").read_text()
    first = questions.import_text(text)
    number = len(text.splitlines())
    assert (first.added, first.problems) == (number, [])
    back = "".join(questions.exported(Question.objects.all()))
    assert [json.loads(line) for line in back.splitlines()] == [
        json.loads(line) for line in text.splitlines()
    ]
    assert questions.import_text(back).same == number


def test_the_import_says_what_is_wrong_line_by_line_and_doubles_nothing() -> None:
    good = {"query": "x", "expected": ["docs://a"]}
    other = good | {"expected": ["docs://b"]}
    lines = [good, {"query": "y"}, good, other, {"query": "", "expected": ["a"]}]
    result = questions.import_text("\n".join([*map(json.dumps, lines), "nonsense"]))
    assert str(result) == "1 added, 1 changed, 1 there already, 3 refused."
    assert [problem.partition(",")[0] for problem in result.problems] == [
        *("Line 2", "Line 5", "Line 6")
    ]
    assert Question.objects.get().expected == ["docs://b"]


def warned(*passages: tuple[str, str], **fields: Any) -> list[str]:
    given = [{"document": document, "phrase": phrase} for document, phrase in passages]
    return questions.warnings(
        evaluation.Question.model_validate({"query": "q", "passages": given, **fields})
    )


def test_an_answer_that_is_not_stored_is_warned_of(stored: None) -> None:
    assert warned(("docs://Files", "extract LOCKS")) == []
    assert "is not in the stored text of docs://Files" in warned(("docs://Files", "window"))[0]
    assert "No stored document has the address docs://No" in warned(("docs://No", "x"))[0]
    assert "No stored document" in warned(expected=["docs://No"])[0]


def test_an_answer_that_is_cut_apart_is_warned_of() -> None:
    long = " ".join(f"word{number}" for number in range(2000))
    index(document("Long", long))
    row = Document.objects.get()
    assert row.chunks.count() > 1
    nothing = {"places": texts.packed("[[], []]"), "chunks": texts.packed("[]")}
    DocumentText.objects.create(document=row, text=texts.packed(long), **nothing)
    assert "no chunk has all of it" in warned(("docs://Long", long))[0]
