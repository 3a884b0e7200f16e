"""Links to a file and line at the host of a repository, as people and assistants get them."""

from __future__ import annotations

import pytest

from ingestion import access
from ingestion.mcp.tools import get_document, search_bbj_knowledge
from ingestion.models import Document
from ingestion.parsers.permalinks import commit_link, line_link, template_of, without_commit
from ingestion.runs import dry_run
from ingestion.runs.comparison import Comparison
from ingestion.search import search
from sources.models import Source
from tests.git.conftest import of, page_of
from tests.support.git_servers import Project
from tests.support.reading import read

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HOSTS = [
    (
        "https://github.com/BasisHub/DWC-Course.git",
        "https://github.com/BasisHub/DWC-Course/blob/{commit}/{path}?plain=1#L{line}",
    ),
    (
        "ssh://git@github.com/BasisHub/DWC-Course.git",
        "https://github.com/BasisHub/DWC-Course/blob/{commit}/{path}?plain=1#L{line}",
    ),
    (
        "https://gitlab.example.com:8443/group/sub/docs.git",
        "https://gitlab.example.com:8443/group/sub/docs/-/blob/{commit}/{path}?plain=1#L{line}",
    ),
    (
        "https://codeberg.org/a/b/",
        "https://codeberg.org/a/b/src/commit/{commit}/{path}?display=source#L{line}",
    ),
    ("https://bitbucket.org/a/b.git", "https://bitbucket.org/a/b/src/{commit}/{path}#lines-{line}"),
    ("https://git.example.com/a/b.git", ""),
    ("file:///data/docs.git", ""),
]
TEMPLATE = "https://git.example.com/docs/blob/{commit}/{path}#L{line}"


@pytest.mark.parametrize(("repository", "template"), HOSTS)
def test_hosts_are_known_by_their_names(repository: str, template: str) -> None:
    assert template_of(repository, "") == template
    assert template_of(repository, TEMPLATE) == TEMPLATE


@pytest.mark.parametrize(
    ("repository", "link"),
    [
        ("ssh://git@github.com/a/b.git", "https://github.com/a/b/commit/"),
        (
            "https://gitlab.example.com:8443/a/b.git",
            "https://gitlab.example.com:8443/a/b/-/commit/",
        ),
        ("https://codeberg.org/a/b/", "https://codeberg.org/a/b/commit/"),
        ("https://bitbucket.org/a/b.git", "https://bitbucket.org/a/b/commits/"),
        ("https://git.example.com/a/b.git", ""),
        ("file:///data/docs.git", ""),
    ],
)
def test_a_commit_is_linked_at_hosts_that_are_known(repository: str, link: str) -> None:
    assert commit_link(repository, COMMIT) == (link and f"{link}{COMMIT}")
    assert commit_link(repository, "") == ""


def test_a_line_is_added_as_the_template_says() -> None:
    link = f"https://x.y/{COMMIT}/a.md"
    assert line_link(link, TEMPLATE, 7) == f"{link}#L7"
    assert line_link(link, "https://x.y/{path}?l={line}", 7) == f"{link}?l=7"
    assert line_link(link, "https://x.y/{path}", 7) == ""
    assert line_link(link, TEMPLATE, None) == ""
    assert line_link(f"{link}#page=3", TEMPLATE, 7) == ""


def test_links_at_other_commits_are_alike() -> None:
    both = {without_commit(f"https://x.y/{id * 40}/a.md") for id in "ab"}
    assert both == {"https://x.y/{commit}/a.md"}


@pytest.fixture
def source(project: Project) -> Source:
    project.commit({"docs/sub/a b.md": page_of("ledger", "The ledger is balanced at night.")})
    return of(project, link_template=TEMPLATE)


def shown(name: str) -> str:
    return Document.objects.get(url__endswith=name).display_url


@pytest.mark.django_db(transaction=True)
def test_a_document_has_the_link_at_the_commit_it_was_read_at(
    source: Source, project: Project
) -> None:
    first = read(source).commit
    expected = f"https://git.example.com/docs/blob/{first}/docs/sub/a%20b.md"
    assert shown("a b.md") == expected
    second = project.commit({"docs/anchor.md": page_of("anchor", "Another text.")})
    row = read(source)
    assert (row.changed, row.unchanged) == (1, 3)
    assert shown("a b.md") == expected
    assert shown("anchor.md") == f"https://git.example.com/docs/blob/{second}/docs/anchor.md"


@pytest.mark.django_db(transaction=True)
def test_a_commit_alone_changes_no_document(source: Source, project: Project) -> None:
    read(source)
    project.commit({"elsewhere.txt": "nothing to read"})
    row = read(source)
    assert (row.changed, row.unchanged, row.embedded) == (0, 4, 0)
    row = read(source, clean=False)
    assert row.unchanged == 4


@pytest.mark.django_db(transaction=True)
@access.everything()
def test_search_and_assistants_link_the_line(source: Source) -> None:
    commit = read(source).commit
    link = f"https://git.example.com/docs/blob/{commit}/docs/sub/a%20b.md"
    (hit, *_) = search("ledger balanced").hits
    assert (hit.display_url, hit.line_link, hit.link) == (link, f"{link}#L5", f"{link}#L5")
    assert f"Source: {link}#L5" in search_bbj_knowledge(query="ledger balanced")
    assert "The ledger is balanced" in get_document(url=f"{link}#L5")


@pytest.mark.django_db(transaction=True)
@access.everything()
def test_where_documents_are_published_comes_first(source: Source) -> None:
    source.display_base_url = "https://docs.example.com/"
    source.save()
    read(source)
    assert shown("anchor.md") == "https://docs.example.com/anchor"
    assert search("ledger balanced").hits[0].line_link == ""


@pytest.mark.django_db(transaction=True)
def test_a_new_template_makes_new_links(source: Source) -> None:
    read(source)
    source.link_template = "https://other.example.com/{path}"
    source.save()
    assert read(source).changed == 4
    assert shown("anchor.md") == "https://other.example.com/docs/anchor.md"


@pytest.mark.django_db(transaction=True)
def test_a_page_of_a_pdf_is_linked(project: Project) -> None:
    pdf = open_fixture("tests/fixtures/pdf/headings.pdf")
    project.commit({"docs/manual.pdf": pdf})
    commit = read(of(project, parser="PdfParser", link_template=TEMPLATE)).commit
    start = f"https://git.example.com/docs/blob/{commit}/docs/manual.pdf#page="
    links = set(Document.objects.values_list("display_url", flat=True))
    assert links
    assert all(link.startswith(start) for link in links)


def open_fixture(name: str) -> bytes:
    with open(name, "rb") as file:
        return file.read()


@pytest.mark.django_db(transaction=True)
def test_a_preview_sees_what_a_run_would_change(source: Source, project: Project) -> None:
    read(source)
    project.commit({"docs/anchor.md": page_of("anchor", "Another text.")})
    found = dry_run.run(dry_run.order(source, seconds=30))
    comparison = Comparison(source)
    kinds = {document.url: comparison.document(document) for document in found.documents}
    assert found.problem == ""
    assert kinds.pop("guide://anchor.md") == "changed"
    assert set(kinds.values()) == {"unchanged"}
    assert len(kinds) == 3
    assert not any("{commit}" in document.display_url for document in found.documents)


@pytest.mark.django_db(transaction=True)
def test_a_preview_of_a_repository_that_is_not_there(source: Source) -> None:
    source.repository = source.repository.replace("docs.git", "nowhere.git")
    found = dry_run.run(dry_run.order(source, seconds=30))
    assert "There is no repository at this address" in found.problem
