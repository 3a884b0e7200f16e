"""The list of runs: what is shown and filtered of each comes from its source runs, summed up by the
database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    Case,
    Exists,
    IntegerField,
    Max,
    Min,
    OuterRef,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from ingestion.admin.lookups import number_in
from ingestion.models import OPEN_STATES, Run, SourceRun, State
from sources.models import Source

SUMS = ("added", "changed", "removed", "failures", "warnings")
# The order of the column of states.
RANKS = (
    *(State.RUNNING, State.WAITING, State.QUEUED, State.NEEDS_APPROVAL, State.FAILED),
    *(State.INTERRUPTED, State.PARTIAL, State.CANCELLED, State.SUCCEEDED),
)
PERIODS = {"1": "today and yesterday", "7": "the last week", "30": "the last month"}


def summed_up(runs: QuerySet[Run]) -> QuerySet[Any]:
    """The runs with the sums over their sources, the names of these, and their states. For a page
    of the list each is worked out for the rows of that page alone."""
    mine = SourceRun.objects.filter(run=OuterRef("pk")).order_by()
    grouped = mine.values("run")
    sums = {f"sum_{name}": Coalesce(_of(grouped, Sum(name)), 0) for name in SUMS}
    names = mine.values("source_name").distinct().order_by("source_name")
    return runs.annotate(
        **sums,
        names=ArraySubquery(names),
        states=ArraySubquery(mine.values("state").distinct()),
        rank=_of(grouped, Min(_rank())),
        period=_of(grouped, Max("finished_at") - Min("started_at")),
    )


def _of(grouped: QuerySet[Any], figure: Any) -> Subquery:
    return Subquery(grouped.annotate(figure=figure).values("figure"))


def _rank() -> Case:
    places = [When(state=state, then=Value(place)) for place, state in enumerate(RANKS)]
    return Case(*places, default=Value(len(RANKS)), output_field=IntegerField())


def is_open(states: Sequence[str]) -> bool:
    return any(state in OPEN_STATES for state in states)


def named(names: Sequence[str]) -> str:
    """The name of the one source, or how many there are, with the names as title."""
    if len(names) < 3:
        return ", ".join(names) or "none left"
    return format_html('<span title="{}">{} sources</span>', ", ".join(names), len(names))


class SourceFilter(admin.SimpleListFilter):
    title = "source"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        known = Source.objects.order_by("name").values_list("pk", "name")
        return [(str(pk), name) for pk, name in known]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(Exists(asked(source=self.value()))) if self.value() else queryset


class StateFilter(admin.SimpleListFilter):
    """Runs with a source in a state; if a source is chosen too, it is that one."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "going on"), *((state.value, state.label) for state in RANKS)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        states = OPEN_STATES if value == "open" else [value]
        rows = asked(source=request.GET.get("source", ""))
        return queryset.filter(Exists(rows.filter(state__in=states)))


class TimeFilter(admin.SimpleListFilter):
    title = "time"
    parameter_name = "days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(PERIODS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in PERIODS:
            return queryset
        today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
        return queryset.filter(created_at__gte=today - timedelta(days=int(self.value() or 0)))


def asked(source: str | None) -> QuerySet[SourceRun]:
    """The source runs of a run, in a query over runs; of one source, if its number is given."""
    mine = SourceRun.objects.filter(run=OuterRef("pk"))
    pk = number_in(source or "", 9)
    return mine if pk is None else mine.filter(source=pk)
