"""Lists as CSV files: a line for each row that a list's filters choose, sent while it is read."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

AT_ONCE = 1000  # rows that are fetched together
# Where a spreadsheet would begin a formula: in a cell, or after what it takes to divide cells.
FORMULA = re.compile(r"(?:\A|;)(?=[=+\-@\t\r\n＝＋－＠])")  # noqa: RUF001

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Any]
else:
    Admin = admin.ModelAdmin


class Downloads(Admin):
    """A list with its rows as a file: the `csv_columns`, and for each row its `csv_cells`."""

    csv_columns: tuple[str, ...] = ()

    def get_urls(self) -> list[URLPattern]:
        own = path("csv/", self.admin_site.admin_view(self.csv), name=self._csv_name)
        return [own, *super().get_urls()]

    @property
    def _csv_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_csv"

    @property
    def csv_url(self) -> str:
        return reverse(f"admin:{self._csv_name}")

    def csv(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """The rows that the filters of the address choose, in the order that it asks for."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(self.csv_url.removesuffix("csv/"))
        return self._file(csv_lines(self.csv_columns, self.csv_cells(rows)))

    def _file(self, lines: Iterable[str]) -> StreamingHttpResponse:
        what = str(self.opts.verbose_name_plural)
        name = f"{what}-{timezone.localdate():%Y-%m-%d}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)

    def csv_cells(self, rows: QuerySet[Any]) -> Iterator[tuple[object, ...]]:
        """The cells of each row of the list."""
        raise NotImplementedError


class Echo:
    """What a CSV writer writes to; it hands back each line."""

    def write(self, line: str) -> str:
        return line


def csv_lines(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """The lines of the file. A mark at its beginning lets spreadsheets read it as UTF-8."""
    writer = csv.writer(Echo())
    yield "\ufeff" + writer.writerow(columns)
    for cells in rows:
        yield writer.writerow(map(text_of, cells))


def text_of(cell: object) -> str:
    """A cell's text, which no spreadsheet takes for a formula."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return f"{timezone.localtime(cell):%Y-%m-%d %H:%M:%S}"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return FORMULA.sub(r"\g<0>'", cell) if isinstance(cell, str) else str(cell)
