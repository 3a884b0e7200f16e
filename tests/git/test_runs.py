"""Runs of sources in Git, in a real child process, against repositories and servers of them."""

from __future__ import annotations

import pytest

from ingestion.models import State
from tests.git.conftest import of, page_of
from tests.support.git_servers import Project, git
from tests.support.reading import read, urls, wrong

pytestmark = pytest.mark.django_db(transaction=True)


def counted(row: object) -> dict[str, int]:
    names = ("read", "added", "changed", "unchanged", "moved", "removed", "embedded", "failures")
    return {name: value for name in names if (value := getattr(row, name))}


def test_it_works(project: Project) -> None:
    row = read(of(project))
    assert (row.state, row.error) == (State.SUCCEEDED, "")
    assert counted(row) == {"read": 3, "added": 3, "embedded": 3}
    assert row.commit == git(project.folder, "rev-parse", "HEAD")
    assert urls() == {f"guide://{name}.md" for name in ("anchor", "button", "cursor")}
    assert wrong() == []


def test_the_same_commit_is_not_even_looked_at(project: Project) -> None:
    source = of(project)
    read(source)
    row = read(source)
    assert (row.state, counted(row)) == (State.SUCCEEDED, {"read": 3, "unchanged": 3})
    assert "parse" not in row.timings or row.timings["parse"] < 0.01
    assert wrong() == []


def test_a_commit_changes_what_it_changes(project: Project) -> None:
    source = of(project)
    first = read(source)
    (project.folder / "docs/anchor.md").rename(project.folder / "docs/mooring.md")
    (project.folder / "docs/button.md").unlink()
    commit = project.commit({"docs/cursor.md": page_of("cursor", "It blinks now and then.")})
    row = read(source)
    assert (row.state, row.commit) == (State.SUCCEEDED, commit)
    assert counted(row) == {"read": 2, "changed": 1, "moved": 1, "removed": 1, "embedded": 1}
    assert urls() == {"guide://mooring.md", "guide://cursor.md"}
    assert first.commit != row.commit
