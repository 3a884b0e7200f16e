"""The vector of a query for each embedding profile that has chunks, if its model can be asked."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from django.conf import settings

from ingestion.embedding.base import Embedder
from ingestion.embedding.configured import configured_embedder, embedder_settings
from ingestion.embedding.registry import open_embedder
from ingestion.exceptions import BbjragError, EmbedderUnavailable
from ingestion.models import EmbeddingProfile

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

KEPT_VECTORS = 512
KEPT_SECONDS = 300.0
RETRY_SECONDS = 15.0  # until an embedder that did not answer is tried again
PATIENCE = 20.0  # seconds that a search waits for an embedder; a model may have to be loaded first
ASKING = 8  # questions to embedders at the same time


class NotAskable(BbjragError):
    """The profile's model cannot embed a query now."""


@dataclass(slots=True)
class Opened:
    embedder: Embedder | None
    problem: str
    at: float


class QueryVectors:
    """Keep one open embedder per profile, and the vectors of the last queries.

    One instance per process; thread-safe. Vectors are text in the format of pgvector. Embedders are
    asked in threads beside the searches, which wait a limited time and not for each other.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.begin()

    def begin(self) -> None:
        """Start with nothing, also in a forked process: its parent's threads do not exist there."""
        self.lock = threading.Lock()
        self.pool = ThreadPoolExecutor(ASKING, "query")
        self.opened: dict[int, Opened] = {}
        self.opening: dict[int, Future[Opened]] = {}
        self.vectors: OrderedDict[tuple[int, str], tuple[float, str]] = OrderedDict()

    def vector(self, profile: EmbeddingProfile, text: str) -> str:
        """The query's vector. Raises NotAskable, with the reason, if the model does not answer."""
        key = (profile.pk, text)
        if found := self._kept(key):
            return found
        embedder = self._embedder(profile)
        try:
            values = _awaited(self.pool.submit(embedder.embed_query, text))
        except EmbedderUnavailable as error:
            self._close(profile, str(error))
            raise NotAskable(str(error)) from error
        except BbjragError as error:
            raise NotAskable(str(error)) from error
        made = "[" + ",".join(f"{value:.7g}" for value in values.tolist()) + "]"
        self._keep(key, made)
        return made

    def _kept(self, key: tuple[int, str]) -> str | None:
        with self.lock:
            at, found = self.vectors.get(key, (0.0, ""))
            return found if found and self.clock() - at < KEPT_SECONDS else None

    def _keep(self, key: tuple[int, str], vector: str) -> None:
        with self.lock:
            self.vectors[key] = self.clock(), vector
            self.vectors.move_to_end(key)
            while len(self.vectors) > KEPT_VECTORS:
                self.vectors.popitem(last=False)

    def _embedder(self, profile: EmbeddingProfile) -> Embedder:
        with self.lock:
            opened = self.opened.get(profile.pk)
            if opened is None or (
                opened.embedder is None and self.clock() - opened.at > RETRY_SECONDS
            ):
                opened = None
                if profile.pk not in self.opening:
                    self.opening[profile.pk] = self.pool.submit(self._open, profile)
                opening = self.opening[profile.pk]
        if opened is None:
            try:
                opened = _awaited(opening)
            except EmbedderUnavailable as error:
                raise NotAskable(str(error)) from error
        if opened.embedder is None:
            raise NotAskable(opened.problem)
        return opened.embedder

    def _open(self, profile: EmbeddingProfile) -> Opened:
        try:
            opened = Opened(_matching(profile), "", self.clock())
        except BbjragError as error:
            logger.warning("%s cannot be asked: %s", profile, error)
            opened = Opened(None, str(error), self.clock())
        finally:
            with self.lock:
                self.opening.pop(profile.pk, None)
        with self.lock:
            self.opened[profile.pk] = opened
        return opened

    def _close(self, profile: EmbeddingProfile, problem: str) -> None:
        with self.lock:
            self.opened[profile.pk] = Opened(None, problem, self.clock())


def _awaited(asked: Future[Answer]) -> Answer:
    """The answer. Raises EmbedderUnavailable if it does not come in time; it is not cancelled, so
    that a model that has to be loaded is there for a later search."""
    try:
        return asked.result(PATIENCE)
    except TimeoutError as error:
        raise EmbedderUnavailable(f"It did not answer within {PATIENCE:g} s.") from error


def _matching(profile: EmbeddingProfile) -> Embedder:
    """The configured embedder if it matches the profile, else one opened for the profile.

    Raises NotAskable if the model that answers is a different one.
    """
    named = (settings.EMBEDDING_PROVIDER, settings.EMBEDDING_MODEL)
    if (profile.provider, profile.model) == named:
        embedder = configured_embedder()
    else:
        asked = embedder_settings(profile.provider, profile.model)
        embedder = open_embedder(replace(asked, query_prefix=profile.query_prefix))
    if (embedder.digest, embedder.dimensions) != (profile.digest, profile.dimensions):
        raise NotAskable(
            f"{profile.provider} answers with another version of {profile.model} than the chunks "
            "were embedded with: run `manage.py ingest_all` to embed them again."
        )
    return embedder


query_vectors = QueryVectors()
os.register_at_fork(after_in_child=query_vectors.begin)
