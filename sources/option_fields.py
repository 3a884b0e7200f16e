"""Typed inputs for the options of parsers, made from each parser's own schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms import BoundField

from ingestion.parsers import PARSERS, TITLES, parser_class

Schema = Mapping[str, Any]
NUMBERS = ("integer", "number")


class LinesField(forms.CharField):
    """A list of texts, one on each line."""

    widget = forms.Textarea(
        attrs={"rows": 3, "cols": 60, "spellcheck": "false", "data-lines": "entry"}
    )

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, (list, tuple)) else value

    def clean(self, value: Any) -> Any:
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(list(initial or []) != self.clean(data))


class NumberField(forms.Field):
    """A number in the unit that people type; its value is in the unit that is stored."""

    widget = forms.NumberInput

    def __init__(self, schema: Schema, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schema = schema
        self.factor = schema.get("factor", 1)
        self.is_whole = schema.get("type") == "integer"

    def prepare_value(self, value: Any) -> Any:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return shortest(value / self.factor) if is_number else value

    def clean(self, value: Any) -> int | float | None:
        text = str(value or "").strip().replace(",", ".")
        if not text:
            return None
        try:
            number = float(text) * self.factor
            found: int | float = round(number) if self.is_whole else number
        except (ValueError, OverflowError):
            raise ValidationError("Must be a number.") from None
        if not isfinite(number):
            raise ValidationError("Must be a number.")
        if self.is_whole and self.factor == 1 and found != number:
            raise ValidationError("Must be a whole number.")
        self._check_limits(found)
        return found

    def _check_limits(self, number: float) -> None:
        least, above = self.schema.get("minimum"), self.schema.get("exclusiveMinimum")
        most = self.schema.get("maximum")
        if above is not None and not number > above:
            raise ValidationError(f"Must be above {self._shown(above)}.")
        if least is not None and not number >= least:
            raise ValidationError(f"Must be {self._shown(least)} or more.")
        if most is not None and not number <= most:
            raise ValidationError(f"Must be {self._shown(most)} or less.")

    def _shown(self, number: float) -> str:
        rounded = float(f"{number / self.factor:.3g}")
        return f"{shortest(rounded)} {self.schema.get('unit', '')}".strip()

    def has_changed(self, initial: Any, data: Any) -> bool:
        return str(self.prepare_value(initial) or "") != str(data or "").strip()


def shortest(number: float) -> str:
    """A number without a needless point, and never with an exponent."""
    return f"{number:.15f}".rstrip("0").rstrip(".") if number % 1 else f"{number:.0f}"


@dataclass(frozen=True)
class Option:
    """One option of a parser, with the schema of a value that is given."""

    parser: str
    name: str
    schema: Schema
    default: Any

    @property
    def field_name(self) -> str:
        return f"option-{self.parser}-{self.name}"

    @property
    def kind(self) -> str:
        """How it is typed: number, switch, lines, choice or text; empty if only as JSON."""
        if self.schema.get("enum"):
            return "choice"
        kind = str(self.schema.get("type"))
        if kind == "array":
            return "lines" if self.schema.get("items", {}).get("type") == "string" else ""
        return (
            "number" if kind in NUMBERS else {"boolean": "switch", "string": "text"}.get(kind, "")
        )

    def says_default(self, value: Any) -> bool:
        """Whether an input with this value says what holds without it."""
        return value in (None, "", []) or (self.kind == "switch" and value == self.default)

    def field(self, choices: Sequence[str] = ()) -> forms.Field:
        """An input for it; `choices` are suggested."""
        about = {"label": self.schema["title"], "help_text": self.schema.get("description", "")}
        field = FIELDS[self.kind](self, {"required": False, **about})
        field.widget.attrs |= {"data-option": self.name, "data-kind": self.kind}
        field.widget.attrs["data-default"] = json.dumps(self.default, default=str)
        if choices:
            field.widget.attrs["list"] = f"id_{self.field_name}-choices"
        field.option = self  # type: ignore[attr-defined]
        field.choices_found = choices  # type: ignore[attr-defined]
        return field

    @property
    def placeholder(self) -> str:
        if given := self.schema.get("placeholder"):
            return str(given)
        if self.default in (None, "", ()):
            return ""
        if isinstance(self.default, tuple):
            return "\n".join(map(str, self.default))
        if self.kind != "number":
            return str(self.default)
        number = self.default / self.schema.get("factor", 1)
        return shortest(number) if number % 1 else f"{number:,.0f}"


def _number(option: Option, about: dict[str, Any]) -> forms.Field:
    schema = option.schema
    field = NumberField(schema, **about)
    is_whole = schema.get("type") == "integer" and "factor" not in schema
    attrs = {"step": "1" if is_whole else "any", "placeholder": option.placeholder}
    attrs |= {"data-factor": schema.get("factor", 1), "data-type": schema["type"]}
    field.widget.attrs |= attrs
    return field


def _switch(option: Option, about: dict[str, Any]) -> forms.Field:
    return forms.BooleanField(**about, widget=forms.CheckboxInput(attrs={"class": "switch"}))


def _lines(option: Option, about: dict[str, Any]) -> forms.Field:
    field = LinesField(**about)
    field.widget.attrs["placeholder"] = option.placeholder
    return field


def _choice(option: Option, about: dict[str, Any]) -> forms.Field:
    empty = [("", f"default ({option.placeholder})" if option.placeholder else "default")]
    return forms.ChoiceField(**about, choices=[*empty, *((v, v) for v in option.schema["enum"])])


def _text(option: Option, about: dict[str, Any]) -> forms.Field:
    widget = forms.TextInput(attrs={"placeholder": option.placeholder, "class": "vTextField"})
    return forms.CharField(**about, widget=widget)


FIELDS = {"number": _number, "switch": _switch, "lines": _lines, "choice": _choice, "text": _text}


@cache
def options_of(parser: str) -> tuple[Option, ...]:
    """The options of a parser, in its own order."""
    options = parser_class(parser).Options
    schema = options.model_json_schema()
    return tuple(
        Option(parser, name, _given(schema, schema["properties"][name]), field.get_default())
        for name, field in options.model_fields.items()
    )


def _given(schema: Schema, one: Schema) -> Schema:
    """The schema of a value that is given: without null, and with what it refers to."""
    variants = [each for each in one.get("anyOf", ()) if each.get("type") != "null"]
    inner = variants[0] if len(variants) == 1 else {}
    reference = str((inner or one).get("$ref", "")).rpartition("/")[2]
    return {**schema.get("$defs", {}).get(reference, {}), **inner, **one}


@dataclass(frozen=True)
class Group:
    """The inputs of one parser's options."""

    parser: str
    title: str
    fields: Sequence[BoundField]
    is_chosen: bool


def merged(
    raw: Mapping[str, Any], typed: Iterable[tuple[Option, Any]], known: Iterable[str] | None
) -> dict[str, Any]:
    """The options: those of the JSON, and over them what was typed into inputs. An input that says
    what is the default anyway takes its option away. Of the JSON, only `known` names stay."""
    found = {name: value for name, value in raw.items() if known is None or name in known}
    for option, value in typed:
        found.pop(option.name, None)
        if not option.says_default(value):
            found[option.name] = value
    return found


def all_options() -> list[Option]:
    return [option for parser in PARSERS for option in options_of(parser) if option.kind]


def title_of(parser: str) -> str:
    return TITLES.get(parser, parser)
