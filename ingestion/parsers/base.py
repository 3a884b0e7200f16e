"""The parser contract, on a postcard:

    class MyParser(Parser):
        version = 1                  # raise it when output changes for the same input
        reads = "paths"              # or "start_url"
        endings = (".my",)           # of its files, in small letters
        class Options(ParserOptions): ...

        def parse(self, known: Known, isolation: Isolation) -> Iterator[Parsed]: ...

`parse` yields Documents, and a Failure for each one that cannot be read; it raises SourceError only
when the whole source cannot be read. It yields `Unchanged(url)` when `known.current(url)` is true.
An error of the parser itself in one document is a Failure too (`exceptions.failure_at`).

The work on documents is done by `isolation.documents(work, tasks)`: `work` is a function that is
given one Task at a time, in one of several processes that may be ended. If the parser goes on with
what comes of it, `isolation.reader(work)` does it, in one process.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from ingestion.documents import Parsed
from ingestion.exceptions import ConfigError
from ingestion.parsers.readers import SAME_PROCESS, Isolation
from ingestion.parsers.web_settings import WebSettings
from ingestion.processes.isolation import Limits


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A Source row as the pure layer sees it.

    `address_prefixes` maps each path to the prefix that its documents' addresses have so far
    (see `files.address_prefixes`). With a `repository`, `data_dir` is the folder that it is checked
    out in once that has been done, and messages call it `place`; `link_template` makes links of the
    documents' paths (see `permalinks`). With `seconds`, what is read by then is enough: a parser
    that holds documents back yields them then, and raises TimeIsOver.
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
    repository: str = ""
    revision: str = ""
    credential: str = ""
    link_template: str = ""
    place: str = "DATA_DIR"
    seconds: float | None = None


class Known(Protocol):
    """What is already stored about the source's documents."""

    def current(self, url: str) -> bool:
        """Whether every document that `url` covers was stored by this parser version and
        configuration, and its input files still have the same size and time."""

    def validators(self, url: str) -> Mapping[str, str]:
        """The HTTP validators (etag, last_modified) stored for what `url` covers, if any."""

    def stored(self, url: str) -> bool:
        """Whether a document that `url` covers is stored, however old."""

    def memory(self) -> Mapping[str, Any]:
        """What the same parser version and configuration last passed to `remember`, if anything."""

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Store this JSON for the next read of the source, replacing what was stored before."""


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


class FileOptions(ParserOptions):
    """Options of a parser that reads files."""

    exclude: tuple[str, ...] = Field(
        default=(),
        title="Leave out",
        description="Files to leave out: globs below the configured path; a bare name matches in "
        "any folder. What others include of them stays.",
        examples=[["legacy/*", "CHANGELOG.md"]],
    )

    def excludes(self, path: PurePosixPath) -> bool:
        """Whether the file at this path, relative to the configured one, is to be left out."""
        return any(_matches(path, pattern) for pattern in self.exclude)


def _matches(path: PurePosixPath, pattern: str) -> bool:
    patterns = [pattern, pattern.removeprefix("**/")]
    if any(fnmatchcase(path.as_posix(), each) for each in patterns):
        return True
    return "/" not in pattern and fnmatchcase(path.name, pattern)


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
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be above {gt}",
    "less_than_equal": "must be {le} or less",
    "less_than": "must be below {lt}",
}
"""pydantic's error types in JSON terms, for options that were typed as JSON."""


def _message(detail: ErrorDetails) -> str:
    text = MESSAGES.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    return text.format(**detail.get("ctx", {})) if detail["type"] in MESSAGES else text


class Parser(ABC):
    version: ClassVar[int]
    reads: ClassVar[Literal["paths", "start_url"]] = "paths"
    endings: ClassVar[tuple[str, ...]] = ()
    """What the names of its files end in, unless an option says otherwise: `.pdf`."""
    Options: ClassVar[type[ParserOptions]] = ParserOptions

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        self.options = self.check_options(config.options)

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> Any:
        """Return the validated options; raise ConfigError naming each invalid option."""
        try:
            return cls.Options.model_validate(dict(options))
        except ValidationError as error:
            known = ", ".join(cls.Options.model_fields) or "none"
            problems = "; ".join(cls._problem(detail) for detail in error.errors())
            raise ConfigError(f"{problems}. The parser's options: {known}.") from None

    @classmethod
    def option_problems(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with each option, without its name."""
        try:
            cls.Options.model_validate(dict(options))
        except ValidationError as error:
            return {str((*detail["loc"], "")[0]): _message(detail) for detail in error.errors()}
        return {}

    @classmethod
    def _problem(cls, detail: ErrorDetails) -> str:
        """What is wrong with an option, with an example of a valid value."""
        place = ".".join(map(str, detail["loc"])) or "options"
        field = cls.Options.model_fields.get(str(detail["loc"][0])) if detail["loc"] else None
        examples = (field.examples or []) if field else []
        such = f", such as {json.dumps(examples[0])}" if examples else ""
        return f"{place}: {_message(detail)}{such}"

    def choices(self) -> Mapping[str, Sequence[str]]:
        """What there is to choose from, for each option that names something of the source.

        Raises SourceError if the source cannot be looked at.
        """
        return {}

    @abstractmethod
    def parse(
        self, known: Known = NOTHING_KNOWN, isolation: Isolation = SAME_PROCESS
    ) -> Iterator[Parsed]: ...
