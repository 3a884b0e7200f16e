"""Problems grouped by their cause, and those that are ignored. Every query is bounded by a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import (
    BigIntegerField,
    Count,
    Func,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Left
from django.http import QueryDict

from ingestion.admin.lookups import number_in
from ingestion.models import Failure, IgnoredProblem

ON_A_PAGE = 20  # causes
NAMED = 10  # documents of a cause; the list of all rows has the others
SHOWN_MESSAGE = 2000  # characters; what older versions stored may be longer
TABS = {"error": "Errors", "warning": "Warnings", "ignored": "Ignored"}
# The names that a list's own filters have in an address, so that a link fits both views.
NUMBERS = ("source__id__exact", "source_run__id__exact")
TEXTS = ("stage", "reason__exact")
KEY = ("level", "stage", "reason")
SEPARATOR = "."


@dataclass(frozen=True)
class Chosen:
    """What an address asks for: a tab, filters by their names in it, words, and a page."""

    tab: str = "error"
    filters: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    page: int = 1

    def query(self, **changes: Any) -> str:
        """The address of this view with some changes; what is empty is left out."""
        asked = {"tab": self.tab, **self.filters, "q": self.words, **changes}
        return urlencode({name: value for name, value in asked.items() if value})

    @property
    def filters_query(self) -> str:
        return urlencode(self.filters)

    @property
    def source(self) -> int:
        return int(self.filters.get("source__id__exact", 0))

    @property
    def rows_query(self) -> str:
        """The same choice in the list of all rows."""
        if self.tab == "ignored":
            return urlencode({"standing": "ignored", **self.filters})
        return self.query(tab="", standing="waiting", level__exact=self.tab)

    def narrowed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        rows = rows.filter(**self.filters)
        for word in self.words.split():
            rows = rows.filter(Q(document_url__icontains=word) | Q(message__icontains=word))
        return rows


def chosen(asked: QueryDict) -> Chosen:
    """What is valid in an address; the rest is left out."""
    given = {name: str(value).replace("\x00", "")[:200] for name, value in asked.items()}
    tab = given.get("tab") or given.get("level__exact") or "error"
    filters = {
        name: given[name] for name in NUMBERS if number_in(given.get(name, ""), 9) is not None
    }
    filters |= {name: given[name] for name in TEXTS if given.get(name)}
    page = number_in(given.get("page", ""), 9) or 1
    return Chosen(tab if tab in TABS else "error", filters, given.get("q", ""), page)


@dataclass(frozen=True)
class Cause:
    """Problems that differ only in names and numbers; `text` is the newest one's message.

    `places` counts the documents that have them; `documents` are the first problems.
    """

    level: str
    stage: str
    reason: str
    number: int
    places: int
    sources: Sequence[str]
    last: datetime
    first: datetime
    text: str
    documents: Sequence[Any] = ()

    @property
    def retryable(self) -> int:
        """How many documents a retry reads again."""
        return self.places if self.level == Failure.Level.ERROR else 0

    @property
    def key(self) -> str:
        """What its buttons send, and its parts of the page are named by."""
        return SEPARATOR.join((self.level, self.stage, self.reason))


def waiting(chosen: Chosen) -> QuerySet[Failure]:
    """The problems of a tab that need somebody."""
    return chosen.narrowed(Failure.objects.waiting().filter(level=chosen.tab))


def of_group(rows: QuerySet[Failure], key: str) -> QuerySet[Failure]:
    """Those of one cause, given by its key."""
    given = key.replace("\x00", "").split(SEPARATOR)
    return rows.filter(**dict(zip(KEY, given, strict=True))) if len(given) == 3 else rows.none()


def causes(chosen: Chosen) -> tuple[list[Cause], bool]:
    """The causes on a page, the most frequent first, and whether there are more."""
    rows = waiting(chosen).order_by()
    groups = rows.values(*KEY).annotate(
        number=Count("pk"),
        newest=Max("pk"),
        last=Max("created_at"),
    )
    start = (chosen.page - 1) * ON_A_PAGE
    found = list(groups.order_by("-number", *KEY)[start : start + ON_A_PAGE + 1])
    shown = found[:ON_A_PAGE]
    newest = _newest(group.pop("newest") for group in shown)
    named, sources, places = _documents(rows, shown), _sources(rows, shown), _places(rows, shown)
    return [
        _cause(group | {"places": places.get(key, 0)}, newest[key], named[key], sources[key])
        for group in shown
        for key in [tuple(group[name] for name in KEY)]
    ], len(found) > ON_A_PAGE


def _cause(
    group: dict[str, Any], newest: Any, named: Sequence[Any], sources: Sequence[str]
) -> Cause:
    return Cause(
        **group, first=newest.first, text=newest.beginning, documents=named, sources=sources
    )


def key_of(row: Failure) -> tuple[str, str, str]:
    return row.level, row.stage, row.reason


def _newest(keys: Iterable[int]) -> dict[tuple[Any, ...], Any]:
    """The newest row of each cause, with its message, and when it was met `first`, by any run."""
    same = Failure.objects.filter(reason=OuterRef("reason"), level=OuterRef("level"))
    first = same.order_by("created_at").values("created_at")[:1]
    rows = brief(Failure.objects.filter(pk__in=list(keys))).annotate(first=Subquery(first))
    return {key_of(row): row for row in rows}


def _sources(
    rows: QuerySet[Failure], groups: Iterable[Mapping[str, Any]]
) -> Mapping[tuple[Any, ...], list[str]]:
    """The names of the sources of each group. Beside the counts they would have to be sorted."""
    found: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    wanted = rows.filter(reason__in=[group["reason"] for group in groups])
    for *key, name in wanted.values_list(*KEY, "source__name").distinct():
        found[tuple(key)].append(name)
    return found


def _places(
    rows: QuerySet[Failure], groups: Iterable[Mapping[str, Any]]
) -> Mapping[tuple[Any, ...], int]:
    """The number of documents of each group. Numbers made of addresses are counted, because these
    are sorted for it."""
    number = Func(
        "document_url", Value(0), function="hashtextextended", output_field=BigIntegerField()
    )
    wanted = rows.filter(reason__in=[group["reason"] for group in groups]).exclude(document_url="")
    counted = wanted.values_list(*KEY).annotate(places=Count(number, distinct=True))
    return {tuple(key): places for *key, places in counted}


def _documents(
    rows: QuerySet[Failure], groups: Iterable[Mapping[str, Any]]
) -> Mapping[tuple[Any, ...], list[Any]]:
    """The first rows of each group, in one query."""
    found: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    parts = [
        brief(rows.filter(**{name: group[name] for name in KEY})).order_by("-pk")[:NAMED]
        for group in groups
    ]
    for row in parts[0].union(*parts[1:], all=True) if parts else ():
        found[key_of(row)].append(row)
    return found


def brief(failures: QuerySet[Failure]) -> QuerySet[Any]:
    """The failures with the `beginning` of each message, and without the whole of it."""
    return failures.defer("message").annotate(beginning=Left("message", SHOWN_MESSAGE))


@dataclass(frozen=True)
class Ignoring:
    """What one person ignores for one cause with one note; `rows` are the first of it."""

    text: str
    level: str
    stage: str
    note: str
    who: str
    last: datetime
    number: int
    sources: Sequence[str]
    rows: Sequence[IgnoredProblem]


def ignored(chosen: Chosen) -> QuerySet[IgnoredProblem]:
    mine = {name: value for name, value in chosen.filters.items() if "run" not in name}
    return Chosen(filters=mine, words=chosen.words).narrowed(IgnoredProblem.objects.all())


def ignorings(chosen: Chosen) -> tuple[list[Ignoring], bool]:
    """What is ignored on a page, the newest first, and whether there is more."""
    rows = ignored(chosen)
    groups = rows.order_by().values("reason", "note", "ignored_by")
    groups = groups.annotate(
        number=Count("pk"),
        newest=Max("pk"),
        last=Max("ignored_at"),
        sources=ArrayAgg("source__name", distinct=True),
    )
    start = (chosen.page - 1) * ON_A_PAGE
    found = list(groups.order_by("-newest")[start : start + ON_A_PAGE + 1])
    return [_ignoring(rows, group) for group in found[:ON_A_PAGE]], len(found) > ON_A_PAGE


def _ignoring(rows: QuerySet[IgnoredProblem], group: Mapping[str, Any]) -> Ignoring:
    same = {name: group[name] for name in ("reason", "note", "ignored_by")}
    named = list(alike(rows, same).select_related("ignored_by").order_by("-pk")[:NAMED])
    first = named[0]
    return Ignoring(
        text=first.message,
        level=first.level,
        stage=first.stage,
        note=first.note,
        who=str(first.ignored_by or "somebody who has left"),
        last=group["last"],
        number=group["number"],
        sources=group["sources"],
        rows=named,
    )


def alike(rows: QuerySet[IgnoredProblem], same: Mapping[str, Any]) -> QuerySet[IgnoredProblem]:
    """The rows of one cause that one person ignores with one note."""
    who = same["ignored_by"]
    by = {"ignored_by": who} if who else {"ignored_by__isnull": True}
    return rows.filter(reason=same["reason"], note=same["note"], **by)


def counts(chosen: Chosen) -> dict[str, int]:
    """The number on each tab, with the filters of the address."""
    rows = chosen.narrowed(Failure.objects.waiting()).order_by().values_list("level")
    found: dict[str, int] = dict(rows.annotate(number=Count("pk")))
    return {
        **{level: found.get(level, 0) for level in Failure.Level.values},
        "ignored": ignored(chosen).count(),
        "rows": chosen.narrowed(Failure.objects.all()).count(),
    }
