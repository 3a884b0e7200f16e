"""The worker: a django-q2 cluster that dies with its parent, and what has to happen around it.

Whether a worker is alive is judged by what it does: it claims a canary. Its own status says
"Working" even when it is stuck.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
import uuid
from collections.abc import Callable
from typing import Any

import psutil
from django.conf import settings
from django.db import OperationalError, connections
from django_q import cluster as q
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task

from ingestion import process, runs
from ingestion.lease import LEASES

logger = logging.getLogger(__name__)

CANARY = "ingestion.tasks.canary"
WORKER = 0  # the second key of a worker's presence; sources have their ids, from 1
fork = multiprocessing.get_context("fork")


def _tethered(target: Callable[..., Any], *args: Any) -> None:
    process.die_with_parent()
    target(*args)


class Sentinel(q.Sentinel):  # type: ignore[misc]
    """django-q2's sentinel, whose processes end with it however it ends."""

    def spawn_process(self, target: Callable[..., Any], *args: Any) -> Any:
        spawned = fork.Process(target=_tethered, args=(target, *args), daemon=True)
        if target is q.worker:
            spawned.timer = args[2]  # type: ignore[attr-defined]
            self.pool.append(spawned)
        spawned.start()
        return spawned


class Cluster:
    """One django-q2 cluster in a process group of its own, ended with this process."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or Conf.WORKERS
        self.stop_event = process.Flag()
        self.start_event = process.Flag()
        self.sentinel: Any = None

    def start(self) -> None:
        connections.close_all()
        process.stopping.clear()
        self.sentinel = fork.Process(target=self._guard, name="bbjrag sentinel")
        self.sentinel.start()

    def _guard(self) -> None:
        process.die_with_parent()
        Conf.WORKERS = Conf.QUEUE_LIMIT = self.workers
        Sentinel(self.stop_event, self.start_event, uuid.uuid4(), None, Conf.TIMEOUT)

    def stop(self, patience: float | None = None) -> None:
        """Let the readings in hand be given back to the queue, then end every process."""
        if self.sentinel is None:
            return
        process.stopping.set()
        self.stop_event.set()
        self.sentinel.join(settings.RUN_CANCEL_GRACE + 5 if patience is None else patience)
        self.kill()

    def kill(self) -> None:
        """End every process of the cluster at once."""
        for member in self._members():
            member.kill()
        self.sentinel.join()

    def _members(self) -> list[psutil.Process]:
        try:
            sentinel = psutil.Process(self.sentinel.pid)
            return [*sentinel.children(recursive=True), sentinel]
        except psutil.NoSuchProcess:
            return []

    @property
    def alive(self) -> bool:
        return self.sentinel is not None and bool(self.sentinel.is_alive())


class Canary:
    """A task that does nothing: whoever claims it is alive."""

    def __init__(self) -> None:
        task_id = async_task(CANARY, task_name="canary", save=False)
        newest = OrmQ.objects.order_by("-pk")[:100]
        self.row = next((row.pk for row in newest if row.task.get("id") == task_id), None)
        self.started = time.monotonic()

    def claimed(self) -> bool:
        """The row is locked into the future while it is worked on, and gone afterwards."""
        if self.row is None:
            return True
        row = OrmQ.objects.filter(pk=self.row).first()
        return row is None or row.lock.timestamp() > time.time() + 60

    def wait(self, seconds: float) -> bool:
        while not self.claimed():
            if time.monotonic() - self.started > seconds:
                return False
            time.sleep(0.05)
        return True

    def discard(self) -> None:
        OrmQ.objects.filter(pk=self.row).delete()


class Presence:
    """A shared advisory lock that each worker holds while it runs: where nobody holds it, there is
    no worker to wait for."""

    def __init__(self) -> None:
        self.connection = connections["default"].copy()

    def announce(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock_shared(%s, %s)", [LEASES, WORKER])

    def anybody(self) -> bool:
        """Whether some worker announced itself; it may be stuck, though."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LEASES, WORKER])
            alone = bool(cursor.fetchone()[0])
        self.connection.close()
        return not alone


def is_alive(seconds: float | None = None) -> bool:
    """Whether some worker claims a canary within `seconds` (setting CANARY_TIMEOUT)."""
    if not Presence().anybody():
        return False
    canary = Canary()
    try:
        return canary.wait(settings.CANARY_TIMEOUT if seconds is None else seconds)
    finally:
        canary.discard()


class Worker:
    """A cluster, kept going: reaps what stands still, and starts the cluster anew when it is stuck."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers
        self.cluster = Cluster(workers)
        self.presence = Presence()
        self.ended = False
        self.last_tick = 0.0

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self.start()
        while not self.ended:
            self.tick()
            time.sleep(0.2)
        self.stop()

    def start(self) -> None:
        self.cluster.start()
        self.presence.announce()

    def stop(self) -> None:
        self.cluster.stop()
        self.presence.connection.close()

    def _end(self, *_: object) -> None:
        self.ended = True

    def tick(self) -> None:
        """Once every REAPER_INTERVAL: look after the runs and the cluster."""
        now = time.monotonic()
        if self.last_tick and now - self.last_tick < settings.REAPER_INTERVAL:
            return
        self.last_tick = now
        if not self.cluster.alive:
            self._restart("it ended")
        try:
            for line in runs.reap():
                logger.warning("%s", line)
        except OperationalError as error:
            logger.warning(
                "The database does not answer (%s); the next look is in a minute.", error
            )
            connections.close_all()

    def _restart(self, why: str) -> None:
        logger.error("The cluster is started anew: %s.", why)
        self.cluster.kill()
        self.cluster = Cluster(self.workers)
        self.cluster.start()
