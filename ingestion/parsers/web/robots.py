"""A site's robots.txt (RFC 9309, and Crawl-delay)."""

from __future__ import annotations

from protego import Protego

from ingestion.parsers.web_settings import USER_AGENT

MAX_BYTES = 512 * 1024
MAX_CRAWL_DELAY = 120.0


class Robots:
    def __init__(self, text: str) -> None:
        self.text = text
        self._rules = Protego.parse(text)

    def allows(self, url: str) -> bool:
        return bool(self._rules.can_fetch(url, USER_AGENT))

    @property
    def crawl_delay(self) -> float:
        """The requested pause between two requests in seconds, at most two minutes."""
        delay = float(self._rules.crawl_delay(USER_AGENT) or 0)
        rate = self._rules.request_rate(USER_AGENT)
        if rate is not None and rate.requests:
            delay = max(delay, rate.seconds / rate.requests)
        return min(max(delay, 0.0), MAX_CRAWL_DELAY)

    @property
    def sitemaps(self) -> list[str]:
        return list(self._rules.sitemaps)
