"""The form of a Source: one path per line, and help for the options of each parser."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.fields import InvalidJSONInput
from django.template.loader import render_to_string

from ingestion.exceptions import BbjragError
from ingestion.parsers import PARSERS, parser_class
from sources.models import Source
from sources.nesting import TOO_DEEP, is_too_deep

KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
}


TRIALS = ("_test", "_preview")  # buttons that try the form instead of storing it

# Django's own class takes no type parameter at run time.
if TYPE_CHECKING:
    SourceModelForm = forms.ModelForm[Source]
else:
    SourceModelForm = forms.ModelForm


class LinesField(forms.CharField):
    """A list of texts, one on each line."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 60, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(list(initial or []) != self.clean(data))


class OptionsField(forms.JSONField):
    """JSON of a few levels; deeper is an error of the field, and is shown again as it was typed."""

    def to_python(self, value: Any) -> Any:
        try:
            found = super().to_python(value)
        except RecursionError:
            raise ValidationError(TOO_DEEP) from None
        if is_too_deep(found):
            raise ValidationError(TOO_DEEP)
        return found

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            found = super().bound_data(data, initial)
        except RecursionError:
            return InvalidJSONInput(data)
        return InvalidJSONInput(data) if is_too_deep(found) else found


@dataclass(frozen=True)
class Option:
    """One option of a parser, as the help shows it."""

    name: str
    kind: str
    default: str
    description: str
    example: str
    choices: Sequence[str] = ()


def options_of(parser: str, choices: Mapping[str, Sequence[str]]) -> Iterator[Option]:
    """The options in the parser's own order; the example is a whole JSON object to copy."""
    options = parser_class(parser).Options
    properties = options.model_json_schema().get("properties", {})
    for name, field in options.model_fields.items():
        examples = field.examples or []
        yield Option(
            name=name,
            kind=kind_of(properties.get(name, {})),
            default=json.dumps(field.get_default(call_default_factory=True), default=str),
            description=field.description or "",
            example=json.dumps({name: examples[0]}) if examples else "",
            choices=choices.get(name, ()),
        )


def kind_of(schema: dict[str, Any]) -> str:
    """A JSON schema's type in plain words."""
    if choices := schema.get("enum"):
        return "one of " + ", ".join(map(str, choices))
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    if variants := schema.get("anyOf"):
        return " or ".join(kind_of(v) for v in variants if v.get("type") != "null")
    return KINDS.get(schema.get("type", ""), "value")


def options_help(chosen: str, choices: Mapping[str, Sequence[str]]) -> str:
    """The help for the options of each parser; `choices` are those of the chosen one."""
    parsers = {name: list(options_of(name, choices if name == chosen else {})) for name in PARSERS}
    return render_to_string("admin/sources/source/options_help.html", {"parsers": parsers})


def formfield(field: models.Field[Any, Any], **kwargs: Any) -> forms.Field | None:
    if isinstance(field, models.URLField):
        kwargs.setdefault("assume_scheme", "https")
    return field.formfield(**kwargs)


class SourceForm(SourceModelForm):
    paths = LinesField(
        required=False,
        help_text="Files or folders below DATA_DIR, one a line. Example: bbj-dwc-tutorial/docs",
    )

    class Meta:
        model = Source
        formfield_callback = formfield
        fields = (
            *("title", "name", "parser", "enabled", "paths", "start_url", "options"),
            *("generation", "display_base_url", "schedule"),
        )
        field_classes = {"options": OptionsField}
        widgets = {"options": forms.Textarea(attrs={"rows": 4, "cols": 60, "spellcheck": "false"})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "parser" in self.fields:
            self._describe_parsers()

    @property
    def trial(self) -> str:
        """The button that tries the form; empty if it is to be stored."""
        return next((name for name in TRIALS if name in self.data), "")

    def is_valid(self) -> bool:
        """Whether the form may be stored: a trial is checked too, but never valid."""
        return super().is_valid() and not self.trial

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
        if "options" in self.fields:
            parser = self["parser"].value()
            self.fields["options"].help_text = options_help(parser, self._choices(parser))

    def _choices(self, parser: str) -> Mapping[str, Sequence[str]]:
        """What the parser's options may name in the paths that the form shows."""
        if parser not in PARSERS or "paths" not in self.fields:
            return {}
        paths = (line.strip() for line in (self["paths"].value() or "").splitlines())
        config = replace(self.instance.config(), paths=tuple(filter(None, paths)), options={})
        try:
            return parser_class(parser)(config).choices() if config.paths else {}
        except BbjragError:
            return {}  # the form reports it at the field of the paths
