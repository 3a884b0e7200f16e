"""What needs a person: removals to decide, failed and old sources, a missing worker or embedder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils import timezone

from ingestion.admin.display import documents
from ingestion.admin.quality import is_stale
from ingestion.admin.standings import Standing
from ingestion.documents import counted
from ingestion.models import SourceRun, State
from ingestion.monitoring.health import Check


@dataclass(frozen=True)
class Step:
    """A button beside a need. With `value` it is posted as `name`; without, it is a link."""

    label: str
    url: str
    name: str = ""
    value: str = ""
    permission: str = ""
    danger: bool = False


@dataclass(frozen=True)
class Need:
    """`state` gives the colour, `kind` the word in it."""

    state: str
    kind: str
    subject: str
    url: str
    text: str
    steps: Sequence[Step] = ()


def needs(
    standings: Iterable[Standing], held: Iterable[SourceRun], checks: Iterable[Check]
) -> list[Need]:
    """Everything that waits for a person, the most urgent first."""
    found = [*_broken(checks), *map(approval, held)]
    for one in standings:
        found += _of_source(one)
    return found


def _broken(checks: Iterable[Check]) -> Iterator[Need]:
    for check in checks:
        if check.state == "bad":
            yield Need("bad", "down", check.name, "", check.text)
        elif check.state == "warn" and check.name != "Upgrades":
            word = "left out" if check.name == "Reranker" else "slow"
            yield Need("warn", word, check.name, "", check.text)


def approval(row: SourceRun) -> Need:
    url = f"{reverse('admin:ingestion_run_change', args=[row.run_id])}#source-run-{row.pk}"
    decide = reverse("admin:ingestion_removal", args=[row.pk])
    may = "ingestion.decide_removal"
    text = (
        f"{documents(len(row.vanished))} vanished at the source. "
        "They stay searchable until you decide."
    )
    steps = [
        Step("Look", url),
        Step("Remove", decide, "decision", "approve", may, danger=True),
        Step("Keep", decide, "decision", "refuse", may),
    ]
    return Need("warn", "approval", row.source_name, url, text, steps)


def _of_source(one: Standing) -> Iterator[Need]:
    source, last = one.source, one.last
    if not source.enabled or (last and last.is_open):
        return
    url = reverse("admin:sources_source_change", args=[source.pk])
    act = reverse("admin:sources_source_act", args=[source.pk])
    if last and last.state in (State.FAILED, State.INTERRUPTED):
        ingest = Step("Try again", act, "action", "reingest", "ingestion.start_run")
        text = last.error or last.last_line
        yield Need("bad", "failed", source.name, url, text, [ingest])
    elif one.failures:
        problems = reverse("admin:ingestion_failure_changelist")
        look = Step("Look", f"{problems}?source__id__exact={source.pk}")
        retry = Step("Retry", act, "action", "retry_failures", "ingestion.start_run")
        number = counted(one.failures, "open problem")
        text = f"{number}: what could not be read is missing or old in the index."
        yield Need("warn", "problems", source.name, url, text, [look, retry])
    if one.read_at and is_stale(one, timezone.now()):
        yield _stale(one, one.read_at, url, act)


def _stale(one: Standing, read_at: datetime, url: str, act: str) -> Need:
    days = (timezone.now() - read_at).days
    if one.source.schedule:
        text = f"It was last read {days} days ago: two times of its schedule have passed."
        step = Step("Ingest", act, "action", "reingest", "ingestion.start_run")
    else:
        text = f"It was last read {days} days ago and has no schedule."
        step = Step("Set a schedule", f"{url}?tab=settings#id_schedule_kind")
    return Need("warn", "old", one.source.name, url, text, [step])
