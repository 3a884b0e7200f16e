"""One attempt at one SourceRun, in a process of its own: read the source, then end the run."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Set
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from ingestion import (
    documents,
    moves,
    pipeline,
    quality,
    removal,
    run_log,
    runs,
    vector_index,
    vocabulary,
)
from ingestion.chunker import Chunker
from ingestion.embedding.base import Embedder
from ingestion.embedding.configured import configured_embedder
from ingestion.exceptions import BbjragError, EmbedderUnavailable
from ingestion.lease import Lease, LeaseLost, LeaseTaken
from ingestion.log_context import log_context
from ingestion.models import Chunk, Document, Failure, SourceRun, State
from ingestion.parsers import parser_class
from ingestion.pipeline import is_asked_for
from ingestion.shared_memory import Note
from ingestion.store import KnownDocuments, Writer, profile_of, read_key
from ingestion.terms import TERMS_VERSION
from sources.models import Source

logger = logging.getLogger(__name__)

LEASE_PATIENCE = 10.0  # seconds in which the server notices that a killed predecessor is gone
REPORT_EVERY = 0.5  # seconds between two updates of the row
TOLD_EVERY = 30.0  # seconds between two lines on how far it is
CARRIED_OVER = ("added", "changed", "embedded", "removed", "moved")
FAILURES_KEPT = 1000  # rows of each level and run; beyond that they are only counted


def execute(source_run: SourceRun, note: Note) -> str:
    """Read the source of a SourceRun that was claimed, and move the row to how it ended.

    `note` is told each document before it is worked on. Returns a sentence. Raises LeaseLost,
    LeaseTaken, database errors and bugs: the row then stays as it is, for whoever watches.
    """
    log = run_log.RunLog(source_run.pk)
    attempt = Attempt(source_run, note, log)
    try:
        with (
            log_context(run=source_run.run_id, source=source_run.source_name),
            run_log.collected(log),
        ):
            return attempt.run()
    except EmbedderUnavailable as error:
        return attempt.put_to_wait(str(error))
    except (LeaseLost, LeaseTaken):
        raise
    except BbjragError as error:
        return attempt.give_up(str(error))


class Attempt:
    """`base` holds what earlier attempts of the same SourceRun have done: its counters go on."""

    def __init__(self, source_run: SourceRun, note: Note, log: run_log.RunLog) -> None:
        if source_run.source is None:
            raise LeaseLost("The source was deleted.")
        self.source_run = source_run
        self.source: Source = source_run.source
        self.note = note
        self.log = log
        self.options: dict[str, Any] = source_run.run.options
        self.only: Set[str] | None = None
        self.data_dir = Path(self.options.get("data_dir") or settings.DATA_DIR)
        self.lease = Lease(connection, self.source.pk)
        self.since: datetime = source_run.started_at or timezone.now()
        self.watcher = os.getppid()
        self.reported = 0.0
        self.told = time.monotonic()
        self.embeds = False
        self.base = {name: getattr(source_run, name) for name in CARRIED_OVER}
        self.reading: pipeline.Reading | None = None

    def run(self) -> str:
        self._take_lease()
        self.source.keep_address_prefixes()
        self._recall_failures()
        embedder = configured_embedder()
        reading = self._reading(embedder)
        return self._finish(reading, reading.run())

    def _take_lease(self) -> None:
        deadline = time.monotonic() + LEASE_PATIENCE
        while not self.lease.acquire():
            if time.monotonic() > deadline:
                raise LeaseTaken("Another process reads this source.")
            time.sleep(0.2)

    def _recall_failures(self) -> None:
        """What earlier attempts of this run have recorded already."""
        rows = Failure.objects.filter(source_run=self.source_run)
        self.earlier = {
            (row.level, row.document_url, row.stage, row.message): row.pk for row in rows
        }
        self.kept = Counter(level for level, *_ in self.earlier)

    def _reading(self, embedder: Embedder) -> pipeline.Reading:
        chunker = fitting_chunker(embedder)
        profile = profile_of(embedder)
        versions = versions_of(self.source, chunker, profile.pk)
        key = read_key(self.source, versions)
        clean = bool(self.options.get("clean"))
        self.only = self._only()
        self.known = KnownDocuments(
            self.source,
            key,
            self.data_dir,
            made_since=self.since if clean else None,
            trust_times=settings.TRUST_FILE_TIMES,
            in_hand=self.note.hold,
        )
        self.writer = Writer(self.source, profile, self.lease, key, timezone.now(), self._progress)
        self.reading = pipeline.Reading(
            parsed=self._parsed(),
            known=self.known,
            writer=self.writer,
            chunker=chunker,
            embedder=embedder,
            versions=versions,
            report=self._report,
            fail=self._fail,
            since=self.since,
            reuse=not clean,
            only=self.only,
            helpers=settings.CHUNKING_PROCESSES,
        )
        return self.reading

    def _parsed(self) -> Iterator[documents.Parsed]:
        if self.only is not None and not self.only:
            return iter(())  # a retry, and nothing has failed
        return pipeline.read(self.source.parser, self.source.config(self.data_dir), self.known)

    def _only(self) -> Set[str] | None:
        """The addresses to retry, where the run asks only for some, or for all that failed; None
        where it asks for everything."""
        if chosen := self.options.get("addresses"):
            return frozenset(chosen)
        if not self.options.get("retry_failed"):
            return None
        failing = Failure.objects.open().filter(source=self.source)
        failing = failing.exclude(level=Failure.Level.WARNING)
        urls = set(failing.values_list("document_url", flat=True))
        return None if "" in urls else urls  # without an address, it is the source that failed

    def _report(self, stage: str, url: str) -> None:
        if url:
            self.note.hold(url)
        self.note.pulse.beat()
        if stage == "embedding" and not self.embeds:
            self.embeds = True
            self.log.say(f"Embedding begins, with {self.writer.profile}.")
        now = time.monotonic()
        if now - self.reported < REPORT_EVERY:
            return
        self.reported = now
        if os.getppid() != self.watcher:  # where the kernel does not end us with our parent
            raise LeaseLost("The worker that watched this reading is gone.")
        self._update(stage=stage, current_url=url[:2000] if url else "")
        if now - self.told >= TOLD_EVERY:
            self.told = now
            self._tell_progress()
        self.log.keep()

    def _tell_progress(self) -> None:
        """How far it is, for the log: of a reading that takes its time."""
        counted = self._counted()
        expected = self.source_run.expected
        of = f" of about {expected:,}" if expected else ""
        self.log.say(
            f"{counted['read']:,}{of} documents read, {counted['added']:,} added, "
            f"{counted['changed']:,} changed, {counted['embedded']:,} chunks embedded, "
            f"{counted['failures']:,} failures so far."
        )

    def _progress(self) -> None:
        """Something is stored: whatever the run waited for before is over."""
        self._update(waiting_since=None)

    def _update(self, **fields: Any) -> None:
        """Write what has been done so far into the row. Raises LeaseLost where it is not ours."""
        mine = SourceRun.objects.filter(
            pk=self.source_run.pk,
            attempt=self.source_run.attempt,
            worker=self.source_run.worker,
            state=State.RUNNING,
        )
        if not mine.update(**self._counted(), **fields):
            raise LeaseLost(f"{self.source_run} was taken away from this process.")

    def _counted(self) -> dict[str, Any]:
        """The counters of all attempts, and the timings of this one."""
        if self.reading is None:
            return {}
        counters = asdict(self.reading.counters)
        counters |= {name: counters[name] + before for name, before in self.base.items()}
        counters["failures"] = self.kept[Failure.Level.ERROR]
        counters["warnings"] = self.kept[Failure.Level.WARNING]
        spent = self.reading.timings.items()
        return counters | {"timings": {stage: round(seconds, 3) for stage, seconds in spent}}

    def _fail(self, failure: documents.Failure) -> None:
        """Record it; save those of documents that this run was not asked for."""
        if failure.url and not is_asked_for(failure.url, self.only):
            return
        level = Failure.Level.WARNING if failure.warning else Failure.Level.ERROR
        url = failure.url[:2000].replace("\x00", "")
        message = failure.message.replace("\x00", "")
        if self.earlier.pop((level, url, failure.stage, message), None):
            return
        self.kept[level] += 1
        if self.kept[level] > FAILURES_KEPT:
            return
        Failure.objects.create(
            source_run=self.source_run,
            source=self.source,
            level=level,
            document_url=url,
            stage=failure.stage,
            message=message,
        )

    def put_to_wait(self, reason: str) -> str:
        """The embedder is away. Where something was stored meanwhile, the waiting begins anew."""
        self.source_run.refresh_from_db(fields=["cancel_requested", "waiting_since"])
        SourceRun.objects.filter(pk=self.source_run.pk).update(**self._counted())
        return runs.put_to_wait(self.source_run, reason)

    def give_up(self, reason: str) -> str:
        message = f"{reason} What was stored stays."
        with transaction.atomic():
            self._fail(documents.Failure("", message, stage="source"))
            fields = self._counted() | {"failures": self.kept[Failure.Level.ERROR], "stage": ""}
            during = self.source_run.attempt
            runs.move(self.source_run, State.FAILED, during=during, error=message, **fields)
        return message

    def _finish(self, reading: pipeline.Reading, outcome: pipeline.Outcome) -> str:
        self.note.hold("")
        self.note.pulse.rest()
        self._update(stage="indexing", current_url="")
        with reading.clock("index"):
            if self._is_last() and vector_index.build(self.writer.profile):
                self.log.say("The index over the vectors was built.")
        self.log.keep()
        with transaction.atomic():
            with reading.clock("finish"):
                self.writer.guard()
                state, fields = self._end(reading, outcome)
                self._keep_vocabulary(reading.counters.removed)
                stored = self._stored(reading)
                quality.keep(self.source_run)
            fields = self._counted() | stored | fields
            fields |= {"stage": "", "current_url": "", "waiting_since": None, "resume_at": None}
            if not runs.move(self.source_run, state, during=self.source_run.attempt, **fields):
                raise LeaseLost(f"{self.source_run} was taken away from this process.")
            runs.supersede_approvals(self.source_run)
        return f"{self.source.name}: {fields['last_line']}"

    def _is_last(self) -> bool:
        """Whether no other source is read or about to be, which an index would slow down."""
        others = SourceRun.objects.filter(state__in=[State.QUEUED, State.RUNNING])
        return not others.exclude(pk=self.source_run.pk).exists()

    def _keep_vocabulary(self, removed: int) -> None:
        vocabulary.learn(self._changed_documents(), removed)
        if self._is_last() and vocabulary.is_stale():
            vocabulary.rebuild()

    def _changed_documents(self) -> list[int]:
        """Those stored since the run began, by whichever of its attempts."""
        rows = Document.objects.filter(source=self.source, changed_at__gte=self.since)
        return list(rows.order_by().values_list("pk", flat=True))

    def _stored(self, reading: pipeline.Reading) -> dict[str, int]:
        """The counters that describe the tables as they are now."""
        chunks = Chunk.objects.filter(document__source=self.source)
        met = chunks.filter(document__last_seen=self.writer.now).count()
        embedded = reading.counters.embedded + self.base["embedded"]
        return {
            "documents": Document.objects.filter(source=self.source).count(),
            "chunks": chunks.count(),
            "reused": max(met - embedded, 0),
        }

    def _end(
        self, reading: pipeline.Reading, outcome: pipeline.Outcome
    ) -> tuple[State, dict[str, Any]]:
        """Judge what vanished, and name the state the run ends in. Inside the last transaction."""
        self.writer.mark_seen([s.pk for url, s in self.known.by_url.items() if url in outcome.seen])
        if not outcome.seen and reading.only is None:
            self._nothing_found(reading)
        self._resolve(outcome)
        vanished = outcome.vanished if outcome.seen and reading.only is None else []
        moved, vanished = self._move(reading, vanished)
        fields: dict[str, Any] = {"error": "", "moves": moved}
        config = self.source.config(self.data_dir)
        if reason := removal.reason_to_ask(config, vanished, self.known.by_url):
            line = f"{reason}: approve or refuse their removal."
            return State.NEEDS_APPROVAL, fields | {"vanished": vanished, "last_line": line}
        if vanished:
            reading.counters.removed = self.writer.remove(vanished)
            fields["vanished"] = vanished  # so that the run's page can name them
        counters = self._counted()
        state = State.PARTIAL if counters["failures"] else State.SUCCEEDED
        moves = f"moved: {counters['moved']}, " if counters["moved"] else ""
        line = (
            f"Documents added: {counters['added']}, changed: {counters['changed']}, {moves}"
            f"removed: {counters['removed']}. Failures: {counters['failures']}."
        )
        return state, fields | {"last_line": line}

    def _move(
        self, reading: pipeline.Reading, vanished: list[str]
    ) -> tuple[list[tuple[str, str]], list[str]]:
        """Make one document of what vanished and what came up with its text elsewhere: the old and
        new addresses, and what has vanished all the same."""
        moved = moves.find(self.source.pk, vanished)
        moves.settle(moved)
        reading.counters.moved += len(moved)
        reading.counters.added -= sum(move.came >= self.since for move in moved)
        old = {move.old_url for move in moved}
        pairs = [(move.old_url, move.new_url) for move in moved]
        return pairs, [url for url in vanished if url not in old]

    def _nothing_found(self, reading: pipeline.Reading) -> None:
        if reading.counters.failures:
            return
        stored = len(self.known.by_url)
        kept = f" The {stored} stored documents are kept." if stored else ""
        message = f"Nothing readable was found: check the path, or that it is mounted.{kept}"
        reading.counters.failures += 1
        self._fail(documents.Failure(f"{self.source.name}://", message, stage="source"))

    def _resolve(self, outcome: pipeline.Outcome) -> None:
        """Earlier failures of what was judged again are over; those of what was passed over stay.

        What an earlier attempt of this very run recorded and this one did not meet is removed.
        """
        judged = Judged(outcome, self.known.by_url.keys(), self.only)
        rows = Failure.objects.open().filter(source=self.source)
        rows = rows.only("pk", "document_url", "level", "stage")
        over = [row.pk for row in rows if not judged.stands(row)]
        mine = set(self.earlier.values())
        Failure.objects.filter(pk__in=set(over) & mine).delete()
        self.kept.subtract(key[0] for key, pk in self.earlier.items() if pk in set(over))
        others = Failure.objects.filter(pk__in=set(over) - mine)
        others.exclude(source_run=self.source_run).update(resolved=True)


class Judged:
    """Which earlier failures a complete reading leaves standing.

    A file that was passed over as unchanged keeps its own; that of a folder, or of the source, is
    over when the folder was walked without meeting it again. With `only`, all that none of these
    addresses covers was passed over as well. What cannot be fetched or read, each reading tells
    anew.
    """

    def __init__(
        self, outcome: pipeline.Outcome, stored: Collection[str], only: Set[str] | None
    ) -> None:
        self.outcome = outcome
        self.stored = stored
        self.only = only
        passed = outcome.seen - outcome.reread
        self.passed = passed | {url.partition("#")[0] for url in passed}

    def stands(self, row: Failure) -> bool:
        url = row.document_url
        if not is_asked_for(url, self.only):
            return True
        if url in self.outcome.reread or row.stage == "fetch":
            return False
        if row.level == Failure.Level.WARNING:
            return self._warning_stands(url)
        return row.stage != "read" and self._is_passed(url)

    def _is_passed(self, url: str) -> bool:
        return bool({url, url.partition("#")[0]} & self.passed)

    def _warning_stands(self, url: str) -> bool:
        if self._is_passed(url):
            return True
        vanished = url in self.stored and url not in self.outcome.seen
        return self.only is not None or (bool(self.passed) and not vanished)


def versions_of(source: Source, chunker: Chunker, profile: int | None) -> tuple[object, ...]:
    """What makes chunks of the source's documents: when any of it changes, they are made anew."""
    parser_version = parser_class(source.parser).version
    return (source.parser, parser_version, chunker.key, profile, TERMS_VERSION)


def fitting_chunker(embedder: Embedder) -> Chunker:
    """The chunker of the settings, cut down where the embedder's context is smaller."""
    size = min(settings.CHUNK_SIZE, embedder.chunk_limit)
    overlap = settings.CHUNK_OVERLAP if size == settings.CHUNK_SIZE else size // 8
    return Chunker(size=size, overlap=overlap)
