"""The process of a worker that re-embeds chunks in the background (`runs.reembedding`), and makes
what late interaction needs (`runs.token_vectors`)."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.context import ForkProcess

from django import db
from django.db import connections

from ingestion.exceptions import BbjragError
from ingestion.processes.parent_death import die_with_parent
from ingestion.runs import reembedding, token_vectors
from ingestion.worker.outage import first_line

logger = logging.getLogger(__name__)

GIVES_WAY = 19  # the lowest priority
AGAIN_AFTER = 60.0  # seconds after one that failed
SAID_WHY = 1  # the exit code of one that has logged why it ended
fork = multiprocessing.get_context("fork")


class Reembedder:
    """Starts the process whenever something is left, and again if it was killed."""

    def __init__(self) -> None:
        self.process: ForkProcess | None = None
        self.not_before = 0.0
        self.looked_at = 0  # the newest chunk when all had their token vectors

    def look(self) -> None:
        if self.process is not None and self.process.is_alive():
            return
        if self.process is not None and self.process.exitcode:
            code = self.process.exitcode
            if code != SAID_WHY:
                logger.error("What goes on beside runs ended with exit code %s: again soon.", code)
            self.not_before = time.monotonic() + AGAIN_AFTER
        self.process = None
        if time.monotonic() >= self.not_before and self._is_needed():
            connections.close_all()  # no process may share a connection with another
            self.process = fork.Process(target=_serve, args=(os.getpid(),), daemon=True)
            self.process.start()

    def _is_needed(self) -> bool:
        return reembedding.is_needed() or (token_vectors.is_wanted() and self._lacks_tokens())

    def _lacks_tokens(self) -> bool:
        """Looked at as soon as chunks were stored, and not before."""
        newest = token_vectors.newest()
        if newest == self.looked_at:
            return False
        if token_vectors.is_needed():
            return True
        self.looked_at = newest
        return False

    def stop(self) -> None:
        """Kill the process: it loses one batch at most."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def _serve(parent: int) -> None:
    die_with_parent(parent)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(GIVES_WAY)
    try:
        if reembedding.is_needed():
            _reembed()
        if token_vectors.is_wanted():
            _make_token_vectors()
    except BbjragError as error:
        logger.error("Chunks cannot be embedded again: %s", error)
        sys.exit(SAID_WHY)
    except db.Error as error:
        logger.warning("Beside runs, nothing goes on: %s", first_line(error))
        sys.exit(SAID_WHY)


def _reembed() -> None:
    with reembedding.alone() as is_alone:
        if not is_alone:
            return  # another worker's process is at it
        chunks = sum(reembedding.steps())
        logger.info("%s chunks were embedded again.", chunks)


def _make_token_vectors() -> None:
    with token_vectors.alone() as is_alone:
        if is_alone:
            logger.info("%s texts have their token vectors now.", sum(token_vectors.steps()))
