"""The run's state machine, one move at a time; who reads is left out here."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from socket import gethostname

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ
from pytest_django import Settings

from ingestion.index.source_lock import SourceLock
from ingestion.models import Document, Failure, Run, ScheduledRun, SourceRun, State
from ingestion.runs import recovery, removals, requests, schedules, state_machine
from sources.models import Source
from tests.support.reading import ask, make_source

pytestmark = pytest.mark.django_db

LEGAL = {
    ("queued", "running"),
    ("queued", "cancelled"),
    ("queued", "interrupted"),
    ("running", "queued"),
    ("running", "waiting"),
    ("running", "succeeded"),
    ("running", "partial"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("running", "interrupted"),
    ("running", "needs_approval"),
    ("waiting", "queued"),
    ("waiting", "cancelled"),
    ("waiting", "interrupted"),
    ("interrupted", "queued"),
    ("interrupted", "failed"),
    ("needs_approval", "succeeded"),
    ("needs_approval", "partial"),
}
WORKER = "elsewhere 1"


@pytest.fixture
def source() -> Source:
    return make_source("pages")


def running(source: Source, **fields: object) -> SourceRun:
    row = ask(source)
    claimed = requests.claim(row.pk, WORKER).source_run
    assert claimed
    SourceRun.objects.filter(pk=row.pk).update(**fields)
    claimed.refresh_from_db()
    return claimed


def fresh(row: SourceRun) -> SourceRun:
    return SourceRun.objects.get(pk=row.pk)


def tasks() -> list[int]:
    return [row.task["args"][0] for row in OrmQ.objects.order_by("pk")]


def test_each_move_is_allowed_or_not(source: Source) -> None:
    run = Run.objects.create(origin="command")
    for origin, target in product(State.values, State.values):
        row = SourceRun.objects.create(run=run, source=source, source_name="pages", state=origin)
        legal = (origin, target) in LEGAL
        assert state_machine.move(row, target) == legal, (origin, target)
        assert fresh(row).state == (target if legal else origin)
        assert bool(fresh(row).finished_at) == (legal and target in state_machine.ENDED_STATES)
        row.delete()


def test_a_request_writes_rows_and_tasks_together(source: Source) -> None:
    asked = requests.request([source, make_source("other")], origin=Run.Origin.ADMIN)
    assert sorted(tasks()) == sorted(row.pk for row in asked.started)
    assert {row.state for row in asked.started} == {"queued"}


def test_a_request_that_fails_leaves_nothing(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "async_task", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ask(source)
    assert not Run.objects.exists()
    assert not SourceRun.objects.exists()


def test_a_second_request_says_which_run_it_joined(source: Source) -> None:
    first = requests.request([source], origin=Run.Origin.COMMAND)
    second = requests.request([source, make_source("other")], origin=Run.Origin.ADMIN)
    assert second.joined == first.started
    assert [row.source_name for row in second.started] == ["other"]
    third = requests.request([source], origin=Run.Origin.SCHEDULE)
    assert third.run == first.run
    assert Run.objects.count() == 2


def test_a_source_that_was_deleted_meanwhile_is_left_out(source: Source) -> None:
    gone = make_source("gone")
    Source.objects.filter(pk=gone.pk).delete()
    assert len(requests.request([source, gone], origin=Run.Origin.ADMIN).source_runs) == 1


def test_the_database_itself_refuses_two_open_runs_of_a_source(source: Source) -> None:
    row = ask(source)
    with pytest.raises(IntegrityError), transaction.atomic():
        SourceRun.objects.create(run=row.run, source=source, source_name="pages")


def test_a_claim_counts_the_attempt_before_it_starts(source: Source) -> None:
    row = running(source)
    assert (row.state, row.attempt, row.worker) == ("running", 1, WORKER)
    assert row.started_at is not None
    assert row.heartbeat is not None


def test_the_same_task_twice_starts_one_attempt(source: Source) -> None:
    row = running(source)
    assert "nothing to start" in requests.claim(row.pk, "another 2").refusal
    assert fresh(row).attempt == 1


def test_a_claim_of_what_is_gone_says_so() -> None:
    assert "is gone" in requests.claim(99, WORKER).refusal


@pytest.mark.parametrize("change", [{"enabled": False}, None])
def test_a_source_disabled_or_deleted_is_not_started(
    source: Source, change: dict[str, bool] | None
) -> None:
    row = ask(source)
    if change:
        Source.objects.filter(pk=source.pk).update(**change)
    else:
        source.delete()
    assert requests.claim(row.pk, WORKER).refusal
    assert fresh(row).state == "cancelled"
    assert fresh(row).error


def test_a_queued_or_waiting_run_is_cancelled_at_once(source: Source) -> None:
    row = ask(source)
    requests.cancel(row, "anna")
    assert fresh(row).state == "cancelled"
    assert "anna" in fresh(row).error
    row = running(source)
    recovery.put_to_wait(row, "It is away.")
    requests.cancel(row)
    assert fresh(row).state == "cancelled"


def test_a_running_one_is_asked_to_stop(source: Source) -> None:
    row = running(source)
    assert "within seconds" in requests.cancel(row)
    assert fresh(row).cancel_requested
    assert fresh(row).state == "running"


def test_a_cancelled_run_says_how_to_go_on(source: Source) -> None:
    row = requests.request([source], origin="api").started[0]
    requests.cancel(row)
    assert "start it again to go on from there" in fresh(row).error
    row = requests.request([source], origin="api", clean=True).started[0]
    requests.cancel(row)
    assert "`ingest_all --resume` goes on from scratch" in fresh(row).error


def test_one_that_has_ended_cannot_be_cancelled(source: Source) -> None:
    row = running(source)
    state_machine.move(row, State.SUCCEEDED)
    assert "has ended already" in requests.cancel(row)
    assert fresh(row).state == "succeeded"


def test_a_crash_is_tried_again_twice_and_then_given_up(source: Source) -> None:
    row = ask(source)
    for attempt in (1, 2, 3):
        claimed = requests.claim(row.pk, WORKER).source_run
        assert claimed
        assert claimed.attempt == attempt
        claimed.current_url = "pages://bad.md"
        recovery.crashed(claimed, "It was killed.")
    row = fresh(row)
    assert (row.state, row.failures) == ("failed", 1)
    assert "after 3 attempts" in row.error
    assert "pages://bad.md" in row.error
    assert Failure.objects.get(source_run=row).document_url == "pages://bad.md"
    assert len(tasks()) == 3


def test_a_crash_with_no_document_in_hand_blames_none(source: Source, settings: Settings) -> None:
    settings.RUN_ATTEMPTS = 1
    row = running(source)
    recovery.crashed(row, "It was killed.")
    assert fresh(row).error == (
        "Given up after 1 attempts. The last one: It was killed. No document is known to be the "
        "cause: see the worker's log, then start the source again."
    )


def test_a_crash_reported_late_changes_nothing(source: Source) -> None:
    row = running(source)
    recovery.crashed(row, "It was killed.")
    requests.claim(row.pk, "another 2")
    assert "ended otherwise" in recovery.crashed(row, "It was killed.")
    assert fresh(row).attempt == 2


def test_giving_back_burns_no_attempt(source: Source) -> None:
    row = running(source)
    OrmQ.objects.all().delete()
    recovery.give_back(row, "The worker stops.")
    assert (fresh(row).state, fresh(row).attempt, tasks()) == ("queued", 0, [row.pk])


def test_waiting_burns_no_attempt_and_takes_longer_each_time(
    source: Source, settings: Settings
) -> None:
    settings.EMBEDDER_WAIT_FIRST, settings.EMBEDDER_WAIT_MAX = 10, 600
    row = running(source)
    recovery.put_to_wait(row, "No host answers.")
    row = fresh(row)
    assert (row.state, row.attempt) == ("waiting", 0)
    assert "goes on by itself" in row.error
    assert row.resume_at is not None
    assert 8 < (row.resume_at - timezone.now()).total_seconds() <= 10
    SourceRun.objects.filter(pk=row.pk).update(waiting_since=timezone.now() - timedelta(minutes=5))
    assert recovery.wake(row.resume_at)
    claimed = requests.claim(row.pk, WORKER).source_run
    assert claimed
    recovery.put_to_wait(claimed, "No host answers.")
    row = fresh(row)
    assert row.resume_at is not None
    assert 290 < (row.resume_at - timezone.now()).total_seconds() < 310


def test_waiting_ends_at_the_limit(source: Source, settings: Settings) -> None:
    settings.EMBEDDER_WAIT_LIMIT = 3600
    row = running(source, waiting_since=timezone.now() - timedelta(hours=2))
    recovery.put_to_wait(row, "No host answers.")
    row = fresh(row)
    assert (row.state, row.failures) == ("failed", 1)
    assert "2.0 hours" in row.error


def test_one_to_be_cancelled_does_not_wait(source: Source) -> None:
    row = running(source, cancel_requested=True)
    recovery.put_to_wait(row, "No host answers.")
    assert fresh(row).state == "cancelled"


def test_waking_leaves_those_whose_time_has_not_come(source: Source) -> None:
    row = running(source)
    recovery.put_to_wait(row, "No host answers.")
    assert recovery.wake() == []
    assert fresh(row).state == "waiting"


def test_the_reaper_queues_what_nobody_reads(source: Source) -> None:
    row = running(source, heartbeat=timezone.now() - timedelta(hours=1))
    recovery.reap()
    assert (fresh(row).state, fresh(row).attempt) == ("queued", 1)
    assert "is gone" in fresh(row).last_line


def claimed_by(source: Source, worker: str, seconds: float) -> SourceRun:
    """A running one whose last sign of life is so old."""
    row = ask(source)
    requests.claim(row.pk, worker)
    heartbeat = timezone.now() - timedelta(seconds=seconds)
    SourceRun.objects.filter(pk=row.pk).update(heartbeat=heartbeat)
    return row


def test_a_process_of_this_machine_that_is_gone_is_given_less_time(
    source: Source, settings: Settings
) -> None:
    settings.RUN_HEARTBEAT = 5.0
    row = claimed_by(source, f"{gethostname()} 999999999", 8)
    elsewhere = claimed_by(make_source("other"), "elsewhere 999999999", 8)
    recovery.revive()
    assert (fresh(row).state, fresh(elsewhere).state) == ("queued", "running")


def test_a_process_of_another_container_of_this_name_is_left_alone(
    source: Source, settings: Settings
) -> None:
    """It has claimed the row, and not taken the source lock yet."""
    settings.RUN_HEARTBEAT = 5.0
    row = claimed_by(source, f"{gethostname()} 999999999", 6)
    recovery.revive()
    assert fresh(row).state == "running"


def test_a_process_that_is_dead_but_not_buried_is_gone(source: Source, settings: Settings) -> None:
    settings.RUN_HEARTBEAT = 5.0
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
    row = claimed_by(source, f"{gethostname()} {dead}", 8)
    recovery.revive()
    os.waitpid(dead, 0)
    assert fresh(row).state == "queued"


def test_the_reaper_leaves_what_gives_signs_of_life(source: Source) -> None:
    row = running(source)
    assert recovery.reap() == []
    assert fresh(row).state == "running"


def test_the_reaper_leaves_what_holds_its_lock(source: Source) -> None:
    row = running(source, heartbeat=timezone.now() - timedelta(hours=1))
    other = connections["default"].copy()
    try:
        assert SourceLock(other, source.pk).acquire()
        recovery.reap()
        assert fresh(row).state == "running"
    finally:
        other.close()


def test_the_reaper_gives_up_after_the_last_attempt(source: Source, settings: Settings) -> None:
    settings.RUN_ATTEMPTS = 1
    row = running(source, heartbeat=timezone.now() - timedelta(hours=1), current_url="pages://a.md")
    recovery.reap()
    assert fresh(row).state == "failed"
    assert "pages://a.md" in fresh(row).error


@pytest.mark.parametrize("deleted", [False, True])
def test_the_reaper_ends_what_was_cancelled_or_has_no_source(source: Source, deleted: bool) -> None:
    row = running(
        source, heartbeat=timezone.now() - timedelta(hours=1), cancel_requested=not deleted
    )
    if deleted:
        source.delete()
    recovery.reap()
    assert fresh(row).state == "cancelled"


@pytest.mark.parametrize("lost", ["deleted", "taken by a worker that died"])
def test_the_reaper_rings_for_a_queued_run_without_a_task(source: Source, lost: str) -> None:
    row = ask(source)
    if lost == "deleted":
        OrmQ.objects.all().delete()
    else:
        OrmQ.objects.update(lock=timezone.now() + timedelta(days=7))
    recovery.reap()
    assert tasks()[-1] == row.pk
    assert OrmQ.objects.filter(lock__lte=timezone.now()).count() == 1
    recovery.reap()
    assert OrmQ.objects.filter(lock__lte=timezone.now()).count() == 1


def test_the_reaper_leaves_a_task_that_was_taken_this_moment(source: Source) -> None:
    ask(source)
    assert get_broker().dequeue()
    assert recovery.reap() == []
    assert OrmQ.objects.count() == 1


def test_the_reaper_forgets_tasks_of_lost_workers(source: Source) -> None:
    row = running(source)
    OrmQ.objects.update(lock=timezone.now() + timedelta(days=7))
    state_machine.move(row, State.SUCCEEDED)
    recovery.reap()
    assert not OrmQ.objects.exists()


def test_interrupting_touches_nothing_that_another_worker_reads(source: Source) -> None:
    row, other = running(source), ask(make_source("other"))
    requests.interrupt([fresh(row), fresh(other)], "Ctrl-C.")
    assert (fresh(row).state, fresh(other).state) == ("running", "interrupted")


def test_an_interrupted_run_counts_what_it_has_stored(source: Source) -> None:
    row, now = ask(source), timezone.now()
    Document.objects.create(
        source=source, url="pages://a", title="A", first_seen=now, last_seen=now, changed_at=now
    )
    requests.interrupt([row], "Ctrl-C.")
    assert fresh(row).documents == 1


def test_resuming_takes_what_the_last_run_did_not_finish(source: Source) -> None:
    other = make_source("other")
    asked = requests.request([source, other], origin=Run.Origin.COMMAND)
    done, left = asked.source_runs[1], asked.source_runs[0]
    requests.claim(done.pk, WORKER)
    state_machine.move(done, State.SUCCEEDED)
    assert requests.resumable() == [left.source]
    requests.interrupt([left], "Ctrl-C.")
    assert requests.resumable() == [left.source]
    row = ask(Source.objects.get(name=left.source_name))
    requests.claim(row.pk, WORKER)
    state_machine.move(row, State.SUCCEEDED)
    assert requests.resumable() == []


def test_a_newer_run_keeps_an_older_one_from_coming_back(source: Source) -> None:
    row = ask(source)
    requests.interrupt([row], "Ctrl-C.")
    ask(source)
    assert "newer run" in recovery.requeue(row, "Again.")
    assert fresh(row).state == "interrupted"


def test_deleting_a_source_cancels_its_run_and_removes_its_documents(source: Source) -> None:
    now = timezone.now()
    Document.objects.create(
        source=source, url="pages://a", title="A", first_seen=now, last_seen=now, changed_at=now
    )
    row = running(source)
    removals.delete_source(source, "anna")
    row = fresh(row)
    assert row.source is None
    assert row.cancel_requested
    assert not Document.objects.exists()
    assert "documents with it" in recovery.end_without_source(row)
    assert fresh(row).state == "cancelled"


@pytest.mark.parametrize("behind_our_back", [False, True])
def test_deleting_a_source_ends_the_question_whether_documents_may_go(
    source: Source, behind_our_back: bool
) -> None:
    row = running(source)
    state_machine.move(row, State.NEEDS_APPROVAL, vanished=["pages://a"])
    if behind_our_back:
        source.delete()
        assert "was deleted" in removals.decide_removal(fresh(row), approve=True, who="anna")
    else:
        removals.delete_source(source, "anna")
    assert (fresh(row).state, fresh(row).last_line) == ("succeeded", state_machine.DELETED)


def test_a_waiting_run_is_interrupted_with_the_command_that_waited(source: Source) -> None:
    row = running(source)
    recovery.put_to_wait(row, "It is away.")
    requests.interrupt([fresh(row)], "Ctrl-C.")
    assert (fresh(row).state, fresh(row).error) == ("interrupted", "Ctrl-C.")
    assert recovery.wake(timezone.now() + timedelta(days=1)) == []
    assert requests.resumable() == [source]


def test_what_waits_for_approval_cannot_be_cancelled(source: Source) -> None:
    row = running(source)
    state_machine.move(row, State.NEEDS_APPROVAL)
    assert "has ended already (needs approval)" in requests.cancel(row)
    assert fresh(row).state == "needs_approval"


def test_a_run_remembers_who_asked() -> None:
    anna = User.objects.create(username="anna")
    source = make_source("pages")
    asked = requests.request(
        [source], origin=Run.Origin.ADMIN, requested_by=anna, data_dir=Path("/d")
    )
    assert asked.run.requested_by == anna
    assert asked.run.options == {"clean": False, "retry_failed": False, "data_dir": "/d"}


@pytest.mark.parametrize(
    ("states", "word"),
    [
        ([], "succeeded"),
        (["succeeded", "succeeded"], "succeeded"),
        (["succeeded", "failed"], "partial"),
        (["failed", "failed"], "failed"),
        (["succeeded", "needs_approval"], "needs_approval"),
        (["failed", "queued", "running"], "running"),
    ],
)
def test_several_states_in_one_word(states: list[str], word: str) -> None:
    assert state_machine.status_of(states) == word


def half_past() -> datetime:
    """A moment that is not about to become the next hour."""
    return timezone.now().replace(minute=30)


def test_a_schedule_counts_from_when_it_was_set() -> None:
    source = make_source("pages", schedule="0 3 * * *")
    assert schedules.fire() == []
    assert ScheduledRun.objects.get(source=source).at > timezone.now()
    assert not SourceRun.objects.exists()


def test_a_schedule_fires_once_however_many_times_were_missed() -> None:
    make_source("pages", schedule="0 * * * *")
    start = half_past()
    schedules.fire(start)
    assert len(schedules.fire(start + timedelta(hours=5))) == 1
    assert schedules.fire(start + timedelta(hours=5, seconds=1)) == []
    assert Run.objects.get().origin == Run.Origin.SCHEDULE


def test_a_schedule_joins_a_run_that_is_open() -> None:
    source = make_source("pages", schedule="0 * * * *")
    row = ask(source)
    start = half_past()
    schedules.fire(start)
    assert "joined" in schedules.fire(start + timedelta(hours=1))[0]
    assert SourceRun.objects.get() == row
    assert schedules.fire(start + timedelta(hours=1, minutes=1)) == []


def test_a_schedule_that_was_changed_or_removed_does_not_fire() -> None:
    source = make_source("pages", schedule="0 * * * *")
    start = half_past()
    schedules.fire(start)
    Source.objects.filter(pk=source.pk).update(schedule="0 3 1 1 *")
    assert schedules.fire(start + timedelta(hours=2)) == []
    Source.objects.filter(pk=source.pk).update(enabled=False)
    assert schedules.fire(start + timedelta(days=800)) == []
    assert not ScheduledRun.objects.exists()


def test_two_workers_fire_a_schedule_once(monkeypatch: pytest.MonkeyPatch) -> None:
    make_source("pages", schedule="0 * * * *")
    start = half_past()
    schedules.fire(start)
    row = ScheduledRun.objects.get()
    later = start + timedelta(hours=2)
    assert schedules._fire(row.source, row, later)
    assert not schedules._fire(row.source, row, later)


def test_a_schedule_is_in_the_time_zone_of_the_settings(settings: Settings) -> None:
    settings.TIME_ZONE = "America/New_York"
    winter = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)
    assert schedules.next_time("0 3 * * *", winter).astimezone(UTC).hour == 8


def test_the_locks_of_two_sources_are_apart(source: Source) -> None:
    other = connections["default"].copy()
    try:
        assert SourceLock(other, source.pk).acquire()
        assert not SourceLock(connection, source.pk).acquire_for_transaction()
        assert SourceLock(connection, source.pk + 1).acquire_for_transaction()
    finally:
        other.close()
