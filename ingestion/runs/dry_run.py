"""A dry run: what a source's parser yields now, cut into chunks. Nothing is stored.

It runs in a process of its own (`manage.py trial`) that opens no database, so that neither a crash
nor an endless document can hurt the server that asked.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from django.conf import settings
from pydantic import TypeAdapter

from ingestion.chunking.chunker import Chunker, TextChunk
from ingestion.chunking.stage import Preparation
from ingestion.documents import DocumentFailure, Parsed, ParsedDocument, shortened
from ingestion.exceptions import BbjragError
from ingestion.index import moves
from ingestion.parsers.base import SourceConfig
from ingestion.runs import material
from sources.models import Source

PATIENCE = 15  # extra seconds for the last document
STARTING = 60  # seconds to start the process, also on a busy machine
SHOWN_CHARACTERS = 200_000
SHOWN_MESSAGE = 2000  # characters of a message


@dataclass(frozen=True)
class DryRunRequest:
    """What to read, and when to stop: after so many documents or seconds.

    `show` names a document whose text and chunks are wanted; the reading ends with it. The document
    in hand when the time is over gets `patience` more seconds.
    """

    parser: str
    config: SourceConfig
    seconds: float
    documents: int = 1_000_000
    show: str = ""
    patience: float = PATIENCE


_ORDER = TypeAdapter(DryRunRequest)


def written(order: DryRunRequest) -> bytes:
    """The request as JSON."""
    return _ORDER.dump_json(order)


def understood(text: bytes) -> DryRunRequest:
    """The request from JSON, with the types that a parser expects."""
    return _ORDER.validate_json(text)


@dataclass(frozen=True)
class DryRunDocument:
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
class DryRun:
    """The result of a dry run. `complete` if the source was read to its end; `problem` says what
    stopped it, unless it was the requested time or number."""

    documents: list[DryRunDocument] = field(default_factory=list)
    failures: list[DocumentFailure] = field(default_factory=list)
    complete: bool = False
    problem: str = ""


def order(
    source: Source, *, seconds: float, documents: int = 1_000_000, show: str = ""
) -> DryRunRequest:
    return DryRunRequest(source.parser, source.config(), seconds, documents, show)


def run(asked: DryRunRequest) -> DryRun:
    """Read in another process and wait for it; it is killed if it takes too long."""
    trial = DryRun()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bbjrag", "trial"],
            input=written(asked),
            capture_output=True,
            cwd=settings.BASE_DIR,
            timeout=STARTING + asked.seconds + asked.patience,
            check=False,
        )
        output, code, errors = done.stdout, done.returncode, done.stderr
    except subprocess.TimeoutExpired as expired:
        output, code, errors = expired.stdout or b"", -signal.SIGALRM, b""
    for line in output.splitlines(keepends=True):
        if line.endswith(b"\n"):  # the last one may be cut off
            _note(trial, json.loads(line))
    trial.problem = trial.problem or _problem(asked, trial, code, errors)
    return trial


def limit_time(asked: DryRunRequest) -> None:
    """Have the kernel end this process when its time is over, whatever it is doing. The time to
    start it does not count."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, asked.seconds + asked.patience)


def _problem(asked: DryRunRequest, trial: DryRun, code: int, errors: bytes) -> str:
    """Why the process ended early; empty if it ended by itself."""
    if code == -signal.SIGALRM:
        last = trial.documents[-1].url if trial.documents else ""
        place = f"after {last}" if last else "before its first document"
        limit = asked.seconds + asked.patience
        return (
            f"{asked.config.name} was stopped after {limit:g} seconds: it had "
            f"not come to an end, nor any further, {place}. A slow site, or one very large "
            "document, may be the reason; a run waits longer."
        )
    lines = errors.decode("utf-8", "replace").splitlines()
    last = shortened(lines[-1], SHOWN_MESSAGE) if lines else "it was killed"
    return f"The reading crashed: {last}" if code else ""


def _note(trial: DryRun, entry: dict[str, Any]) -> None:
    kind = entry.pop("kind")
    if kind == "document":
        trial.documents.append(DryRunDocument(**entry))
    elif kind == "failure":
        trial.failures.append(DocumentFailure(**entry))
    else:
        trial.complete, trial.problem = entry["complete"], entry["problem"]


def read(asked: DryRunRequest) -> Iterator[dict[str, Any]]:
    """The output of the process: a JSON object for each document and failure, one for the end."""
    chunker = Chunker(size=settings.CHUNK_SIZE, overlap=settings.CHUNK_OVERLAP)
    preparation = Preparation(chunker, 1, asked.config.limits)
    deadline, number, end = time.monotonic() + asked.seconds, 0, {"complete": True, "problem": ""}
    try:
        for parsed in _parsed(asked):
            if isinstance(parsed, DocumentFailure):
                message = shortened(parsed.message, SHOWN_MESSAGE)
                yield {"kind": "failure", **asdict(parsed), "message": message}
            elif isinstance(parsed, ParsedDocument):
                number += 1
                yield _tried(parsed, preparation, asked.show)
                if asked.show == parsed.url or number >= asked.documents:
                    end["complete"] = False
                    break
            if time.monotonic() > deadline:
                end["complete"] = False
                break
    except BbjragError as error:
        end = {"complete": False, "problem": shortened(str(error), SHOWN_MESSAGE)}
    finally:
        preparation.close()
    yield {"kind": "end", **end}


def _parsed(asked: DryRunRequest) -> Iterator[Parsed]:
    with material.opened(asked.config, seconds=asked.seconds) as found:
        yield from found.shown(asked.parser)


def _tried(document: ParsedDocument, preparation: Preparation, show: str) -> dict[str, Any]:
    """The document with its chunks, or a Failure if it cannot be cut."""
    preparation.put(document, "")
    [(_, _, prepared)] = preparation.rest()
    if isinstance(prepared, DocumentFailure):
        return {"kind": "failure", **asdict(prepared)}
    chunks = prepared.chunks
    tried = DryRunDocument(
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
    return {"kind": "document", **asdict(tried)}


def _shown(chunk: TextChunk) -> dict[str, Any]:
    return asdict(chunk) | {"content": chunk.content[:SHOWN_CHARACTERS]}
