"""Reaching a site: its robots.txt, the redirects of its start page, and the answer."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from ingestion.exceptions import SourceError
from ingestion.parsers.web import urls
from ingestion.parsers.web.client import FetchError, Response, WebClient
from ingestion.parsers.web.crawl_state import CrawlState
from ingestion.parsers.web.frontier import Frontier, Lead
from ingestion.parsers.web.network_guard import AddressRefused
from ingestion.parsers.web.robots import MAX_BYTES as MAX_ROBOTS_BYTES
from ingestion.parsers.web.robots import Robots

REDIRECTS = frozenset((301, 302, 303, 307, 308))
MAX_MOVES = 2
FORBIDDEN = "The site's robots.txt does not allow reading it."


class Arrival:
    """Reads robots.txt and the start page. Raises SourceError when the site cannot be read."""

    def __init__(
        self, client: WebClient, frontier: Frontier, old: CrawlState, new: CrawlState
    ) -> None:
        self.client = client
        self.frontier = frontier
        self.options = frontier.options
        self.rules = frontier.rules
        self.site = frontier.rules.site
        self.old = old
        self.new = new
        self.robots = Robots("")

    def read_robots(self) -> None:
        """Read robots.txt: if there is none, all is allowed; if it cannot be read, nothing is
        (RFC 9309 2.3.1)."""
        url = f"{self.site.origin}/robots.txt"
        for _ in range(6):
            try:
                answer = self.client.get(url, MAX_ROBOTS_BYTES, self.old.robots_validators)
            except (FetchError, AddressRefused) as error:
                raise SourceError(f"{url}: {error}") from error
            if answer.status not in REDIRECTS:
                break
            url = self._moved(answer) or self.redirect(answer)
            if not url:
                return
        if answer.status == 304:
            self.new.robots = self.old.robots
            self.new.robots_validators = self.old.robots_validators
        elif answer.status == 200:
            self.new.robots = answer.body.decode("utf-8", "replace")
            self.new.robots_validators = answer.validators
        self.robots = Robots(self.new.robots)
        self.client.crawl_delay = self.robots.crawl_delay

    def redirect(self, answer: Response) -> str:
        """The address on this site that an answer redirects to; empty for another site."""
        target = urls.canonical(answer.headers.get("location", ""), answer.url)
        return self.site.own(self.client.unmapped(target)) if target else ""

    def _moved(self, answer: Response) -> str:
        """The target of a redirect that only adds `https` or `www.`; the site moves there."""
        target = urls.canonical(answer.headers.get("location", ""), answer.url)
        target = self.client.unmapped(target) if target else ""
        if not target or self.site.own(target) != answer.url or target == answer.url:
            return ""
        parts = urlsplit(target)
        self.rules.move(f"{parts.scheme}://{parts.netloc}")
        return target

    def arrive(self, ask: Callable[[Lead], Response]) -> tuple[Lead, Response]:
        """The start page's answer, after all redirects."""
        lead = Lead(self.site.start)
        for _ in range(self.options.max_redirects + MAX_MOVES + 1):
            self.frontier.seen.add(lead.url)
            if not self.robots.allows(lead.url):
                raise SourceError(f"{lead.url}: {FORBIDDEN}")
            try:
                answer = ask(lead)
            except (FetchError, AddressRefused) as error:
                raise SourceError(f"{lead.url}: {error}") from error
            if answer.status not in REDIRECTS:
                return lead, answer
            moved = self._moved(answer)
            lead = Lead(moved) if moved else self._start_redirected(lead, answer)
        raise SourceError(f"{self.site.start} redirects without end.")

    def _start_redirected(self, lead: Lead, answer: Response) -> Lead:
        target = self.redirect(answer)
        chain = (*lead.chain, lead.url)
        if not target:
            where = answer.headers.get("location", "nowhere")[:200]
            raise SourceError(f"{lead.url} redirects to {where}: start there if that is the site.")
        if len(chain) > self.options.max_redirects or target in chain:
            raise SourceError(f"{self.site.start} redirects without end.")
        if not self.rules.follows(target):
            raise SourceError(f"{lead.url} redirects to {target}, outside of the source's path.")
        return Lead(target, chain=chain)
