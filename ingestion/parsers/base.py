"""The parser contract, on a postcard:

    class MyParser(Parser):
        version = 1                  # raise it when the same input gives another document
        reads = "paths"              # or "start_url"
        class Options(ParserOptions): ...

        def parse(self, known: Known, isolation: Isolation) -> Iterator[Parsed]: ...

`parse` yields Documents, and Failures for what cannot be read; it raises SourceError only when the
source as a whole cannot be read. It yields `Unchanged(url)` for what `known.current(url)` vouches
for. A document at which the parser itself fails is a Failure too (`exceptions.failure_at`).

What takes time, or trusts what a document says, is done by a reader of the `isolation`: a function
that is given one Task at a time, in a process that may be ended.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from ingestion.documents import Parsed
from ingestion.exceptions import ConfigError
from ingestion.parsers.readers import SAME_PROCESS, Isolation
from ingestion.parsers.web_settings import WebSettings
from ingestion.processes.isolation import Limits


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A Source row as the pure layer sees it.

    `address_prefixes` is what the addresses of documents below each path have begun with so far
    (see `files.address_prefixes`).
    """

    name: str
    data_dir: Path
    paths: tuple[str, ...] = ()
    address_prefixes: Mapping[str, str] = field(default_factory=dict)
    start_url: str = ""
    generation: str = "auto"
    display_base_url: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    web: WebSettings | None = None
    limits: Limits = Limits()  # noqa: RUF009 - it is frozen


class Known(Protocol):
    """What is stored about documents of the source already."""

    def current(self, url: str) -> bool:
        """Every document `url` covers is stored, by this parser version and configuration, and each
        of its input files still has the size and time it was read with."""

    def validators(self, url: str) -> Mapping[str, str]:
        """The HTTP validators (etag, last_modified) kept with what `url` covers, if any."""

    def stored(self, url: str) -> bool:
        """Whether a document that `url` covers is stored, however old."""

    def memory(self) -> Mapping[str, Any]:
        """What `remember` was given by the same parser version and configuration, if anything."""

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Keep this JSON for the next reading of the source, in place of what was kept before."""


class NothingKnown:
    def current(self, url: str) -> bool:
        return False

    def validators(self, url: str) -> Mapping[str, str]:
        return {}

    def stored(self, url: str) -> bool:
        return False

    def memory(self) -> Mapping[str, Any]:
        return {}

    def remember(self, memory: Mapping[str, Any]) -> None:
        pass


NOTHING_KNOWN = NothingKnown()


class ParserOptions(BaseModel):
    """Options of a parser: give each field a default, a description and an example."""

    model_config = ConfigDict(extra="forbid", frozen=True)


MESSAGES = {
    "extra_forbidden": "there is no such option",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "dict_type": "must be an object",
    "string_type": "must be a text in quotes",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
}
"""pydantic's types of error in the words of JSON, which is what a person has typed."""


class Parser(ABC):
    version: ClassVar[int]
    reads: ClassVar[Literal["paths", "start_url"]] = "paths"
    Options: ClassVar[type[ParserOptions]] = ParserOptions

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        self.options = self.check_options(config.options)

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Any:
        """Return the validated options; raise ConfigError naming each option that does not fit."""
        try:
            return cls.Options.model_validate(dict(options))
        except ValidationError as error:
            known = ", ".join(cls.Options.model_fields) or "none"
            problems = "; ".join(cls._problem(detail) for detail in error.errors())
            raise ConfigError(f"{cls.__name__}: {problems}. Its options: {known}.") from None

    @classmethod
    def _problem(cls, detail: ErrorDetails) -> str:
        """One option that does not fit, in a person's words, with an example of one that does."""
        place = ".".join(map(str, detail["loc"])) or "options"
        message = MESSAGES.get(detail["type"], detail["msg"].removeprefix("Value error, "))
        field = cls.Options.model_fields.get(str(detail["loc"][0])) if detail["loc"] else None
        examples = (field.examples or []) if field else []
        such = f", such as {json.dumps(examples[0])}" if examples else ""
        return f"{place}: {message}{such}"

    @abstractmethod
    def parse(
        self, known: Known = NOTHING_KNOWN, isolation: Isolation = SAME_PROCESS
    ) -> Iterator[Parsed]: ...
