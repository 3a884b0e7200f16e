"""The form of a source: typed inputs for the options of its parser, and its schedule in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.fields import InvalidJSONInput
from django.urls import reverse

from ingestion.exceptions import BbjragError
from ingestion.git import address, credentials
from ingestion.parsers import PARSERS, parser_class
from sources import timing
from sources.models import GIT_FIELDS, Source
from sources.nesting import TOO_DEEP, is_too_deep
from sources.option_fields import (
    Group,
    LinesField,
    Option,
    all_options,
    merged,
    options_of,
    title_of,
)

TRIALS = ("_test", "_preview")  # buttons that try the form instead of storing it
FOLDERS = "admin:sources_source_folders"
TYPED = "typed-options"  # the parsers whose options were sent as typed inputs
OVERTAKEN = (
    "Somebody saved this source after you had opened it, so nothing was saved yet. Save again to "
    "replace their settings by these, or load the page again to see theirs."
)
DISAGREE = "The JSON under Advanced says {} for it: make both the same, or change only one."
NOT_AN_OBJECT = "Must be an object: names and values in braces, {} for the defaults."

# Django's own class takes no type parameter at run time.
if TYPE_CHECKING:
    SourceModelForm = forms.ModelForm[Source]
else:
    SourceModelForm = forms.ModelForm


class OptionsField(forms.JSONField):
    """JSON of a few levels; deeper is an error of the field, and is shown again as it was typed."""

    def to_python(self, value: Any) -> Any:
        try:
            found = super().to_python(value)
        except RecursionError:
            raise ValidationError(TOO_DEEP) from None
        if is_too_deep(found):
            raise ValidationError(TOO_DEEP)
        if not isinstance(found, dict) and found not in self.empty_values:
            raise ValidationError(NOT_AN_OBJECT)
        return found

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            found = super().bound_data(data, initial)
        except RecursionError:
            return InvalidJSONInput(data)
        return InvalidJSONInput(data) if is_too_deep(found) else found


def formfield(field: models.Field[Any, Any], **kwargs: Any) -> forms.Field | None:
    if isinstance(field, models.URLField):
        kwargs.setdefault("assume_scheme", "https")
    return field.formfield(**kwargs)


class SourceForm(SourceModelForm):
    _placed: Mapping[str, str] = {}
    typed: Mapping[str, Any] = {}
    """What the form shows instead of what is stored: the values of a preview."""

    version = forms.CharField(required=False, widget=forms.HiddenInput)
    """When the row was saved last, as the form began with it."""

    paths = LinesField(
        required=False,
        help_text="Files or folders below DATA_DIR, or in the repository (. for all of it), one a "
        "line. Example: bbj-dwc-tutorial/docs",
    )
    schedule_kind = forms.ChoiceField(
        required=False, choices=timing.KINDS, label="Schedule", initial=timing.OFF
    )
    schedule_minute = forms.IntegerField(
        required=False, min_value=0, max_value=59, label="Minutes past the hour"
    )
    schedule_day = forms.ChoiceField(required=False, choices=timing.DAYS, label="Day")
    schedule_time = forms.TimeField(
        required=False,
        label="Time",
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
    )

    class Meta:
        model = Source
        formfield_callback = formfield
        fields = (
            *("title", "name", "parser", "enabled", "paths", "start_url", "options"),
            *("generation", "display_base_url", "schedule"),
            *GIT_FIELDS,
        )
        field_classes = {"options": OptionsField}
        labels = {
            "parser": "Kind",
            "schedule": "Cron line",
            "repository": "Git repository",
            "link_template": "Links to lines",
        }
        widgets = {"options": forms.Textarea(attrs={"rows": 4, "cols": 60, "spellcheck": "false"})}
        help_texts = {
            "options": "Kept in step with the fields above; {} for the defaults.",
            "schedule": "Minute, hour, day, month and weekday. Example: 0 3 * * 1-5",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.update(self.typed)
        self.initial["version"] = self._version
        if "parser" in self.fields:
            self._describe_parsers()
            self._add_options()
        if "paths" in self.fields:
            self.fields["paths"].widget.attrs["data-folders"] = reverse(FOLDERS)
        if "schedule" in self.fields:
            self._show_schedule()

    @property
    def _version(self) -> str:
        return self.instance.updated_at.isoformat() if self.instance.pk else ""

    @property
    def trial(self) -> str:
        """The button that tries the form; empty if it is to be stored."""
        return next((name for name in TRIALS if name in self.data), "")

    def is_valid(self) -> bool:
        """Whether the form may be stored: a trial is checked too, but never valid."""
        return super().is_valid() and not self.trial

    @property
    def groups(self) -> Iterator[Group]:
        """The inputs of each parser's options."""
        for parser in PARSERS:
            fields = [self[option.field_name] for option in options_of(parser) if option.kind]
            yield Group(parser, title_of(parser), fields, parser == self._chosen)

    @property
    def schedule_sentence(self) -> str:
        return timing.described(str(self["schedule"].value() or ""))

    @property
    def _chosen(self) -> str:
        return str(self["parser"].value() or "")

    def _describe_parsers(self) -> None:
        """Give the page's script what each parser reads; add a choice for a missing parser."""
        field = self.fields["parser"]
        assert isinstance(field.widget, forms.Select)
        reads = {name: parser_class(name).reads for name in PARSERS}
        field.widget.attrs["data-reads"] = json.dumps(reads)
        missing = self.instance.parser
        if missing and missing not in PARSERS:
            label = f"{missing} (not in this version)"
            field.widget.choices = [*field.widget.choices, (missing, label)]

    def _add_options(self) -> None:
        stored = self.initial.get("options") or {}
        choices = self._choices(self._chosen)
        for option in all_options():
            mine = choices if option.parser == self._chosen else {}
            self.fields[option.field_name] = option.field(mine.get(option.name, ()))
            fallback = option.default if option.kind == "switch" else None
            self.initial[option.field_name] = stored.get(option.name, fallback)

    def _choices(self, parser: str) -> Mapping[str, Sequence[str]]:
        """What the parser's options may name in the paths that the form shows."""
        if parser not in PARSERS or "paths" not in self.fields or self["repository"].value():
            return {}
        paths = (line.strip() for line in (self["paths"].value() or "").splitlines())
        config = replace(self.instance.config(), paths=tuple(filter(None, paths)), options={})
        try:
            return parser_class(parser)(config).choices() if config.paths else {}
        except BbjragError:
            return {}  # the form reports it at the field of the paths

    def _show_schedule(self) -> None:
        it = timing.timing(str(self.initial.get("schedule") or ""))
        self.initial.update(
            schedule_kind=it.kind,
            schedule_minute=it.minute,
            schedule_day=it.day,
            schedule_time=it.at,
        )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("schedule_kind"):
            cleaned["schedule"] = self._schedule(cleaned)
        if cleaned.get("parser") and "options" in cleaned:
            self._clean_options(cleaned)
        self._look_for_secret(cleaned)
        if not self.trial:
            self._refuse_older()
        return cleaned

    def _look_for_secret(self, cleaned: Mapping[str, Any]) -> None:
        """Report a credential that nobody provides, unless it was stored like that."""
        name = cleaned.get("credential", "")
        if not cleaned.get("repository") or not (self.trial or "credential" in self.changed_data):
            return
        try:
            address.check_credential(name)
        except BbjragError:
            return  # the row says it
        try:
            credentials.find(name, settings.GIT)
        except BbjragError as error:
            self.add_error("credential", str(error))

    def _refuse_older(self) -> None:
        """Refuse what was typed over an older state, once: sent again, it is meant."""
        began = self.cleaned_data.get("version")
        if not began or began == self._version:
            return
        data: Any = self.data.copy()  # type: ignore[attr-defined]
        data["version"] = self._version
        self.data = data
        self.add_error(None, OVERTAKEN)

    def _schedule(self, cleaned: Mapping[str, Any]) -> str:
        standard = timing.Timing(cleaned["schedule_kind"])
        return timing.Timing(
            kind=standard.kind,
            minute=cleaned.get("schedule_minute") or 0,
            at=cleaned.get("schedule_time") or standard.at,
            day=cleaned.get("schedule_day") or standard.day,
            line=cleaned.get("schedule", ""),
        ).cron

    def _clean_options(self, cleaned: dict[str, Any]) -> None:
        """Join the JSON and the typed inputs, and report what is wrong at the input it is in."""
        parser, raw = cleaned["parser"], cleaned["options"] or {}
        untouched = raw == (self.initial.get("options") or {})
        other_parser = untouched and parser != self.initial.get("parser")
        known = [option.name for option in options_of(parser)] if other_parser else None
        typed = list(self._typed(parser, cleaned)) if self._was_typed(parser) else []
        given = self._agreed(raw, typed)
        cleaned["options"] = merged(raw, given, known)
        if untouched:
            placed = {option.name for option in options_of(parser)}
        else:
            placed = {option.name for option, _ in typed}
        if self._was_typed(parser):
            self._report(parser, cleaned["options"], placed)
        self._placed = {name: f"option-{parser}-{name}" for name in placed}

    def _agreed(
        self, raw: Mapping[str, Any], typed: Sequence[tuple[Option, Any]]
    ) -> list[tuple[Option, Any]]:
        """What was typed into inputs, without those that the JSON was changed for; it is an error
        if both were changed, and say different things."""
        stored, found = self.initial.get("options") or {}, list[tuple[Option, Any]]()
        for option, value in typed:
            in_json = raw.get(option.name)
            if in_json == stored.get(option.name) or in_json == value:
                found.append((option, value))
            elif not option.says_default(value):
                text = DISAGREE.format(json.dumps(in_json))
                self.add_error(option.field_name, text)
        return found

    def _was_typed(self, parser: str) -> bool:
        return parser in self.data.getlist(TYPED) if hasattr(self.data, "getlist") else False

    def _typed(self, parser: str, cleaned: Mapping[str, Any]) -> Iterator[tuple[Option, Any]]:
        """The options whose inputs say something else than before, and what they say."""
        for option in options_of(parser):
            name = option.field_name
            if option.kind and name in cleaned:
                data = self[name].data
                if self.fields[name].has_changed(self.initial.get(name), data):
                    yield option, cleaned[name]

    def _report(self, parser: str, options: Mapping[str, Any], placed: set[str]) -> None:
        for name, message in parser_class(parser).option_problems(options).items():
            field = f"option-{parser}-{name}"
            if name in placed and field in self.fields:
                self.add_error(field, f"{message[:1].upper()}{message[1:]}.")

    def _update_errors(self, errors: ValidationError) -> None:
        """Leave out what is said at an option's own input already, and move there what names it."""
        if hasattr(errors, "error_dict") and "options" in errors.error_dict:
            if any(name.startswith("option-") for name in self.errors):
                errors.error_dict.pop("options")
            else:
                self._move_to_inputs(errors.error_dict)
        super()._update_errors(errors)  # type: ignore[misc]

    def _move_to_inputs(self, found: dict[str, list[ValidationError]]) -> None:
        rest = []
        for error in found.pop("options"):
            for text in error.messages:
                name, _, what = text.partition(": ")
                field = self._placed.get(name, "")
                if field in self.fields and self._was_typed(self.cleaned_data["parser"]):
                    found.setdefault(field, []).append(
                        ValidationError(f"{what[:1].upper()}{what[1:]}")
                    )
                else:
                    rest.append(ValidationError(text))
        if rest:
            found["options"] = rest
