"""The page of what people and assistants asked: what most, what without a good answer, and of which
source. It says what to write next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Q, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from ingestion.admin.questions import may_name
from ingestion.models import AskedQuery, Question
from ingestion.search import questions
from ingestion.search.gaps import Group, grouped
from ingestion.search.trust import DOUBTFUL
from sources.models import Source

TOP = 20
GAPS_LOOKED_AT = 500  # different queries, the newest
GROUPS_SHOWN = 30
KEPT_SHOWN = 100
WORDINGS_SHOWN = 4  # of a group, beside the first

Wrap = Callable[..., Any]
Context = Callable[[HttpRequest], dict[str, Any]]


@dataclass(frozen=True)
class Gap:
    """Questions about the same that nothing answers well. `kept`: the key of the question, if
    somebody keeps it as a gap; then it may not have been asked lately."""

    query: str
    group: Group | None
    kept: int | None

    @property
    def url(self) -> str:
        return search_url(self.query)

    @property
    def others(self) -> list[AskedQuery]:
        return self._others[:WORDINGS_SHOWN]

    @property
    def more(self) -> int:
        return max(len(self._others) - WORDINGS_SHOWN, 0)

    @property
    def _others(self) -> list[AskedQuery]:
        queries = self.group.queries if self.group else []
        return [row for row in queries if row.query != self.query]


@dataclass(frozen=True)
class OfSource:
    """How often the best hit was one of the source; `share` of them were answered, in percent."""

    name: str
    url: str
    number: int
    doubtful: int
    share: float


def paths(wrap: Wrap, context: Context) -> list[URLPattern]:
    def page(request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm("ingestion.view_askedquery"):
            raise PermissionDenied
        shown = {**context(request), "title": "What people asked", **asked()}
        shown["may_name"] = may_name(request)
        return TemplateResponse(request, "admin/asked.html", shown)

    return [path("asked/", wrap(page), name="asked")]


def asked() -> dict[str, Any]:
    rows = AskedQuery.objects.order_by()
    doubtful = Q(trusted__lt=DOUBTFUL)
    total = rows.aggregate(number=Count("pk"), doubtful=Count("pk", filter=doubtful))
    return {
        "days": settings.QUERY_LOG_DAYS,
        "total": total["number"],
        "doubtful": total["doubtful"],
        "different": rows.aggregate(number=Count("same", distinct=True))["number"],
        "gaps": gaps(),
        "kept": questions.gaps().count(),
        "top": top(),
        "by_source": by_source(),
    }


def gaps() -> list[Gap]:
    """What people keep as gaps, and what was not answered well when it was asked last, unless
    somebody named the answer since."""
    groups = _doubtful()
    queries = {row.query for group in groups for row in group.queries}
    answered = set(_same_words(questions.answered(), queries))
    open_groups = [group for group in groups if not answered & _words(group)]
    kept = dict(questions.gaps().order_by("-pk").values_list("query", "pk")[:KEPT_SHOWN])
    shown = [_kept(query, pk, open_groups) for query, pk in kept.items()]
    taken = [gap.group for gap in shown if gap.group]
    rest = [group for group in open_groups if group not in taken]
    return [
        *sorted(shown, key=lambda gap: -(gap.group.number if gap.group else 0)),
        *(Gap(group.first.query, group, None) for group in rest[:GROUPS_SHOWN]),
    ]


def _doubtful() -> list[Group]:
    newest = AskedQuery.objects.order_by("same", "-at").distinct("same").values("pk")
    rows = AskedQuery.objects.filter(pk__in=newest, trusted__lt=DOUBTFUL).order_by("-at")
    found = list(rows[:GAPS_LOOKED_AT])
    counted = AskedQuery.objects.filter(same__in=[row.same for row in found]).order_by()
    number = dict(counted.values_list("same").annotate(number=Count("pk")))
    return grouped((row, number.get(row.same, 1)) for row in found)


def _same_words(rows: QuerySet[Question], queries: Iterable[str]) -> QuerySet[Question, str]:
    """Those of the queries, in small letters, that are questions."""
    lowered = rows.order_by().annotate(lowered=Lower("query"))
    wanted = [query.lower() for query in queries]
    return lowered.filter(lowered__in=wanted).values_list("lowered", flat=True)


def _words(group: Group) -> set[str]:
    return {row.query.lower() for row in group.queries}


def _kept(query: str, pk: int, groups: Iterable[Group]) -> Gap:
    group = next((one for one in groups if query.lower() in _words(one)), None)
    return Gap(query, group, pk)


def top() -> list[tuple[AskedQuery, int, str, bool]]:
    """What was asked most: the newest of each, how often, the search for it, and whether it was
    answered."""
    rows = (
        AskedQuery.objects.order_by().values("same").annotate(number=Count("pk"), newest=Max("pk"))
    )
    most = list(rows.order_by("-number", "-newest").values_list("newest", "number")[:TOP])
    found = AskedQuery.objects.defer("embedding").in_bulk([pk for pk, _ in most])
    return [
        (found[pk], number, search_url(found[pk].query), found[pk].trusted >= DOUBTFUL)
        for pk, number in most
    ]


def by_source() -> list[OfSource]:
    rows = AskedQuery.objects.exclude(source_name="").order_by().values_list("source_name")
    doubtful = Count("pk", filter=Q(trusted__lt=DOUBTFUL))
    keys = dict(Source.objects.values_list("name", "pk"))
    found = rows.annotate(number=Count("pk"), doubtful=doubtful).order_by("-number")
    return [
        OfSource(
            name=name,
            url=reverse("admin:sources_source_change", args=[keys[name]]) if name in keys else "",
            number=number,
            doubtful=doubted,
            share=100 * (number - doubted) / number,
        )
        for name, number, doubted in found
    ]


def search_url(query: str) -> str:
    """The search page with the query, where a hit can be named as the answer to it."""
    return f"{reverse('admin:search')}?{urlencode({'q': query, 'for': query})}"
