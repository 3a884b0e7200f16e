"""What is removed when it is old, and what stays however old it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection, models
from django.test import Client
from django.utils import timezone
from django_q.models import Task
from pytest_django import Settings

from ingestion.models import Failure, LogLine, Run, SourceRun, State
from ingestion.runs import retention
from ingestion.worker.cluster import Worker
from sources.models import Source
from tests.admin.test_admin import page
from tests.support.reading import make_source

OLD = timedelta(days=91)
YOUNG = timedelta(days=89)

pytestmark = pytest.mark.django_db


@pytest.fixture
def source() -> Source:
    return make_source("pages")


@pytest.fixture
def hour() -> Iterator[None]:
    """Nobody has pruned lately."""
    cache.delete(retention.PRUNED)
    yield
    cache.delete(retention.PRUNED)


def aged(row: models.Model, field: str, age: timedelta) -> None:
    """Have a row been made so long ago."""
    then = timezone.now() - age
    type(row)._default_manager.filter(pk=row.pk).update(**{field: then})


def ran(
    source: Source | None, state: str = State.FAILED, age: timedelta = OLD, **fields: Any
) -> SourceRun:
    """A run of one source, with a line in its log."""
    run = Run.objects.create(origin="schedule")
    row = SourceRun.objects.create(
        run=run, source=source, source_name=source.name if source else "gone", state=state, **fields
    )
    LogLine.objects.create(source_run=row, at=timezone.now(), message="It ran.")
    aged(run, "created_at", age)
    aged(row, "queued_at", age)
    return row


def failed(
    row: SourceRun, url: str = "pages://a.md", age: timedelta = OLD, **fields: Any
) -> Failure:
    failure = Failure.objects.create(
        source_run=row,
        source=row.source,
        document_url=url,
        stage="parse",
        message="Torn.",
        **fields,
    )
    aged(failure, "created_at", age)
    return failure


def newest(source: Source) -> list[SourceRun]:
    """So many newer runs that the earlier ones do not stay for being the newest."""
    return [ran(source) for _ in range(retention.RUNS_KEPT)]


def pruned() -> str:
    out = StringIO()
    call_command("prune", stdout=out)
    return out.getvalue().strip()


def left(*rows: models.Model) -> list[bool]:
    return [type(row)._default_manager.filter(pk=row.pk).exists() for row in rows]


def test_old_runs_go_with_what_belongs_to_them(source: Source) -> None:
    cache.clear()
    gone = ran(source)
    failure = failed(gone, resolved=True)
    kept = newest(source)
    assert pruned() == (
        "Pruned what is older than 90 days: problems: 1, log lines: 1, source runs: 1, runs: 1."
    )
    assert left(gone, gone.run, failure) == [False] * 3
    assert set(SourceRun.objects.all()) == set(kept)
    assert Run.objects.count() == LogLine.objects.count() == retention.RUNS_KEPT
    assert pruned() == "Pruned what is older than 90 days: nothing."


def test_younger_runs_stay(source: Source) -> None:
    rows = [ran(source, age=YOUNG) for _ in range(retention.RUNS_KEPT + 2)]
    pruned()
    assert all(left(*rows))


def test_the_newest_of_each_source_stay(source: Source) -> None:
    rare = ran(make_source("rare"))
    newest(source)
    gone = ran(None, State.CANCELLED)
    pruned()
    assert left(rare, gone) == [True, False]


@pytest.mark.parametrize(
    "state", [State.QUEUED, State.WAITING, State.RUNNING, State.NEEDS_APPROVAL]
)
def test_what_is_not_over_stays(source: Source, state: str) -> None:
    row = ran(source, state)
    newest(source)
    pruned()
    assert left(row, row.run) == [True, True]


def test_the_last_that_was_read_well_stays(source: Source) -> None:
    earlier, succeeded = ran(source, State.SUCCEEDED), ran(source, State.SUCCEEDED)
    partial, cancelled = ran(source, State.PARTIAL), ran(source, State.CANCELLED)
    newest(source)
    pruned()
    assert left(earlier, succeeded, partial, cancelled) == [False, True, True, False]


def test_the_figures_of_the_quality_page_stay(source: Source) -> None:
    """An unchanged source has them at the run that took them only."""
    earlier = ran(source, State.SUCCEEDED, quality={"chunks": 1})
    figures = ran(source, State.SUCCEEDED, quality={"chunks": 2})
    last = ran(source, State.SUCCEEDED)
    newest(source)
    pruned()
    assert left(earlier, figures, last) == [False, True, True]


def test_an_open_failure_stays_with_its_run(source: Source) -> None:
    row = ran(source)
    still, over = failed(row), failed(row, url="pages://b.md", resolved=True)
    newest(source)
    pruned()
    assert left(row, still, over) == [True, True, False]
    Failure.objects.update(resolved=True)
    pruned()
    assert left(row, still) == [False, False]


def test_a_resolved_failure_goes_though_its_run_stays(source: Source) -> None:
    row = ran(source, State.PARTIAL)
    old, young = failed(row, resolved=True), failed(row, age=YOUNG, resolved=True)
    pruned()
    assert left(row, old, young) == [True, False, True]


def test_of_a_failure_that_is_met_at_each_run_the_last_stays(source: Source) -> None:
    first, other = failed(ran(source)), failed(ran(source), url="pages://b.md")
    last = ran(source)
    again = [failed(last), failed(last)]
    newest(source)
    pruned()
    assert left(first, other, *again) == [False, True, True, True]


def test_a_failure_of_a_source_that_was_deleted_goes() -> None:
    row = ran(None)
    failure = failed(row)
    pruned()
    assert left(row, failure) == [False, False]


def test_a_run_goes_with_the_last_of_its_sources(source: Source) -> None:
    row = ran(source)
    other = SourceRun.objects.create(
        run=row.run, source=make_source("rare"), source_name="rare", state=State.FAILED
    )
    aged(other, "queued_at", OLD)
    newest(source)
    pruned()
    assert left(row, other, row.run) == [False, True, True]


def test_the_admins_log_and_results_of_tasks_go(admin_user: User) -> None:
    now = timezone.now()
    rows: list[models.Model] = []
    for age in (OLD, YOUNG):
        rows.append(LogEntry.objects.create(user=admin_user, action_flag=ADDITION, object_repr="x"))
        aged(rows[-1], "action_time", age)
        task = {"name": "x", "func": "x", "started": now, "stopped": now - age, "success": False}
        rows.append(Task.objects.create(id=f"{age.days}", **task))
    pruned()
    assert left(*rows) == [False, False, True, True]


def test_sessions_and_cache_rows_go_when_they_have_expired() -> None:
    now = timezone.now()
    for name, expires in (("over", now - timedelta(seconds=1)), ("on", now + timedelta(hours=1))):
        Session.objects.create(session_key=name, session_data="", expire_date=expires)
        cache.set(name, "value", (expires - now).total_seconds())
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_cache VALUES ('late', '', %s)", [now - YOUNG])
        pruned()
        cursor.execute("SELECT cache_key FROM django_cache WHERE cache_key IN (':2:on', 'late')")
        assert cursor.fetchall() == [(":2:on",)]
    assert list(Session.objects.values_list("pk", flat=True)) == ["on"]
    cache.delete("on")


def test_zero_days_keep_everything(
    admin_client: Client, source: Source, settings: Settings, hour: None
) -> None:
    settings.RETENTION_DAYS = 0
    row = ran(source)
    newest(source)
    assert pruned() == "RETENTION_DAYS=0 keeps everything: nothing was removed."
    assert retention.prune_hourly() == ""
    assert left(row) == [True]
    assert "Runs are kept for ever." in page(admin_client, "ingestion_run_changelist")


def test_the_list_of_runs_says_what_is_kept(admin_client: Client, settings: Settings) -> None:
    said = "Runs are kept for {}, and the last 10 of each source always."
    assert said.format("90 days") in page(admin_client, "ingestion_run_changelist")
    settings.RETENTION_DAYS = 1
    assert said.format("1 day") in page(admin_client, "ingestion_run_changelist")


def test_many_rows_go_in_batches(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "SOURCE_RUNS", 3)
    rows = [ran(source) for _ in range(8)]
    kept = newest(source)
    assert "log lines: 8, source runs: 8, runs: 8" in pruned()
    assert not any(left(*rows))
    assert all(left(*kept))


def test_the_worker_prunes_once_an_hour(source: Source, hour: None) -> None:
    rows = [ran(source)]
    newest(source)
    assert "source runs: 1" in retention.prune_hourly()
    rows.append(ran(source))
    newest(source)
    assert retention.prune_hourly() == ""
    assert left(*rows) == [False, True]


def test_what_takes_long_is_gone_on_with(
    source: Source, hour: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 0.0)
    rows = [ran(source) for _ in range(3)]
    newest(source)
    said = [retention.prune_hourly() for _ in range(9)]
    assert said[0].endswith("More is left.")
    assert said[-1] == ""
    assert not any(left(*rows))


def test_two_never_prune_at_once(source: Source, hour: None) -> None:
    row = ran(source)
    newest(source)
    params = connection.get_connection_params()
    params = {
        name: params[name]
        for name in ("host", "port", "user", "password", "dbname")
        if name in params
    }
    with psycopg.connect(**params, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s, 0)", [retention.PRUNING])
        assert pruned() == "Another process prunes now: wait for it."
        assert retention.prune_hourly() == ""
        other.execute("SELECT pg_advisory_unlock(%s, 0)", [retention.PRUNING])
    assert left(row) == [True]
    assert "source runs: 1" in pruned()


@pytest.mark.django_db(transaction=True)
def test_a_worker_prunes_when_it_starts(
    source: Source, hour: None, caplog: pytest.LogCaptureFixture
) -> None:
    row = ran(source)
    newest(source)
    worker = Worker(workers=1)
    with caplog.at_level("INFO", "ingestion.worker.cluster"):
        worker.start()
    worker.stop()
    assert left(row) == [False]
    assert "Pruned what is older than 90 days: log lines: 1, source runs: 1" in caplog.text
