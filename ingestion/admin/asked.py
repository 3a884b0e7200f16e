"""The page of what people and assistants asked: what most, what without a good answer, and of which
source. It says what to write next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from ingestion.models import AskedQuery
from ingestion.search.gaps import Group, grouped
from ingestion.search.trust import DOUBTFUL
from sources.models import Source

TOP = 20
GAPS_LOOKED_AT = 500  # different queries, the newest
GROUPS_SHOWN = 30
WORDINGS_SHOWN = 4  # of a group, beside the first

Wrap = Callable[..., Any]
Context = Callable[[HttpRequest], dict[str, Any]]


@dataclass(frozen=True)
class Gap:
    """Questions about the same that got no good answer."""

    group: Group
    url: str

    @property
    def others(self) -> list[AskedQuery]:
        return self.group.queries[1 : 1 + WORDINGS_SHOWN]

    @property
    def more(self) -> int:
        return max(len(self.group.queries) - 1 - WORDINGS_SHOWN, 0)


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
        "top": top(),
        "by_source": by_source(),
    }


def gaps() -> list[Gap]:
    """The groups of what was not answered well when it was asked last."""
    newest = AskedQuery.objects.order_by("same", "-at").distinct("same").values("pk")
    rows = AskedQuery.objects.filter(pk__in=newest, trusted__lt=DOUBTFUL).order_by("-at")
    found = list(rows[:GAPS_LOOKED_AT])
    counted = AskedQuery.objects.filter(same__in=[row.same for row in found]).order_by()
    number = dict(counted.values_list("same").annotate(number=Count("pk")))
    groups = grouped((row, number.get(row.same, 1)) for row in found)
    return [Gap(group, search_url(group.first.query)) for group in groups[:GROUPS_SHOWN]]


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
    return f"{reverse('admin:search')}?{urlencode({'q': query})}"
