"""Two runs side by side: the counters of each source, and what became of its documents between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.urls import reverse

from ingestion.admin.display import seconds
from ingestion.admin.lookups import number_in
from ingestion.models import Document, Run, SourceRun, State

OFFERED = 30  # runs to compare with
SHOWN = 50  # documents or addresses in one list
# The columns of SourceRun that are compared, with their names on the page.
COUNTERS = {
    "read": "Documents read",
    "documents": "Documents stored",
    "chunks": "Chunks stored",
    "added": "Added",
    "changed": "Changed",
    "moved": "Moved",
    "removed": "Removed",
    "embedded": "Chunks embedded",
    "reused": "Vectors kept",
    "failures": "Errors",
    "warnings": "Warnings",
}
ENDED = [State.SUCCEEDED, State.PARTIAL]


@dataclass(frozen=True)
class Figure:
    """A counter in both runs; None if the source was not in that run."""

    name: str
    before: int | None
    after: int | None

    @property
    def difference(self) -> str:
        if self.before is None or self.after is None or self.before == self.after:
            return ""
        return f"{self.after - self.before:+,}"


@dataclass
class Listed:
    """Documents, each with the page that shows its change, or addresses of those that are gone;
    `more` says that the list is cut short."""

    kind: str
    documents: list[tuple[Document, str]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    more: bool = False

    @property
    def number(self) -> int:
        return len(self.documents) + len(self.urls)


@dataclass(frozen=True)
class Part:
    """A source in both runs, or in one."""

    name: str
    before: SourceRun | None
    after: SourceRun | None
    figures: Sequence[Figure]
    lists: Sequence[Listed]

    @property
    def differs(self) -> bool:
        return bool(self.lists) or any(figure.difference for figure in self.figures)

    @property
    def took(self) -> tuple[str, str]:
        return _took(self.before), _took(self.after)


def _took(row: SourceRun | None) -> str:
    return seconds(row.seconds) if row else "-"


def page(run: Run, chosen: str) -> dict[str, Any]:
    """What the page shows beside the run; without a number, beside the one before it."""
    runs = others(run)
    other = _other(run, runs, chosen)
    if other is None:
        return {"other": None}
    before, after = sorted((run, other), key=lambda one: one.pk)
    found = parts(before, after)
    return {"runs": runs, "other": other, "before": before, "after": after, "parts": found}


def _other(run: Run, runs: Sequence[Run], chosen: str) -> Run | None:
    asked = number_in(chosen, 9)
    if asked is not None and asked != run.pk:
        return Run.objects.filter(pk=asked).first()
    earlier = (one for one in runs if one.pk < run.pk)
    return next(earlier, runs[0] if runs else None)


def others(run: Run) -> list[Run]:
    """The last runs that share a source with this one, the newest first."""
    mine = run.source_runs.values("source")
    shared = SourceRun.objects.filter(run=OuterRef("pk"), source__in=mine)
    found = Run.objects.filter(Exists(shared)).exclude(pk=run.pk)
    return list(found.select_related("requested_by").order_by("-pk")[:OFFERED])


def parts(before: Run, after: Run) -> list[Part]:
    old, new = _rows(before), _rows(after)
    both = [(old[name], new[name]) for name in old.keys() & new.keys()]
    added, changed = _documents(both, "gt"), _documents(both, "lte")
    gone = _gone(both)
    return [
        Part(
            name=name,
            before=old.get(name),
            after=new.get(name),
            figures=figures(old.get(name), new.get(name)),
            lists=[one for one in (added[name], changed[name], *gone[name]) if one.number],
        )
        for name in sorted(old.keys() | new.keys())
    ]


def _rows(run: Run) -> dict[str, SourceRun]:
    rows = run.source_runs.defer("vanished", "moves", "quality", "timings")
    return {row.source_name: row for row in rows}


def figures(before: SourceRun | None, after: SourceRun | None) -> list[Figure]:
    return [
        Figure(title, getattr(before, name, None), getattr(after, name, None))
        for name, title in COUNTERS.items()
    ]


def _documents(both: Iterable[tuple[SourceRun, SourceRun]], seen: str) -> Mapping[str, Listed]:
    """The documents that came (`seen` is "gt") or changed ("lte") after the one run of each source
    and until the end of the other."""
    names = {new.source_id: new.source_name for _, new in both}
    asked = [_between(old, new, seen)[: SHOWN + 1] for old, new in both if _comparable(old, new)]
    kind = "Added" if seen == "gt" else "Changed"
    found: dict[str, Listed] = defaultdict(lambda: Listed(kind))
    for document in asked[0].union(*asked[1:], all=True) if asked else ():
        listed = found[names[document.source_id]]
        listed.more = len(listed.documents) >= SHOWN
        listed.documents += [] if listed.more else [(document, difference_url(document))]
    return found


def difference_url(document: Document) -> str:
    """The page that shows what the last change did to a document: its own."""
    return reverse("admin:ingestion_document_change", args=[document.pk])


def _comparable(old: SourceRun, new: SourceRun) -> bool:
    return bool(new.source_id and old.finished_at and new.finished_at)


def _between(old: SourceRun, new: SourceRun, seen: str) -> QuerySet[Document]:
    period = {"changed_at__gt": old.finished_at, "changed_at__lte": new.finished_at}
    mine = Document.objects.filter(source=new.source_id, **period)
    mine = mine.filter(**{f"first_seen__{seen}": old.finished_at})
    return mine.only("pk", "source", "title", "url").order_by("url")


def _gone(both: Iterable[tuple[SourceRun, SourceRun]]) -> Mapping[str, list[Listed]]:
    """What all runs after the one and up to the other moved and removed, by source."""
    wanted = {new.source_name: (old.pk, new.pk) for old, new in both}
    if not wanted:
        return defaultdict(list)
    first = min(old for old, _ in wanted.values())
    last = max(new for _, new in wanted.values())
    rows = SourceRun.objects.filter(pk__gt=first, pk__lte=last, source_name__in=wanted)
    rows = rows.filter(state__in=ENDED).exclude(removed=0, moved=0).order_by("pk")
    moved: dict[str, Listed] = defaultdict(lambda: Listed("Moved"))
    removed: dict[str, Listed] = defaultdict(lambda: Listed("Removed"))
    for pk, name, moves, vanished, number in rows.values_list(
        *("pk", "source_name", "moves", "vanished", "removed")
    ):
        if wanted[name][0] < pk <= wanted[name][1]:
            _add(moved[name], [f"{old} → {new}" for old, new in moves])
            _add(removed[name], vanished if number else [])
    return defaultdict(list, {name: [moved[name], removed[name]] for name in wanted})


def _add(listed: Listed, urls: Sequence[str]) -> None:
    room = SHOWN - len(listed.urls)
    listed.urls += urls[:room]
    listed.more = listed.more or len(urls) > room
