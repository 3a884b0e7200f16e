"""Readings that are killed or cancelled while they fetch or check out, and room that runs out."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from django.db import connections
from pytest_django import Settings

from ingestion.git import store
from ingestion.git.folder import Folder, key_of
from ingestion.git.settings import GitSettings
from ingestion.models import Document, SourceRun, State
from ingestion.runs import requests
from ingestion.worker import supervisor
from sources.models import Source
from tests.git.conftest import of, page_of, with_git
from tests.support.git_servers import HttpServer, Project, git, weight
from tests.support.reading import ask, nothing_left_behind, read, until, wrong

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def http(project: Project) -> Iterator[HttpServer]:
    with HttpServer(project.bare.parent) as server:
        yield server
    nothing_left_behind()


def gits() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            command = process.cmdline()
            if "git" in command[:1] and "http-backend" not in command:
                found.append(process)
    return found


def supervised(row: SourceRun) -> threading.Thread:
    def work() -> None:
        try:
            supervisor.supervise(row.pk)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def stopped_in_a_fetch(
    http: HttpServer, project: Project, source: Source, stop: Callable[[SourceRun], object]
) -> SourceRun:
    """A reading that is stopped while the server sends 4 MB slowly."""
    project.commit({"docs/noise.bin": os.urandom(4_000_000)})
    begun = threading.Event()
    http.meanwhile, http.pause = begun.set, 0.3
    row = ask(source)
    thread = supervised(row)
    assert begun.wait(30)
    until(lambda: any("fetch" in process.cmdline() for process in gits()))
    stop(row)
    thread.join(30)
    assert not thread.is_alive()
    http.meanwhile, http.pause = list, 0.0
    row.refresh_from_db()
    return row


def test_a_cancel_ends_a_fetch_at_once(http: HttpServer, project: Project) -> None:
    source = of(f"{http.origin}/docs.git")
    begun = time.monotonic()
    row = stopped_in_a_fetch(http, project, source, requests.cancel)
    assert row.state == State.CANCELLED
    assert time.monotonic() - begun < 15
    until(lambda: not gits(), 5)
    assert read(source).added == 3


@pytest.mark.parametrize("stored", [False, True])
def test_a_reading_that_is_killed_in_a_fetch_goes_on(
    http: HttpServer, project: Project, kept: Path, stored: bool
) -> None:
    source = of(f"{http.origin}/docs.git")
    if stored:
        read(source)
    row = stopped_in_a_fetch(http, project, source, lambda row: kill_reading())
    assert row.attempt == 1
    until(lambda: not gits(), 5)
    again = read_on(source)
    assert (again.state, Document.objects.count()) == (State.SUCCEEDED, 3)
    assert again.commit == git(project.folder, "rev-parse", "HEAD")
    assert list(kept.glob("*/private-*")) + list(kept.glob("*/part-*")) == []
    assert not list(kept.rglob("tmp_*"))
    assert wrong() == []


def kill_reading() -> None:
    """Kill the process that reads, the parent of the oldest fetch: its children look the same."""
    fetching = [process for process in gits() if "fetch" in process.cmdline()]
    parent = min(fetching, key=psutil.Process.create_time).parent()
    assert parent
    parent.send_signal(signal.SIGKILL)


def read_on(source: Source) -> SourceRun:
    """The next attempt of the open run, or a run, to its end."""
    for row in SourceRun.objects.open().filter(source=source):
        SourceRun.objects.filter(pk=row.pk).update(resume_at=None)
        supervisor.supervise(row.pk)
        row.refresh_from_db()
        return row
    return read(source)


def test_what_a_killed_process_leaves_is_in_nobodys_way(project: Project, kept: Path) -> None:
    source = of(project)
    read(source)
    (place,) = kept.iterdir()
    left = ("private-1/config", "part-1/docs/a.md", "objects.git/shallow.lock")
    more = ("objects.git/refs/bbjrag/x.lock", "objects.git/objects/pack/tmp_pack_x")
    for name in (*left, *more, "objects.git/config.lock", "trees/gone-1/a.md"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("left behind")
    project.commit({"docs/dialog.md": page_of("dialog")})
    assert read(source).added == 1
    assert not any((place / name).exists() for name in (*left, *more))


@pytest.mark.parametrize("damage", ["objects", "pack", "ref"])
def test_a_damaged_repository_is_fetched_again(project: Project, kept: Path, damage: str) -> None:
    source = of(project)
    read(source)
    (objects,) = kept.glob("*/objects.git")
    if damage == "objects":
        (objects / "HEAD").unlink()
    elif damage == "pack":
        for pack in objects.glob("objects/pack/*.pack"):
            pack.chmod(0o600)
            pack.write_bytes(pack.read_bytes()[:40])
    else:
        for ref in objects.glob("refs/bbjrag/*"):
            ref.write_text("0" * 40)
    commit = project.commit({"docs/dialog.md": page_of("dialog")})
    row = read(source)
    assert (row.state, row.error, row.added, row.commit) == (State.SUCCEEDED, "", 1, commit)


def test_two_processes_fetch_one_after_the_other(
    project: Project, settings: Settings, kept: Path
) -> None:
    """While another process holds the lock, a reading waits; and ends when it takes too long."""
    source = of(project)
    read(source)
    project.commit()
    with_git(settings, seconds=1.0)
    with other_process(kept):
        row = read(source)
    assert "Another process has fetched this repository for 1 seconds" in row.error
    assert read(source).state == State.SUCCEEDED


@contextlib.contextmanager
def other_process(kept: Path) -> Iterator[None]:
    """A process that holds the lock of the only repository."""
    (lock,) = kept.glob("*/lock")
    code = "import fcntl,sys,time; f=open(sys.argv[1]); fcntl.flock(f,2); print(flush=True)"
    command = [sys.executable, "-c", f"{code}; time.sleep(60)", str(lock)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.communicate()


def test_a_tree_stays_while_it_is_read(project: Project, kept: Path) -> None:
    read(of(project))
    (place,) = kept.iterdir()
    folder = Folder(place)
    (tree,) = [path for path in folder.trees.iterdir() if path.is_dir()]
    held = folder.hold(tree)
    folder.drop_trees(set())
    assert (tree / "docs" / "anchor.md").exists()
    assert not folder.drop()
    os.close(held)
    folder.drop_trees(set())
    assert not tree.exists()
    assert folder.drop()
    assert not place.exists()


def test_the_repository_that_was_not_used_for_longest_makes_room(
    data: Path, settings: Settings, kept: Path
) -> None:
    with_git(settings, quota_mb=3)
    sources = []
    for number, name in enumerate(("one", "two", "three")):
        project = Project(data, name)
        project.commit({"docs/noise.bin": os.urandom(600_000), "docs/a.md": page_of(name)})
        sources.append(of(project, name=name))
        read(sources[-1])
        lock = kept / sources[-1].repository_key() / "lock"
        os.utime(lock, (number + 1, number + 1)) if number < 2 else None
    assert {path.name for path in kept.iterdir()} == {s.repository_key() for s in sources[1:]}
    assert weight(kept) < 3_500_000
    assert read(sources[0]).unchanged == 1


def test_a_repository_of_no_source_is_removed_after_a_while(
    project: Project, settings: Settings, kept: Path
) -> None:
    source = of(project)
    read(source)
    configured: GitSettings = settings.GIT
    assert store.remove_unused(configured, {source.repository_key()}) == 0
    assert store.remove_unused(configured, set()) == 0
    (lock,) = kept.glob("*/lock")
    os.utime(lock, (1, 1))
    assert store.remove_unused(configured, {source.repository_key()}) == 0
    assert store.remove_unused(configured, set()) == 1
    assert list(kept.iterdir()) == []


def test_who_may_see_it_is_part_of_a_folders_name() -> None:
    """A source with another credential, or none, never reads what this one has fetched."""
    names = {key_of("https://x.y/a", name) for name in ("", "one", "two")}
    assert len(names) == 3


def test_a_run_of_an_unfinished_one_goes_on(project: Project) -> None:
    """A run that failed did not read its commit, so the next one does."""
    source = of(project, paths=["nowhere"])
    assert read(source).state == State.FAILED
    source.paths = ["docs"]
    source.save()
    assert read(source).added == 3
