"""Send the messages that are due, each until its receiver has taken it, with growing pauses.

An attempt is counted before it begins, and its success is recorded afterwards: what is killed in
between is sent once more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from ingestion.models import NotificationMessage
from ingestion.notifications import channels
from ingestion.notifications.channels import Note, NotSent

logger = logging.getLogger(__name__)

LONGEST_PAUSE = timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(days=3)
Event = NotificationMessage.Event


def deliver_due() -> None:
    """Try what is due, in order. A channel that fails is left alone until the next call."""
    for channel in channels.configured():
        while (message := due(channel).first()) and deliver(message):
            continue


def due(channel: str) -> QuerySet[NotificationMessage]:
    """Those to be sent now; that something is over only after that it began."""
    now = timezone.now()
    began = NotificationMessage.objects.filter(
        notification=OuterRef("notification"), channel=channel, event=Event.BEGAN, sent_at=None
    )
    rows = NotificationMessage.objects.filter(channel=channel, sent_at=None, next_try__lte=now)
    rows = rows.exclude(event=Event.TEST).filter(created_at__gt=now - GIVEN_UP_AFTER)
    first = rows.exclude(Exists(began), event=Event.OVER)
    return first.select_related("notification").order_by("pk")


def deliver(message: NotificationMessage) -> bool:
    """Try to send a message, and record what became of it; whether it was sent."""
    row = NotificationMessage.objects.filter(pk=message.pk)
    attempts = message.attempts + 1
    row.update(attempts=attempts, next_try=timezone.now() + pause(attempts))
    try:
        answer = channels.send(message.channel, note_of(message))
    except NotSent as error:
        logger.warning("Message %s by %s: %s", message.pk, message.channel, error)
        row.update(answer=str(error))
        return False
    row.update(answer=answer, sent_at=timezone.now())
    return True


def pause(attempts: int) -> timedelta:
    """The time until the next attempt: as long as between two looks, then twice as long each."""
    seconds = settings.REAPER_INTERVAL * 2.0 ** min(attempts - 1, 20)
    return min(timedelta(seconds=seconds), LONGEST_PAUSE)


def note_of(message: NotificationMessage) -> Note:
    told = message.notification
    if told is None:
        text = "This is a test: messages of bbjrag arrive here."
        return Note(message.pk, message.event, "test", "Test", text)
    return Note(
        id=message.pk,
        event=message.event,
        cause=told.cause,
        title=told.title,
        text=told.text,
        source=told.source_name,
        since=_written(told.since),
        over=_written(told.over) if message.event == Event.OVER else "",
    )


def _written(moment: datetime | None) -> str:
    return timezone.localtime(moment).isoformat(timespec="seconds") if moment else ""


def send_tests() -> list[int]:
    """Send a test by each channel, in a thread beside; the keys of the messages."""
    now = timezone.now()
    made = [
        NotificationMessage.objects.create(channel=name, event=Event.TEST, next_try=now)
        for name in channels.configured()
    ]
    threading.Thread(target=_deliver_all, args=[made], daemon=True).start()
    return [message.pk for message in made]


def _deliver_all(messages: Iterable[NotificationMessage]) -> None:
    try:
        for message in messages:
            deliver(message)
    finally:
        connection.close()
