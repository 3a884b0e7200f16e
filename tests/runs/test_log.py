"""The lines that a reading leaves for the page of its run."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from ingestion.models import LogLine, Run, SourceRun, State
from ingestion.runs import log as run_log
from ingestion.runs import requests
from ingestion.runs.log import RunLog, collected
from ingestion.worker import supervisor
from sources.models import Source
from tests.support.reading import ask, make_source, nothing_left_behind, read, write_pages


@pytest.fixture
def source(settings: Settings, tmp_path: Path) -> Source:
    settings.DATA_DIR = tmp_path
    write_pages(tmp_path / "pages", ["a", "b"])
    return make_source("pages")


def row_of(source: Source) -> SourceRun:
    run = Run.objects.create(origin="command")
    return SourceRun.objects.create(run=run, source=source, source_name=source.name)


def lines(row: SourceRun) -> list[str]:
    mine = LogLine.objects.filter(source_run=row).order_by("pk")
    return list(mine.values_list("message", flat=True))


@pytest.mark.django_db(transaction=True)
def test_a_reading_tells_how_it_went(source: Source) -> None:
    said = lines(read(source))
    assert said[0].startswith("Running: ")
    assert any(line.startswith("Embedding begins, with wordllama/") for line in said)
    ended = "Documents added: 2, changed: 0, removed: 0. Errors: 0, warnings: 0."
    assert said[-1] == f"Succeeded: {ended}"
    nothing_left_behind()


@pytest.mark.django_db(transaction=True)
def test_an_unchanged_source_leaves_two_lines(source: Source) -> None:
    read(source)
    assert len(lines(read(source))) == 2
    nothing_left_behind()


@pytest.mark.django_db(transaction=True)
def test_the_watcher_tells_what_killed_a_reading(source: Source, settings: Settings) -> None:
    settings.RUN_MEMORY_LIMIT_MB = 1
    settings.RUN_POLL = 0.01
    row = ask(source)
    supervisor.supervise(row.pk)
    killed = LogLine.objects.get(source_run=row, level=LogLine.Level.ERROR)
    assert "the limit (RUN_MEMORY_LIMIT_MB) is 1 MB" in killed.message
    assert lines(row)[-1].endswith("Attempt 2 of 3 follows.")
    nothing_left_behind()


@pytest.mark.django_db
def test_a_cancel_names_who_asked(source: Source) -> None:
    row = ask(source)
    requests.cancel(row, "ada")
    assert lines(row)[-1].startswith("Cancelled: Cancelled by ada.")


@pytest.mark.django_db(transaction=True)
def test_warnings_of_any_thread_become_lines(source: Source) -> None:
    row = row_of(source)
    logger = logging.getLogger("ingestion.embedding.ollama")
    with collected(RunLog(row.pk)):
        thread = threading.Thread(target=logger.warning, args=("Host %s skipped", "a"))
        thread.start()
        thread.join()
        logger.info("nothing for a page")
    logger.warning("after its end")
    assert lines(row) == ["Host a skipped"]


@pytest.mark.django_db(transaction=True)
def test_what_is_said_again_and_again_counts_once(source: Source) -> None:
    row = row_of(source)
    log = RunLog(row.pk)
    for _ in range(5):
        log.say("The same.")
    log.keep()
    assert lines(row) == ["The same."]


@pytest.mark.django_db(transaction=True)
def test_a_flood_of_lines_is_cut_and_says_so(source: Source) -> None:
    row = row_of(source)
    log = RunLog(row.pk)
    for number in range(run_log.AT_ONCE + 7):
        log.say(f"Line {number}.")
    log.keep()
    said = lines(row)
    assert said[0].startswith("7 lines before this one were left out")
    assert len(said) == run_log.AT_ONCE + 1


@pytest.mark.django_db
def test_the_newest_lines_of_each_level_are_kept(source: Source) -> None:
    row = row_of(source)
    run_log.write(row.pk, [run_log.line("Torn.", LogLine.Level.WARNING)])
    for batch in range(5):
        run_log.write(row.pk, [run_log.line(f"{batch}-{n}") for n in range(run_log.KEPT // 2)])
    said = lines(row)
    assert len(said) == run_log.KEPT + 1
    assert said[0] == "Torn."
    assert said[1] == "3-0"


@pytest.mark.django_db(transaction=True)
def test_lines_that_cannot_be_written_stop_nothing(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    log = RunLog(row_of(source).pk + 1)  # no such row
    with collected(log):
        log.say("Lost.")
        log.keep()
    assert "Log lines of source run" in caplog.text
    assert not LogLine.objects.exists()
    assert connection.is_usable()


@pytest.mark.django_db(transaction=True)
def test_no_line_is_written_within_a_transaction(source: Source) -> None:
    row = row_of(source)
    log = RunLog(row.pk)
    log.say("Later.")
    with transaction.atomic():
        log.keep()
        assert lines(row) == []
    log.keep()
    assert lines(row) == ["Later."]


@pytest.mark.django_db
def test_a_line_holds_what_no_table_could(source: Source) -> None:
    row = row_of(source)
    run_log.write(row.pk, [run_log.line("a\x00b\ud800" + "x" * 5000)])
    assert len(lines(row)[0]) <= run_log.LONGEST


@pytest.mark.django_db
def test_a_state_says_how_bad_it_is(source: Source) -> None:
    row = row_of(source)
    run_log.note_move(row.pk, State.FAILED, {"error": "Torn."})
    run_log.note_move(row.pk, State.SUCCEEDED, {})
    found = LogLine.objects.order_by("pk").values_list("level", "message")
    assert list(found) == [("error", "Failed: Torn."), ("info", "Succeeded.")]
