"""The settings of the worker, and of who asks whether one is alive."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from ingestion.index.source_lock import SOURCE_LOCKS
from ingestion.worker.cluster import WORKER
from tests.settings.place import Place, below, end
from tests.support.reading import until

INDEXES = """SELECT indexname FROM pg_indexes
    WHERE indexname LIKE 'chunk_hnsw%' AND indexdef LIKE '%(profile_id = {})%'"""
ANNOUNCED = f"SELECT count(*) FROM pg_locks WHERE classid = {SOURCE_LOCKS} AND objid = {WORKER}"
CANARY = "SELECT count(*) FROM django_q_ormq"


@pytest.fixture(scope="module")
def worker(installation: Place) -> Iterator[Any]:
    """One that has stored three pages."""
    installation.fresh("one", "two", "three")
    installation.ingest()
    given = {"WORKERS": "1", "WORKER_STALL_LIMIT": "1", "REAPER_INTERVAL": "0.3"}
    process = installation.manage("worker", **given)
    until(lambda: installation.ask(ANNOUNCED), 60)
    time.sleep(1.0)
    yield process
    end(process)


@pytest.mark.setting("REAPER_INTERVAL")
def test_an_index_that_is_missing_is_looked_for(worker: Any, installation: Place) -> None:
    profile, *_ = installation.all("SELECT DISTINCT profile_id FROM ingestion_chunk")
    name, *_ = installation.all(INDEXES.format(profile))
    installation.do(f"DROP INDEX {name}")
    until(lambda: installation.all(INDEXES.format(profile)), 30)


@pytest.mark.setting("WORKER_STALL_LIMIT")
def test_a_process_that_stands_still_is_replaced(worker: Any) -> None:
    (process,) = below(worker)
    os.kill(process.pid, signal.SIGSTOP)
    until(lambda: [p.pid for p in below(worker)] not in ([process.pid], []), 30)


@pytest.mark.setting("CANARY_TIMEOUT")
def test_a_worker_that_claims_nothing_is_not_waited_for(place: Place) -> None:
    """The test holds the lock by which a worker says that it is there."""
    with place.connect() as connection:
        connection.execute("SELECT pg_advisory_lock_shared(%s, %s)", [SOURCE_LOCKS, WORKER])
        command = place.manage("ingest_all", "--no-wait", CANARY_TIMEOUT="0.2")
        until(lambda: waiting(connection) == 2, 60)
        lasted = until(lambda: waiting(connection) < 2, 60)
        _, errors = command.communicate(timeout=60)
    assert "No worker is alive" in errors
    assert lasted < 2


def waiting(connection: psycopg.Connection[Any]) -> int:
    """The tasks that nobody takes: the source run's, and the canary."""
    row = connection.execute(CANARY).fetchone()
    return int(row[0]) if row else 0
