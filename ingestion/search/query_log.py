"""What was asked, written beside the searches (setting QUERY_LOG_DAYS).

A search only puts its results into a queue. One thread of the process judges and stores them, many
at once and when nobody asks just then, because both would wait for each other. If it cannot keep
up, the newest are lost rather than a search slowed down.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from django import db
from django.conf import settings
from django.db import connection
from django.utils import timezone

from ingestion import access
from ingestion.models import AskedQuery, EmbeddingProfile
from ingestion.search.query_embedding import NotAskable, query_vectors
from ingestion.search.results import Results
from ingestion.search.retrievers import LONGEST_EMBEDDED, profiles_in_use
from ingestion.search.trust import LOOKED_AT, trusted

logger = logging.getLogger(__name__)

WAITING = 1000  # results that may wait to be stored
AT_ONCE = 250  # rows of one statement; so many are stored even if people go on asking
QUIET = 1.0  # seconds without a query, after which what waits is stored
LONGEST_QUERY = 1000  # characters that are kept
AT_EXIT = 2.0  # seconds for what still waits when the process ends


@dataclass(frozen=True, slots=True)
class Asked:
    results: Results
    hits: int
    by: str
    filters: Mapping[str, Any]
    allowed: access.Access
    at: datetime = field(default_factory=timezone.now)


class QueryLog:
    """One for each process; its thread starts with the first query, so after any fork."""

    def __init__(self, size: int = WAITING) -> None:
        self.waiting: queue.Queue[Asked] = queue.Queue(size)
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.lost = 0
        self.last = 0.0
        self.hurry = threading.Event()

    def note(self, results: Results, by: str, **filters: Any) -> None:
        """Keep what was asked, with the filters that it was asked with, if people want that."""
        if not settings.QUERY_LOG_DAYS or not results.query.strip():
            return
        given = {name: value for name, value in filters.items() if value}
        kept = results.model_copy(update={"hits": results.hits[:LOOKED_AT]})
        self.last = time.monotonic()
        try:
            self.waiting.put_nowait(Asked(kept, len(results.hits), by, given, access.current()))
        except queue.Full:
            self._lose()
            return
        self._start()

    def _lose(self) -> None:
        self.lost += 1
        if self.lost == 1:
            logger.warning("Queries come faster than they can be kept: some are not in the log.")

    def _start(self) -> None:
        with self.lock:
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(target=self._work, daemon=True, name="query log")
                self.thread.start()

    def _work(self) -> None:
        while True:
            first = self.waiting.get()
            self._settle()
            batch = [first, *self._rest()]
            try:
                profile = _profile()
                AskedQuery.objects.bulk_create(row(asked, profile) for asked in batch)
            except db.Error as error:
                logger.warning("%s queries are not in the log: %s", len(batch), error)
            finally:
                connection.close()
                for _ in batch:
                    self.waiting.task_done()

    def _settle(self) -> None:
        """Wait until nobody has asked for a moment, many wait, or the process ends."""
        while self.waiting.qsize() < AT_ONCE and time.monotonic() - self.last < QUIET:
            if self.hurry.wait(QUIET / 4):
                return

    def _rest(self) -> Iterator[Asked]:
        for _ in range(AT_ONCE - 1):
            try:
                yield self.waiting.get_nowait()
            except queue.Empty:
                return

    def finish(self, seconds: float = AT_EXIT) -> None:
        """Wait until everything is stored, but not for ever."""
        waiting = self.waiting
        self.hurry.set()
        with waiting.all_tasks_done:
            waiting.all_tasks_done.wait_for(lambda: not waiting.unfinished_tasks, seconds)
        self.hurry.clear()


def row(asked: Asked, profile: EmbeddingProfile | None) -> AskedQuery:
    """What is stored, judged by what was allowed to be seen for the answer."""
    results = asked.results
    best = results.hits[0] if results.hits else None
    vector = _vector(profile, results.query)
    query = results.query.strip().replace("\0", "")[:LONGEST_QUERY]
    return AskedQuery(
        at=asked.at,
        query=query,
        same=hashlib.md5(" ".join(query.casefold().split()).encode()).hexdigest(),
        mode=results.mode,
        filters=dict(asked.filters),
        asked_by=asked.by[:100],
        hits=asked.hits,
        trusted=_trusted(asked),
        source_name=best.source if best else "",
        url=best.url if best else "",
        profile=profile if vector is not None else None,
        embedding=vector,
    )


def _trusted(asked: Asked) -> float:
    with access.granted(asked.allowed):
        return trusted(asked.results)


@access.everything()
def _profile() -> EmbeddingProfile | None:
    """The newest profile in use."""
    return next(reversed(profiles_in_use()), None)


def _vector(profile: EmbeddingProfile | None, query: str) -> np.ndarray[Any, Any] | None:
    """The query's vector, which the search has just asked for; none if its model does not
    answer."""
    if profile is None:
        return None
    try:
        text = query_vectors.vector(profile, query.strip()[:LONGEST_EMBEDDED])
    except NotAskable:
        return None
    return np.fromstring(text.strip("[]"), dtype=np.float32, sep=",")


query_log = QueryLog()
atexit.register(query_log.finish)
