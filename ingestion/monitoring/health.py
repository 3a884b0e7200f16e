"""Whether database, worker and embedder answer; and why a source run does not go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from ingestion.embedding.configured import configured_embedder
from ingestion.exceptions import BbjragError, RerankerError
from ingestion.index import source_lock
from ingestion.models import SourceRun, State
from ingestion.monitoring.kept import Kept
from ingestion.runs import preflight
from ingestion.search import reranking
from ingestion.worker.cluster import Presence
from sources.models import Source

EMBEDDER = "health:embedder"
EMBEDDER_SECONDS = 20  # that an answer of the embedder is valid
RERANKER_SECONDS = 20  # that an answer of the reranker is valid
UPGRADES = "health:upgrades"
UPGRADES_SECONDS = 60  # that the count of documents to re-make is valid
START_RERANKER = "Start it, or correct RERANKER_URL."
SOON = timedelta(seconds=15)  # within which a worker takes a queued run


@dataclass(frozen=True)
class Check:
    """`state` is ok, warn, bad or unknown; `text` says what to do unless it is ok."""

    name: str
    state: str
    text: str


def checks() -> list[Check]:
    known_upgrades.refresh()
    found = [database(), worker(), embedder_now()]
    if settings.RERANKER_URL:
        found.append(_known("Reranker", known_reranker))
    return [*found, _known("Upgrades", known_upgrades)]


def embedder_now() -> Check:
    """The last answer of the embedder, at once."""
    return _known("Embedder", known_embedder)


def _known(name: str, kept: Kept[Check]) -> Check:
    known = kept.latest()
    text = f"No answer for {known.asking:.0f} seconds."
    if known.value is None:
        if known.is_late:
            return Check(name, "warn", text)
        return Check(name, "unknown", "There is no answer yet: look again in a few seconds.")
    if known.is_late:
        text = f"{text} {known.age:.0f} seconds ago it was: {known.value.text}"
        return Check(name, "warn", text)
    return known.value


def database() -> Check:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version'), pg_database_size(current_database()),"
            " (SELECT extversion FROM pg_extension WHERE extname = 'vector')"
        )
        version, size, vector = cursor.fetchone()
    text = f"PostgreSQL {version.split()[0]}, pgvector {vector}, {size / 2**20:,.0f} MB"
    return Check("Database", "ok", text)


def worker() -> Check:
    if not Presence.anybody():
        text = "No worker is alive: start one with `make serve` or `python manage.py worker`."
        return Check("Worker", "bad", text)
    running = SourceRun.objects.filter(state=State.RUNNING).count()
    late = OrmQ.objects.filter(lock__lt=timezone.now() - SOON).order_by("lock").first()
    if late and running < settings.WORKERS:
        since = _clock(late.lock)
        text = f"A worker is there but has taken nothing since {since}: it may be stuck."
        return Check("Worker", "warn", text)
    return Check("Worker", "ok", f"{running} of {settings.WORKERS} places read a source now")


def embedder() -> Check:
    """Its preflight, asked again every few seconds at most; since when it is down is kept."""
    known = cache.get(EMBEDDER)
    now = timezone.now().timestamp()
    if known and now - known["asked"] < EMBEDDER_SECONDS:
        return Check("Embedder", known["state"], known["text"])
    state, text = _ask_embedder()
    since = known["since"] if known and known["state"] == state else now
    if state == "bad":
        text = f"Down since {_clock(datetime.fromtimestamp(since, tz=UTC))}: {text}"
    kept = {"state": state, "text": text, "since": since, "asked": now}
    cache.set(EMBEDDER, kept, timeout=24 * 3600)
    return Check("Embedder", state, text)


def _ask_embedder() -> tuple[str, str]:
    try:
        found = configured_embedder()
    except BbjragError as error:
        return "bad", str(error)
    return "ok", f"{found.provider}/{found.model}, {found.dimensions} dimensions"


def reranker() -> Check:
    """Whether it answers; searches go on without it."""
    try:
        seconds = reranking.checked()
    except RerankerError as error:
        return Check("Reranker", "warn", f"Searches go on without it: {error}. {START_RERANKER}")
    return Check("Reranker", "ok", f"It answers within {seconds:.2f} s")


def upgrades() -> Check:
    """What the next run re-makes because of an upgrade, another model or changed settings."""
    kept: Sequence[str] | None = cache.get(UPGRADES)
    if kept is None:
        kept = _count_remakes()
        cache.set(UPGRADES, kept, timeout=UPGRADES_SECONDS)
    return Check("Upgrades", *kept)


def _count_remakes() -> tuple[str, str]:
    try:
        embedder = configured_embedder()
        found = preflight.remakes(Source.objects.filter(enabled=True), embedder)
    except BbjragError as error:
        return "warn", f"What the next run re-makes is not known: {error}"
    if not found:
        return "ok", "The next run re-makes only what changed at its source."
    return "warn", f"The next run: {' '.join(preflight.described(found, embedder))}"


known_embedder = Kept(embedder, EMBEDDER_SECONDS)
known_reranker = Kept(reranker, RERANKER_SECONDS)
known_upgrades = Kept(upgrades, UPGRADES_SECONDS)


def why_waiting(open_runs: Sequence[SourceRun]) -> Mapping[int, str]:
    """The reason why each source run does not go on now, by its id."""
    there = Presence.anybody()
    held = source_lock.held(connection)
    running = [row for row in open_runs if row.state == State.RUNNING]
    busy = ", ".join(f"{row.source_name} (run {row.run_id})" for row in running)
    reasons: dict[int, str] = {}
    for row in open_runs:
        if row.state == State.WAITING:
            reasons[row.pk] = _waits(row)
        elif row.state == State.RUNNING:
            reasons[row.pk] = _silent(row)
        elif not there:
            reasons[row.pk] = "No worker is alive: start one with `python manage.py worker`."
        elif row.source_id in held:
            reasons[row.pk] = "An earlier reading of this source still holds its lock."
        elif len(running) >= settings.WORKERS:
            reasons[row.pk] = f"All {settings.WORKERS} places are taken by {busy}."
        else:
            reasons[row.pk] = _queued(row)
    return {pk: reason for pk, reason in reasons.items() if reason}


def _waits(row: SourceRun) -> str:
    since = f" It has waited since {_clock(row.waiting_since)}." if row.waiting_since else ""
    again = f" It tries again at {_clock(row.resume_at)}." if row.resume_at else ""
    return f"{row.error}{since}{again}"


def _silent(row: SourceRun) -> str:
    limit = timedelta(seconds=3 * settings.RUN_HEARTBEAT)
    if row.heartbeat and timezone.now() - row.heartbeat > limit:
        return f"No sign of life since {_clock(row.heartbeat)}: it is taken up again in a minute."
    return ""


def _queued(row: SourceRun) -> str:
    if timezone.now() - row.queued_at < SOON:
        return "A worker takes it up within seconds."
    return "A worker is there but has not taken it up yet: it may be stuck; its log says more."


def _clock(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment):%H:%M}" if moment else ""
