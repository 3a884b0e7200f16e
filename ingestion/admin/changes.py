"""What somebody changed of a row, with the values before and after, for its history."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import models
from django.forms import ModelForm
from django.http import HttpRequest

from ingestion.admin.read_only import Admin

LONGEST = 160  # characters of a value
AGREEING = 24  # characters before the first difference of long values
# Names of fields and options whose values are never shown.
SECRET = re.compile("passw|secret|token|digest|credential|(^|[_-])key$", re.IGNORECASE)
IN_ADDRESS = re.compile(
    r"(?<=//)[^/\s@]+(?=@)"  # the user and password of an address
    r"|(?<=[?&])([\w-]*(?:key|token|secret|passw)[^=\s]*=)[^&#\s]+",  # and a parameter of it
    re.IGNORECASE,
)
LABELS = {"parser": "kind", "groups": "roles", "user_permissions": "permissions"}

Text = str | tuple[str, ...]


@dataclass(frozen=True)
class Value:
    """Of a field, or of one key of a field that holds JSON."""

    field: str
    label: str
    text: Text


@dataclass(frozen=True)
class Change:
    """`before` and `after` are None if the value is not for people's eyes."""

    label: str
    before: str | None
    after: str | None


State = Mapping[str, Value]


def state(row: models.Model) -> State:
    """All that people set of a row."""
    fields = [field for field in row._meta.fields if field.editable and not field.primary_key]
    values = [value for field in fields for value in _values(field, field.value_from_object(row))]
    for field in row._meta.many_to_many:
        names = sorted(str(one) for one in getattr(row, field.name).all())
        values.append(Value(field.name, _label(field), tuple(names)))
    return {value.label: value for value in values}


def _label(field: Any) -> str:
    return LABELS.get(field.name) or str(field.verbose_name)


def _values(field: models.Field[Any, Any], value: Any) -> Iterator[Value]:
    if not isinstance(value, dict):
        yield Value(field.name, _label(field), _text(_chosen(field, value)))
        return
    for key, inner in value.items():
        yield Value(field.name, f"{_label(field)}: {key}", _text(inner))


def _chosen(field: models.Field[Any, Any], value: Any) -> Any:
    """The value as the form offers it."""
    if isinstance(field, models.ForeignKey):
        return field.related_model._default_manager.filter(pk=value).first()
    return dict(field.flatchoices).get(value, value) if field.choices else value


def _text(value: Any) -> Text:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return tuple(_text_of_part(part) for part in value)
        case dict():
            return _text_of_part(value)
    return str(value)


def _text_of_part(part: Any) -> str:
    if isinstance(part, dict):
        return ", ".join(f"{key}: {_text_of_part(inner)}" for key, inner in part.items())
    return str(part)


def differences(before: State, after: State, fields: Collection[str] | None = None) -> list[Change]:
    """What is another value now, of these fields, or of all."""
    nothing = Value("", "", "")
    found = []
    for label in dict.fromkeys([*before, *after]):
        old, new = before.get(label, nothing), after.get(label, nothing)
        counts = fields is None or (old.field or new.field) in fields
        if counts and old.text != new.text:
            found.append(_change(label, old.text, new.text))
    return found


def _change(label: str, before: Text, after: Text) -> Change:
    if SECRET.search(label):
        return Change(label, None, None)
    if len(_joined(before)) + len(_joined(after)) > LONGEST:
        before, after = _unlike(before, after)
    return Change(label, *_cut(_joined(before), _joined(after)))


def _joined(text: Text) -> str:
    whole = text if isinstance(text, str) else ", ".join(text)
    return IN_ADDRESS.sub(lambda found: f"{found[1] or ''}…", whole)


def _unlike(before: Text, after: Text) -> tuple[Text, Text]:
    """Of long lists what is in one of them only; if only the order differs, all of both."""
    if isinstance(before, str) and isinstance(after, str):
        return before, after
    left = tuple(part for part in before if part not in after)
    right = tuple(part for part in after if part not in before)
    return (left, right) if left or right else (before, after)


def _cut(before: str, after: str) -> tuple[str, str]:
    """Both at most LONGEST characters, from a little before they differ."""
    same = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    skipped = max(same - AGREEING, 0) if max(len(before), len(after)) > LONGEST else 0
    return _ended(before, skipped), _ended(after, skipped)


def _ended(text: str, skipped: int) -> str:
    rest = ("…" if skipped else "") + text[skipped:]
    return rest if len(rest) <= LONGEST else f"{rest[: LONGEST - 1]}…"


def message(found: list[Change], how: str = "") -> list[dict[str, Any]]:
    """The message of an entry of the history: the fields, as Django keeps them, their values, and
    how they were changed if it was not in the form."""
    values = [[change.label, change.before, change.after] for change in found]
    return [{"changed": {"fields": [one.label for one in found], "values": values, "how": how}}]


def of_entry(entry: LogEntry) -> list[Change]:
    """The changes that an entry of the history names with their values; older ones name none."""
    return [Change(*values) for part in _parts(entry) for values in part.get("values", [])]


def how(entry: LogEntry) -> str:
    return " ".join(part["how"] for part in _parts(entry) if part.get("how"))


def _parts(entry: LogEntry) -> Iterator[dict[str, Any]]:
    try:
        told = json.loads(entry.change_message)
    except ValueError:
        return
    for part in told if isinstance(told, list) else []:
        yield part.get("changed") or {}


class ValuesKept(Admin):
    """A page whose form notes the values before and after in the history of the row."""

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None and request.method == "POST":
            request._before = (row.pk, state(row))  # type: ignore[attr-defined]
        return row

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        said = super().construct_change_message(request, form, formsets, add)
        pk, before = getattr(request, "_before", (None, {}))
        if add or pk is None or not isinstance(form, ModelForm):
            return said
        now = state(self.model._default_manager.get(pk=pk))
        found = differences(before, now, form.fields)
        return message(found) if found else said


def kept(page: type[admin.ModelAdmin[Any]]) -> type[admin.ModelAdmin[Any]]:
    """The same page, which keeps the values of changes."""
    return type(page.__name__, (ValuesKept, page), {"__module__": page.__module__})
