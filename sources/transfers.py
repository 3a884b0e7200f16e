"""Sources as a file in the admin: its export, and its import after a look at what it changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from ingestion.admin import changes
from ingestion.exceptions import ConfigError
from sources.models import FIELDS, Source
from sources.moving import Result, exported, import_text

MOST_BYTES = 2_000_000
IMPORTING = ("sources.add_source", "sources.change_source")
IMPORTED = "Imported from a file."
LOOKS = {"create": "ok", "update": "running", "same": "off", "refuse": "bad"}
WORDS = {"create": "new", "update": "changed", "same": "the same", "refuse": "refused"}


class ImportForm(forms.Form):
    """A file, or the text of one that was looked at before."""

    file = forms.FileField(
        required=False,
        help_text="JSON from Export or `manage.py export_sources`, or a sources.toml.",
    )
    text = forms.CharField(required=False, widget=forms.HiddenInput, strip=False)
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        if cleaned.get("file"):
            cleaned["text"] = self._read(cleaned["file"])
        if not cleaned.get("text") and not self.errors:
            self.add_error("file", "Choose a file first.")
        return cleaned

    def _read(self, file: Any) -> str:
        if file.size > MOST_BYTES:
            self.add_error("file", f"The file is larger than {MOST_BYTES // 1_000_000} MB.")
            return ""
        try:
            return str(file.read().decode("utf-8-sig"))
        except UnicodeDecodeError:
            self.add_error("file", "The file is not a text in UTF-8.")
            return ""


@admin.action(description="Export as JSON", permissions=["change"])
def export_selected(
    admin_of_sources: Any, request: HttpRequest, queryset: QuerySet[Source]
) -> HttpResponse:
    return exported_file(queryset.order_by("name"))


def exported_file(sources: Iterable[Source]) -> HttpResponse:
    headers = {"Content-Disposition": 'attachment; filename="sources.json"'}
    return HttpResponse(exported(sources), "application/json", headers=headers)


def import_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Show what a file would change; with `apply`, change it if that is still the same."""
    if not request.user.has_perms(IMPORTING):
        raise PermissionDenied
    form = ImportForm(request.POST or None, request.FILES or None)
    context |= {"title": "Import sources", "form": form}
    if form.is_valid():
        try:
            if answer := _looked_at(request, form, context):
                return answer
        except ConfigError as error:
            form.add_error("file", str(error).replace(f"{settings.DATA_DIR}/", "", 1))
    return TemplateResponse(request, "admin/sources/source/import.html", context)


def _looked_at(
    request: HttpRequest, form: ImportForm, context: dict[str, Any]
) -> HttpResponse | None:
    """The page that follows an import; None while there is something to look at first."""
    text, partial = form.cleaned_data["text"], "partial" in request.POST
    place = settings.DATA_DIR / getattr(form.cleaned_data.get("file"), "name", "sources.json")
    results = import_text(text, place, apply=False)
    if "apply" in request.POST and form.cleaned_data["seen"] == _seen(results):
        before = {source.name: changes.state(source) for source in Source.objects.all()}
        return _applied(request, import_text(text, place, apply=True, partial=partial), before)
    counts = Counter[str](result.verdict for result in results)
    context |= {
        "rows": [(one, LOOKS[one.verdict], WORDS[one.verdict]) for one in results],
        "counts": [(WORDS[verdict], counts[verdict]) for verdict in LOOKS if counts[verdict]],
        "writes": counts["create"] + counts["update"],
        "refused": counts["refuse"],
        "text": text,
        "seen": _seen(results),
        "is_other": "apply" in request.POST,
    }
    return None


def _seen(results: list[Result]) -> str:
    return sha256(repr(results).encode()).hexdigest()


def _applied(
    request: HttpRequest, results: list[Result], before: Mapping[str, changes.State]
) -> HttpResponse:
    verdicts = {one.name: one.verdict for one in results if one.verdict in ("create", "update")}
    if any(one.verdict == "refuse" for one in results) and "partial" not in request.POST:
        messages.error(request, "Nothing was imported, because a row was refused.")
    else:
        _note(request, verdicts, before)
        messages.success(
            request,
            f"Imported {len(verdicts)} of {len(results)} sources. Ingest them to read them.",
        )
    return HttpResponseRedirect(reverse("admin:sources_source_changelist"))


def _note(
    request: HttpRequest, verdicts: Mapping[str, str], before: Mapping[str, changes.State]
) -> None:
    for source in Source.objects.filter(name__in=verdicts):
        flag = ADDITION if verdicts[source.name] == "create" else CHANGE
        now = changes.state(source)
        found = changes.differences(before.get(source.name, now), now, FIELDS)
        told: Any = changes.message(found, IMPORTED) if found else IMPORTED
        LogEntry.objects.log_actions(request.user.pk, [source], flag, told)  # type: ignore[arg-type]
