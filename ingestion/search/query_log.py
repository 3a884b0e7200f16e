"""What was asked, written beside the searches (setting QUERY_LOG_DAYS).

A search only puts its results into a queue. One thread of the process judges and stores them; if it
cannot keep up, the newest are lost rather than a search slowed down.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from django import db
from django.conf import settings
from django.db import connection
from django.utils import timezone

from ingestion.models import AskedQuery, EmbeddingProfile
from ingestion.search.query_embedding import NotAskable, query_vectors
from ingestion.search.results import Results
from ingestion.search.retrievers import LONGEST_EMBEDDED, profiles_in_use
from ingestion.search.trust import trusted

logger = logging.getLogger(__name__)

WAITING = 1000  # results that may wait to be stored
AT_ONCE = 100  # rows of one statement
LONGEST_QUERY = 1000  # characters that are kept
AT_EXIT = 2.0  # seconds for what still waits when the process ends


@dataclass(frozen=True, slots=True)
class Asked:
    results: Results
    by: str
    filters: Mapping[str, Any]
    at: datetime = field(default_factory=timezone.now)


class QueryLog:
    """One for each process; its thread starts with the first query, so after any fork."""

    def __init__(self, size: int = WAITING) -> None:
        self.waiting: queue.Queue[Asked] = queue.Queue(size)
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.lost = 0

    def note(self, results: Results, by: str, **filters: Any) -> None:
        """Keep what was asked, with the filters that it was asked with, if people want that."""
        if not settings.QUERY_LOG_DAYS or not results.query.strip():
            return
        given = {name: value for name, value in filters.items() if value}
        try:
            self.waiting.put_nowait(Asked(results, by, given))
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
            batch = [self.waiting.get(), *self._rest()]
            try:
                AskedQuery.objects.bulk_create(map(row, batch))
            except db.Error as error:
                logger.warning("%s queries are not in the log: %s", len(batch), error)
            finally:
                connection.close()
                for _ in batch:
                    self.waiting.task_done()

    def _rest(self) -> Iterator[Asked]:
        for _ in range(AT_ONCE - 1):
            try:
                yield self.waiting.get_nowait()
            except queue.Empty:
                return

    def finish(self, seconds: float = AT_EXIT) -> None:
        """Wait until everything is stored, but not for ever."""
        waiting = self.waiting
        with waiting.all_tasks_done:
            waiting.all_tasks_done.wait_for(lambda: not waiting.unfinished_tasks, seconds)


def row(asked: Asked) -> AskedQuery:
    results = asked.results
    best = results.hits[0] if results.hits else None
    profile, vector = _vector(results.query)
    query = results.query.strip().replace("\0", "")[:LONGEST_QUERY]
    return AskedQuery(
        at=asked.at,
        query=query,
        same=hashlib.md5(" ".join(query.casefold().split()).encode()).hexdigest(),
        mode=results.mode,
        filters=dict(asked.filters),
        asked_by=asked.by[:100],
        hits=len(results.hits),
        trusted=trusted(results),
        source_name=best.source if best else "",
        url=best.url if best else "",
        profile=profile,
        embedding=vector,
    )


def _vector(query: str) -> tuple[EmbeddingProfile | None, np.ndarray[Any, Any] | None]:
    """The query's vector by the newest profile in use, which the search has just asked for; none
    if its model does not answer."""
    profile = EmbeddingProfile.objects.filter(pk__in=profiles_in_use()).order_by("pk").last()
    if profile is None:
        return None, None
    try:
        text = query_vectors.vector(profile, query.strip()[:LONGEST_EMBEDDED])
    except NotAskable:
        return None, None
    return profile, np.fromstring(text.strip("[]"), dtype=np.float32, sep=",")


query_log = QueryLog()
atexit.register(query_log.finish)
