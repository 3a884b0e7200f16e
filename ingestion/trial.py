"""A trial reading: what a source's parser yields now, cut into chunks, and nothing stored.

It runs in a process of its own (`manage.py trial`), so that neither a crash nor a document without
end can hurt the server that asked; that process opens no database.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from django.conf import settings
from pydantic import TypeAdapter

from ingestion import moves
from ingestion.chunker import Chunk, Chunker
from ingestion.documents import Document, Failure
from ingestion.exceptions import BbjragError
from ingestion.parsers import output
from ingestion.parsers.base import SourceConfig
from sources.models import Source

PATIENCE = 10  # seconds beyond its time that a trial may take over its last document
SHOWN_CHARACTERS = 200_000


@dataclass(frozen=True)
class Order:
    """What to read, and when to stop: after so many documents or seconds. `show` names a document
    whose text and chunks are wanted; the reading then ends with it."""

    parser: str
    config: SourceConfig
    seconds: float
    documents: int = 1_000_000
    show: str = ""


_ORDER = TypeAdapter(Order)


def written(order: Order) -> bytes:
    """The order as JSON."""
    return _ORDER.dump_json(order)


def understood(text: bytes) -> Order:
    """The order that was written, in the very types that a parser is given."""
    return _ORDER.validate_json(text)


@dataclass(frozen=True)
class Tried:
    """A document as it would be stored."""

    url: str
    title: str
    doc_type: str
    generations: list[str]
    deprecated: bool
    display_url: str
    breadcrumb: list[str]
    metadata: dict[str, Any]
    hashes: list[str]
    text: str
    """What it has in common with the same document at another address (`moves.text_key`)."""
    content: str = ""
    chunks: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Trial:
    """What a trial met. `complete` only when the source was read to its end; `problem` says what
    stopped it otherwise, unless it was the time or number that was set."""

    documents: list[Tried] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    complete: bool = False
    problem: str = ""


def order(source: Source, *, seconds: float, documents: int = 1_000_000, show: str = "") -> Order:
    return Order(source.parser, source.config(), seconds, documents, show)


def run(asked: Order) -> Trial:
    """Read in another process, and wait for it; it is ended when it takes too long."""
    command = [sys.executable, "-m", "bbjrag", "trial"]
    trial = Trial()
    try:
        done = subprocess.run(
            command,
            input=written(asked),
            capture_output=True,
            cwd=settings.BASE_DIR,
            timeout=asked.seconds + PATIENCE,
            check=False,
        )
        output, problem = done.stdout, _last_line(done.stderr) if done.returncode else ""
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout or b""
        problem = f"One document took longer than {PATIENCE} seconds; the trial was ended there."
    for line in output.splitlines():
        _note(trial, json.loads(line))
    trial.problem = trial.problem or problem
    return trial


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return f"The reading crashed: {lines[-1] if lines else 'it was killed'}"


def _note(trial: Trial, said: dict[str, Any]) -> None:
    kind = said.pop("kind")
    if kind == "document":
        trial.documents.append(Tried(**said))
    elif kind == "failure":
        trial.failures.append(Failure(**said))
    else:
        trial.complete, trial.problem = said["complete"], said["problem"]


def read(asked: Order) -> Iterator[dict[str, Any]]:
    """What the process says: a JSON object for each document and failure, and one for the end."""
    chunker = Chunker(size=settings.CHUNK_SIZE, overlap=settings.CHUNK_OVERLAP)
    deadline, number, end = time.monotonic() + asked.seconds, 0, {"complete": True, "problem": ""}
    try:
        for parsed in output.read(asked.parser, asked.config):
            if isinstance(parsed, Failure):
                yield {"kind": "failure", **asdict(parsed)}
            elif isinstance(parsed, Document):
                number += 1
                yield {"kind": "document", **_tried(parsed, chunker, asked.show)}
                if asked.show == parsed.url or number >= asked.documents:
                    end["complete"] = False
                    break
            if time.monotonic() > deadline:
                end["complete"] = False
                break
    except BbjragError as error:
        end = {"complete": False, "problem": str(error)}
    yield {"kind": "end", **end}


def _tried(document: Document, chunker: Chunker, show: str) -> dict[str, Any]:
    chunks = chunker.chunk(document)
    tried = Tried(
        url=document.url,
        title=document.title,
        doc_type=document.doc_type,
        generations=list(document.generations),
        deprecated=document.deprecated,
        display_url=document.display_url,
        breadcrumb=list(document.breadcrumb),
        metadata=dict(document.metadata),
        hashes=[chunk.content_hash for chunk in chunks],
        text=moves.text_key(chunk.content for chunk in chunks),
        content=document.content[:SHOWN_CHARACTERS] if show == document.url else "",
        chunks=[_shown(chunk) for chunk in chunks] if show == document.url else [],
    )
    return asdict(tried)


def _shown(chunk: Chunk) -> dict[str, Any]:
    return asdict(chunk) | {"content": chunk.content[:SHOWN_CHARACTERS]}
