"""Base classes of the lists and pages of read-only rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import Func, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from ingestion.models import Document

VECTORS = ("embedding", "search_vector")
SHOWN_FAILURES = 200

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Any]
else:
    Admin = admin.ModelAdmin


class ReadOnlyAdmin(Admin):
    """A read-only list, with a read-only page for each row."""

    page = ""
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        obj = self.get_object(request, object_id)
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        if obj is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id} (any more).")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(obj),
            "original": obj,
            **self.details(request, obj),
        }
        return TemplateResponse(request, self.page, context)

    def details(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {}


class LatePaginator(Paginator):  # type: ignore[type-arg]
    """Finds the keys of a page before it fetches the rows, so that a late page of a long list does
    not join all rows before it."""

    def page(self, number: int | str) -> Page[Any]:
        page = super().page(number)
        shown = cast("QuerySet[Any]", page.object_list)
        everything = cast("QuerySet[Any]", self.object_list)
        page.object_list = everything.filter(pk__in=list(shown.values_list("pk", flat=True)))
        return page


class GenerationFilter(admin.SimpleListFilter):
    title = "generation"
    parameter_name = "generation"
    field = "generations"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        tags = Document.objects.order_by().annotate(tag=Func("generations", function="unnest"))
        return [(tag, tag) for tag in tags.values_list("tag", flat=True).distinct().order_by("tag")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(**{f"{self.field}__contains": [self.value()]})
