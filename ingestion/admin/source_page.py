"""What a source's page shows: its head on every tab, and the tabs that are not its form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Count, OuterRef, Subquery
from django.utils import timezone

from ingestion.admin import attention, causes, quality, reports
from ingestion.admin.charts import history
from ingestion.admin.standings import Standing, progress, standings
from ingestion.models import Chunk, Document, Failure, SourceRun, State
from ingestion.monitoring import health
from sources.models import Source

STATUS, SETTINGS, DOCUMENTS, PROBLEMS, HISTORY = (
    *("status", "settings", "documents", "problems"),
    "history",
)
TABS = (STATUS, SETTINGS, DOCUMENTS, PROBLEMS, HISTORY)
LISTED = 50  # documents or problems
SHOWN_RUNS = 20
BUSY_PAUSE = 2000  # milliseconds until the head refreshes while the source is read
QUIET_PAUSE = 5000


def tab_of(asked: str) -> str:
    """The tab that an address asks for; Status if it asks for none."""
    return asked if asked in TABS else STATUS


def head(source: Source, tab: str) -> dict[str, Any]:
    """What the head shows, and the Status tab with it, all of it read at one time."""
    [it] = standings(source)
    is_open = bool(it.last and it.last.is_open)
    numbers = {DOCUMENTS: it.documents, PROBLEMS: it.failures + it.warnings}
    context = {
        "it": it,
        "source": source,
        "tab": tab,
        "tabs": [(name, numbers.get(name)) for name in TABS],
        "is_open": is_open,
        "pause": BUSY_PAUSE if is_open else QUIET_PAUSE,
    }
    return context | (_status(it) if tab == STATUS else {})


def _status(it: Standing) -> dict[str, Any]:
    held = [it.last] if it.last and it.last.state == State.NEEDS_APPROVAL else []
    if held:
        held = list(SourceRun.objects.filter(pk__in=[row.pk for row in held]))
    running = it.last if it.last and it.last.is_open else None
    why = health.why_waiting([running]) if running else {}
    return {
        "needs": attention.needs([it], held, []),
        "progress": progress(running, why.get(running.pk, "")) if running else None,
        "stages": reports.stages(it.last) if it.last else [],
        "stale": quality.is_stale(it, timezone.now()),
    }


def _documents(source: Source) -> dict[str, Any]:
    chunks = Chunk.objects.filter(document=OuterRef("pk")).order_by().values("document")
    number = Subquery(chunks.annotate(number=Count("*")).values("number"))
    rows = Document.objects.filter(source=source).order_by("-changed_at", "pk")
    rows = rows.only("title", "url", "doc_type", "generations", "changed_at", "source")
    return {"documents": list(rows.annotate(number_of_chunks=number)[:LISTED])}


def _problems(source: Source) -> dict[str, Any]:
    rows = causes.brief(Failure.objects.open().filter(source=source)).order_by("level", "-pk")
    return {"problems": list(rows[:LISTED])}


def _history(source: Source) -> dict[str, Any]:
    mine = SourceRun.objects.filter(source=source).defer("vanished", "moves").order_by("-pk")
    rows = list(mine[:SHOWN_RUNS])
    return {"history": rows, "columns": history(rows)}


DETAILS: dict[str, Callable[[Source], dict[str, Any]]] = {
    DOCUMENTS: _documents,
    PROBLEMS: _problems,
    HISTORY: _history,
}


def details(source: Source, tab: str) -> dict[str, Any]:
    """What a tab shows below the head."""
    found = DETAILS.get(tab)
    return found(source) if found else {}
