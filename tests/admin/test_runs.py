"""The page of a run: its log, and the retry of one group of failures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingestion.models import Failure, Run, SourceRun, State
from ingestion.runs import log as run_log
from sources.models import Source
from tests.admin.test_admin import data_dir, page, post, source, source_run
from tests.support.reading import make_source, nothing_left_behind, read, urls

__all__ = ["data_dir", "source"]

TORN = b"<<bbj>>\x00\x01\x02\x03" * 40


def log(row: SourceRun, *messages: tuple[str, str]) -> None:
    run_log.write(row.pk, [run_log.line(text, level) for level, text in messages])


def fail(row: SourceRun, name: str, message: str, **fields: Any) -> Failure:
    return Failure.objects.create(
        source_run=row,
        source=row.source,
        document_url=name and f"mine://{name}",
        stage="parse",
        message=message,
        **fields,
    )


@pytest.mark.django_db
def test_the_log_shows_the_newest_line_first(admin_client: Client, source: Source) -> None:
    row = source_run(source, State.FAILED, finished_at=timezone.now())
    log(row, ("info", "It began."), ("error", "<b>It broke.</b>"))
    html = page(admin_client, "ingestion_run_change", row.run_id)
    assert html.index("&lt;b&gt;It broke.") < html.index("It began.")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("level", "shown"),
    [("", 3), ("warning", 2), ("error", 1), ("nonsense", 3)],
)
@pytest.mark.parametrize("state", [State.SUCCEEDED, State.RUNNING])
def test_the_log_is_narrowed_by_level(
    admin_client: Client, source: Source, level: str, shown: int, state: str
) -> None:
    ended = timezone.now() if state == State.SUCCEEDED else None
    row = source_run(source, state, finished_at=ended)
    log(row, ("info", "One line."), ("warning", "One line, warned."), ("error", "One line, torn."))
    html = page(admin_client, "ingestion_run_change", row.run_id, level=level)
    assert html.count("One line") == shown


@pytest.mark.django_db
def test_the_live_part_brings_new_lines(admin_client: Client, source: Source) -> None:
    row = source_run(source, State.RUNNING, started_at=timezone.now())
    log(row, ("info", "It began."), ("warning", "A host was skipped."))
    assert "A host was skipped." in page(admin_client, "ingestion_run_live", row.run_id)
    html = page(admin_client, "ingestion_run_live", row.run_id, level="error")
    assert "A host was skipped." not in html
    assert "No such line" in html


@pytest.mark.django_db
def test_a_page_of_an_open_run_follows_it_and_one_that_ended_does_not(
    admin_client: Client, source: Source
) -> None:
    row = source_run(source, State.RUNNING, started_at=timezone.now())
    html = page(admin_client, "ingestion_run_change", row.run_id)
    assert "data-live=" in html
    assert "data-ended" not in html
    SourceRun.objects.filter(pk=row.pk).update(state=State.CANCELLED, finished_at=timezone.now())
    assert "data-ended" in page(admin_client, "ingestion_run_live", row.run_id)


@pytest.mark.django_db
def test_everything_of_a_run_is_cancelled_at_once(admin_client: Client, source: Source) -> None:
    row = source_run(source, State.QUEUED)
    rows = [row]
    for number in range(9):
        fields = {"title": "T", "parser": "MdxParser", "paths": ["docs"]}
        other = Source.objects.create(name=f"other-{number}", **fields)
        rows.append(
            SourceRun.objects.create(
                run=row.run, source=other, source_name=other.name, state=State.QUEUED
            )
        )
    assert "Cancel all" in page(admin_client, "ingestion_run_change", row.run_id)
    admin_client.post(reverse("admin:ingestion_run_cancel", args=[row.run_id]))
    states = SourceRun.objects.filter(run=row.run).values_list("state", flat=True)
    assert set(states) == {State.CANCELLED}
    html = page(admin_client, "ingestion_run_change", row.run_id)
    assert "Cancel all" not in html


@pytest.mark.django_db
def test_the_figures_of_a_run_are_the_sums_of_its_lines(
    admin_client: Client, source: Source
) -> None:
    fields: dict[str, Any] = {"started_at": timezone.now(), "expected": 40}
    row = source_run(source, State.RUNNING, read=10, embedded=30, failures=1, **fields)
    other = Source.objects.create(name="other", title="O", parser="MdxParser", paths=["docs"])
    SourceRun.objects.create(
        run=row.run,
        source=other,
        source_name="other",
        state=State.RUNNING,
        read=5,
        embedded=7,
        **fields,
    )
    html = page(admin_client, "ingestion_run_live", row.run_id)
    assert "15 of about 80 documents, 37 chunks embedded" in html
    assert sum(map(int, re.findall(r'data-read="(\d+)"', html))) == 15
    assert sum(map(int, re.findall(r'data-embedded="(\d+)"', html))) == 37
    assert "1 error, 0 warnings" in html


@pytest.mark.django_db
def test_one_group_of_failures_is_retried(admin_client: Client, source: Source) -> None:
    row = source_run(source, State.PARTIAL, failures=3, finished_at=timezone.now())
    first = fail(row, "a.md", "Bad page 3.")
    fail(row, "b.md", "Bad page 14.")
    fail(row, "c.md", "Bad page 15.", resolved=True)
    fail(row, "d.md", "No text.")
    html = page(admin_client, "ingestion_run_change", row.run_id)
    assert "Retry these 2 documents" in html
    assert "Retry this document" in html
    html = post(admin_client, "ingestion_retry", row.pk, group=str(first.pk))
    assert Run.objects.latest("pk").options["addresses"] == ["mine://a.md", "mine://b.md"]
    assert "a retry of 2 documents" in html
    assert "(retry of 2 documents)" in LogEntry.objects.get().change_message


@pytest.mark.django_db
def test_a_group_that_is_over_is_not_retried(admin_client: Client, source: Source) -> None:
    row = source_run(source, State.PARTIAL, failures=1, finished_at=timezone.now())
    over = fail(row, "a.md", "Bad.", resolved=True)
    elsewhere = fail(source_run(source, State.PARTIAL), "b.md", "Bad.")
    for failure in (over, elsewhere):
        assert "nothing to retry" in post(
            admin_client, "ingestion_retry", row.pk, group=str(failure.pk)
        )
    assert Run.objects.count() == 2


@pytest.mark.django_db
def test_warnings_and_what_has_no_address_are_not_offered(
    admin_client: Client, source: Source
) -> None:
    row = source_run(source, State.PARTIAL, finished_at=timezone.now())
    fail(row, "a.md", "Odd.", level=Failure.Level.WARNING)
    fail(row, "", "The source is gone.")
    html = page(admin_client, "ingestion_run_change", row.run_id)
    assert "Retry this" not in html
    assert "Retry these" not in html


@pytest.mark.django_db(transaction=True)
def test_only_the_chosen_documents_are_read_again(data_dir: Path) -> None:
    for name in ("a", "b"):
        (data_dir / f"docs/{name}.bbj").write_bytes(TORN)
    programs = make_source("programs", "docs", parser="BbjSourceParser")
    before = read(programs)
    assert before.failures == 2
    for name in ("a", "b"):
        (data_dir / f"docs/{name}.bbj").write_text(f'rem {name}\nprint "{name}"\n')
    after = read(programs, retry_failed=True, addresses=["programs://a.bbj"])
    assert (after.state, after.added, after.failures) == (State.SUCCEEDED, 1, 0)
    assert urls() == {"programs://a.bbj"}
    open_ones = Failure.objects.filter(resolved=False).values_list("document_url", flat=True)
    assert list(open_ones) == ["programs://b.bbj"]
    nothing_left_behind()


@pytest.mark.django_db(transaction=True)
def test_what_fails_beside_the_chosen_is_not_told_again(data_dir: Path) -> None:
    for name in ("a", "b"):
        (data_dir / f"docs/{name}.bbj").write_bytes(TORN)
    programs = make_source("programs", "docs", parser="BbjSourceParser")
    read(programs)
    after = read(programs, retry_failed=True, addresses=["programs://a.bbj"])
    assert (after.state, after.failures) == (State.PARTIAL, 1)
    found = Failure.objects.filter(resolved=False).order_by("document_url")
    assert [row.document_url for row in found] == ["programs://a.bbj", "programs://b.bbj"]
    nothing_left_behind()


@pytest.mark.django_db
def test_a_page_of_an_old_run_offers_no_retry_when_nothing_is_open(
    admin_client: Client, source: Source
) -> None:
    row = source_run(source, State.PARTIAL, failures=1, finished_at=timezone.now())
    failure = fail(row, "a.md", "Torn.")
    assert "Retry the open errors" in page(admin_client, "ingestion_run_change", row.run_id)
    Failure.objects.filter(pk=failure.pk).update(resolved=True)
    assert "Retry the open errors" not in page(admin_client, "ingestion_run_change", row.run_id)
    runs_before = Run.objects.count()
    html = post(admin_client, "ingestion_retry", row.pk)
    assert "Nothing to retry: mine has no open failure." in html
    assert Run.objects.count() == runs_before


@pytest.mark.django_db(transaction=True)
def test_a_retry_of_nothing_reads_nothing(data_dir: Path) -> None:
    (data_dir / "docs/a.bbj").write_text('rem a\nprint "a"\n')
    programs = make_source("programs", "docs", parser="BbjSourceParser")
    after = read(programs, retry_failed=True)
    assert (after.state, after.read, after.documents) == (State.SUCCEEDED, 0, 0)
    nothing_left_behind()


@pytest.mark.django_db(transaction=True)
def test_the_retry_of_a_source_that_failed_as_a_whole_reads_it(data_dir: Path) -> None:
    (data_dir / "docs/a.bbj").write_text('rem a\nprint "a"\n')
    programs = make_source("programs", "docs", parser="BbjSourceParser")
    fail(source_run(programs, State.FAILED, finished_at=timezone.now()), "", "It was away.")
    after = read(programs, retry_failed=True)
    assert (after.state, after.added) == (State.SUCCEEDED, 1)
    assert not Failure.objects.filter(resolved=False).exists()
    nothing_left_behind()
