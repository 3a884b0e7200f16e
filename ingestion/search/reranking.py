"""Have an optional reranker put the best hits of a search in order, if RERANKER_URL names one.

A reranker reads the query together with each passage, which is slower than comparing vectors and
tells more. It is a help and no condition: if it does not answer in time, or with nonsense, the hits
stay as they were, the result says so, and it is not asked again for a while.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from django.conf import settings

from ingestion.exceptions import BbjragError, RerankerError
from ingestion.search.results import Hit

if TYPE_CHECKING:
    from ingestion.search.reranker import Reranker

logger = logging.getLogger(__name__)

RERANKED = 30  # hits; TEI takes 32 texts in one request unless it is set up for more
LONGEST_QUERY = 1000  # characters that are sent of a query ...
LONGEST_PASSAGE = 2000  # ... and of a passage: a chunk of the usual size is shorter
RETRY_SECONDS = 15.0  # until a reranker that failed is asked again
ASKING = 4  # questions to it at the same time
HARMLESS = "ready"


def reranked(query: str, hits: Sequence[Hit]) -> tuple[list[Hit], tuple[str, ...]]:
    """The hits with the first RERANKED of them in the order of the reranker, and notes.

    Hits of the same score stay in their order.
    """
    first = hits[:RERANKED]
    if not settings.RERANKER_URL or len(first) < 2:
        return list(hits), ()
    try:
        scores = reranking.scores(query[:LONGEST_QUERY], [_passage(hit) for hit in first])
    except RerankerError as error:
        return list(hits), (f"The reranker is left out: {error}.",)
    best_first = sorted(range(len(first)), key=lambda place: -scores[place])
    return [*(first[place] for place in best_first), *hits[RERANKED:]], ()


def _passage(hit: Hit) -> str:
    return f"{hit.context_header}\n\n{hit.content}".strip()[:LONGEST_PASSAGE]


class Reranking:
    """Asks the reranker in threads beside the searches, which wait a limited time.

    One instance per process; thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.lock = threading.Lock()
        self.pool = ThreadPoolExecutor(ASKING, "rerank")
        self.problem = ""
        self.failed_at = 0.0

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """Raises RerankerError, at once if the reranker failed less than RETRY_SECONDS ago."""
        with self.lock:
            if self.problem and self.clock() - self.failed_at < RETRY_SECONDS:
                raise RerankerError(self.problem)
        try:
            scores = self._awaited(query, texts)
        except RerankerError as error:
            self._failed(str(error))
            raise
        with self.lock:
            self.problem = ""
        return scores

    def _awaited(self, query: str, texts: Sequence[str]) -> list[float]:
        asked = self.pool.submit(_ask, query, texts)
        try:
            return asked.result(settings.RERANKER_TIMEOUT)
        except TimeoutError as error:
            asked.cancel()
            seconds = f"{settings.RERANKER_TIMEOUT:g} s"
            raise RerankerError(f"it did not answer within {seconds}") from error

    def _failed(self, problem: str) -> None:
        logger.warning("The reranker is left out for %g s: %s", RETRY_SECONDS, problem)
        with self.lock:
            self.problem, self.failed_at = problem, self.clock()


def _ask(query: str, texts: Sequence[str]) -> list[float]:
    try:
        return _opened().scores(query, texts)
    except BbjragError as error:
        raise RerankerError(str(error)) from error


def _opened() -> Reranker:
    return _reranker(
        settings.RERANKER_URL,
        settings.RERANKER_MODEL,
        settings.RERANKER_KEY,
        settings.RERANKER_TIMEOUT,
    )


@lru_cache(1)
def _reranker(url: str, model: str, key: str, timeout: float) -> Reranker:
    """The module is imported when it is used, so that its libraries are never loaded unless a
    reranker is named."""
    opened: Reranker = import_module("ingestion.search.reranker").Reranker(url, model, key, timeout)
    return opened


def checked() -> float:
    """Ask something harmless; the seconds that it took. Raises RerankerError."""
    started = time.monotonic()
    _ask(HARMLESS, [HARMLESS, "A passage about something else."])
    return time.monotonic() - started


reranking = Reranking()
