"""The number of chunks in the index over time, as a drawing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models.functions import TruncDate
from django.utils import timezone

from ingestion.models import SourceRun

DAYS = 90
WIDTH, HEIGHT = 600.0, 100.0


@dataclass(frozen=True)
class Growth:
    """`points` are day and chunks at its end; `line` and `area` are SVG paths over them."""

    points: list[tuple[date, int]]
    line: str
    area: str

    @property
    def first(self) -> int:
        return self.points[0][1]

    @property
    def last(self) -> int:
        return self.points[-1][1]


def growth(now: datetime | None = None) -> Growth | None:
    """The last DAYS days; None if fewer than two of them are known."""
    today = timezone.localtime(now).date()
    points = _totals(today - timedelta(days=DAYS), today)
    if len(points) < 2:
        return None
    most = max(chunks for _, chunks in points) or 1
    span = (points[-1][0] - points[0][0]).days
    places = [
        (WIDTH * (day - points[0][0]).days / span, HEIGHT * (1 - chunks / most))
        for day, chunks in points
    ]
    line = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return Growth(points, line, f"{line} L{WIDTH:.0f} {HEIGHT:.0f} L0 {HEIGHT:.0f}Z")


def _totals(first: date, today: date) -> list[tuple[date, int]]:
    """For each day with a run, and today, the chunks of all sources at its end."""
    by_source: dict[int, int] = {}
    by_day: dict[date, int] = {}
    for source, day, chunks in _last_of_each_day():
        by_source[source] = chunks
        if day >= first:
            by_day[day] = sum(by_source.values())
    if by_day:
        by_day[today] = sum(by_source.values())
    return sorted(by_day.items())


def _last_of_each_day() -> Iterable[tuple[int, date, int]]:
    """Source, day and chunks of the last run that each source finished on a day, by day."""
    ended = SourceRun.objects.filter(finished_at__isnull=False, source__isnull=False)
    rows = (
        ended.annotate(day=TruncDate("finished_at"))
        .order_by("day", "source", "-pk")
        .distinct("day", "source")
    )
    return rows.values_list("source", "day", "chunks")
