"""One attempt at one SourceRun, in a process of its own: read the source, then end the run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from ingestion import documents
from ingestion.chunking.chunker import Chunker
from ingestion.chunking.stage import PreparedDocument, PreparingOnTheSpot
from ingestion.embedding.base import Embedder
from ingestion.embedding.configured import configured_embedder, first_embedder
from ingestion.embedding.stage import embedding_in_passing
from ingestion.exceptions import BbjragError, EmbedderUnavailable
from ingestion.index import enrichments
from ingestion.index.change_detection import KnownDocuments, read_key
from ingestion.index.enrichments import Enriching
from ingestion.index.source_lock import SourceLock, SourceLockLost, SourceLockTaken
from ingestion.index.texts import Texts
from ingestion.index.writer import Writer, profile_of
from ingestion.log_context import log_context
from ingestion.models import Document, Failure, SourceRun, State
from ingestion.parsers import parser_class
from ingestion.pipeline import Reading, Scope
from ingestion.processes import processors
from ingestion.processes.shared_state import ChildStatus
from ingestion.runs import log as run_log
from ingestion.runs import material, recovery, state_machine
from ingestion.runs.conclusion import Conclusion
from ingestion.runs.failures import FailureRecord
from ingestion.runs.material import Material
from ingestion.runs.progress import ProgressReport
from ingestion.text.analyzer import TERMS_VERSION
from sources.models import Source

LOOKED_BACK = 50  # runs, for the last that read a source to its end
LOCK_PATIENCE = 10.0  # seconds in which the server notices that a killed predecessor is gone


def execute(source_run: SourceRun, child_status: ChildStatus) -> str:
    """Read the source of a claimed SourceRun, and record in its row how that ended.

    `child_status` is given each document before work on it begins. Returns a sentence. Raises
    SourceLockLost, SourceLockTaken, database errors and bugs; the row then stays as it is, for the
    supervisor.
    """
    log = run_log.RunLog(source_run.pk)
    attempt = Attempt(source_run, child_status, log)
    try:
        with (
            log_context(run=source_run.run_id, source=source_run.source_name),
            run_log.collected(log),
        ):
            return attempt.run()
    except EmbedderUnavailable as error:
        return attempt.put_to_wait(str(error))
    except (SourceLockLost, SourceLockTaken):
        raise
    except BbjragError as error:
        return attempt.give_up(str(error))


@dataclass(frozen=True)
class Options:
    """The options of the run, from its row."""

    clean: bool
    retry_failed: bool
    addresses: frozenset[str]
    data_dir: Path
    since: datetime | None = None

    @classmethod
    def of(cls, source_run: SourceRun) -> Options:
        asked = source_run.run.options
        return cls(
            clean=bool(asked.get("clean")),
            retry_failed=bool(asked.get("retry_failed")),
            addresses=frozenset(asked.get("addresses", ())),
            data_dir=Path(asked.get("data_dir") or settings.DATA_DIR),
            since=datetime.fromisoformat(asked["since"]) if "since" in asked else None,
        )

    @property
    def is_partial(self) -> bool:
        """Whether only some documents are to be read."""
        return self.retry_failed or bool(self.addresses)

    def only(self, source: Source) -> Set[str] | None:
        """The addresses to read, if the run asks for some or for the failed ones; None for all."""
        if self.addresses:
            return self.addresses
        if not self.retry_failed:
            return None
        failing = Failure.objects.open().errors().filter(source=source)
        urls = set(failing.values_list("document_url", flat=True))
        return None if "" in urls else urls  # without an address, the source itself failed


class Attempt:
    def __init__(
        self, source_run: SourceRun, child_status: ChildStatus, log: run_log.RunLog
    ) -> None:
        if source_run.source is None:
            raise SourceLockLost("The source was deleted.")
        self.source_run = source_run
        self.source: Source = source_run.source
        self.child_status = child_status
        self.log = log
        self.options = Options.of(source_run)
        self.source_lock = SourceLock(connection, self.source.pk)
        self.progress: ProgressReport | None = None

    def run(self) -> str:
        self._take_source_lock()
        self.source.keep_address_prefixes()
        embedder = configured_embedder()
        first, chunker = first_embedder(embedder), fitting_chunker(embedder)
        profile = profile_of(embedder)
        profiles = [profile] if first is embedder else [profile, profile_of(first)]
        scope = self._scope(versions_of(self.source, chunker, profile.pk))
        failures = FailureRecord(self.source_run, scope.only)
        progress = ProgressReport(self.source_run, self.child_status, self.log, failures, profiles)
        self.progress = progress
        key = read_key(self.source, scope.versions)
        with self._material(key, scope, progress) as found:
            return self._read(found, key, scope, progress, first, chunker)

    def _read(
        self,
        found: Material,
        key: str,
        scope: Scope,
        progress: ProgressReport,
        embedder: Embedder,
        chunker: Chunker,
    ) -> str:
        known = self._known(key, scope, found.config.data_dir)
        processes = reading_processes()
        preparing = _preparing(known, scope, chunker, embedder)
        writer = Writer(
            self.source,
            progress.profiles,
            self.source_lock,
            key,
            timezone.now(),
            progress.stored,
            Texts(found.config.data_dir, settings.ORIGINAL_LIMIT),
            found.commit,
        )
        reading = Reading(
            parsed=self._parsed(found, known, scope, preparing, processes),
            known=known,
            writer=writer,
            chunker=chunker,
            embedder=embedder,
            scope=scope,
            observer=progress,
            helpers=processes,
            limits=settings.DOCUMENT_LIMITS,
            enrich=Enriching(settings.ENRICHMENT_MODEL, embedder.chunk_limit, embedder.tokens),
        )
        outcome = reading.run()
        for sentence in reading.embedding.settled():
            progress.log.say(sentence)
        progress.finishing()
        return Conclusion(self.source_run, self.source, known, writer, scope, progress).draw(
            outcome
        )

    def _take_source_lock(self) -> None:
        deadline = time.monotonic() + LOCK_PATIENCE
        while not self.source_lock.acquire():
            if time.monotonic() > deadline:
                raise SourceLockTaken("Another process reads this source.")
            time.sleep(0.2)

    def _scope(self, versions: tuple[object, ...]) -> Scope:
        return Scope(
            versions=versions,
            since=self.source_run.started_at or timezone.now(),
            only=self.options.only(self.source),
            reuse=not self.options.clean,
        )

    @contextmanager
    def _material(self, key: str, scope: Scope, progress: ProgressReport) -> Iterator[Material]:
        """What is to be read; the commit is noted in the row."""

        def watch() -> None:
            progress.report("fetching", "")

        config = self.source.config(self.options.data_dir)
        opening = material.opened(config, read=self._read_before(key, scope), watch=watch)
        with ExitStack() as stack:
            with progress.timings.clock("fetch") if config.repository else nullcontext():
                found = stack.enter_context(opening)
            if found.commit:
                progress.update(commit=found.commit)
                progress.log.say(_fetched(found))
            yield found

    def _read_before(self, key: str, scope: Scope) -> str:
        """The commit that is stored as it would be read now; empty if anything may be different."""
        if not self.source.repository or self.options.clean or scope.only is not None:
            return ""
        last = self._ended_before().first()
        if last is None or last.state != State.SUCCEEDED or Options.of(last).is_partial:
            return ""
        stored = Document.objects.filter(source=self.source)
        is_whole = stored.count() == last.documents and not stored.exclude(read_key=key).exists()
        is_stale = stored.filter(enrichments.stale(settings.ENRICHMENT_MODEL)).exists()
        return last.commit if is_whole and not is_stale else ""

    def _ended_before(self) -> QuerySet[SourceRun]:
        """The other source runs of this source that have ended, the newest first."""
        ended = SourceRun.objects.filter(source=self.source, finished_at__isnull=False)
        return ended.exclude(pk=self.source_run.pk).select_related("run").order_by("-pk")

    def _known(self, key: str, scope: Scope, data_dir: Path) -> KnownDocuments:
        return KnownDocuments(
            self.source,
            key,
            data_dir,
            made_since=(self.options.since or scope.since) if self.options.clean else None,
            trust_times=settings.TRUST_FILE_TIMES,
            original_limit=settings.ORIGINAL_LIMIT,
            enrichment_model=settings.ENRICHMENT_MODEL,
            was_whole=self._was_whole(),
            in_hand=self.child_status.hold,
        )

    def _was_whole(self) -> bool:
        """Whether the source was read to its end before, and nothing since was cut off."""
        stored = Document.objects.filter(source=self.source)
        if stored.filter(changed_at__gte=self.source_run.queued_at).exists():
            return False  # by an earlier attempt of this run
        for row in self._ended_before()[:LOOKED_BACK]:
            if row.state not in (State.SUCCEEDED, State.PARTIAL):
                return False
            if not Options.of(row).is_partial:
                return True
        return False

    def _parsed(
        self,
        found: Material,
        known: KnownDocuments,
        scope: Scope,
        preparing: PreparingOnTheSpot,
        processes: int,
    ) -> Iterator[documents.Parsed | PreparedDocument]:
        if scope.only is not None and not scope.only:
            return iter(())  # a retry, and nothing has failed
        if found.is_unchanged:
            return chain(self._standing_warnings(), map(documents.Unchanged, known.by_url))
        return found.worked_on(self.source.parser, known, preparing, processes)

    def _standing_warnings(self) -> list[documents.DocumentFailure]:
        """What the checkout of this commit left out."""
        rows = Failure.objects.open().filter(source=self.source, stage=material.STAGE)
        return [
            documents.DocumentFailure(row.document_url, row.message, row.stage, warning=True)
            for row in rows.order_by("pk")
        ]

    def put_to_wait(self, reason: str) -> str:
        """Wait for the embedder. If something was stored, the waiting time starts again."""
        self.source_run.refresh_from_db(fields=["cancel_requested", "waiting_since"])
        if self.progress:
            SourceRun.objects.filter(pk=self.source_run.pk).update(**self.progress.counted())
        return recovery.put_to_wait(self.source_run, reason)

    def give_up(self, reason: str) -> str:
        message = f"{reason} What was stored stays."
        failures = self.progress.failures if self.progress else FailureRecord(self.source_run, None)
        with transaction.atomic():
            failures.add(documents.DocumentFailure("", message, stage="source"))
            counted = self.progress.counted() if self.progress else failures.counted()
            fields = counted | {"stage": ""}
            during = self.source_run.attempt
            state_machine.move(
                self.source_run, State.FAILED, during=during, error=message, **fields
            )
        return message


def _fetched(found: Material) -> str:
    if found.is_unchanged:
        return f"Nothing has changed since commit {found.commit} was read."
    return f"Commit {found.commit} is there after {found.seconds:.1f} seconds."


def reading_processes() -> int:
    """In how many processes a source is read now: those that are read at once share the
    processors."""
    if settings.CHUNKING_PROCESSES:
        return int(settings.CHUNKING_PROCESSES)
    open_runs = SourceRun.objects.filter(state__in=[State.QUEUED, State.RUNNING]).count()
    return max(1, processors.usable() // max(1, min(settings.WORKERS, open_runs)))


def _preparing(
    known: KnownDocuments, scope: Scope, chunker: Chunker, embedder: Embedder
) -> PreparingOnTheSpot:
    def is_needed(url: str, fingerprint: str) -> bool:
        stored = known.holds(url, fingerprint)
        return scope.covers(url) and not (stored and stored.has_text)

    embed = embedding_in_passing(embedder)
    return PreparingOnTheSpot(chunker, scope.versions, is_needed, embed)


def versions_of(source: Source, chunker: Chunker, profile: int | None) -> tuple[object, ...]:
    """The versions that a source's chunks depend on: a change of any re-makes them."""
    parser_version = parser_class(source.parser).version
    return (source.parser, parser_version, chunker.key, profile, TERMS_VERSION)


def fitting_chunker(embedder: Embedder) -> Chunker:
    """The chunker of the settings, with smaller chunks if the embedder's context requires it."""
    size = min(settings.CHUNK_SIZE, embedder.chunk_limit)
    overlap = settings.CHUNK_OVERLAP if size == settings.CHUNK_SIZE else size // 8
    return Chunker(size=size, overlap=overlap, tokens=embedder.tokens)
