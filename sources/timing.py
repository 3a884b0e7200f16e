"""Schedules in words: the cron line of a source as hourly, daily or weekly, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time

from croniter import croniter
from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format

OFF, HOURLY, DAILY, WEEKLY, CUSTOM = "off", "hourly", "daily", "weekly", "custom"
KINDS = (
    (OFF, "Off: only by hand"),
    (HOURLY, "Hourly"),
    (DAILY, "Daily"),
    (WEEKLY, "Weekly"),
    (CUSTOM, "Custom (a cron line)"),
)
DAYS = (
    *(("1", "Monday"), ("2", "Tuesday"), ("3", "Wednesday"), ("4", "Thursday")),
    *(("5", "Friday"), ("6", "Saturday"), ("0", "Sunday")),
)
SHOWN = 3  # times that are named


@dataclass(frozen=True)
class Timing:
    """A schedule by its parts, of which each kind uses its own."""

    kind: str
    minute: int = 0
    at: time = time(3)
    day: str = "1"
    line: str = ""

    @property
    def cron(self) -> str:
        clock = f"{self.at.minute} {self.at.hour} * *"
        lines = {OFF: "", HOURLY: f"{self.minute} * * * *", DAILY: f"{clock} *"}
        return (lines | {WEEKLY: f"{clock} {self.day}"}).get(self.kind, self.line)


def timing(cron: str) -> Timing:
    """The parts of a cron line; `custom` if it is none of the simple kinds."""
    line = " ".join(cron.split())
    if not line:
        return Timing(OFF)
    found = re.fullmatch(r"(\d+) (\*|\d+) \* \* (\*|[0-7])", line)
    if not found or not croniter.is_valid(line):
        return Timing(CUSTOM, line=cron)
    minute, hour, day = found.groups()
    if hour == "*":
        return Timing(HOURLY, minute=int(minute)) if day == "*" else Timing(CUSTOM, line=cron)
    at = time(int(hour), int(minute))
    return Timing(DAILY, at=at) if day == "*" else Timing(WEEKLY, at=at, day=str(int(day) % 7))


def typed(form: Mapping[str, str]) -> Timing:
    """The schedule as a form has it now; what cannot be read counts as not given."""
    standard = Timing(form.get("schedule_kind", OFF))
    minute, day = form.get("schedule_minute", ""), form.get("schedule_day", "")
    try:
        at = time.fromisoformat(form.get("schedule_time", ""))
    except ValueError:
        at = standard.at
    return Timing(
        kind=standard.kind,
        minute=int(minute) if re.fullmatch(r"[1-5]?[0-9]", minute) else 0,
        at=at,
        day=day if day in dict(DAYS) else standard.day,
        line=form.get("schedule", "")[:100],
    )


def sentence(cron: str) -> str:
    """When a source is read by itself, with the time zone."""
    it = timing(cron)
    zone = settings.TIME_ZONE
    if it.kind == OFF:
        return "It is read only when somebody asks."
    if it.kind == HOURLY:
        return f"Every hour, {it.minute} minutes past ({zone})."
    if it.kind == CUSTOM:
        return f"By the cron line {it.line} ({zone})."
    how_often = "day" if it.kind == DAILY else dict(DAYS)[it.day]
    return f"Every {how_often} at {it.at:%H:%M} ({zone})."


def next_times(cron: str, now: datetime | None = None) -> list[datetime]:
    """The next times of a cron line; none if it is empty, wrong, or never comes."""
    if not cron or not croniter.is_valid(cron):
        return []
    times = croniter(cron, timezone.localtime(now))
    try:
        return [times.get_next(datetime) for _ in range(SHOWN)]
    except ValueError:  # a day that no year has
        return []


def described(cron: str) -> str:
    """The sentence with the next times."""
    if cron and not croniter.is_valid(cron):
        return f"{cron!r} is not a cron line. Example: 0 3 * * 1-5"
    times = ", ".join(date_format(when, "D j M H:i") for when in next_times(cron))
    return f"{sentence(cron)} Next: {times}." if times else sentence(cron)
