"""Previews: a thread of the web process has a dry run read a source, and keeps the row of the
preview up to date, so that every web process can show how far it is."""

from __future__ import annotations

import json
import logging
import threading
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from ingestion.documents import DocumentFailure
from ingestion.models import Preview, PreviewDocument
from ingestion.runs import dry_run, dry_run_slots
from ingestion.runs.comparison import Comparison
from ingestion.runs.dry_run import DryRunDocument, Entry
from ingestion.runs.dry_run_slots import NoSlot
from sources.models import FIELDS, Source

logger = logging.getLogger(__name__)
State = Preview.State
Kind = PreviewDocument.Kind

TEST_SECONDS = 5
SECONDS = 20
SILENT = timedelta(seconds=15)  # without a heartbeat, after which a preview counts as interrupted
PAUSE = 0.5  # seconds between two updates of the row
LISTED = 1000  # documents of each kind that are kept
KEPT_BYTES = 32 * 1024**2  # of compressed texts
SHOWN_FAILURES = 200


def start(source: Source, person: Any, seconds: int = SECONDS) -> Preview:
    """Begin to read the source as these values say; the source need not be stored."""
    values = {name: getattr(source, name) for name in FIELDS}
    preview = Preview.objects.create(
        person=person,
        source_id=source.pk,
        values=values,
        seconds=seconds,
        heartbeat=timezone.now(),
    )
    if problems := [text for texts in source.problems().values() for text in texts]:
        _end(preview.pk, State.REFUSED, error=" ".join(problems))
        return preview
    name = f"preview-{preview.pk}"
    threading.Thread(target=_drive, args=(preview,), name=name, daemon=True).start()
    return preview


def source_of(preview: Preview) -> Source:
    """The source with the values that are tried, not stored."""
    return Source(pk=preview.source_id, **preview.values)


def is_interrupted(preview: Preview) -> bool:
    """Whether the process that kept it up to date has ended."""
    silent = timezone.now() - preview.heartbeat > SILENT
    return bool(preview.state == State.READING and silent)


def cancel(preview: Preview) -> None:
    Preview.objects.filter(pk=preview.pk, state=State.READING).update(cancel_requested=True)


def packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode(), 6)


def unpacked(value: bytes | memoryview | None) -> Any:
    return json.loads(zlib.decompress(value)) if value else {}


def _end(pk: int, state: str, **fields: Any) -> None:
    Preview.objects.filter(pk=pk).update(state=state, heartbeat=timezone.now(), **fields)


def _drive(preview: Preview) -> None:
    try:
        with dry_run_slots.slot(preview.person_id):
            _Reader(preview).read()
    except NoSlot as reason:
        _end(preview.pk, State.REFUSED, error=str(reason))
    except Exception as error:
        logger.exception("Preview %s failed", preview.pk)
        text = f"The preview failed: {error}. Try again; the server's log says more."
        _end(preview.pk, State.FAILED, error=text)
    finally:
        connection.close()


class _Reader:
    """Reads for one preview: compares each document, keeps it, and updates the row."""

    def __init__(self, preview: Preview) -> None:
        self.preview = preview
        self.source = source_of(preview)
        self.comparison = Comparison(self.source)
        self.counts: Counter[str] = Counter()
        self.failures: list[DocumentFailure] = []
        self.rows: list[PreviewDocument] = []
        self.room = KEPT_BYTES
        self.chunks = 0
        self.last = ""
        self.updated = 0.0

    def read(self) -> None:
        asked = dry_run.order(self.source, seconds=self.preview.seconds, texts=True)
        with dry_run.Reading(asked) as reading:
            for entry in reading.entries(PAUSE):
                self._take(entry)
                if self._is_time() and not self._update():
                    _end(self.preview.pk, State.CANCELLED, result=packed(self._result()))
                    return
            result = self._result(complete=reading.complete, problem=reading.problem)
        self._store_rows()
        if result["complete"] and self.comparison.met:
            result |= self._compared()
        _end(self.preview.pk, State.ENDED, read=self._number(), result=packed(result))

    def _take(self, entry: Entry) -> None:
        if isinstance(entry, DryRunDocument):
            kind = self.comparison.document(entry)
            self.counts[kind] += 1
            self.chunks += len(entry.hashes)
            self.last = entry.title or entry.url
            if self.counts[kind] <= LISTED:
                self._keep(kind, entry)
        elif entry is not None:
            self.counts["failures"] += 1
            self.comparison.failure(entry)
            if len(self.failures) < SHOWN_FAILURES:
                self.failures.append(entry)

    def _keep(self, kind: str, document: DryRunDocument) -> None:
        body = None if kind == Kind.UNCHANGED else packed(asdict(document))
        if body and len(body) > self.room:
            body = None
        self.room -= len(body or b"")
        self.rows.append(
            PreviewDocument(
                preview=self.preview,
                kind=kind,
                url=document.url,
                title=document.title[:1000],
                chunks=len(document.hashes),
                body=body,
            )
        )

    def _number(self) -> int:
        return len(self.comparison.met)

    def _is_time(self) -> bool:
        now = time.monotonic()
        is_time = now - self.updated >= PAUSE
        self.updated = now if is_time else self.updated
        return is_time

    def _update(self) -> bool:
        """Say how far it is; whether to go on."""
        self._store_rows()
        mine = Preview.objects.filter(pk=self.preview.pk)
        fields = {"read": self._number(), "current": self.last[:2000]}
        mine.update(heartbeat=timezone.now(), **fields)
        return mine.filter(cancel_requested=False).exists()

    def _store_rows(self) -> None:
        PreviewDocument.objects.bulk_create(self.rows)
        self.rows = []

    def _result(self, *, complete: bool = False, problem: str = "") -> dict[str, Any]:
        return {
            "counts": dict(self.counts),
            "chunks": self.chunks,
            "to_embed": self.comparison.to_embed(),
            "stored": len(self.comparison.stored),
            "failures": [asdict(failure) for failure in self.failures],
            "complete": complete,
            "problem": problem,
        }

    def _compared(self) -> dict[str, Any]:
        """What only a complete reading shows: what has moved, and what is gone."""
        gone = self.comparison.gone()
        moved = dict(self.comparison.moved(gone))
        gone = [url for url in gone if url not in moved]
        self._keep_moved(moved)
        self._keep_gone(gone)
        self.counts[Kind.ADDED] -= len(moved)
        self.counts[Kind.MOVED] = len(moved)
        self.counts[Kind.GONE] = len(gone)
        return {"counts": dict(self.counts), "held": self.comparison.held(gone)}

    def _keep_moved(self, moved: Mapping[str, str]) -> None:
        old = {new: old for old, new in moved.items()}
        rows = list(self.preview.documents.filter(kind=Kind.ADDED, url__in=old).defer("body"))
        for row in rows:
            row.kind, row.old_url = Kind.MOVED, old[row.url]
        PreviewDocument.objects.bulk_update(rows, ["kind", "old_url"], batch_size=200)

    def _keep_gone(self, gone: list[str]) -> None:
        stored = self.comparison.stored
        rows = [
            PreviewDocument(
                preview=self.preview, kind=Kind.GONE, url=url, title=stored[url]["title"]
            )
            for url in gone[:LISTED]
        ]
        PreviewDocument.objects.bulk_create(rows)
