"""What a worker's log says while the database does not answer: not a line a second for hours."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger(__name__)

REMINDED_EVERY = 300.0  # seconds


def first_line(error: Exception) -> str:
    """Of what the database's driver says, which goes on with advice."""
    return str(error).partition("\n")[0]


class Outage:
    """Logged at once, then each REMINDED_EVERY seconds, and when it is over. One per process."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.reminded = 0.0

    def goes_on(self, error: Exception) -> None:
        now = time.monotonic()
        reason = first_line(error)
        if self.since is None:
            self.since = self.reminded = now
            logger.warning("The database does not answer (%s): tried again each second.", reason)
        elif now - self.reminded >= REMINDED_EVERY:
            self.reminded = now
            minutes = (now - self.since) / 60
            logger.warning("The database has not answered for %.0f minutes: %s", minutes, reason)

    def is_over(self) -> None:
        if self.since is not None:
            seconds = time.monotonic() - self.since
            logger.warning("The database answers again, after %.0f s.", seconds)
            self.since = None
