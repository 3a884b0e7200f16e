"""What pruning saves: rows, sizes and the time of the admin's list of runs, before and after.

    STATE_DIR=... python -m tests.scripts.measure_retention [--runs 1000] [--sources 50]

Fills the database of a state directory of its own with runs that are older than RETENTION_DAYS, one
after the other for each source in turn, each with 20 log lines and 3 resolved failures; prunes
them; and prints Markdown tables. Sizes are those after VACUUM, and after VACUUM FULL: PostgreSQL
uses the room of removed rows again, but gives it back to the disk only at the end of a table.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment  # noqa: E402
from django.urls import reverse  # noqa: E402
from django.utils import timezone  # noqa: E402

from ingestion.models import Failure, LogLine, Run, SourceRun, State  # noqa: E402
from ingestion.runs import retention  # noqa: E402
from sources.models import Source  # noqa: E402

MODELS = (Run, SourceRun, LogLine, Failure)
LINES = 20
FAILURES = 3
AT_ONCE = 1000  # runs that are stored at once
AGE = timedelta(days=400)
MESSAGE = "The page was read, and its chunks were embedded by the model that is set up. " * 2


def fill(runs: int, sources: int) -> None:
    rows = [
        Source.objects.create(name=f"measured-{number}", parser="MdxParser", paths=["docs"])
        for number in range(sources)
    ]
    then = timezone.now() - AGE
    for start in range(0, runs, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, runs))
        made = [ran(rows[number % sources]) for number in numbers]
        Run.objects.bulk_create(row.run for row in made)
        SourceRun.objects.bulk_create(made)
        LogLine.objects.bulk_create(line for row in made for line in lines(row, then))
        Failure.objects.bulk_create(failure for row in made for failure in failures(row))
    for model, field in ((Run, "created_at"), (SourceRun, "queued_at"), (Failure, "created_at")):
        model._default_manager.update(**{field: then})


def ran(source: Source) -> SourceRun:
    return SourceRun(
        run=Run(origin="schedule"),
        source=source,
        source_name=source.name,
        state=State.PARTIAL,
        timings={"read": 1.5, "chunk": 2.5, "embed": 9.1, "store": 1.1},
        failures=FAILURES,
        last_line="Documents added: 2, changed: 0, removed: 0. Errors: 3, warnings: 0.",
    )


def lines(row: SourceRun, at: datetime) -> Iterator[LogLine]:
    return (LogLine(source_run=row, at=at, message=f"{n}. {MESSAGE}") for n in range(LINES))


def failures(row: SourceRun) -> Iterator[Failure]:
    for number in range(FAILURES):
        url = f"{row.source_name}://page-{number}.md"
        yield Failure(
            source_run=row,
            source=row.source,
            document_url=url,
            stage="parse",
            message=MESSAGE,
            resolved=True,
        )


def sizes(command: str) -> dict[str, tuple[int, float]]:
    """The rows of each table, and its megabytes with its indexes."""
    found = {}
    with connection.cursor() as cursor:
        for model in MODELS:
            table = model._meta.db_table
            cursor.execute(f"{command} {table}")
            cursor.execute("SELECT pg_total_relation_size(%s)", [table])
            found[table] = model._default_manager.count(), cursor.fetchone()[0] / 2**20
    return found


def list_of_runs(client: Client) -> float:
    """Milliseconds; the fastest of twenty requests."""
    spent = []
    for _ in range(20):
        started = time.perf_counter()
        assert client.get(reverse("admin:ingestion_run_changelist")).status_code == 200
        spent.append(1000 * (time.perf_counter() - started))
    return min(spent)


def in_slices() -> tuple[float, int, float]:
    """Prune as the worker does: seconds in all, calls, and seconds of the longest one."""
    spent = []
    while True:
        started = time.perf_counter()
        pruning = retention.prune(retention.AT_ONCE)
        spent.append(time.perf_counter() - started)
        if pruning is None or pruning.finished:
            print(pruning)
            return sum(spent), len(spent), max(spent)


def report(runs: int, sources: int) -> None:
    setup_test_environment()
    client = Client()
    client.force_login(User.objects.create_superuser("measured"))
    fill(runs, sources)
    before, shown = sizes("VACUUM ANALYZE"), list_of_runs(client)
    seconds, calls, longest = in_slices()
    after, shown_after = sizes("VACUUM ANALYZE"), list_of_runs(client)
    full = sizes("VACUUM FULL")
    print(
        f"\n{sum(rows for rows, _ in before.values()):,} rows of {runs:,} runs, {sources} sources"
    )
    print("\n| table | rows | then | MB | then | compact |\n|---|--:|--:|--:|--:|--:|")
    for table, (rows, size) in before.items():
        then, left = after[table]
        print(f"| {table} | {rows:,} | {then:,} | {size:.1f} | {left:.1f} | {full[table][1]:.1f} |")
    again = time.perf_counter()
    retention.prune()
    again = time.perf_counter() - again
    print(f"\nPruned in {seconds:.2f} s: {calls} calls, the longest {longest:.2f} s")
    print(f"Pruned again, with nothing to remove: {again:.2f} s")
    ratio = shown_after / shown
    print(f"List of runs: {shown:.0f} ms, then {shown_after:.0f} ms (ratio {ratio:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--sources", type=int, default=50)
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    if SourceRun.objects.exists():
        raise SystemExit("There are runs already: name another STATE_DIR, which is yet to be made.")
    report(options.runs, options.sources)


if __name__ == "__main__":
    main()
