"""Evaluations: the worker asks all questions of the database and keeps how well search answered.

The row says how far one is. One whose worker was stopped or killed begins again with the next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django import db
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from ingestion import access
from ingestion.exceptions import ConfigError
from ingestion.models import Chunk, Evaluation, Run, SourceRun
from ingestion.runs import recovery
from ingestion.search import comparison, evaluation, questions
from ingestion.search.evaluation import Answer
from ingestion.search.results import MODES, Mode, Results
from ingestion.search.retrievers import profiles_in_use

logger = logging.getLogger(__name__)
State = Evaluation.State

EVALUATE = "ingestion.tasks.evaluate"
OPEN = (State.QUEUED, State.RUNNING)
USUAL: tuple[Mode, ...] = ("hybrid",)
PAUSE = 1.0  # seconds between two updates of the row
FOLLOWED_FOR = timedelta(days=1)  # after its end, a run is followed by an evaluation

Stops = Callable[[], bool]
"""Called before each question: a sign of life of the worker; whether it is to stop."""


@transaction.atomic
def request(
    person: Any = None, *, run: Run | None = None, modes: Sequence[Mode] = USUAL
) -> Evaluation:
    """Queue an evaluation; or return the one that is open."""
    open_one = Evaluation.objects.filter(state__in=OPEN).order_by("pk").first()
    if open_one is not None:
        return open_one
    row = Evaluation.objects.create(
        requested_by=person, run=run, modes=list(modes), questions=questions.answered().count()
    )
    ring(row.pk)
    return row


def ring(pk: int) -> None:
    """Queue the task that looks at the row. Queueing it twice does no harm."""
    async_task(EVALUATE, pk, task_name=f"evaluation {pk}", save=False)


def stop(row: Evaluation, who: str) -> str:
    """Ask an evaluation to stop; a sentence on what happens next."""
    mine = Evaluation.objects.filter(pk=row.pk)
    told = f"Stopped by {who}. Nothing of it was kept."
    now = timezone.now()
    if mine.filter(state=State.QUEUED).update(state=State.CANCELLED, error=told, finished_at=now):
        return f"{row} was stopped before it began."
    if mine.filter(state=State.RUNNING).update(cancel_requested=True, error=told):
        return f"{row} stops within seconds."
    return f"{row} has ended already."


def execute(pk: int, worker: str, stops: Stops) -> str:
    """Run a queued evaluation; a sentence on how it ended. Raises errors of the database; the row
    then stays as it is, for `reap`."""
    now = timezone.now()
    claimed = Evaluation.objects.filter(pk=pk, state=State.QUEUED).update(
        state=State.RUNNING,
        attempt=F("attempt") + 1,
        worker=worker,
        heartbeat=now,
        started_at=now,
        asked=0,
    )
    row = Evaluation.objects.filter(pk=pk).first()
    if row is None or not claimed:
        return f"Evaluation {pk} is not queued: nothing to start."
    try:
        return _Asking(row, stops).run()
    except db.Error:
        raise
    except ConfigError as error:
        return _end(row, State.FAILED, error=f"{error} Add questions, or import some.")
    except Exception as error:
        logger.exception("%s failed", row)
        text = f"It failed: {error}. Start another; the worker's log says more."
        return _end(row, State.FAILED, error=text)


def _end(row: Evaluation, state: State, **fields: Any) -> str:
    mine = Evaluation.objects.filter(pk=row.pk, state=State.RUNNING, attempt=row.attempt)
    mine.update(state=state, finished_at=timezone.now(), **fields)
    return f"{row}: {state.label.lower()}."


class _Asking:
    """Asks for one evaluation, and keeps its row up to date."""

    def __init__(self, row: Evaluation, stops: Stops) -> None:
        self.row = row
        self.stops = stops
        self.notes: set[str] = set()
        self.asked = 0
        self.updated = time.monotonic()

    def run(self) -> str:
        wanted = questions.stored()
        self._mine().update(questions=len(wanted))
        answers: dict[Mode, list[Answer]] = {}
        for mode in (mode for mode in MODES if mode in self.row.modes):
            answers[mode] = given = []
            for question in wanted:
                if self.stops():
                    return self._give_back()
                if not self._goes_on():
                    return _end(self.row, State.CANCELLED)
                given.append(evaluation.answer(question, mode, self._find))
                self.asked += 1
        return _end(self.row, State.SUCCEEDED, asked=self.asked, **self._result(answers))

    def _mine(self) -> Any:
        return Evaluation.objects.filter(pk=self.row.pk, attempt=self.row.attempt)

    def _find(self, query: str, mode: Mode) -> Results:
        found = questions.find(query, mode)
        self.notes.update(found.notes)
        return found

    def _goes_on(self) -> bool:
        """Say from time to time how far it is; False if somebody wants it to stop."""
        if time.monotonic() - self.updated < PAUSE:
            return True
        self.updated = time.monotonic()
        running = self._mine().filter(state=State.RUNNING, cancel_requested=False)
        return bool(running.update(asked=self.asked, heartbeat=timezone.now()))

    def _give_back(self) -> str:
        rows = self._mine().filter(state=State.RUNNING)
        with transaction.atomic():
            if rows.update(state=State.QUEUED, attempt=F("attempt") - 1, asked=0):
                ring(self.row.pk)
        return f"{self.row}: the worker was stopped; the next one begins it again."

    @access.everything()
    def _result(self, answers: Mapping[Mode, Sequence[Answer]]) -> dict[str, Any]:
        report = evaluation.report(answers, with_hits=True)
        for mode, given in answers.items():
            for one in given:
                told = report[mode]["questions"][one.question.query]
                told["answers"] = questions.digest(one.question)
        earlier = before(self.row)
        return {
            "report": report,
            "figures": {mode: told["scores"] for mode, told in report.items()},
            "change": change(report, earlier) if earlier else {},
            "notes": sorted(self.notes),
            "profiles": [str(profile) for profile in profiles_in_use()],
            "chunk_size": settings.CHUNK_SIZE,
            "chunks": Chunk.objects.count(),
        }


def before(row: Evaluation) -> Evaluation | None:
    """The last one that came to its end before this one, in a mode of it."""
    ended = Evaluation.objects.filter(state=State.SUCCEEDED, pk__lt=row.pk)
    return ended.filter(modes__overlap=row.modes).order_by("-pk").first()


def comparable(
    report: Mapping[str, Any], earlier: Evaluation
) -> tuple[Mode, Mapping[str, Any], Mapping[str, Any]]:
    """The first mode of both, with the report of each; of the earlier one without the questions
    whose answers were others then."""
    mode = next(mode for mode in MODES if mode in report and mode in earlier.report)
    now, then = report[mode]["questions"], earlier.report[mode]["questions"]
    same = {
        query: told
        for query, told in then.items()
        if query in now and now[query].get("answers") == told.get("answers")
    }
    return mode, report[mode], {"questions": same}


def change(report: Mapping[str, Any], earlier: Evaluation) -> dict[str, Any]:
    """What became of the questions since an earlier evaluation; `worse` are the kinds that got
    worse, and hardly by chance."""
    mode, now, then = comparable(report, earlier)
    moved = comparison.moved(now, then)
    kinds = comparison.changes(now, then)
    return {
        "evaluation": earlier.pk,
        "mode": mode,
        "fell": sum(one.gain < 0 for one in moved),
        "rose": sum(one.gain > 0 for one in moved),
        "worse": [kind for kind, changed in kinds.items() if changed.is_worse],
        "mean": round(kinds["all"].mean, 4) if kinds else 0.0,
    }


def follow_runs() -> str:
    """Queue an evaluation after the last run that changed the index, unless one was begun since;
    a sentence if so. Setting EVALUATE_AFTER_RUNS."""
    if not settings.EVALUATE_AFTER_RUNS:
        return ""
    last = _last_change(timezone.now() - FOLLOWED_FOR)
    if last is None or SourceRun.objects.open().filter(run=last.run_id).exists():
        return ""
    since = Q(run=last.run_id) | Q(created_at__gte=last.finished_at)
    if Evaluation.objects.filter(since | Q(state__in=OPEN)).exists():
        return ""
    if not questions.answered().exists():
        return ""
    return f"{request(run=last.run)} follows {last.run}, which changed the index."


def _last_change(moment: datetime) -> SourceRun | None:
    """The source run that ended last of those that changed what is stored."""
    changed = Q(added__gt=0) | Q(changed__gt=0) | Q(removed__gt=0) | Q(moved__gt=0)
    ended = SourceRun.objects.filter(changed, finished_at__gte=moment).select_related("run")
    return ended.order_by("-finished_at").first()


def reap(now: datetime | None = None) -> list[str]:
    """Queue again, or end, evaluations that nobody works on; a sentence for each."""
    tasks = recovery.tasks_of(EVALUATE)
    ringing = {pk for pk, lost in tasks.values() if not lost}
    silent = (now or timezone.now()) - timedelta(seconds=3 * settings.RUN_HEARTBEAT)
    lost = Evaluation.objects.filter(state=State.RUNNING, heartbeat__lt=silent)
    messages = [_revive(row) for row in lost.defer("report")]
    waiting = Evaluation.objects.filter(state=State.QUEUED).exclude(pk__in=ringing)
    for pk in waiting.values_list("pk", flat=True):
        ring(pk)
        messages.append(f"Evaluation {pk} was queued without a task: queued one.")
    open_ = set(Evaluation.objects.filter(state__in=OPEN).values_list("pk", flat=True))
    over = [task for task, (pk, lost) in tasks.items() if lost and pk not in open_]
    OrmQ.objects.filter(pk__in=over).delete()
    return messages


def _revive(row: Evaluation) -> str:
    if row.cancel_requested:
        return _end(row, State.CANCELLED)
    if row.attempt >= settings.RUN_ATTEMPTS:
        text = f"Given up after {row.attempt} attempts: the process that asked has died each time."
        return _end(row, State.FAILED, error=f"{text} See the worker's log, then start another.")
    Evaluation.objects.filter(pk=row.pk, state=State.RUNNING, attempt=row.attempt).update(
        state=State.QUEUED, asked=0
    )
    return f"{row}: the process that asked is gone; it begins again."
