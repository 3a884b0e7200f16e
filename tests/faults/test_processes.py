"""Kill, stop and restart the real processes of a real worker, while it reads."""

from __future__ import annotations

import contextlib
import io
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import IntegrityError, connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from ingestion.embedding import stage as embedding_stage
from ingestion.index import hnsw
from ingestion.models import Chunk, Document, Failure, Run, ScheduledRun, SourceRun, State
from ingestion.parsers import PARSERS
from ingestion.runs import removals, requests, schedules, state_machine
from ingestion.worker.cluster import Presence, Worker, is_alive
from sources.models import Source
from tests.support.ollama_server import OllamaServer, embed_small, hanging
from tests.support.reading import (
    ask,
    digest,
    in_state,
    make_source,
    nothing_left_behind,
    read,
    readings,
    state_of,
    until,
    write_pages,
    wrong,
)

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

fork = multiprocessing.get_context("fork")
ENDED = (*state_machine.ENDED_STATES,)
NAMES = [f"page{number}" for number in range(12)]
IN_FLIGHT = 24


SERVERS: list[OllamaServer] = []


def _work(workers: int) -> None:
    logging.disable(logging.CRITICAL)
    for server in SERVERS:  # else this process would go on listening when the server has stopped
        if server.listener:
            server.listener.socket.close()
    Worker(workers).run()


@contextmanager
def working(workers: int = 2) -> Iterator[int]:
    """A worker in a process of its own, as `manage.py worker` is."""
    connections.close_all()
    process = fork.Process(target=_work, args=(workers,))
    process.start()
    assert process.pid is not None
    try:
        until(Presence.anybody)
        yield process.pid
    finally:
        process.terminate()
        process.join(20)
        process.kill()
        process.join()


@pytest.fixture(autouse=True)
def short_times(settings: Settings) -> Iterator[None]:
    settings.RUN_HEARTBEAT = 0.3
    settings.RUN_POLL = 0.05
    settings.REAPER_INTERVAL = 0.5
    settings.RUN_CANCEL_GRACE = 2.0
    settings.EMBEDDER_WAIT_FIRST = settings.EMBEDDER_WAIT_MAX = 0.5
    yield
    nothing_left_behind()


@pytest.fixture
def ollama(settings: Settings) -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        embed_small(settings, server)
        settings.EMBEDDING_CONCURRENCY = 1
        SERVERS[:] = [server]
        yield server
        SERVERS.clear()


@pytest.fixture
def pages(settings: Settings, tmp_path: Path, ollama: OllamaServer) -> Source:
    settings.DATA_DIR = tmp_path
    write_pages(tmp_path / "pages", NAMES, sections=2)
    return make_source("pages")


@pytest.fixture
def others(pages: Source, tmp_path: Path) -> list[Source]:
    """Sources that are read at the same time."""
    for number in range(3):
        write_pages(tmp_path / f"other{number}", [f"other{number}page"], sections=2)
    return [make_source(f"other{number}") for number in range(3)]


@pytest.fixture
def undisturbed(pages: Source, others: list[Source]) -> set[tuple[object, ...]]:
    """The chunks of a run that nobody disturbs."""
    for source in [pages, *others]:
        assert read(source).state == "succeeded"
    chunks = digest()
    Document.objects.all().delete()
    SourceRun.objects.all().delete()
    return chunks


def held(server: OllamaServer, row: SourceRun) -> None:
    """Wait until the run has stored some documents and hangs at the embedder for the next."""
    until(lambda: Document.objects.filter(source=row.source).count() >= 4)
    until(lambda: server.at_once > 0)


def hold(server: OllamaServer) -> None:
    """The last page's texts take for ever."""
    server.for_text("page9word", hanging(60))
    server.for_text("page90word", hanging(60))


def let_go(server: OllamaServer) -> None:
    server.by_text.clear()
    server.stopping.set()
    server.stopping.clear()


def watcher_of(row: SourceRun) -> int:
    return int(SourceRun.objects.get(pk=row.pk).worker.split()[1])


def settled(rows: list[SourceRun]) -> bool:
    return all(state_of(row) in ENDED for row in rows)


@pytest.mark.parametrize("victim", ["child", "watcher", "idle worker", "everything"])
def test_who_is_killed_while_others_run_is_replaced_and_nothing_is_lost(
    pages: Source,
    others: list[Source],
    undisturbed: set[tuple[object, ...]],
    ollama: OllamaServer,
    victim: str,
) -> None:
    ollama.embedded.clear()
    hold(ollama)
    with working(workers=3) as pid:
        row = ask(pages)
        held(ollama, row)
        rest = [ask(source) for source in others]
        _kill(victim, pid, row)
        let_go(ollama)
        if victim == "everything":
            with working():
                until(lambda: settled([row, *rest]), 60)
        else:
            until(lambda: settled([row, *rest]), 60)
    assert {state_of(r) for r in [row, *rest]} == {"succeeded"}
    assert digest() == undisturbed
    assert not wrong()
    texts = {text for text in ollama.embedded if "word" in text}
    assert sum(ollama.embedded[text] for text in texts) <= len(undisturbed) + IN_FLIGHT


def _kill(victim: str, pid: int, row: SourceRun) -> None:
    workers = [member.pid for member in psutil.Process(pid).children()]
    watcher = watcher_of(row)
    target = {
        "child": lambda: readings(pid)[0].pid,
        "watcher": lambda: watcher,
        "idle worker": lambda: next(w for w in workers if w != watcher),
        "everything": lambda: pid,
    }[victim]()
    os.kill(target, signal.SIGKILL)
    if victim == "everything":
        until(lambda: not [w for w in workers if psutil.pid_exists(w) and _lives(w)])


@pytest.mark.parametrize("whole", [False, True], ids=["its process", "the whole worker"])
def test_what_a_killed_worker_read_is_taken_up_within_seconds(
    pages: Source, ollama: OllamaServer, settings: Settings, whole: bool
) -> None:
    settings.REAPER_INTERVAL = 600.0
    hold(ollama)
    with working(workers=2) as pid:
        row = ask(pages)
        held(ollama, row)
        os.kill(pid if whole else watcher_of(row), signal.SIGKILL)
        let_go(ollama)
        with working() if whole else contextlib.nullcontext():
            until(in_state(row, "succeeded"))
    assert not wrong()


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_idle_worker_does_not_stop_the_queue(pages: Source) -> None:
    """With django-q2's own queue it did, for ever."""
    with working(workers=2) as pid:
        for _ in range(4):
            victim = psutil.Process(pid).children()[0]
            victim.kill()
            time.sleep(0.1)
        row = ask(pages)
        assert until(in_state(row, "succeeded")) < 20
        assert len(psutil.Process(pid).children()) == 2


def test_a_worker_that_stands_still_is_replaced(pages: Source, settings: Settings) -> None:
    settings.WORKER_STALL_LIMIT = 1.0
    with working(workers=1) as pid:
        still = psutil.Process(pid).children()[0]
        still.send_signal(signal.SIGSTOP)
        row = ask(pages)
        until(in_state(row, "succeeded"))
        assert not _lives(still.pid)


def test_a_reading_in_progress_survives_the_search_for_what_stands_still(
    pages: Source, ollama: OllamaServer, settings: Settings
) -> None:
    settings.WORKER_STALL_LIMIT = 1.0
    hold(ollama)
    with working(workers=1) as pid:
        row = ask(pages)
        held(ollama, row)
        waiting = ask(make_source("other", "pages"))
        reader = readings(pid)[0].pid
        time.sleep(3.0)
        assert readings(pid)[0].pid == reader
        assert state_of(waiting) == "queued"
        let_go(ollama)
        until(lambda: settled([row, waiting]))
    assert SourceRun.objects.get(pk=row.pk).attempt == 1


def test_sigterm_gives_back_what_is_read(pages: Source, ollama: OllamaServer) -> None:
    hold(ollama)
    with working() as pid:
        row = ask(pages)
        held(ollama, row)
        members = psutil.Process(pid).children(recursive=True)
        os.kill(pid, signal.SIGTERM)
        until(in_state(row, "queued"), 10)
        until(lambda: not any(_lives(member.pid) for member in members), 10)
    row.refresh_from_db()
    assert (row.attempt, row.failures) == (0, 0)
    let_go(ollama)
    with working():
        until(in_state(row, "succeeded"))
    assert not wrong()


def test_sigterm_to_every_process_at_once_gives_back_too(
    pages: Source, ollama: OllamaServer
) -> None:
    hold(ollama)
    with working() as pid:
        row = ask(pages)
        held(ollama, row)
        members = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for member in members:
            member.terminate()
        until(in_state(row, "queued"), 10)
    row.refresh_from_db()
    assert row.attempt == 0


def test_readings_die_with_their_worker(pages: Source, ollama: OllamaServer) -> None:
    hold(ollama)
    with working() as pid:
        row = ask(pages)
        held(ollama, row)
        members = psutil.Process(pid).children(recursive=True)
        assert len(members) >= 3
        os.kill(pid, signal.SIGKILL)
        assert until(lambda: not any(_lives(member.pid) for member in members)) < 5


def test_the_same_task_twice_is_read_once(pages: Source, ollama: OllamaServer) -> None:
    row = ask(pages)
    for _ in range(3):
        requests.ring(row)
    with working():
        until(in_state(row, "succeeded"))
        until(lambda: not OrmQ.objects.exists())
    assert SourceRun.objects.get(pk=row.pk).attempt == 1
    assert max(n for text, n in ollama.embedded.items() if "word" in text) == 1


def test_a_task_lost_with_its_worker_is_rung_again(pages: Source) -> None:
    row = ask(pages)
    OrmQ.objects.update(lock=timezone.now() + timedelta(days=7))
    with working():
        until(in_state(row, "succeeded"))
        until(lambda: not OrmQ.objects.exists())


@pytest.mark.parametrize("stage", ["parsing", "embedding", "waiting", "queued"])
def test_cancelling_in_each_stage(
    pages: Source,
    ollama: OllamaServer,
    stage: str,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> None:
    monkeypatch.setitem(PARSERS, "OddParser", "tests.support.odd_parsers.OddParser")
    settings.EMBEDDER_WAIT_FIRST = settings.EMBEDDER_WAIT_MAX = 60.0
    if stage == "parsing":
        options = {"does": "loop", "at": "page5"}
        Source.objects.filter(pk=pages.pk).update(parser="OddParser", options=options)
    elif stage == "embedding":
        hold(ollama)
    elif stage == "waiting":
        ollama.stop()
    with working(workers=1) as pid:
        row = ask(pages)
        if stage == "queued":
            row = ask(make_source("other", "pages"))
        elif stage == "waiting":
            until(in_state(row, "waiting"))
        else:
            until(lambda: readings(pid))
            time.sleep(0.7)
        requests.cancel(row, "anna")
        assert until(in_state(row, "cancelled"), 15) < 15
        until(lambda: not readings(pid))
    let_go(ollama)
    assert not wrong()


def test_a_deleted_source_ends_its_run(pages: Source, ollama: OllamaServer) -> None:
    hold(ollama)
    with working() as pid:
        row = ask(pages)
        held(ollama, row)
        removals.delete_source(pages, "anna")
        until(in_state(row, "cancelled"))
        until(lambda: not readings(pid))
    assert not Document.objects.exists()
    assert not Chunk.objects.exists()
    assert not wrong()


def test_a_source_deleted_behind_our_back_ends_its_run(pages: Source, ollama: OllamaServer) -> None:
    hold(ollama)
    with working() as pid:
        row = ask(pages)
        held(ollama, row)
        until(lambda: _is_deleted(pages))
        let_go(ollama)
        until(in_state(row, "cancelled"))
        until(lambda: not readings(pid))
    assert not Document.objects.exists()
    assert not wrong()


def _is_deleted(source: Source) -> bool:
    """A plain deletion is refused as a whole where a document was stored in the middle of it."""
    try:
        return bool(Source.objects.filter(pk=source.pk).delete())
    except IntegrityError:
        return False


def test_a_source_edited_or_disabled_during_its_run_is_read_to_the_end(
    pages: Source, ollama: OllamaServer
) -> None:
    hold(ollama)
    with working():
        row = ask(pages)
        held(ollama, row)
        Source.objects.filter(pk=pages.pk).update(enabled=False, generation="dwc")
        let_go(ollama)
        until(in_state(row, "succeeded"))
        Source.objects.filter(pk=pages.pk).update(enabled=True)
        pages.refresh_from_db()
        again = ask(pages)
        until(in_state(again, "succeeded"))
    again.refresh_from_db()
    assert (again.changed, again.embedded) == (len(NAMES), 0)
    assert Document.objects.first().generations == ["dwc"]  # type: ignore[union-attr]


def little_memory() -> dict[str, float]:
    """On top of what a reading inherits from this process, which other tests may have made large:
    else it is over the limit before its first document."""
    return {"RUN_MEMORY_LIMIT_MB": psutil.Process().memory_info().rss // 2**20 + 250}


def little_time() -> dict[str, float]:
    return {"RUN_STALL_LIMIT": 8.0}


ODD = [
    ("die", "killed by", dict),
    ("leave", "exit code 7", dict),
    ("raise", "ZeroDivisionError", dict),
    ("recurse", "RecursionError", dict),
    ("eat", "memory", little_memory),
    ("loop", "hung", little_time),
]


@pytest.mark.parametrize(("does", "said", "limits"), ODD)
def test_a_document_that_ends_its_reading_is_named_after_three_attempts(
    pages: Source,
    others: list[Source],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    does: str,
    said: str,
    limits: Callable[[], dict[str, float]],
) -> None:
    monkeypatch.setitem(PARSERS, "OddParser", "tests.support.odd_parsers.OddParser")
    for name, value in limits().items():
        setattr(settings, name, value)
    options = {"does": does, "at": "page5"}
    Source.objects.filter(pk=pages.pk).update(parser="OddParser", options=options)
    with working():
        row = ask(pages)
        rest = [ask(source) for source in others]
        until(lambda: settled([row, *rest]), 60)
    row.refresh_from_db()
    assert (row.state, row.attempt, row.failures) == ("failed", 3, 1)
    assert said in row.error
    assert "pages://page5.md" in row.error
    assert Failure.objects.get(source_run=row).document_url == "pages://page5.md"
    assert {state_of(other) for other in rest} == {"succeeded"}
    assert not wrong()


def test_the_embedder_down_at_start_and_back_later(pages: Source, ollama: OllamaServer) -> None:
    ollama.stop()
    with working():
        row = ask(pages)
        until(in_state(row, "waiting"))
        assert "goes on by itself" in SourceRun.objects.get(pk=row.pk).error
        ollama.start()
        until(in_state(row, "succeeded"))
    row.refresh_from_db()
    assert (row.attempt, row.documents) == (1, len(NAMES))
    assert not wrong()


def test_the_embedder_gone_midway_and_back_later(pages: Source, ollama: OllamaServer) -> None:
    ollama.for_text("page50word", hanging(60))  # others come after it
    with working():
        row = ask(pages)
        held(ollama, row)
        stored = Document.objects.count()
        ollama.stop()
        until(in_state(row, "waiting"))
        assert Document.objects.count() >= stored
        ollama.by_text.clear()
        ollama.start()
        until(in_state(row, "succeeded"))
    row.refresh_from_db()
    assert (row.attempt, row.documents, row.embedded) == (1, len(NAMES), row.chunks)
    assert not wrong()


def test_a_missing_index_is_built_by_the_worker(pages: Source) -> None:
    assert read(pages).state == "succeeded"
    profile = Chunk.objects.first().profile  # type: ignore[union-attr]
    with connections["default"].cursor() as cursor:
        cursor.execute(f"DROP INDEX {profile.index_name}")
    assert hnsw.missing() == [profile]
    with working():
        until(lambda: hnsw.exists(profile))
    assert not wrong(but=())


def test_a_schedule_is_fired_by_the_worker(pages: Source) -> None:
    Source.objects.filter(pk=pages.pk).update(schedule="* * * * * *")
    with working():
        until(lambda: SourceRun.objects.filter(state="succeeded").count() >= 2)
    assert not wrong()


def test_a_worker_is_known_to_be_alive_even_when_it_is_busy(
    pages: Source, ollama: OllamaServer
) -> None:
    assert not is_alive()
    hold(ollama)
    with working(workers=1) as pid:
        assert is_alive()
        row = ask(pages)
        held(ollama, row)
        assert is_alive(0.2)
        let_go(ollama)
        until(in_state(row, "succeeded"))
        os.kill(pid, signal.SIGSTOP)
        for member in psutil.Process(pid).children():
            member.suspend()
        assert not is_alive(0.5)
        for member in psutil.Process(pid).children():
            member.resume()
        os.kill(pid, signal.SIGCONT)


def test_the_source_lock_keeps_a_second_reader_out(pages: Source, settings: Settings) -> None:
    """Somebody else holds it: the run goes back into the queue, and no attempt is burnt."""
    settings.REAPER_INTERVAL = 1.0
    other = connections["default"].copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", [0x62626A, pages.pk])
    try:
        row = ask(pages)
        with working(workers=1):
            until(lambda: "Another process" in SourceRun.objects.get(pk=row.pk).last_line, 30)
            assert state_of(row) in (State.QUEUED, State.RUNNING)
            other.close()
            until(in_state(row, "succeeded"), 40)
    finally:
        other.close()
    assert SourceRun.objects.get(pk=row.pk).attempt == 1


def test_waiting_for_locks_ends_and_is_tried_again(pages: Source) -> None:
    name = connections["default"].settings_dict["NAME"]
    holder = connections["default"].copy()
    with connections["default"].cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} SET lock_timeout = '300ms'")
    try:
        with holder.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("LOCK TABLE ingestion_chunk IN SHARE MODE")
        with working():
            row = ask(pages)
            until(in_state(row, "waiting"))
            assert "lock timeout" in SourceRun.objects.get(pk=row.pk).error
            holder.close()
            until(in_state(row, "succeeded"))
    finally:
        holder.close()
        with connections["default"].cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} RESET lock_timeout")
    assert not wrong()


MANY = [f"many{number:03}" for number in range(600)]


@pytest.fixture
def many(
    pages: Source, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Source:
    """A source that is far from read when its first texts are at the embedder."""
    settings.EMBEDDING_BATCH_SIZE = 16
    monkeypatch.setattr(embedding_stage, "TEXTS_UNDER_WAY", 256)
    (tmp_path / "many").mkdir()
    for name in MANY:
        sections = [f"## {n}\n\n{name}{n}word {'filler ' * 90}\n" for n in range(2)]
        (tmp_path / "many" / f"{name}.md").write_text("\n".join(sections))
    return make_source("many")


def half_read(server: OllamaServer, row: SourceRun) -> None:
    """Wait until the reading is at the embedder, its folder listed and not read to the end."""
    until(lambda: SourceRun.objects.get(pk=row.pk).stage == "embedding")
    until(lambda: server.at_once > 0)
    row.refresh_from_db()
    assert 0 < row.read < len(MANY) - 50


def test_files_that_change_vanish_or_come_while_they_are_read(
    many: Source, ollama: OllamaServer, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    ollama.for_text("many0000word", hanging(60))
    with working():
        row = ask(many)
        half_read(ollama, row)
        for name in ("many000", "many598"):
            path = folder / f"{name}.md"
            path.write_text(path.read_text().replace(f"{name}1word", "meanwhile"))
        (folder / "many599.md").unlink()
        write_pages(folder, ["new"])
        let_go(ollama)
        until(lambda: settled([row]), 60)
    row.refresh_from_db()
    assert (row.state, row.failures, row.documents) == ("partial", 1, 599)
    failure = Failure.objects.get(source_run=row)
    assert failure.document_url == "many://many599.md"
    assert "cannot be read (No such file or directory)" in failure.message
    said = Chunk.objects.filter(content__contains="meanwhile").values_list("document__url")
    assert [url for (url,) in said] == ["many://many598.md"]
    again = read(many)
    assert (again.state, again.changed, again.added, again.removed) == ("succeeded", 1, 1, 0)
    assert Chunk.objects.filter(content__contains="meanwhile").count() == 2
    assert not Failure.objects.filter(resolved=False).exists()
    assert not wrong()


def test_a_folder_unmounted_while_it_is_read_loses_no_document(
    many: Source, ollama: OllamaServer, tmp_path: Path
) -> None:
    assert read(many).documents == len(MANY)
    ollama.for_text("many0000word", hanging(60))
    with working():
        row = ask(many, clean=True)
        half_read(ollama, row)
        (tmp_path / "many").rename(tmp_path / "away")
        let_go(ollama)
        until(lambda: settled([row]), 60)
    row.refresh_from_db()
    assert (row.state, row.removed, row.documents) == ("partial", 0, len(MANY))
    (tmp_path / "away").rename(tmp_path / "many")
    again = read(many)
    assert (again.state, again.documents, again.removed) == ("succeeded", len(MANY), 0)
    assert not Failure.objects.filter(resolved=False).exists()
    assert not wrong()


@pytest.mark.parametrize("victim", ["one helper", "all helpers"])
def test_helpers_that_are_killed_cost_nothing(
    many: Source, ollama: OllamaServer, settings: Settings, victim: str
) -> None:
    settings.CHUNKING_PROCESSES = 2
    ollama.for_text("many0000word", hanging(60))
    with working(workers=1) as pid:
        row = ask(many)
        half_read(ollama, row)
        helpers = readings(pid)[0].children()
        assert len(helpers) == 2, "each reads and cuts"
        for helper in helpers if victim == "all helpers" else helpers[:1]:
            helper.kill()
        let_go(ollama)
        until(lambda: settled([row]), 60)
    row.refresh_from_db()
    assert (row.state, row.attempt, row.documents) == ("succeeded", 1, len(MANY)), row.error
    assert not wrong()


def test_cancelling_while_a_huge_document_is_cut_into_chunks(
    pages: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PARSERS, "OddParser", "tests.support.odd_parsers.OddParser")
    write_pages(tmp_path / "huge", ["huge"], sections=20_000, words=100)
    with working(workers=1) as pid:
        row = ask(make_source("huge", parser="OddParser"))
        until(lambda: SourceRun.objects.get(pk=row.pk).stage == "reading")
        members = readings(pid)[0].children(recursive=True)
        time.sleep(0.5)
        assert not Document.objects.exists()
        requests.cancel(row, "anna")
        assert until(in_state(row, "cancelled"), 15) < 5
        until(lambda: not any(_lives(member.pid) for member in members), 10)
    assert not wrong()


def test_what_needs_approval_waits_for_a_person(many: Source, tmp_path: Path) -> None:
    """60 % of the source gone: nothing is removed before a person has said so."""
    with working():
        first = ask(many)
        until(in_state(first, "succeeded"), 60)
    for name in MANY[:360]:
        (tmp_path / "many" / f"{name}.md").unlink()
    with working():
        row = ask(many)
        until(in_state(row, "needs_approval"))
        assert "has ended already (needs approval)" in requests.cancel(row, "anna")
        assert Document.objects.count() == len(MANY)
        row.refresh_from_db()
        assert removals.decide_removal(row, approve=True, who="anna").startswith("360 documents")
    assert Document.objects.count() == 240
    assert not wrong()


def test_command_admin_and_schedule_start_a_source_at_once(
    pages: Source, ollama: OllamaServer, tmp_path: Path
) -> None:
    """One of them starts a run; each of the others says which one it joined."""
    User.objects.create_superuser("anna", password="secret")
    Source.objects.filter(pk=pages.pk).update(schedule="0 3 * * *")
    schedules.fire()
    ScheduledRun.objects.update(at=timezone.now())
    hold(ollama)
    ways = [_by_command, _by_admin, _by_schedule] * 2
    notes = [tmp_path / f"said{number}" for number in range(len(ways))]
    with working():
        starters = [
            fork.Process(target=_start, args=(way, pages.pk, path))
            for way, path in zip(ways, notes, strict=True)
        ]
        connections.close_all()
        for starter in starters:
            starter.start()
        for starter in starters:
            starter.join(60)
        assert [starter.exitcode for starter in starters] == [0] * len(ways)
        run = Run.objects.get()
        let_go(ollama)
        until(lambda: settled(list(SourceRun.objects.all())))
    said = [path.read_text() for path in notes]
    assert SourceRun.objects.get().state == "succeeded"
    assert sum("joined" in line.lower() for line in said) >= 4, said
    assert all(str(run.pk) in line for line in said if "joined" in line.lower()), said
    assert not wrong()


def _start(way: Callable[[Source], str], pk: int, note: Path) -> None:
    connections.close_all()
    note.write_text(way(Source.objects.get(pk=pk)))


def _by_command(source: Source) -> str:
    said = io.StringIO()
    with contextlib.suppress(SystemExit):
        call_command("ingest_all", "--source", source.name, "--no-wait", stdout=said, stderr=said)
    return said.getvalue()


def _by_admin(source: Source) -> str:
    client = Client()
    client.force_login(User.objects.get(username="anna"))
    action = {"action": "reingest", "_selected_action": [source.pk]}
    response = client.post(reverse("admin:sources_source_changelist"), action, follow=True)
    return " ".join(str(message) for message in response.context["messages"])


def _by_schedule(source: Source) -> str:
    return " ".join(schedules.fire())
