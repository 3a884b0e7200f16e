"""A dry run: what a source's parser yields now, cut into chunks. Nothing is stored.

It runs in a process of its own (`manage.py trial`) that opens no database, so that neither a crash
nor an endless document can hurt the server that asked.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType
from typing import IO, Any, Self

from django.conf import settings
from pydantic import TypeAdapter

from ingestion.chunking.chunker import Chunker, TextChunk
from ingestion.chunking.stage import Preparation
from ingestion.documents import DocumentFailure, Parsed, ParsedDocument, shortened
from ingestion.exceptions import BbjragError, TimeIsOver
from ingestion.index import moves
from ingestion.parsers.base import SourceConfig
from ingestion.runs import material
from sources.models import Source

PATIENCE = 15  # extra seconds for the last document
ROOM = 1  # of its seconds, for the documents that a parser held back
STARTING = 60  # seconds to start the process, also on a busy machine
SHOWN_CHARACTERS = 200_000
SHOWN_MESSAGE = 2000  # characters of a message


@dataclass(frozen=True)
class DryRunRequest:
    """What to read, and when to stop: after so many documents or seconds.

    With `texts`, the documents come with their text and chunks. The document in hand when the time
    is over gets `patience` more seconds.
    """

    parser: str
    config: SourceConfig
    seconds: float
    documents: int = 1_000_000
    texts: bool = False
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
    source: Source, *, seconds: float, documents: int = 1_000_000, texts: bool = False
) -> DryRunRequest:
    return DryRunRequest(source.parser, source.config(), seconds, documents, texts)


Entry = DryRunDocument | DocumentFailure | None


class Reading:
    """The process of a dry run, and what it has yielded so far. It ends with the `with` block."""

    def __init__(self, asked: DryRunRequest) -> None:
        self.asked = asked
        self.last = ""
        self.complete = False
        self.problem = ""
        """What stopped it, unless it was the requested time or number."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bbjrag", "trial"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=settings.BASE_DIR,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        self._errors.close()

    def entries(self, pause: float = 1.0) -> Iterator[Entry]:
        """Documents and failures as they come, and None whenever none has come during a pause."""
        deadline = time.monotonic() + STARTING + self.asked.seconds + self.asked.patience
        self._ask()
        assert self._process.stdout
        for line in _lines(self._process.stdout, pause):
            yield self._noted(json.loads(line)) if line else None
            if time.monotonic() > deadline:
                self._process.send_signal(signal.SIGALRM)
        self.problem = self.problem or self._ended()

    def _ask(self) -> None:
        assert self._process.stdin
        try:
            with self._process.stdin as pipe:
                pipe.write(written(self.asked))
        except BrokenPipeError:  # it ended at once, and its last words say why
            return

    def _noted(self, entry: dict[str, Any]) -> Entry:
        kind = entry.pop("kind")
        if kind == "document":
            self.last = entry["url"]
            return DryRunDocument(**entry)
        if kind == "failure":
            return DocumentFailure(**entry)
        self.complete, self.problem = entry["complete"], entry["problem"]
        return None

    def _ended(self) -> str:
        """Why the process ended early; empty if it ended by itself."""
        code = self._process.wait()
        if code == -signal.SIGALRM:
            return _too_slow(self.asked, self.last)
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").splitlines()
        last = shortened(lines[-1], SHOWN_MESSAGE) if lines else "it was killed"
        return f"The reading crashed: {last}" if code else ""


def _lines(output: IO[bytes], pause: float) -> Iterator[bytes]:
    """The whole lines of a pipe; an empty one whenever nothing has come during a pause."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            if not selector.select(pause):
                yield b""
                continue
            part = os.read(output.fileno(), 1 << 20)
            if not part:
                return
            *whole, rest = (rest + part).split(b"\n")
            yield from whole


def run(asked: DryRunRequest) -> DryRun:
    """Read in another process and wait for it; it is killed if it takes too long."""
    found = DryRun()
    with Reading(asked) as reading:
        for entry in reading.entries():
            if isinstance(entry, DryRunDocument):
                found.documents.append(entry)
            elif entry is not None:
                found.failures.append(entry)
        found.complete, found.problem = reading.complete, reading.problem
    return found


def limit_time(asked: DryRunRequest) -> None:
    """Have the kernel end this process when its time is over, whatever it is doing. The time to
    start it does not count."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, asked.seconds + asked.patience)


def _too_slow(asked: DryRunRequest, last: str) -> str:
    place = f"after {last}" if last else "before its first document"
    limit = asked.seconds + asked.patience
    return (
        f"{asked.config.name} was stopped after {limit:g} seconds: it had "
        f"not come to an end, nor any further, {place}. A slow site, or one very large "
        "document, may be the reason; a run waits longer."
    )


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
                yield _tried(parsed, preparation, asked.texts)
                if number >= asked.documents:
                    end["complete"] = False
                    break
            if time.monotonic() > deadline:
                end["complete"] = False
                break
    except TimeIsOver:
        end["complete"] = False
    except BbjragError as error:
        end = {"complete": False, "problem": shortened(str(error), SHOWN_MESSAGE)}
    finally:
        preparation.close()
    yield {"kind": "end", **end}


def _parsed(asked: DryRunRequest) -> Iterator[Parsed]:
    enough = max(asked.seconds - ROOM, asked.seconds / 2)
    config = replace(asked.config, seconds=enough)
    with material.opened(config, seconds=asked.seconds) as found:
        yield from found.shown(asked.parser)


def _tried(document: ParsedDocument, preparation: Preparation, texts: bool) -> dict[str, Any]:
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
        content=document.content[:SHOWN_CHARACTERS] if texts else "",
        chunks=[_shown(chunk) for chunk in chunks] if texts else [],
    )
    return {"kind": "document", **asdict(tried)}


def _shown(chunk: TextChunk) -> dict[str, Any]:
    return asdict(chunk) | {"content": chunk.content[:SHOWN_CHARACTERS]}
