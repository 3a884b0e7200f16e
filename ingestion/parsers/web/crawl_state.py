"""What a crawl knew about each address, so that the next one reads only what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ingestion.parsers.web.repeats import Repeats, Tally

VERSION = 2
DOCUMENT = "document"
BARE = "bare"  # a page with nothing but what the site repeats on nearly every page
OTHER = "other"  # a page or list that is not a document, but links to some


@dataclass(frozen=True, slots=True)
class Visit:
    """An address as it was read: its validators, its links, a digest of its text.

    `target` is the address of the document if this is another address of it.
    """

    kind: str
    validators: Mapping[str, str]
    links: tuple[str, ...] = ()
    digest: str = ""
    target: str = ""


@dataclass
class CrawlState:
    visits: dict[str, Visit] = field(default_factory=dict)
    repeats: Repeats | None = None  # None until enough pages were read to tell
    tally: Tally = field(default_factory=Tally)  # of a crawl that is not finished
    suffixes: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)
    root: str = ""
    robots: str = ""
    robots_validators: dict[str, str] = field(default_factory=dict)
    has_articles: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CrawlState:
        """The state that `to_json` wrote; an empty one for anything else."""
        if data.get("version") != VERSION:
            return cls()
        urls: list[str] = data["urls"]
        visits = {
            urls[place]: Visit(kind, validators, tuple(urls[i] for i in links), digest, target)
            for place, kind, validators, links, digest, target in data["visits"]
        }
        return cls(
            visits,
            _repeats_of(data["repeats"]),
            Tally(*data["tally"]),
            set(data["suffixes"]),
            dict(data["aliases"]),
            data["root"],
            data["robots"],
            dict(data["robots_validators"]),
            data["has_articles"],
        )

    def to_json(self) -> dict[str, Any]:
        """JSON that contains each address once, because a long menu is on every page."""
        places: dict[str, int] = {}

        def place(url: str) -> int:
            return places.setdefault(url, len(places))

        visits = [
            [
                place(url),
                visit.kind,
                dict(visit.validators),
                [place(link) for link in visit.links],
                visit.digest,
                visit.target,
            ]
            for url, visit in self.visits.items()
        ]
        return {
            "version": VERSION,
            "urls": list(places),
            "visits": visits,
            "repeats": self.repeats
            and [sorted(self.repeats.most), sorted(self.repeats.nearly_all)],
            "tally": [self.tally.recurring(), self.tally.pages],
            "suffixes": sorted(self.suffixes),
            "aliases": self.aliases,
            "root": self.root,
            "robots": self.robots,
            "robots_validators": self.robots_validators,
            "has_articles": self.has_articles,
        }

    def forget_validators(self, visits: Mapping[str, Visit]) -> None:
        """Have the next crawl read these pages again, unlike PDFs and lists."""
        for url, visit in visits.items():
            if visit.kind == BARE or (visit.kind == DOCUMENT and visit.digest):
                self.visits[url] = replace(visit, validators={})


def _repeats_of(found: list[list[str]] | None) -> Repeats | None:
    return None if found is None else Repeats(*map(frozenset, found))
