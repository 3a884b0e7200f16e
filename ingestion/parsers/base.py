"""The parser contract, on a postcard:

    class MyParser(Parser):
        version = 1                  # raise it when the same input gives another document
        reads = "paths"              # or "start_url"
        class Options(ParserOptions): ...

        def parse(self, known: Known) -> Iterator[Parsed]: ...

`parse` yields Documents, and Failures for what cannot be read; it raises SourceError only when the
source as a whole cannot be read. It yields `Unchanged(url)` for what `known.current(url)` vouches
for. A document at which the parser itself fails is a Failure too (`exceptions.failure_at`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from ingestion.documents import Parsed
from ingestion.exceptions import ConfigError
from ingestion.parsers.web.settings import WebSettings


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A Source row as the pure layer sees it."""

    name: str
    data_dir: Path
    paths: tuple[str, ...] = ()
    start_url: str = ""
    generation: str = "auto"
    display_base_url: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    web: WebSettings | None = None


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
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'options'}: {e['msg']}" for e in error.errors()
            )
            raise ConfigError(f"{cls.__name__}: {problems}. Its options: {known}.") from None

    @abstractmethod
    def parse(self, known: Known = NOTHING_KNOWN) -> Iterator[Parsed]: ...
