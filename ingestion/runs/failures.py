"""The Failures of a source run: recorded when they occur, resolved when they no longer hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Set

from ingestion import documents, pipeline
from ingestion.documents import shortened
from ingestion.index.change_detection import STANDING
from ingestion.models import Failure, SourceRun
from ingestion.pipeline import is_asked_for

LONGEST_MESSAGE = 2000  # characters; links and names in it may be of any length
FAILURES_KEPT = 1000  # rows of each level and run; further ones are only counted


def stored_message(message: str) -> str:
    """The message as it is stored in a Failure: shortened if it is very long."""
    return shortened(message.replace("\x00", ""), LONGEST_MESSAGE)


class FailureRecord:
    """Records the failures of all attempts of a source run, each once.

    With `only`, failures of other documents are left alone. `earlier` are those that an earlier
    attempt recorded and this one has not met so far.
    """

    def __init__(self, source_run: SourceRun, only: Set[str] | None) -> None:
        self.source_run = source_run
        self.only = only
        rows = Failure.objects.filter(source_run=source_run)
        self.earlier = {
            (row.level, row.document_url, row.stage, row.message): row.pk for row in rows
        }
        self.number: Counter[str] = Counter(level for level, *_ in self.earlier)

    def add(self, failure: documents.DocumentFailure) -> None:
        if failure.url and not is_asked_for(failure.url, self.only):
            return
        level = Failure.Level.WARNING if failure.warning else Failure.Level.ERROR
        url = failure.url[:2000].replace("\x00", "")
        message = stored_message(failure.message)
        if self.earlier.pop((level, url, failure.stage, message), None):
            return
        self.number[level] += 1
        if self.number[level] <= FAILURES_KEPT:
            Failure.objects.create(
                source_run=self.source_run,
                source=self.source_run.source,
                level=level,
                document_url=url,
                stage=failure.stage,
                message=message,
            )

    def counted(self) -> dict[str, int]:
        return {
            "failures": self.number[Failure.Level.ERROR],
            "warnings": self.number[Failure.Level.WARNING],
        }

    def resolve(self, outcome: pipeline.Outcome, stored: Collection[str]) -> None:
        """Resolve earlier failures of documents that were read again; those of skipped ones stay.

        Failures of an earlier attempt of this run that this one did not meet are deleted.
        """
        judged = Judged(outcome, stored, self.only)
        rows = Failure.objects.open().filter(source=self.source_run.source)
        rows = rows.only("pk", "document_url", "level", "stage")
        over = {row.pk for row in rows if not judged.holds(row)}
        mine = set(self.earlier.values())
        Failure.objects.filter(pk__in=over & mine).delete()
        self.number.subtract(key[0] for key, pk in self.earlier.items() if pk in over)
        others = Failure.objects.filter(pk__in=over - mine)
        others.exclude(source_run=self.source_run).update(resolved=True)


class Judged:
    """Which earlier failures still hold after a complete reading.

    A file that was skipped as unchanged keeps its own. Failures of a folder or of the source are
    resolved if the folder was listed without meeting them again. With `only`, everything that these
    addresses do not cover was skipped too. What cannot be fetched or read is reported by each
    reading again.
    """

    def __init__(
        self, outcome: pipeline.Outcome, stored: Collection[str], only: Set[str] | None
    ) -> None:
        self.outcome = outcome
        self.stored = stored
        self.only = only
        skipped = outcome.seen - outcome.reread
        self.skipped = skipped | {url.partition("#")[0] for url in skipped}

    def holds(self, row: Failure) -> bool:
        url = row.document_url
        if not is_asked_for(url, self.only):
            return True
        if url in self.outcome.reread or row.stage == "fetch":
            return False
        if row.level == Failure.Level.WARNING:
            return self._warning_holds(url)
        return row.stage in STANDING and self._is_skipped(url)

    def _is_skipped(self, url: str) -> bool:
        return bool({url, url.partition("#")[0]} & self.skipped)

    def _warning_holds(self, url: str) -> bool:
        if self._is_skipped(url):
            return True
        vanished = url in self.stored and url not in self.outcome.seen
        return self.only is not None or (bool(self.skipped) and not vanished)
