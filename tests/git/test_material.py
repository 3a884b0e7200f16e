"""What may be in a repository: links, submodules, LFS, odd names, history that is rewritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pytest_django import Settings

from ingestion.models import Document, Failure, SourceRun, State
from tests.git.conftest import of, page_of
from tests.support.git_servers import Project, git
from tests.support.reading import errors_of, read, urls, wrong

pytestmark = pytest.mark.django_db(transaction=True)


def warnings(row: SourceRun) -> list[str]:
    rows = Failure.objects.filter(source_run=row, level=Failure.Level.WARNING)
    return list(rows.order_by("pk").values_list("message", flat=True))


def trees(kept: Path) -> list[Path]:
    return sorted(path for path in kept.glob("*/trees/*") if path.is_dir())


def test_a_link_that_leads_out_is_not_followed(project: Project, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.md").write_text(page_of("secret"))
    links = {
        "relative": "../../../../../../outside",
        "absolute": str(tmp_path / "outside"),
        "system": "/etc",
        "file.md": str(tmp_path / "outside" / "secret.md"),
        "circle": "circle",
    }
    for name, target in links.items():
        (project.folder / "docs" / name).symlink_to(target)
    (project.folder / "docs" / "within.md").symlink_to("anchor.md")
    project.commit()
    row = read(of(project))
    assert row.state == State.PARTIAL
    assert {u.rpartition("/")[2] for u in urls()} == {
        *("anchor.md", "button.md", "cursor.md", "within.md")
    }
    said = errors_of(row)
    assert len(said) == 5
    assert sum("leads out of the repository" in text for text in said) == 4
    assert not any("secret" in title for title in Document.objects.values_list("title", flat=True))


def test_a_path_that_is_a_link_out_of_the_repository(project: Project) -> None:
    (project.folder / "out").symlink_to("/etc")
    project.commit()
    row = read(of(project, paths=["out"]))
    assert row.state == State.FAILED
    assert "'out' is not in the repository, or leads out of it" in row.error


def test_a_path_that_is_not_there_is_named(project: Project) -> None:
    row = read(of(project, paths=["nowhere"]))
    assert row.state == State.FAILED
    assert "'nowhere' is not in the repository" in row.error


def test_submodules_and_lfs_are_left_out_with_a_warning(project: Project, data: Path) -> None:
    other = Project(data, "other")
    other.commit({"secret.md": page_of("secret")})
    add = ("submodule", "--quiet", "add", str(other.bare), "docs/other")
    git(project.folder, "-c", "protocol.file.allow=always", *add)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5000\n"
    project.commit({"docs/large.md": pointer, ".lfsconfig": "[lfs]\nurl = https://x.invalid/\n"})
    row = read(of(project))
    assert "guide://other/secret.md" not in urls()
    submodule, lfs = warnings(row)[:2]
    assert submodule.startswith("1 submodule ('docs/other') is not read")
    assert lfs.startswith("1 file ('docs/large.md') is kept in Git LFS")
    assert row.warnings >= 2
    source = row.source
    assert source
    again = read(source)
    assert again.unchanged == again.read
    assert warnings(again) == [submodule, lfs]
    (project.folder / "docs" / "large.md").unlink()
    project.commit({"docs/large.md": page_of("large")})
    assert warnings(read(source)) == [submodule]
    still = Failure.objects.open().filter(stage="fetch").values_list("message", flat=True)
    assert set(still) == {submodule}


def test_attributes_and_filters_change_no_byte(project: Project) -> None:
    attributes = "*.md text eol=crlf ident filter=lfs\n"
    text = page_of("dialog", "It shows $Id$ and a line.")
    project.commit({"more/dialog.md": text})
    project.commit({".gitattributes": attributes})
    read(of(project, paths=["more"]))
    assert "$Id$" in Document.objects.get().chunks.get().content


def hostile_tree(project: Project, lines: list[tuple[str, str, str]]) -> str:
    """A commit of a tree with these entries (mode, name, content), however they are called."""
    entries = b""
    for mode, name, content in lines:
        blob = git(project.folder, "hash-object", "-w", "--stdin", stdin=content.encode())
        entries += f"{mode} {name}\0".encode() + bytes.fromhex(blob)
    make = ("hash-object", "-w", "--stdin", "--literally", "-t", "tree")
    tree = git(project.folder, *make, stdin=entries)
    commit = git(project.folder, "commit-tree", tree, "-m", "odd")
    git(
        project.folder,
        "-c",
        "transfer.fsckObjects=false",
        "push",
        str(project.bare),
        f"+{commit}:refs/heads/main",
    )
    return commit


def test_names_that_no_folder_can_hold_are_left_out(project: Project, kept: Path) -> None:
    hostile_tree(
        project,
        [
            ("100644", "..", "up"),
            ("100644", ".", "here"),
            ("100644", ".git", "[core]"),
            ("100644", "../../../out.md", "out"),
            ("100644", "/tmp/absolute.md", "out"),
            ("120000", "docs", "/etc"),
            ("100644", "docs/passwd.md", "through a link"),
            ("100644", "guide.md", page_of("guide")),
            ("120000", "long", "x" * 5000),
            ("100644", "n" * 300, "too long a name"),
        ],
    )
    row = read(of(project, paths=["guide.md"]))
    assert (row.added, row.state) == (1, State.SUCCEEDED)
    (said,) = warnings(row)
    assert "as no folder can hold that name" in said
    (tree,) = trees(kept)
    there = {path.relative_to(tree).as_posix() for path in tree.rglob("*")}
    assert there == {"guide.md", "docs", "docs/passwd.md"}
    assert not list(kept.parent.rglob("out.md"))


def test_history_that_is_rewritten_is_read_as_it_is_now(project: Project) -> None:
    source = of(project)
    project.commit({"docs/dialog.md": page_of("dialog")})
    read(source)
    git(project.folder, "reset", "--quiet", "--hard", "HEAD~1")
    commit = project.commit({"docs/anchor.md": page_of("anchor", "It holds now.")})
    row = read(source)
    assert (row.state, row.commit) == (State.SUCCEEDED, commit)
    assert (row.changed, row.removed) == (1, 1)
    assert wrong() == []


def test_a_branch_that_vanished_fails_and_what_is_stored_stays(project: Project) -> None:
    project.push("HEAD:refs/heads/next")
    source = of(project, revision="next")
    assert read(source).added == 3
    git(project.bare, "update-ref", "-d", "refs/heads/next")
    row = read(source)
    assert row.state == State.FAILED
    assert "no branch or tag 'next' (any more)" in row.error
    assert Document.objects.count() == 3


def test_an_empty_repository_is_named(data: Path, kept: Path) -> None:
    row = read(of(Project(data)))
    assert row.state == State.FAILED
    assert "no commit yet" in row.error


@pytest.mark.parametrize("revision", ["v1", "refs/tags/v1"])
def test_a_tag(project: Project, revision: str) -> None:
    commit = git(project.folder, "rev-parse", "HEAD")
    git(project.folder, "tag", "--annotate", "v1", "--message", "the first")
    project.push("v1")
    project.commit({"docs/dialog.md": page_of("dialog")})
    source = of(project, revision=revision)
    row = read(source)
    assert (row.added, row.commit, row.error) == (3, commit, "")
    assert read(source).unchanged == 3


def test_another_branch_is_read_without_the_one_before(project: Project, kept: Path) -> None:
    source = of(project)
    read(source)
    project.commit({"docs/dialog.md": page_of("dialog")}, push="next")
    source.revision = "next"
    source.save()
    row = read(source)
    assert (row.added, row.changed, row.unchanged) == (1, 0, 3)
    assert len(trees(kept)) == 2


def test_a_file_that_stays_is_not_read_again_on_any_machine(
    project: Project, kept: Path, settings: Settings, tmp_path: Path
) -> None:
    """A checkout of another machine, or a new one, has the same sizes and times."""
    source = of(project)
    read(source)
    project.commit({"docs/dialog.md": page_of("dialog")})
    settings.GIT = type(settings.GIT)(folder=tmp_path / "elsewhere" / "repositories")
    row = read(source)
    assert (row.read, row.added, row.unchanged, row.reused) == (4, 1, 3, 3)
    assert row.timings["fetch"] > 0
    stamps = {p.name: p.stat().st_mtime_ns for t in trees(kept) for p in t.rglob("*.md")}
    (other,) = trees(tmp_path / "elsewhere" / "repositories")
    assert {p.name: p.stat().st_mtime_ns for p in other.rglob("*.md")}.items() >= stamps.items()


def test_checkouts_share_what_they_have_in_common(project: Project, kept: Path) -> None:
    source = of(project)
    read(source)
    before = trees(kept)[0] / "docs" / "anchor.md"
    number = before.stat().st_ino
    project.commit({"docs/dialog.md": page_of("dialog")})
    read(source)
    (tree,) = trees(kept)
    assert (tree / "docs" / "anchor.md").stat().st_ino == number


def test_a_reader_with_other_settings_reads_the_same_commit_again(project: Project) -> None:
    source = of(project)
    read(source)
    source.generation = "dwc"
    source.save()
    assert read(source).changed == 3
    assert read(source, clean=True).changed == 3


def test_history_is_kept_small(project: Project, kept: Path) -> None:
    source = of(project)
    for _ in range(12):
        project.commit({"docs/noise.md": page_of("noise", os.urandom(50_000).hex())})
        read(source)
    (objects,) = kept.glob("*/objects.git")
    packs = list(objects.glob("objects/pack/*.pack"))
    assert len(packs) <= 9
    assert sum(pack.stat().st_size for pack in packs) < 1_000_000
