"""Notice what people should be told of, and what is over, whichever process looks.

Every web process has a watcher, and so has the worker. A lock lets one of them look at a time, and
the rows say what was noticed, so each cause is told of once however many there are.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from datetime import datetime, timedelta

from django import db
from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone

from ingestion.index.session_lock import session_lock
from ingestion.models import Notification, NotificationMessage
from ingestion.notifications import causes, channels, delivery
from ingestion.notifications.causes import Cause
from ingestion.processes.parent_death import die_with_parent

logger = logging.getLogger(__name__)

WATCHING = 0x627077  # the first key of the advisory lock of the one that looks; the second is 0
MISSED_LOOKS = 3  # after so many without any, nobody knows whether something lasted
Event = NotificationMessage.Event


def start_thread() -> None:
    """Watch from a web process, if there is somebody to tell."""
    if channels.configured():
        threading.Thread(target=_watch, daemon=True, name="notifications").start()


def start_process() -> None:
    """Watch beside the worker, if there is somebody to tell. What forks has no threads."""
    if channels.configured():
        context = multiprocessing.get_context("fork")
        context.Process(target=_beside, args=[os.getpid()], daemon=True).start()


def _beside(parent: int) -> None:
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _watch()


def _watch() -> None:
    while True:
        turn()
        time.sleep(settings.REAPER_INTERVAL)


def turn() -> None:
    """Look once, and send what is due, unless another process does so now."""
    try:
        with session_lock(WATCHING, 0) as is_held:
            if is_held:
                look(timezone.now())
                delivery.deliver_due()
    except db.Error as error:
        logger.warning("Nobody can be told while the database does not answer: %s", error)
    except Exception:
        logger.exception("A look for what people should be told failed")
    finally:
        connections.close_all()


def look(now: datetime) -> None:
    """Bring the rows up to date with what is wrong now."""
    found = {cause.key: cause for cause in causes.present(now)}
    known = {row.cause: row for row in Notification.objects.filter(over=None)}
    for key, cause in found.items():
        _notice(known.get(key), cause, now)
    for key in known.keys() - found.keys():
        if not causes.is_unknown(key):
            _end(known[key], now)


@transaction.atomic
def _notice(row: Notification | None, cause: Cause, now: datetime) -> None:
    since = row.since if row and _lasted(row, now) else cause.since or now
    fields = {"text": cause.text, "title": cause.title, "since": since, "seen": now}
    if row is None:
        fields |= {"source_name": cause.source_name}
        row = Notification.objects.create(cause=cause.key, **fields)
    else:
        Notification.objects.filter(pk=row.pk).update(**fields)
    if row.told is None and now - since >= cause.patience:
        Notification.objects.filter(pk=row.pk).update(told=now)
        _write(row, Event.BEGAN, channels.configured(), now)


def _lasted(row: Notification, now: datetime) -> bool:
    """Whether it was there all the time, as far as anybody knows: who was told knows so."""
    gap = timedelta(seconds=MISSED_LOOKS * settings.REAPER_INTERVAL + channels.MOST_SECONDS)
    return row.told is not None or now - row.seen <= gap


@transaction.atomic
def _end(row: Notification, now: datetime) -> None:
    """Tell those who were told; what has mended itself before is forgotten."""
    if row.told is None:
        row.delete()
        return
    Notification.objects.filter(pk=row.pk).update(over=now)
    told = row.messages.filter(event=Event.BEGAN).values_list("channel", flat=True)
    _write(row, Event.OVER, list(told), now)


def _write(row: Notification, event: str, names: list[str], now: datetime) -> None:
    NotificationMessage.objects.bulk_create(
        NotificationMessage(notification=row, channel=name, event=event, next_try=now)
        for name in names
    )
