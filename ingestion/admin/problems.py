"""The pages of problems: grouped by cause, ignored, all rows, one row; and what can be done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from ingestion.admin import actions, causes
from ingestion.admin.causes import Chosen, brief
from ingestion.admin.display import ago, badge
from ingestion.admin.downloads import AT_ONCE, Downloads
from ingestion.admin.lookups import number_in
from ingestion.admin.read_only import ReadOnlyAdmin
from ingestion.documents import shortened
from ingestion.models import Document, Failure, IgnoredProblem, ignoring
from sources.models import Source

LISTED_MESSAGE = 300  # characters of a message in the list of all rows
# Where problems come from, in the order of a document.
STAGES = ("source", "fetch", "read", "parse", "chunk", "embed", "store")
SAY_WHY = "Nothing is ignored yet: say why, for whoever reads the list of what is ignored."


class Standing(admin.SimpleListFilter):
    title = "state"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "open"), ("ignored", "ignored"), ("over", "over")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "waiting":
            return queryset.waiting()
        if self.value() == "ignored":
            return queryset.open().ignored()
        return queryset.filter(resolved=True) if self.value() == "over" else queryset


class ProblemAdmin(Downloads, ReadOnlyAdmin):
    page = "admin/ingestion/failure/page.html"
    change_list_template = "admin/ingestion/failure/rows.html"
    list_display = ("standing", "what", "document", "source", "stage", "when")
    list_display_links = ("what",)
    list_filter = (Standing, "level", "source", "stage")
    linked_lookups = ("source_run__id__exact", "reason__exact", "resolved__exact")
    list_select_related = ("source",)
    search_fields = ("document_url", "message")
    csv_columns = (*("level", "state", "source", "document", "stage", "message", "when", "run"),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Failure]:
        return brief(Failure.objects.all())

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path(f"{name}/", wrap(getattr(self, name)), name=f"ingestion_problem_{name}")
            for name in ("rows", "retry", "ignore", "undo")
        ]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The problems by their cause."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = causes.chosen(request.GET)
        found: Any
        found, more = (causes.ignorings if asked.tab == "ignored" else causes.causes)(asked)
        context = {
            **self.admin_site.each_context(request),
            **self._tabs(asked),
            "opts": self.opts,
            "title": "Problems",
            "found": found,
            "sources": Source.objects.order_by("name").values_list("pk", "name"),
            "stages": STAGES,
            "next": asked.query(page=asked.page + 1) if more else "",
            "previous": asked.query(page=asked.page - 1) if asked.page > 1 else "",
        }
        return TemplateResponse(request, "admin/ingestion/failure/list.html", context)

    def _tabs(self, asked: Chosen) -> dict[str, Any]:
        numbers = causes.counts(asked)
        tabs = [
            (title, numbers[tab], "?" + asked.query(tab=tab), asked.tab == tab)
            for tab, title in causes.TABS.items()
        ]
        return {"tabs": tabs, "chosen": asked, "all_rows": numbers["rows"]}

    def rows(self, request: HttpRequest) -> HttpResponse:
        """The list of all rows, with the admin's own filters."""
        asked = causes.chosen(request.GET)
        kept = {name: text for name, text in asked.filters.items() if name != "reason__exact"}
        tabs = self._tabs(Chosen(filters=kept, words=asked.words))
        here = reverse("admin:ingestion_failure_changelist")
        tabs["tabs"] = [
            (title, number, here + url, False) for title, number, url, _ in tabs["tabs"]
        ]
        return super().changelist_view(request, {**tabs, "title": "Problems"})

    def csv_cells(self, rows: QuerySet[Any]) -> Iterator[tuple[object, ...]]:
        rows = rows.select_related("source", "source_run").annotate(ignored=Exists(ignoring()))
        for row in rows.iterator(AT_ONCE):
            standing = "over" if row.resolved else "ignored" if row.ignored else "open"
            name = row.source.name if row.source else ""
            what = (row.document_url, row.stage, row.beginning)
            yield (row.level, standing, name, *what, row.created_at, row.source_run.run_id)

    def retry(self, request: HttpRequest) -> HttpResponse:
        return self._act(request, "ingestion.start_run", retry)

    def ignore(self, request: HttpRequest) -> HttpResponse:
        return self._act(request, "ingestion.ignore_problem", ignore)

    def undo(self, request: HttpRequest) -> HttpResponse:
        return self._act(request, "ingestion.ignore_problem", undo)

    def _act(self, request: HttpRequest, permission: str, act: Any) -> HttpResponse:
        if not request.user.has_perm(permission):
            raise PermissionDenied
        asked = causes.chosen(request.GET)
        there = f"{reverse('admin:ingestion_failure_changelist')}?{asked.query()}"
        if request.method != "POST":
            return actions.not_done(request, there)
        run = act(request, asked)
        return HttpResponseRedirect(
            reverse("admin:ingestion_run_change", args=[run]) if run else there
        )

    @admin.display(description="message", ordering="message")
    def what(self, failure: Any) -> str:
        return shortened(failure.beginning, LISTED_MESSAGE)

    @admin.display(description="document", ordering="document_url")
    def document(self, failure: Failure) -> str:
        return failure.document_url or "the source itself"

    @admin.display(description="state", ordering="resolved")
    def standing(self, failure: Failure) -> str:
        if failure.resolved:
            return badge("off", f"{failure.level}, over")
        return badge("bad" if failure.level == Failure.Level.ERROR else "warn", failure.level)

    @admin.display(description="when", ordering="created_at")
    def when(self, failure: Failure) -> str:
        return ago(failure.created_at)

    def details(self, request: HttpRequest, obj: Failure) -> dict[str, Any]:
        same = Failure.objects.filter(reason=obj.reason, document_url=obj.document_url)
        covers = IgnoredProblem.objects.filter(
            source=obj.source_id, document_url=obj.document_url, reason=obj.reason
        )
        return {
            "title": shortened(obj.message, 120),
            "document": Document.objects.filter(url=obj.document_url).first(),
            "ignoring": covers.select_related("ignored_by").first(),
            "first": same.order_by("created_at").first(),
            "alike": Failure.objects.waiting().filter(reason=obj.reason, level=obj.level).count(),
        }


def _group(request: HttpRequest, asked: Chosen) -> QuerySet[Failure]:
    """What a button stands for: one row, or all of a cause that the filters leave."""
    if one := request.POST.get("failure", ""):
        return Failure.objects.waiting().filter(pk=number_in(one) or 0)
    key = request.POST.get("group", "")
    level = key.partition(causes.SEPARATOR)[0]
    rows = causes.waiting(Chosen(level, asked.filters, asked.words))
    return causes.of_group(rows, key)


def retry(request: HttpRequest, asked: Chosen) -> int | None:
    """Read the documents of a cause again, and nothing else; return the run's number."""
    rows = _group(request, asked).filter(level=Failure.Level.ERROR).exclude(document_url="")
    addresses = set(rows.values_list("document_url", flat=True))
    if not addresses:
        messages.info(request, "None of these problems is open any more: nothing to retry.")
        return None
    failing = rows.order_by().values("source")
    sources = list(Source.objects.filter(pk__in=failing))
    started = actions.start(request, sources, retry_failed=True, addresses=addresses)
    return started.run.pk if started else None


def ignore(request: HttpRequest, asked: Chosen) -> None:
    """Ignore the problems of a cause, each until its message changes."""
    note = request.POST.get("note", "").replace("\x00", "").strip()[:500]
    if not note:
        messages.error(request, SAY_WHY)
        return
    number, sources = 0, set[int]()
    for batch in batches(_group(request, asked).order_by("pk")):
        made = [covering(row, note, request.user) for row in batch]
        IgnoredProblem.objects.bulk_create(made, ignore_conflicts=True)
        number += len(made)
        sources |= {row.source_id for row in batch if row.source_id}
    text = f"Ignored {number:,} problems until they change: {note}"
    actions.note(request, Source.objects.filter(pk__in=sources), text)
    _tell(request, number, note)


def batches(rows: QuerySet[Failure]) -> Iterator[list[Failure]]:
    """The rows in order of their keys, as they were at the start of each batch."""
    after = 0
    while found := list(rows.filter(pk__gt=after)[:AT_ONCE]):
        yield found
        after = found[-1].pk


def covering(row: Failure, note: str, who: Any) -> IgnoredProblem:
    same = {name: getattr(row, name) for name in ("source_id", "document_url", "reason")}
    copied = {name: getattr(row, name) for name in ("level", "stage", "message")}
    return IgnoredProblem(**same, **copied, note=note, ignored_by=who)


def _tell(request: HttpRequest, number: int, note: str) -> None:
    if not number:
        messages.info(request, "None of these problems is open any more: nothing to ignore.")
        return
    what = "1 problem is" if number == 1 else f"{number:,} problems are"
    messages.success(request, f"{what} ignored until the message changes: {note}")


def undo(request: HttpRequest, asked: Chosen) -> None:
    """Ignore no more: one row, or all that one person ignored for the same cause and reason."""
    pk = request.POST.get("one", "") or request.POST.get("like", "")
    row = IgnoredProblem.objects.filter(pk=number_in(pk) or 0).first()
    if row is None:
        messages.info(request, "It is not ignored any more.")
        return
    rows = IgnoredProblem.objects.filter(pk=row.pk)
    if not request.POST.get("one"):
        same = {"reason": row.reason, "note": row.note, "ignored_by": row.ignored_by_id}
        rows = causes.alike(causes.ignored(asked), same)
    number, _ = rows.delete()
    what = "1 problem is" if number == 1 else f"{number:,} problems are"
    messages.success(request, f"{what} no longer ignored.")
