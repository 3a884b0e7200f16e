"""What a database would keep of a web source between two readings, and a reading with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingestion.documents import DocumentFailure, Parsed, ParsedDocument, Unchanged, covers
from ingestion.parsers import parser_class
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.web_settings import WebSettings
from tests.support.web_server import LOOPBACK

SETTINGS = WebSettings(
    allow_networks=LOOPBACK,
    connect_seconds=2,
    read_seconds=0.5,
    request_seconds=2,
    retry_wait=0.0,
    retry_after_max=0.5,
)


class Kept:
    """Documents and the parser's memory, as after a run that stored all it was given."""

    def __init__(self) -> None:
        self.documents: dict[str, ParsedDocument] = {}
        self.kept: Mapping[str, Any] = {}

    def current(self, url: str) -> bool:
        return False

    def covered(self, url: str) -> list[str]:
        return [stored for stored in self.documents if stored.partition("#")[0] == url]

    def validators(self, url: str) -> Mapping[str, str]:
        return next((self.documents[stored].validators for stored in self.covered(url)), {})

    def stored(self, url: str) -> bool:
        return bool(self.covered(url))

    def memory(self) -> Mapping[str, Any]:
        return self.kept

    def remember(self, memory: Mapping[str, Any]) -> None:
        self.kept = json.loads(json.dumps(memory))


class Reading:
    """One reading of a site: what came, by kind. `paths` and keys are without the origin."""

    def __init__(self, parsed: list[Parsed], origin: str, kept: Kept) -> None:
        self.origin = origin
        self.documents = {self._path(p.url): p for p in parsed if isinstance(p, ParsedDocument)}
        self.unchanged = {self._path(p.url) for p in parsed if isinstance(p, Unchanged)}
        self.failures = [p for p in parsed if isinstance(p, DocumentFailure)]
        self.errors = {self._path(f.url): f.message for f in self.failures if not f.warning}
        self.warnings = {self._path(f.url): f.message for f in self.failures if f.warning}
        seen = {p.url for p in parsed if not isinstance(p, DocumentFailure)}
        self.vanished = {
            self._path(url)
            for url in kept.documents
            if url not in seen
            and url.partition("#")[0] not in seen
            and not any(covers(f.url, url) for f in self.failures if not f.warning)
        }

    def _path(self, url: str) -> str:
        return url.removeprefix(self.origin)

    def text(self, path: str) -> str:
        return self.documents[path].content


def read(
    parser: str,
    origin: str,
    start: str = "/",
    kept: Kept | None = None,
    settings: WebSettings = SETTINGS,
    **options: Any,
) -> Reading:
    kept = kept or Kept()
    config = SourceConfig(
        "site",
        Path("/nowhere"),
        start_url=origin + start,
        options={"delay": 0, **options},
        web=settings,
    )
    parsed = list(parser_class(parser)(config).parse(kept))
    reading = Reading(parsed, origin, kept)
    for path in reading.vanished:
        del kept.documents[origin + path]
    kept.documents |= {d.url: d for d in reading.documents.values()}
    return reading
