"""Tries a source as a form has it: whether it can be read, and what a run would add, change and
remove. Nothing is stored, and the source need not be stored either."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ingestion import documents
from ingestion.index import deletion_gate, moves
from ingestion.models import Chunk, Document
from ingestion.monitoring import health
from ingestion.parsers import permalinks
from ingestion.runs import dry_run, dry_run_slots
from ingestion.runs.dry_run import DryRun, DryRunDocument
from ingestion.runs.dry_run_slots import NoSlot
from sources.models import Source

TEST_SECONDS = 5
PREVIEW_SECONDS = 20
FIELDS = (
    *("title", "doc_type", "generations", "deprecated"),
    *("breadcrumb", "metadata"),
)


@dataclass
class Preview:
    """Documents by what a run would do with them; `moved` has the old address with each.

    `moved` and `removed` are empty unless all was read. `held` is why the removal would wait for
    approval.
    """

    trial: DryRun
    added: list[DryRunDocument] = field(default_factory=list)
    changed: list[DryRunDocument] = field(default_factory=list)
    unchanged: list[DryRunDocument] = field(default_factory=list)
    moved: list[tuple[str, DryRunDocument]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    stored: int = 0
    chunks: int = 0
    to_embed: int = 0
    held: str = ""


def tried(source: Source, how: str, value: str, person: int) -> dict[str, Any]:
    """What the page shows of a trial: `how` is `_test`, `_preview`, or `_show` with an address.
    `person` is the id of who asks."""
    problems = [text for texts in source.problems().values() for text in texts]
    if problems:
        return {"tried": "test", "problems": problems}
    try:
        with dry_run_slots.slot(person):
            return _tried(source, how, value)
    except NoSlot as reason:
        return {"tried": "later", "reason": str(reason)}


def _tried(source: Source, how: str, value: str) -> dict[str, Any]:
    if how == "_test":
        found = dry_run.run(dry_run.order(source, seconds=TEST_SECONDS))
        context = {"trial": found, "embedder": health.embedder_now(), "seconds": TEST_SECONDS}
        return {"tried": "test", **context}
    if how == "_preview":
        found = dry_run.run(dry_run.order(source, seconds=PREVIEW_SECONDS))
        return {"tried": "preview", "preview": preview(source, found), "seconds": PREVIEW_SECONDS}
    found = dry_run.run(dry_run.order(source, seconds=PREVIEW_SECONDS, show=value))
    shown = next((document for document in found.documents if document.url == value), None)
    return {"tried": "document", "document": shown, "trial": found}


def preview(source: Source, tried: DryRun) -> Preview:
    rows = Document.objects.filter(source_id=source.pk)
    stored = {row["url"]: row for row in rows.values("url", "display_url", *FIELDS)}
    hashes = stored_hashes(source)
    found = Preview(tried, stored=len(stored))
    for document in tried.documents:
        known = stored.get(document.url)
        if known is None:
            found.added.append(document)
        elif hashes.get(document.url) == document.hashes and _alike(known, document):
            found.unchanged.append(document)
        else:
            found.changed.append(document)
    found.chunks = sum(len(document.hashes) for document in tried.documents)
    found.to_embed = missing(key for document in tried.documents for key in document.hashes)
    if tried.complete and tried.documents:
        found.removed = _gone(stored, tried)
        _find_moved(source, found)
        found.held = deletion_gate.reason_to_ask(source.config(), found.removed, stored)
    return found


def _find_moved(source: Source, found: Preview) -> None:
    """Move added and removed documents that are the same at another address to `moved`."""
    if not (found.added and found.removed):
        return
    added = {document.url: document for document in found.added}
    old = moves.text_keys(source.pk, found.removed)
    new = {url: document.text for url, document in added.items()}
    found.moved = [(gone, added.pop(come)) for gone, come in moves.pairs(old, new)]
    found.added = list(added.values())
    gone = {url for url, _ in found.moved}
    found.removed = [url for url in found.removed if url not in gone]


def stored_hashes(source: Source) -> dict[str, list[str]]:
    """For each document of the source, by its address, the hashes of its chunks in order."""
    found: dict[str, list[str]] = {}
    rows = Chunk.objects.filter(document__source_id=source.pk).order_by("document_id", "ordinal")
    for url, key in rows.values_list("document__url", "content_hash").iterator():
        found.setdefault(url, []).append(key)
    return found


def missing(keys: Iterable[str]) -> int:
    """The number of different texts without a vector."""
    wanted = set(keys)
    there = Chunk.objects.filter(content_hash__in=wanted).order_by()
    return len(wanted) - there.values("content_hash").distinct().count()


def _alike(known: dict[str, object], document: DryRunDocument) -> bool:
    if not all(known[name] == getattr(document, name) for name in FIELDS):
        return False
    links = (str(known["display_url"]), document.display_url)
    return len({*map(permalinks.without_commit, links)}) == 1


def _gone(stored: Iterable[str], tried: DryRun) -> list[str]:
    met = {document.url for document in tried.documents}
    errors = [failure.url for failure in tried.failures if not failure.warning]
    return [
        url
        for url in stored
        if url not in met and not any(documents.covers(error, url) for error in errors)
    ]
