"""The JSON of a package: classes with fields, constructors and methods.

What is missing or null is empty. Unknown keys are ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from ingestion.documents import storable
from ingestion.exceptions import DocumentError

CONSTRUCTOR = "<init>"
INITIALIZER = "<clinit>"  # the code of a class that Java runs, not people

_QUALIFIERS = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])")

LONGEST_TYPE = 500  # characters in which packages are looked for


def _one_line(text: str) -> str:
    return " ".join(storable(text).split())


Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
Line = Annotated[Text, AfterValidator(_one_line)]


def _list(value: Any) -> Any:
    return () if value is None else value


class Part(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: Annotated[str, AfterValidator(_one_line)] = Field(min_length=1)


class Parameter(Part):
    type: Line = ""


class Member(Part):
    """A field, a constructor or a method; `type` is what it returns, if the file says so."""

    docu: Text = ""
    type: Line = Field("", validation_alias=AliasChoices("returnType", "returns", "type"))
    params: Annotated[tuple[Parameter, ...], BeforeValidator(_list)] = ()

    def types(self) -> str:
        """The types of the parameters without their packages, or the names if there are none."""
        return ", ".join(short_type(p.type or p.name) for p in self.params)

    def parameters(self) -> str:
        return ", ".join(f"{p.type} {p.name}".strip() for p in self.params)


Members = Annotated[tuple[Member, ...], BeforeValidator(_list)]


class JavaClass(Part):
    docu: Text = ""
    fields: Members = ()
    constructors: Members = ()
    methods: Members = ()


class NamedClass(BaseModel):
    """A class as it is in the file, or what is wrong with it; `name` has dots for nested ones."""

    name: str
    found: JavaClass | None
    problem: str = ""


class Package(BaseModel):
    name: Line = ""
    classes: Annotated[list[Any], BeforeValidator(lambda value: value or [])]


def read_package(data: bytes) -> Package:
    """The package in a file. Raises DocumentError if there is none."""
    try:
        return Package.model_validate(json.loads(_decoded(data)))
    except ValidationError:
        raise DocumentError(
            "It is JSON, but not of a package: an object with a list of classes is expected, as "
            "genjdoc writes it. Leave the file out."
        ) from None
    except RecursionError:
        raise DocumentError("Its JSON is nested too deep: write it again with genjdoc.") from None
    except ValueError as error:
        raise DocumentError(
            f"It is not valid JSON ({error}): write it again with genjdoc."
        ) from None


def _decoded(data: bytes) -> str:
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def classes_of(found: list[Any], outer: str = "") -> Iterator[NamedClass]:
    """Each class of a list, and those that are nested in it."""
    for entry in found:
        try:
            each = JavaClass.model_validate(entry)
        except ValidationError as error:
            yield NamedClass(name=_name_of(entry, outer), found=None, problem=_problem(error))
            continue
        name = _joined(outer, each.name)
        yield NamedClass(name=name, found=each)
        nested = entry.get("classes")
        yield from classes_of(nested if isinstance(nested, list) else [], name)


def _name_of(entry: Any, outer: str) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return _joined(outer, name) if isinstance(name, str) else outer


def _joined(outer: str, name: str) -> str:
    name = name.replace("$", ".").strip(".") or name
    return f"{outer}.{name}" if outer and not name.startswith(f"{outer}.") else name


def _problem(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "the class"
    return f"{place}: {first['msg']}"


def short_type(name: str) -> str:
    """A type without the packages of its classes: `Map<String, Row>`."""
    return _QUALIFIERS.sub("", name) if len(name) <= LONGEST_TYPE else name
