"""The end of a complete reading: what vanished, what moved, and the final state of the run."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from ingestion import documents
from ingestion.index import deletion_gate, hnsw, moves, quality, term_statistics, texts
from ingestion.index.change_detection import KnownDocuments
from ingestion.index.source_lock import SourceLockLost
from ingestion.index.writer import Writer
from ingestion.models import Chunk, Document, SourceRun, State
from ingestion.pipeline import Outcome, Scope
from ingestion.runs import removals, state_machine
from ingestion.runs.progress import ProgressReport
from sources.models import Source


class Conclusion:
    """Ends a source run after a complete reading, in one transaction."""

    def __init__(
        self,
        source_run: SourceRun,
        source: Source,
        known: KnownDocuments,
        writer: Writer,
        scope: Scope,
        progress: ProgressReport,
    ) -> None:
        self.source_run = source_run
        self.source = source
        self.known = known
        self.writer = writer
        self.scope = scope
        self.progress = progress

    def draw(self, outcome: Outcome) -> str:
        """Move the row to its final state; a sentence. Raises SourceLockLost without the lock."""
        clock = self.progress.timings.clock
        with clock("index"):
            if self._is_last() and [p for p in self.writer.profiles if hnsw.build_if_used(p)]:
                self.progress.log.say("The index over the vectors was built.")
        self.progress.log.keep()
        with transaction.atomic():
            with clock("finish"):
                self.writer.guard()
                state, fields = self._judge(outcome)
                self._keep_vocabulary()
                fields |= self._stored()
                quality.keep(self.source_run)
            fields = self.progress.counted() | fields
            fields |= {"stage": "", "current_url": "", "waiting_since": None, "resume_at": None}
            if not state_machine.move(
                self.source_run, state, during=self.source_run.attempt, **fields
            ):
                raise SourceLockLost(f"{self.source_run} was taken away from this process.")
            removals.supersede_approvals(self.source_run)
        texts.forget_unused()
        return f"{self.source.name}: {fields['last_line']}"

    def _is_last(self) -> bool:
        """Whether no other source is being read or about to be; an index would slow that down."""
        others = SourceRun.objects.filter(state__in=[State.QUEUED, State.RUNNING])
        return not others.exclude(pk=self.source_run.pk).exists()

    def _keep_vocabulary(self) -> None:
        term_statistics.learn(self._changed_documents(), self.progress.counters.removed)
        if self._is_last() and term_statistics.is_stale():
            term_statistics.rebuild()

    def _changed_documents(self) -> list[int]:
        """The documents stored since the run began, by any of its attempts."""
        rows = Document.objects.filter(source=self.source, changed_at__gte=self.scope.since)
        return list(rows.order_by().values_list("pk", flat=True))

    def _stored(self) -> dict[str, int]:
        """The counters that describe the tables now."""
        chunks = Chunk.objects.filter(document__source=self.source)
        met = chunks.filter(document__last_seen=self.writer.now).count()
        embedded = self.progress.counted()["embedded"]
        return {
            "documents": Document.objects.filter(source=self.source).count(),
            "chunks": chunks.count(),
            "reused": max(met - embedded, 0),
        }

    def _judge(self, outcome: Outcome) -> tuple[State, dict[str, Any]]:
        """The final state; vanished documents are removed, or wait for approval."""
        seen = [row.pk for url, row in self.known.by_url.items() if url in outcome.seen]
        self.writer.mark_seen(seen)
        if not outcome.seen and self.scope.only is None:
            self._nothing_found()
        self.progress.failures.resolve(outcome, self.known.by_url.keys())
        is_judged = outcome.seen and self.scope.only is None
        vanished, fields = self._move(outcome.vanished if is_judged else [])
        config = self.source.config()
        if reason := deletion_gate.reason_to_ask(config, vanished, self.known.by_url):
            line = f"{reason}: approve or refuse their removal."
            return State.NEEDS_APPROVAL, fields | {"vanished": vanished, "last_line": line}
        if vanished:
            self.progress.counters.removed = self.writer.remove(vanished)
            fields["vanished"] = vanished  # for the run's page
        return self._ended(fields)

    def _ended(self, fields: dict[str, Any]) -> tuple[State, dict[str, Any]]:
        counted = self.progress.counted()
        moved = f"moved: {counted['moved']}, " if counted["moved"] else ""
        line = (
            f"Documents added: {counted['added']}, changed: {counted['changed']}, {moved}"
            f"removed: {counted['removed']}. Errors: {counted['failures']}, "
            f"warnings: {counted['warnings']}."
        )
        state = State.PARTIAL if counted["failures"] else State.SUCCEEDED
        return state, fields | {"last_line": line}

    def _move(self, vanished: list[str]) -> tuple[list[str], dict[str, Any]]:
        """Merge each vanished document with the new one that has its text. Return the addresses
        that vanished all the same, and the fields of the row."""
        moved = moves.find(self.source.pk, vanished)
        moves.settle(moved)
        counters = self.progress.counters
        counters.moved += len(moved)
        counters.added -= sum(move.came >= self.scope.since for move in moved)
        old = {move.old_url for move in moved}
        pairs = [(move.old_url, move.new_url) for move in moved]
        return [url for url in vanished if url not in old], {"error": "", "moves": pairs}

    def _nothing_found(self) -> None:
        if self.progress.counters.failures:
            return
        stored = len(self.known.by_url)
        kept = f" The {stored} stored documents are kept." if stored else ""
        message = f"Nothing readable was found: check the path, or that it is mounted.{kept}"
        self.progress.counters.failures += 1
        self.progress.fail(
            documents.DocumentFailure(f"{self.source.name}://", message, stage="source")
        )
