"""What a parser yields: frozen values without behaviour."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

ROOM_FOR_NOTE = 60  # characters of the note on what is left out of a text
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class InputFile(NamedTuple):
    """A file that a document was made from, as it was when read.

    `path` is relative to DATA_DIR, with forward slashes. A file that was looked for and is missing
    has `size` -1 and `mtime_ns` 0, so that its appearance is a change.
    """

    path: str
    size: int
    mtime_ns: int


class Location(NamedTuple):
    """From this content line on (from 0), text comes from that source line or page."""

    content_line: int
    number: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """One document of a source.

    `content` is Markdown (CommonMark with tables): ATX headings, fenced code with its language.
    `lines` and `pages` map content lines to source lines and pages (both from 1), ascending; empty
    if unknown. `whole_sections` asks the chunker to make each section a chunk of its own, however
    small (programs: one method, one chunk). `breadcrumb` leads from the root to the document, not
    included.
    """

    url: str
    title: str
    content: str
    display_url: str = ""
    doc_type: str = "concept"
    generations: tuple[str, ...] = ()
    deprecated: bool = False
    breadcrumb: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[Location, ...] = ()
    pages: tuple[Location, ...] = ()
    whole_sections: bool = False
    inputs: tuple[InputFile, ...] = ()
    validators: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self, *versions: object) -> str:
        """A SHA-256 over everything that affects chunks, and the `versions` of what makes them.

        Where and when the text was read (`inputs`, `validators`) is not part of it.
        """
        covered = {name: getattr(self, name) for name in _FINGERPRINTED}
        payload = json.dumps([covered, [str(v) for v in versions]], sort_keys=True, default=str)
        return hashlib.sha256(payload.encode("utf-8", "surrogatepass")).hexdigest()


_FINGERPRINTED = [f.name for f in fields(ParsedDocument) if f.name not in ("inputs", "validators")]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The document at `url` has not changed since it was read last, so it was not read again.

    The address of a file includes its sections (see `covers`).
    """

    url: str


@dataclass(frozen=True, slots=True)
class DocumentFailure:
    """A document, or a part of the source, that could not be read (or, as a warning, not fully).

    `message` says what is wrong and what to do. `url` names the document, or the file or folder
    that documents come from. Documents that an error covers do not count as vanished.
    """

    url: str
    message: str
    stage: str = "parse"
    warning: bool = False


@dataclass(frozen=True, slots=True)
class StillReading:
    """The document, file or page at `url` takes long; nothing has come of it yet."""

    url: str


Parsed = ParsedDocument | Unchanged | DocumentFailure | StillReading


def covers(url: str, document_url: str) -> bool:
    """Whether `document_url` is `url`, a section of it (`#...`), or lies below it as a folder."""
    return document_url == url or document_url.startswith((f"{url}#", f"{url.rstrip('/')}/"))


def storable(value: Any) -> Any:
    """The value without what PostgreSQL cannot store in text or JSON."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value) if _UNSTORABLE.search(value) else value
    if isinstance(value, Mapping):
        return {storable(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(storable(item) for item in value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else str(value)


def counted(number: int, noun: str) -> str:
    """The number with its noun, as people write it: "1 document", "2,000 documents"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shortened(text: str, most: int) -> str:
    """The text in at most `most` characters: its beginning, how many are left out, and its end."""
    if len(text) <= most:
        return text
    tail = most // 4
    head = most - tail - ROOM_FOR_NOTE
    note = f" ... ({len(text) - head - tail:,} characters are left out) ... "
    return f"{text[:head]}{note}{text[-tail:]}"


def places_of(url: str) -> Iterator[str]:
    """The address, its file, and each folder above, with and without the final slash.

    A Failure with one of them as its url covers the address (see `documents.covers`).
    """
    yield url
    place = url.partition("#")[0]
    yield place
    while "/" in place:
        place = place.rstrip("/").rpartition("/")[0]
        yield place
        yield f"{place}/"
