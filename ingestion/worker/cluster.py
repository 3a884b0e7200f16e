"""The worker: processes that run django-q2's tasks, and periodic work.

Each process takes its tasks from the table itself, so none holds a queue or a lock that another one
waits for, and any of them may be killed at any moment: the worker replaces it. A process is judged
by its activity: its pulse beats while it looks for tasks and while it watches a reading. A whole
worker is judged by whether it claims a canary.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import cached_property
from multiprocessing.connection import wait
from typing import Any

import psutil
from django import db
from django.conf import settings
from django.db import connection, connections
from django.utils import timezone
from django_q.brokers import Broker, get_broker
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from django_q.tasks import async_task
from django_q.worker import worker as run_tasks

from ingestion.git import store
from ingestion.index import hnsw, source_lock
from ingestion.models import Evaluation, SourceRun, State
from ingestion.processes.parent_death import die_with_parent
from ingestion.processes.shared_state import Flag, Pulse
from ingestion.runs import evaluations, recovery, retention, schedules
from ingestion.worker import supervisor
from ingestion.worker.outage import Outage
from ingestion.worker.reembedder import Reembedder
from sources.models import Source

logger = logging.getLogger(__name__)

CANARY = "ingestion.tasks.canary"
BUILD_INDEXES = "ingestion.tasks.build_indexes"
WORKER = 0  # the second key of the workers' lock; those of sources are their ids, from 1
REEMBED_EVERY = 2.0  # seconds between two looks for chunks to embed again
CLEAN_EVERY = 3600.0  # seconds between two looks for checkouts of no source
LOOK_EVERY = 0.2  # seconds between two looks for a task
fork = multiprocessing.get_context("fork")


class Inbox:
    """The task queue for django-q2's worker loop: the table of tasks itself."""

    def __init__(self) -> None:
        self.outage = Outage()
        self.ending = False

    @cached_property
    def broker(self) -> Broker:
        """Made when it is first needed, because it connects, and the database may come later."""
        return get_broker()

    def get(self) -> Any:
        while not self._ends():
            supervisor.pulse.beat()
            try:
                task = self._take()
                self.outage.is_over()
                if task is not None:
                    return task
            except db.Error as error:
                self.outage.goes_on(error)
                connections.close_all()
                time.sleep(1.0)
            self._rest()
        return "STOP"

    def _ends(self) -> bool:
        return self.ending or supervisor.stopping.is_set()

    def _rest(self) -> None:
        """Wait until the next look at the table, or until the worker stops."""
        due = time.monotonic() + LOOK_EVERY
        while not self._ends() and time.monotonic() < due:
            time.sleep(0.01)

    def _take(self) -> dict[str, Any] | None:
        for ack_id, payload in self.broker.dequeue() or ():
            try:
                task: dict[str, Any] = SignedPackage.loads(payload)
            except Exception:  # a pickle of another version may raise anything
                logger.exception("Task %s cannot be read, and was thrown away.", ack_id)
                self.broker.fail(ack_id)
                return None
            return task | {"ack_id": ack_id, "cluster": Conf.CLUSTER_NAME}
        return None

    def end(self, *_: object) -> None:
        self.ending = True


class Outbox:
    """The result queue for django-q2's worker loop: removes the row of a finished task.

    django-q2 would store results as pickles and read them whenever a task fails, so a row written
    to that table would run its writer's code here. The rows of our runs contain all that is needed.
    """

    @cached_property
    def broker(self) -> Broker:
        return get_broker()

    def put(self, task: dict[str, Any]) -> None:
        if not task["success"]:
            logger.error("The task %s failed: %s", task["name"], task["result"])
        try:
            self.broker.acknowledge(task["ack_id"])
        except db.Error as error:
            logger.warning("The task %s is not marked as done: %s", task["name"], error)
            connections.close_all()


class Timer:
    """Replaces django-q2's timer, which our processes do not need."""

    value = -1.0

    def get_lock(self) -> AbstractContextManager[None]:
        return nullcontext()


def _serve(parent: int, pulse: Pulse) -> None:
    """Run one process of a cluster."""
    die_with_parent(parent)
    supervisor.pulse = pulse
    inbox = Inbox()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent says what to do
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, inbox.end)
    run_tasks(inbox, Outbox(), Timer(), Conf.TIMEOUT)


class WorkerSlot:
    """A place in a cluster: its process, and the pulse of that."""

    def __init__(self) -> None:
        self.pulse = Pulse()
        self.start()

    def start(self) -> None:
        self.pulse.beat()
        arguments = (os.getpid(), self.pulse)
        self.process = fork.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()

    def kill(self) -> None:
        """Kill the process and its descendants. Those of a dead process end by themselves."""
        if not self.process.is_alive():
            return
        try:
            members = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            members = []
        self.process.kill()
        for member in members:
            _kill(member)
        self.process.join()


def _kill(member: psutil.Process) -> None:
    try:
        member.kill()
    except psutil.NoSuchProcess:
        return  # it went with its parent


class Cluster:
    """Processes that run tasks and end with the process that started them."""

    def __init__(self, workers: int | None = None) -> None:
        self.size = workers or settings.WORKERS
        self.slots: list[WorkerSlot] = []

    def start(self) -> None:
        supervisor.stopping = Flag()
        connections.close_all()  # no process may share a connection with another
        self.slots = [WorkerSlot() for _ in range(self.size)]

    def look(self) -> None:
        """Replace processes that ended or hang."""
        for slot in self.slots:
            if slot.process.is_alive() and slot.pulse.age <= settings.WORKER_STALL_LIMIT:
                continue
            self._report(slot)
            slot.kill()
            connections.close_all()
            slot.start()

    def _report(self, slot: WorkerSlot) -> None:
        pid, code = slot.process.pid, slot.process.exitcode
        if code is None:
            logger.error("Process %s hung for %.0f s: replaced.", pid, slot.pulse.age)
        elif code:
            logger.error("Process %s died (exit code %s): replaced.", pid, code)

    def stop(self, patience: float | None = None) -> None:
        """Have the readings in progress put back into the queue, then end every process."""
        supervisor.stopping.set()
        most = settings.RUN_CANCEL_GRACE + 5 if patience is None else patience
        deadline = time.monotonic() + most
        left = [slot.process.sentinel for slot in self.slots]
        while left and (remaining := deadline - time.monotonic()) > 0:
            ended = wait(left, remaining)
            left = [sentinel for sentinel in left if sentinel not in ended]
        self.kill()
        supervisor.stopping = Flag()  # theirs stays set; what this process reads itself may go on

    def kill(self) -> None:
        """Kill every process at once."""
        for slot in self.slots:
            slot.kill()
        self.slots = []

    @property
    def alive(self) -> bool:
        return any(slot.process.is_alive() for slot in self.slots)


class Canary:
    """A task that does nothing: a worker that claims it is alive."""

    def __init__(self) -> None:
        task_id = async_task(CANARY, task_name="canary", save=False)
        newest = OrmQ.objects.order_by("-pk")[:100]
        self.row = next((row.pk for row in newest if row.task.get("id") == task_id), None)
        self.started = time.monotonic()

    def claimed(self) -> bool:
        """Whether the canary was claimed. Its row is locked into the future while it runs, and gone
        afterwards."""
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


NO_WORKER = (
    "No worker is alive, so it waits in the queue: start one with `make serve` or "
    "`python manage.py worker`."
)


class Presence:
    """A shared advisory lock that each worker holds while it runs: if nobody holds it, there is no
    worker."""

    def __init__(self) -> None:
        self.connection = connections["default"].copy()
        self.announced_on: Any = None

    def announce(self) -> None:
        """Take the lock; again if the connection that held it was lost."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            if self.connection.connection is not self.announced_on:
                cursor.execute(
                    "SELECT pg_advisory_lock_shared(%s, %s)", [source_lock.SOURCE_LOCKS, WORKER]
                )
                self.announced_on = self.connection.connection

    def close(self) -> None:
        self.connection.close()

    @staticmethod
    def anybody() -> bool:
        """Whether some worker holds the lock. It may hang, though."""
        return WORKER in source_lock.held(connection)


def is_alive(seconds: float | None = None) -> bool:
    """Whether some worker reads a source or evaluates search, or claims a canary within `seconds`
    (setting CANARY_TIMEOUT)."""
    if not Presence.anybody():
        return False
    if _reads_now():
        return True
    canary = Canary()
    try:
        return canary.wait(settings.CANARY_TIMEOUT if seconds is None else seconds)
    finally:
        canary.discard()


def _reads_now() -> bool:
    lately = timezone.now() - timedelta(seconds=3 * settings.RUN_HEARTBEAT)
    busy = {"state": State.RUNNING, "heartbeat__gte": lately}
    return any(model.objects.filter(**busy).exists() for model in (SourceRun, Evaluation))


class Worker:
    """A cluster that is kept running, and periodic work: lost runs, schedules, missing indexes,
    retention, checkouts of no source. With `run`, chunks are embedded again beside it."""

    def __init__(self, workers: int | None = None) -> None:
        self.cluster = Cluster(workers)
        self.presence = Presence()
        self.reembedder = Reembedder()
        self.outage = Outage()
        self.ended = False
        self.due: dict[str, float] = {}

    def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)
        self.start()
        while not self.ended:
            self.tick()
            self._every(REEMBED_EVERY, "reembed", self.reembedder.look)
            time.sleep(0.1)
        self.stop()

    def start(self) -> None:
        """Fork the processes, then announce them. (Announced earlier, a command that waits for a
        worker would begin too soon.)"""
        self.cluster.start()
        self.tick()

    def stop(self) -> None:
        self.reembedder.stop()
        self.cluster.stop()
        self.presence.close()

    def _end(self, *_: object) -> None:
        self.ended = True

    def tick(self) -> None:
        """Do what is due: check the processes, and from time to time runs and schedules."""
        self.cluster.look()
        self._every(1.0, "wake", self.wake)
        self._every(settings.REAPER_INTERVAL, "tend", self.tend)
        self._every(settings.REAPER_INTERVAL, "prune", self.prune)
        self._every(CLEAN_EVERY, "clean", self.clean)

    def _every(self, seconds: float, name: str, action: Callable[[], None]) -> None:
        now = time.monotonic()
        if now < self.due.get(name, 0.0):
            return
        self.due[name] = now + seconds
        try:
            action()
        except db.Error as error:
            self.outage.goes_on(error)
            connections.close_all()
            self.presence.close()

    def wake(self) -> None:
        self.presence.announce()
        self.outage.is_over()
        for line in recovery.revive():
            logger.warning("%s", line)
        recovery.wake()
        for line in schedules.fire():
            logger.info("%s", line)

    def tend(self) -> None:
        for line in [*recovery.reap(), *evaluations.reap()]:
            logger.warning("%s", line)
        if line := evaluations.follow_runs():
            logger.info("%s", line)
        self._look_for_work_left()
        for name in hnsw.drop_unused():
            logger.info("%s was dropped: no chunk is in it any more.", name)
        if hnsw.missing():
            async_task(BUILD_INDEXES, task_name="build indexes", save=False)

    def prune(self) -> None:
        if line := retention.prune_hourly():
            logger.info("%s", line)

    def clean(self) -> None:
        """Remove the checkouts of sources that are no more."""
        keys = {source.repository_key() for source in Source.objects.exclude(repository="")}
        if number := store.remove_unused(settings.GIT, keys):
            logger.info("%s repositories of no source were removed.", number)

    def _look_for_work_left(self) -> None:
        """Restart free processes if queued tasks are not taken: something is wrong with them."""
        late = timezone.now() - timedelta(seconds=settings.WORKER_STALL_LIMIT)
        if not OrmQ.objects.filter(lock__lt=late).exists():
            return
        busy = {
            worker
            for model in (SourceRun, Evaluation)
            for worker in model.objects.filter(state=State.RUNNING).values_list("worker", flat=True)
        }
        for slot in self.cluster.slots:
            if not any(worker.endswith(f" {slot.process.pid}") for worker in busy):
                logger.error("A task waits though process %s is free: replaced.", slot.process.pid)
                slot.kill()
                connections.close_all()
                slot.start()
