"""One attempt at one SourceRun, in a process of its own: read the source, then end the run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from ingestion import documents, pipeline, runs, vector_index, vocabulary
from ingestion.chunker import Chunker
from ingestion.embedding.base import Embedder
from ingestion.embedding.configured import configured_embedder
from ingestion.exceptions import BbjragError, EmbedderUnavailable
from ingestion.lease import Lease, LeaseLost
from ingestion.models import OPEN_STATES, Chunk, Document, Failure, SourceRun, State
from ingestion.parsers import parser_class
from ingestion.store import KnownDocuments, Writer, profile_of, read_key
from ingestion.terms import TERMS_VERSION
from sources.models import Source

logger = logging.getLogger(__name__)

LEASE_PATIENCE = 10.0  # seconds in which the server notices that a killed predecessor is gone
REPORT_EVERY = 0.5  # seconds between two updates of the row
FAILURES_KEPT = 1000  # rows of each level and run; beyond that they are only counted


def execute(source_run: SourceRun, in_hand: Callable[[str], None]) -> str:
    """Read the source of a SourceRun that was claimed, and move the row to how it ended.

    `in_hand` is told each document before it is worked on. Returns a sentence. Raises only LeaseLost
    and bugs: the row then stays as it is, for whoever watches this process.
    """
    attempt = source_run.attempt
    try:
        return Attempt(source_run, in_hand).run()
    except EmbedderUnavailable as error:
        return runs.wait_for_embedder(source_run, str(error))
    except LeaseLost:
        raise
    except BbjragError as error:
        message = f"{error} What was stored stays."
        Failure.objects.create(
            source_run=source_run, source=source_run.source, stage="source", message=message
        )
        runs.move(source_run, State.FAILED, during=attempt, error=message, failures=1)
        return message


class Attempt:
    def __init__(self, source_run: SourceRun, in_hand: Callable[[str], None]) -> None:
        if source_run.source is None:
            raise LeaseLost("The source was deleted.")
        self.source_run = source_run
        self.source: Source = source_run.source
        self.in_hand = in_hand
        self.options: dict[str, Any] = source_run.run.options
        self.data_dir = Path(self.options.get("data_dir") or settings.DATA_DIR)
        self.lease = Lease(connection, self.source.pk)
        self.reported = 0.0
        self.kept = {Failure.Level.ERROR: 0, Failure.Level.WARNING: 0}

    def run(self) -> str:
        self._take_lease()
        embedder = configured_embedder()
        reading = self._reading(embedder)
        outcome = reading.run()
        return self._finish(reading, outcome)

    def _take_lease(self) -> None:
        deadline = time.monotonic() + LEASE_PATIENCE
        while not self.lease.acquire():
            if time.monotonic() > deadline:
                raise LeaseLost("Another process reads this source.")
            time.sleep(0.2)

    def _reading(self, embedder: Embedder) -> pipeline.Reading:
        chunker = fitting_chunker(embedder)
        profile = profile_of(embedder)
        parser_version = parser_class(self.source.parser).version
        versions = (self.source.parser, parser_version, chunker.key, profile.pk, TERMS_VERSION)
        key = read_key(self.source, versions, self.data_dir)
        clean = bool(self.options.get("clean"))
        self.known = KnownDocuments(self.source, key, self.data_dir, trust_times=not clean)
        self.writer = Writer(self.source, profile, self.lease, key, timezone.now())
        parsed = pipeline.read(self.source.parser, self.source.config(self.data_dir), self.known)
        self.reading = pipeline.Reading(
            parsed=parsed,
            known=self.known,
            writer=self.writer,
            chunker=chunker,
            embedder=embedder,
            versions=versions,
            report=self._report,
            fail=self._fail,
            reuse=not clean,
            only=self._only(),
        )
        return self.reading

    def _only(self) -> set[str] | None:
        """The addresses to retry, where the run asks only for those that failed."""
        if not self.options.get("retry_failed"):
            return None
        failing = Failure.objects.filter(source=self.source, resolved=False)
        return set(
            failing.exclude(level=Failure.Level.WARNING).values_list("document_url", flat=True)
        )

    def _report(self, stage: str, url: str) -> None:
        if url:
            self.in_hand(url)
        now = time.monotonic()
        if now - self.reported < REPORT_EVERY:
            return
        self.reported = now
        self._update(stage=stage, current_url=url[:2000] if url else "")

    def _update(self, **fields: Any) -> None:
        mine = SourceRun.objects.filter(
            pk=self.source_run.pk, attempt=self.source_run.attempt, state=State.RUNNING
        )
        counters = asdict(self.reading.counters)
        if not mine.update(**counters, **fields, timings=self._timings()):
            raise LeaseLost(f"{self.source_run} was taken away from this process.")

    def _timings(self) -> dict[str, float]:
        return {stage: round(spent, 3) for stage, spent in self.reading.timings.items()}

    def _fail(self, failure: documents.Failure) -> None:
        level = Failure.Level.WARNING if failure.warning else Failure.Level.ERROR
        self.kept[level] += 1
        if self.kept[level] > FAILURES_KEPT:
            return
        Failure.objects.create(
            source_run=self.source_run,
            source=self.source,
            level=level,
            document_url=failure.url[:2000].replace("\x00", ""),
            stage=failure.stage,
            message=failure.message.replace("\x00", ""),
        )

    def _finish(self, reading: pipeline.Reading, outcome: pipeline.Outcome) -> str:
        self._update(stage="indexing", current_url="")
        if (
            not SourceRun.objects.filter(state__in=OPEN_STATES)
            .exclude(pk=self.source_run.pk)
            .exists()
        ):
            with reading.clock("index"):
                vector_index.build(self.writer.profile)
                vocabulary.rebuild()
        with transaction.atomic(), reading.clock("finish"):
            self.lease.check()
            state, fields = self._end(reading, outcome)
            fields |= asdict(reading.counters) | self._stored(reading.counters)
            fields |= {"timings": self._timings(), "stage": "", "current_url": ""}
            if not runs.move(self.source_run, state, during=self.source_run.attempt, **fields):
                raise LeaseLost(f"{self.source_run} was taken away from this process.")
        return f"{self.source.name}: {fields['last_line']}"

    def _stored(self, counters: pipeline.Counters) -> dict[str, int]:
        """The counters that describe the tables as they are now."""
        chunks = Chunk.objects.filter(document__source=self.source).count()
        return {
            "documents": Document.objects.filter(source=self.source).count(),
            "chunks": chunks,
            "reused": max(chunks - counters.embedded, 0),
        }

    def _end(
        self, reading: pipeline.Reading, outcome: pipeline.Outcome
    ) -> tuple[State, dict[str, Any]]:
        """Judge what vanished, and name the state the run ends in. Inside the last transaction."""
        self.writer.mark_seen([s.pk for url, s in self.known.by_url.items() if url in outcome.seen])
        if not outcome.seen and not reading.only:
            self._nothing_found(reading)
        self._resolve(outcome)
        vanished = outcome.vanished if outcome.seen and reading.only is None else []
        fields: dict[str, Any] = {"error": ""}
        if needs_approval(len(vanished), len(self.known.by_url)):
            number, total = len(vanished), len(self.known.by_url)
            line = f"{number} of {total} documents vanished: approve or refuse their removal."
            return State.NEEDS_APPROVAL, fields | {"vanished": vanished, "last_line": line}
        if vanished:
            reading.counters.removed = self.writer.remove(vanished)
        counters = reading.counters
        state = State.PARTIAL if counters.failures else State.SUCCEEDED
        line = (
            f"{counters.added} documents added, {counters.changed} changed, "
            f"{counters.removed} removed, {counters.failures} failures."
        )
        return state, fields | {"last_line": line}

    def _nothing_found(self, reading: pipeline.Reading) -> None:
        if reading.counters.failures:
            return
        stored = len(self.known.by_url)
        kept = f" The {stored} stored documents are kept." if stored else ""
        message = f"Nothing readable was found: check the path, or that it is mounted.{kept}"
        reading.counters.failures += 1
        self._fail(documents.Failure(f"{self.source.name}://", message, stage="source"))

    def _resolve(self, outcome: pipeline.Outcome) -> None:
        """Earlier failures of what was judged again are over; those of what was passed over stay."""
        passed = outcome.seen - outcome.reread
        standing = {place for url in passed for place in pipeline.places_of(url)}
        earlier = Failure.objects.filter(source=self.source, resolved=False)
        earlier = earlier.exclude(source_run=self.source_run)
        over = [
            row.pk
            for row in earlier.only("pk", "document_url", "level")
            if not _stands(row, standing, outcome)
        ]
        Failure.objects.filter(pk__in=over).update(resolved=True)


def _stands(row: Failure, standing: set[str], outcome: pipeline.Outcome) -> bool:
    if row.document_url in outcome.reread:
        return False
    if row.document_url in standing:
        return True
    return row.level == Failure.Level.WARNING and bool(standing)


def needs_approval(vanished: int, stored: int) -> bool:
    """Whether that many vanished documents are too many to remove without asking."""
    share = settings.REMOVAL_GATE_SHARE
    return vanished >= settings.REMOVAL_GATE_DOCUMENTS and vanished > share * stored


def fitting_chunker(embedder: Embedder) -> Chunker:
    """The chunker of the settings, cut down where the embedder's context is smaller."""
    size = min(settings.CHUNK_SIZE, embedder.chunk_limit)
    overlap = settings.CHUNK_OVERLAP if size == settings.CHUNK_SIZE else size // 8
    return Chunker(size=size, overlap=overlap)
