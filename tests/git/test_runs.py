"""Runs of sources in Git, in a real child process, against repositories and servers of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from django.conf import settings

from ingestion.enrichment.passages import Words
from ingestion.index import enrichments
from ingestion.models import Chunk, Document, SourceRun, State
from sources.models import Source
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


def test_nothing_of_it_need_be_there(project: Project, kept: Path) -> None:
    """The same commit is known by its id: no file is opened, not even one of the checkout."""
    source = of(project)
    read(source)
    shutil.rmtree(kept)
    row = read(source)
    assert (row.state, counted(row)) == (State.SUCCEEDED, {"read": 3, "unchanged": 3})
    assert not list(kept.rglob("*.md"))


def test_a_run_of_some_documents_does_not_stand_for_its_commit(project: Project) -> None:
    source = of(project)
    read(source)
    project.commit({f"docs/{name}.md": page_of(name, "New.") for name in ("anchor", "button")})
    assert read(source, addresses=["guide://anchor.md"]).changed == 1
    assert read(source).changed == 1


@pytest.mark.parametrize(
    "change", ["a document is gone", "a setting", "from scratch", "words", "failures"]
)
def test_the_same_commit_is_read_if_anything_else_is_different(
    project: Project, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = of(project)
    read(source)
    if change == "a document is gone":
        Document.objects.filter(url="guide://anchor.md").delete()
        assert read(source).added == 1
    elif change == "a setting":
        Source.objects.filter(pk=source.pk).update(options={"exclude": ["button.md"]})
        source.refresh_from_db()
        assert read(source).removed == 1
    elif change == "from scratch":
        assert read(source, clean=True).changed == 3
    elif change == "words":
        monkeypatch.setattr(settings, "ENRICHMENT_MODEL", "writer")
        (chunk,) = Chunk.objects.filter(document__url="guide://anchor.md")
        enrichments.keep("writer", chunk.content_hash, Words("About it.", ("What is it?",)))
        assert read(source).changed == 1
        assert read(source).unchanged == 3
    else:
        SourceRun.objects.update(state=State.PARTIAL)
        assert "fetch" in read(source).timings
        assert list(Path(settings.GIT.folder).rglob("anchor.md"))


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
