"""The folders that a source's paths can be chosen from: below DATA_DIR, or in its repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from ingestion.exceptions import BbjragError
from ingestion.git.repository import fetched
from ingestion.parsers import PARSERS, folders, parser_class
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.files import normal_path, quoted
from sources.models import Source

ASKED = ("parser", "repository", "revision", "credential")
NOT_FETCHED = (
    "This repository has not been fetched yet, or not this branch or tag: press Test, which "
    "fetches it, and then look again. A large one may need its first run."
)


@dataclass(frozen=True, slots=True)
class Step:
    """A folder on the way from the root; the last one is shown."""

    name: str
    path: str


def shown(asked: Mapping[str, str]) -> dict[str, Any]:
    """What a page shows of a folder; `problem` says why there is nothing to see."""
    typed = {name: asked.get(name, "").strip() for name in ASKED}
    config = Source(**typed).config()
    path = normal_path(asked.get("path", ""))
    place = "The repository" if config.repository else "DATA_DIR"
    endings = _endings(typed["parser"])
    context = {
        "way": _way(place, path),
        "place": place,
        "endings": endings,
        "whole": "." if config.repository else "",
    }
    try:
        root = _root(config)
        return context | {"level": folders.level(root, path, endings)}
    except BbjragError as error:
        return context | {"problem": str(error), "way": []}
    except OSError:
        return context | {"problem": f"{quoted(path)} is not a folder in {place} (any more)."}


def _root(config: SourceConfig) -> Path:
    """Where the paths begin. Raises BbjragError if that is not there."""
    if not config.repository:
        return Path(settings.DATA_DIR)
    found = fetched(config, settings.GIT)
    if found is None:
        raise BbjragError(NOT_FETCHED)
    return found


def _endings(parser: str) -> tuple[str, ...]:
    return parser_class(parser).endings if parser in PARSERS else ()


def _way(place: str, path: str) -> list[Step]:
    names = [] if path == "." else path.split("/")
    below = [Step(name, "/".join(names[: depth + 1])) for depth, name in enumerate(names)]
    return [Step(place, ""), *below]
