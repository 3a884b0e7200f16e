"""Runs over HTTP: start, follow, cancel, decide on removals; within the sources of the token.

The rules are those of the admin, and so is what is recorded, with the token's name for a person's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from ingestion import access
from ingestion.api.endpoints import (
    LARGEST_ID,
    Refused,
    as_json,
    check_sources,
    endpoint,
    parsed,
    validated,
)
from ingestion.api.run_schemas import (
    LONGEST_KEY,
    Decision,
    Follow,
    ProblemOut,
    ProblemsOut,
    RunOut,
    RunRequest,
    SourceOut,
    SourceRunOut,
    SourcesOut,
    StartedOut,
)
from ingestion.models import Failure, Run, ScheduledRun, SourceRun, SourceRuns, StartKey, State
from ingestion.monitoring import statistics
from ingestion.runs import removals, requests
from ingestion.runs.state_machine import status_of
from ingestion.worker.cluster import NO_WORKER, Presence
from sources.models import Source

PROBLEMS = 50  # on a page
NOTHING_TO_RETRY = "Nothing to retry: it has no open error."

# A waiting request holds a thread: most of the threads of a process are free for everybody else.
waiting = threading.BoundedSemaphore(max(settings.SERVER_THREADS // 4, 1))


@endpoint("POST", right="run")
def runs_view(request: HttpRequest) -> HttpResponse:
    asked = parsed(request, RunRequest)
    check_sources(asked.sources)
    answer, is_new = _with_key(request.headers.get("Idempotency-Key", ""), asked)
    response = as_json(answer, 201 if is_new and answer.started else 200)
    response["Location"] = reverse("api-run", args=[answer.run])
    return response


def _with_key(key: str, asked: RunRequest) -> tuple[StartedOut, bool]:
    """The answer to a start, and whether it is new: the same key gets the same answer again."""
    if not key:
        return _start(asked), True
    if len(key) > LONGEST_KEY:
        raise Refused(400, f"An Idempotency-Key has at most {LONGEST_KEY} characters.")
    wanted = asked.model_dump()
    token = access.current().token
    with transaction.atomic():
        row, is_new = StartKey.objects.get_or_create(
            token=token, key=key, defaults={"asked": wanted}
        )
        if not is_new and row.asked != wanted:
            raise Refused(409, "This Idempotency-Key came with another request before.")
        if not is_new:
            return StartedOut.model_validate(row.answer), False
        answer = _start(asked)
        StartKey.objects.filter(pk=row.pk).update(run=answer.run, answer=answer.model_dump())
        return answer, True


def _start(asked: RunRequest) -> StartedOut:
    chosen = _chosen(asked)
    reasons = {source.name: _unready(source, asked.retry_failed) for source in chosen}
    refused = {name: reason for name, reason in reasons.items() if reason}
    ready = [source for source in chosen if source.name not in refused]
    if not ready:
        said = [f"{name}: {reason}" for name, reason in refused.items()]
        raise Refused(409, "There is nothing to start.", {"sources": said} if said else None)
    made = requests.request(
        ready,
        origin=Run.Origin.API,
        token=access.current().token,
        retry_failed=asked.retry_failed,
    )
    return StartedOut(
        run=made.run.pk,
        started=[row.source_name for row in made.started],
        joined={row.source_name: row.run_id for row in made.joined},
        not_started=refused,
        notes=[] if Presence.anybody() else [NO_WORKER],
    )


def _chosen(asked: RunRequest) -> list[Source]:
    """The sources that were named; without names all that are enabled, and have errors if those are
    to be retried."""
    seen = Source.objects.filter(_within("pk")).order_by("name")
    if asked.sources:
        return list(seen.filter(name__in=asked.sources))
    if asked.retry_failed:
        failing = [source.pk for source in requests.sources_with_failures()]
        return list(seen.filter(pk__in=failing))
    return list(seen.filter(enabled=True))


def _unready(source: Source, retry: bool) -> str:
    reason = requests.unready(source)
    return reason or (NOTHING_TO_RETRY if retry and not requests.has_failures(source) else "")


@endpoint("GET", right="run")
def run_view(request: HttpRequest, pk: int) -> HttpResponse:
    asked = validated(lambda: Follow.model_validate(request.GET.dict()))
    if _rows(pk).open().exists() and asked.wait:
        _wait(pk, min(asked.wait, settings.REQUEST_TIMEOUT))
    return as_json(_shown(pk, asked.page))


def _rows(pk: int) -> SourceRuns:
    """What the run reads, as far as the token sees it. Refuses if that is nothing."""
    seen = SourceRun.objects.filter(_within("source"))
    rows = seen.filter(run=pk) if pk <= LARGEST_ID else seen.none()
    if not rows.exists():
        raise Refused(404, "There is no such run (any more).")
    return rows.order_by("source_name")


def _wait(pk: int, seconds: float) -> None:
    """Until the run has ended, at the latest after these seconds; not at all if many wait."""
    if not waiting.acquire(blocking=False):
        return
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until and _rows(pk).open().exists():
            time.sleep(min(settings.RUN_POLL, max(until - time.monotonic(), 0)))
    finally:
        waiting.release()


def _shown(pk: int, page: int = 1) -> RunOut:
    rows = list(_rows(pk))
    run = Run.objects.select_related("requested_by", "token").get(pk=pk)
    state = State(status_of(row.state for row in rows))
    return RunOut(
        run=run.pk,
        state=state,
        ended=not any(row.is_open for row in rows),
        ok=state == State.SUCCEEDED,
        origin=run.origin,
        by=run.who,
        created_at=run.created_at.isoformat(),
        retry_failed=bool(run.options.get("retry_failed")),
        sources=[SourceRunOut.of(row) for row in rows],
        problems=_problems(rows, page),
    )


def _problems(rows: Iterable[SourceRun], page: int) -> ProblemsOut:
    found = Failure.objects.filter(_within("source"), source_run__in=rows)
    found = found.select_related("source_run")
    cut = Paginator(found.order_by("level", "pk"), PROBLEMS)
    here = cut.page(page).object_list if page <= cut.num_pages else []
    return ProblemsOut(
        total=cut.count,
        page=page,
        pages=cut.num_pages,
        problems=[ProblemOut.of(row) for row in here],
    )


@endpoint("POST", right="run")
def cancel_view(request: HttpRequest, pk: int) -> HttpResponse:
    open_rows = list(_rows(pk).open())
    if not open_rows:
        raise Refused(409, f"Run {pk} has ended already: there is nothing to cancel.")
    for row in open_rows:
        requests.cancel(row, _who())
    return as_json(_shown(pk))


@endpoint("POST", right="run")
def removals_view(request: HttpRequest, pk: int) -> HttpResponse:
    rows = _rows(pk)
    asked = parsed(request, Decision)
    check_sources(asked.sources)
    held = rows.filter(state=State.NEEDS_APPROVAL).select_related("source")
    chosen = held.filter(source__name__in=asked.sources) if asked.sources else held
    if not chosen:
        raise Refused(409, f"No removal of run {pk} waits for a decision.")
    approve = asked.decision == "approve"
    said = [removals.decide_removal(row, approve=approve, who=_who()) for row in chosen]
    if chosen.all().exists():  # being read now
        raise Refused(409, " ".join(said))
    return as_json(_shown(pk))


def _who() -> str:
    token = access.current().token
    return f"token {token.name}" if token else "nobody"


@endpoint("GET")
def sources_view(request: HttpRequest) -> HttpResponse:
    counts = statistics.by_source()
    keys = {source.name: source for source in Source.objects.filter(_within("pk"))}
    runs, errors, due = _last_runs(), _open_errors(), _due()
    described = []
    for count in counts:
        source, last = keys[count.name], count.last_success
        run, at = runs.get(source.pk), due.get(source.pk)
        described.append(
            SourceOut(
                source=count.name,
                title=count.title,
                enabled=source.enabled,
                documents=count.documents,
                chunks=count.chunks,
                errors=errors.get(source.pk, 0),
                last_success=last.isoformat() if last else None,
                age=int((timezone.now() - last).total_seconds()) if last else None,
                run=run.run_id if run else None,
                state=State(run.state) if run else None,
                next_run=at.isoformat() if at else None,
            )
        )
    return as_json(SourcesOut(sources=described))


def _within(path: str) -> Q:
    return access.current().within(path)


def _open_errors() -> dict[int, int]:
    failing = Failure.objects.open().errors().filter(_within("source"), source__isnull=False)
    return dict(failing.order_by().values_list("source").annotate(number=Count("pk")))


def _due() -> dict[int, datetime]:
    return dict(ScheduledRun.objects.filter(_within("source")).values_list("source", "at"))


def _last_runs() -> dict[int, SourceRun]:
    found = SourceRun.objects.filter(_within("source"), source__isnull=False)
    last = found.order_by("source_id", "-pk").distinct("source_id").only("source", "run", "state")
    return {row.source_id: row for row in last if row.source_id}
