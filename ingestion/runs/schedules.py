"""Start runs at the times of the sources' cron lines, in the time zone of the settings.

However many times were missed (no worker, or the source was being read), it is read once.
"""

from __future__ import annotations

from datetime import datetime

from croniter import croniter
from django.db import transaction
from django.utils import timezone

from ingestion.models import Run, ScheduledRun
from ingestion.runs import requests
from sources.models import Source


def next_time(cron: str, after: datetime) -> datetime:
    local = timezone.localtime(after)
    moment: datetime = croniter(cron, local).get_next(datetime)
    return moment


def fire(now: datetime | None = None) -> list[str]:
    """Request a run of each source that is due; a sentence for each."""
    now = now or timezone.now()
    scheduled = {row.source_id: row for row in ScheduledRun.objects.all()}
    messages = []
    for source in Source.objects.filter(enabled=True).exclude(schedule=""):
        row = scheduled.pop(source.pk, None)
        if row is None or row.cron != source.schedule:
            _plan(source, now)
        elif row.at <= now:
            messages.append(_fire(source, row, now))
    ScheduledRun.objects.filter(pk__in=[row.pk for row in scheduled.values()]).delete()
    return [line for line in messages if line]


def _plan(source: Source, now: datetime) -> None:
    """Plan the next time of new schedules, from now on."""
    fields = {"cron": source.schedule, "at": next_time(source.schedule, now)}
    ScheduledRun.objects.update_or_create(source=source, defaults=fields)


@transaction.atomic
def _fire(source: Source, row: ScheduledRun, now: datetime) -> str:
    mine = ScheduledRun.objects.filter(pk=row.pk, at=row.at)
    if not mine.update(at=next_time(source.schedule, now)):
        return ""  # another worker was first
    asked = requests.request([source], origin=Run.Origin.SCHEDULE)
    verb = "joined" if asked.joined else "started"
    return f"The schedule of {source.name} {verb} run {asked.run.pk}."
