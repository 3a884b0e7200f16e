"""Long documents in pages, the size of answers, filters, neighbours, resources and the prompt."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import anyio
import pytest
from django.db import connections
from mcp import Client

from ingestion.mcp.server import server as made_server
from ingestion.models import Document
from tests.mcp.test_server import server, talk, titles
from tests.support.indexed import document, index, pages
from tests.support.reading import make_source, read

__all__ = ["server"]
pytestmark = pytest.mark.django_db(transaction=True)

MAXIMUM = 6000


def words(number: int, of: int) -> str:
    return " ".join(f"s{number}w{word}" for word in range(of))


def sections(count: int, of: int = 40) -> str:
    return "\n\n".join(f"## Part {n}\n\n{words(n, of)}." for n in range(count))


@pytest.fixture
def small(settings: Any) -> int:
    settings.MCP_MAX_CHARACTERS = MAXIMUM
    return MAXIMUM


def read_to_the_end(target: Any, url: str) -> list[str]:
    """The pages of a document, as the official client gets them."""

    async def reading() -> list[str]:
        async with Client(target) as client:
            pages: list[str] = []
            while not pages or "(Go on with page" in pages[-1]:
                given = {"url": url, "page": len(pages) + 1}
                answer: Any = await client.call_tool("get_document", given)
                assert not answer.is_error, answer.content[0].text
                pages.append(answer.content[0].text)
            return pages

    return anyio.run(reading)


def test_a_long_document_is_read_to_its_end(server: Any, small: int) -> None:
    index(document("Long", sections(120)))
    pages = read_to_the_end(server, "docs://Long")
    assert len(pages) > 5
    assert max(map(len, pages)) <= small
    said = "\n".join(pages)
    assert all(said.count(f"s{n}w39") == 1 for n in range(120)), "each word once"
    assert f"Page 1 of {len(pages)}." in pages[0]


def test_the_outline_comes_first_and_names_the_page_of_a_section(server: Any, small: int) -> None:
    index(document("Long", sections(60)))
    _, (first, there, none) = talk(
        server,
        ("get_document", {"url": "docs://Long"}),
        ("get_document", {"url": "docs://Long", "section": "part 50"}),
        ("get_document", {"url": "docs://Long", "section": "Part 99"}),
    )
    outline = first.content[0].text.split("\n\n")[1]
    assert outline.startswith("Outline (page: section):")
    page = re.search(r"^\s*(\d+): Part 50$", outline, re.M)
    assert page
    assert f"Page {page[1]} of" in there.content[0].text
    assert "## Part 50" in there.content[0].text or "s50w0" in there.content[0].text
    assert none.is_error
    assert "There is no section 'Part 99'" in none.content[0].text


def test_an_outline_of_thousands_of_sections_fits(server: Any, small: int) -> None:
    index(document("Endless", sections(900, of=3)))
    _, (first,) = talk(server, ("get_document", {"url": "docs://Endless"}))
    assert len(first.content[0].text) <= small
    assert "Outline (page: its first section):" in first.content[0].text


def test_sections_that_share_a_chunk_are_in_the_outline(
    server: Any, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "docs").mkdir()
    code = "```bash\n# no section\n```"
    (tmp_path / "docs/many.md").write_text(f"{sections(3000, of=3)}\n\n{code}")
    read(make_source("docs"))
    _, (first, there) = talk(
        server,
        ("get_document", {"url": "docs://many.md"}),
        ("get_document", {"url": "docs://many.md", "section": "Part 2900"}),
    )
    outline = first.content[0].text.split("\n\n")[1]
    assert outline.startswith("Outline (page: its first section):\n1: Part 0\n2: Part ")
    assert "no section" not in outline
    assert "## Part 2900\n\ns2900w0" in there.content[0].text


def test_a_long_document_without_named_sections_has_no_outline(server: Any, small: int) -> None:
    index(document("Plain", "\n\n".join(f"{words(n, 40)}." for n in range(120))))
    _, (first,) = talk(server, ("get_document", {"url": "docs://Plain"}))
    assert "Page 1 of" in first.content[0].text
    assert "Outline" not in first.content[0].text


def test_a_paragraph_longer_than_a_page_is_cut(server: Any, small: int) -> None:
    index(document("Wide", "```\n" + "\n".join(words(n, 20) for n in range(150)) + "\n```"))
    pages = read_to_the_end(server, "docs://Wide")
    assert max(map(len, pages)) <= small
    assert all("\n".join(pages).count(f"s{n}w19") == 1 for n in range(150))


def test_a_page_that_is_none_says_how_many_there_are(server: Any) -> None:
    index(document("Short", "A window."))
    _, (answer,) = talk(server, ("get_document", {"url": "docs://Short", "page": 2}))
    assert answer.is_error
    assert answer.content[0].text.endswith("The document has 1 pages.")


def test_no_search_answers_with_more_than_the_maximum(server: Any, small: int) -> None:
    index(*(document(f"Window {n}", f"window {words(n, 150)}") for n in range(30)))
    _, (answer,) = talk(
        server, ("search_bbj_knowledge", {"query": "window", "limit": 20, "neighbours": 3})
    )
    said = answer.content[0].text
    assert len(said) <= small
    assert "more did not fit into 6,000 characters" in said
    assert len(titles(answer)) > 2


def test_a_search_is_narrowed_by_source_and_type(server: Any) -> None:
    index(document("Window", "A window.", doc_type="example"), into="one")
    index(document("Grid window", "A window.."), into="two")
    calls = [
        ("search_bbj_knowledge", {"query": "window", "source": "one"}),
        ("search_bbj_knowledge", {"query": "window", "doc_type": "concept"}),
        ("search_bbj_knowledge", {"query": "window", "source": "three"}),
    ]
    _, (by_source, by_type, unknown) = talk(server, *calls)
    assert titles(by_source) == ["Window"]
    assert titles(by_type) == ["Grid window"]
    assert unknown.is_error
    assert "There is no source 'three'. There are: " in unknown.content[0].text


def test_neighbours_come_on_demand_and_repeat_nothing(server: Any) -> None:
    index(document("Long", sections(5, of=120)))
    asked = {"query": "s2w7 s2w8", "limit": 1}
    _, (alone, with_two) = talk(
        server,
        ("search_bbj_knowledge", asked),
        ("search_bbj_knowledge", {**asked, "neighbours": 1}),
    )
    assert "s1w7" not in alone.content[0].text
    assert all(f"s{n}w119" in with_two.content[0].text for n in (1, 2))
    assert with_two.content[0].text.count("s2w7 ") == 1


def test_the_neighbours_of_passages_in_a_row_are_around_all_of_them(server: Any) -> None:
    text = "".join(f"## Part {n}\n\n{words(n, 60)} {'quay' * (n in (2, 3))}.\n\n" for n in range(6))
    index(document("Long", text), *pages(8, "meadow"))
    asked = {"query": "quay", "limit": 1}
    _, (alone, with_two) = talk(
        server,
        ("search_bbj_knowledge", asked),
        ("search_bbj_knowledge", {**asked, "neighbours": 1}),
    )
    parts = [[n for n in range(6) if f"s{n}w59" in a.content[0].text] for a in (alone, with_two)]
    assert parts == [[2, 3], [1, 2, 3, 4]]


def test_the_sources_are_listed_with_their_age(server: Any) -> None:
    index(document("Window", "A window."), into="one")
    _, (answer,) = talk(server, ("list_sources", {}))
    assert "- one: one (1 document, 1 passage, not read)" in answer.content[0].text


def test_a_document_is_a_resource_and_there_is_a_prompt(server: Any) -> None:
    index(document("Window", "A window holds controls."))
    number = Document.objects.get(url="docs://Window").pk

    async def asking() -> tuple[Any, Any, Any]:
        async with Client(server) as client:
            templates = await client.list_resource_templates()
            read = await client.read_resource(f"bbjrag://documents/{number}")
            return templates, read, await client.get_prompt("cite_bbj_sources")

    templates, read, prompt = anyio.run(asking)
    connections.close_all()
    assert [one.uri_template for one in templates.resource_templates] == [
        "bbjrag://documents/{document_id}"
    ]
    assert "A window holds controls." in read.contents[0].text
    assert "Say after each statement where it is from" in prompt.messages[0].content.text


# Stands in for the compiler of a BBj installation: it writes messages to its error output,
# and its exit code is always 0.
STAND_IN = """#!/bin/sh
[ "$1" = "-N" ] || { echo "not asked to check only" >&2; exit 0; }
grep -n "^pritn" "$2" | while IFS=: read -r line text; do
    echo "$2: error at line $line: $text" >&2
done
exit 0
"""


@pytest.fixture
def compiler(settings: Any, tmp_path: Path) -> Path:
    path = tmp_path / "bbjcpl"
    path.write_text(STAND_IN)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    settings.BBJ_COMPILER = str(path)
    return path


def test_code_is_checked_where_there_is_a_compiler(compiler: Path) -> None:
    names, (good, bad) = talk(
        made_server(),
        ("check_bbj_syntax", {"code": 'print "a"\n'}),
        ("check_bbj_syntax", {"code": 'print "a"\npritn "b"\n'}),
    )
    assert "check_bbj_syntax" in names
    assert good.content[0].text == "The compiler finds no error."
    said = 'The compiler says:\nprogram.bbj: error at line 2: pritn "b"'
    assert bad.content[0].text == said


def test_a_compiler_that_is_not_there_says_so(compiler: Path) -> None:
    compiler.unlink()
    _, (answer,) = talk(made_server(), ("check_bbj_syntax", {"code": "end"}))
    assert answer.is_error
    assert "cannot be run" in answer.content[0].text


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    (tmp_path / "docs").mkdir()
    return tmp_path / "docs"


def test_a_text_that_repeats_itself_is_whole(server: Any, folder: Path) -> None:
    """The chunks overlap, and what they repeat cannot be told from what the text repeats."""
    parts = (f"## Part {n}\n\n{'Words of it. ' * 300}\n" for n in range(3))
    (folder / "guide.md").write_text("# Guide\n\n" + "\n".join(parts))
    read(make_source("docs"))
    _, (answer,) = talk(server, ("get_document", {"url": "docs://guide.md"}))
    assert answer.content[0].text.count("Words of it.") == 900


def test_code_is_not_cut_and_a_program_is_code(server: Any, folder: Path, small: int) -> None:
    code = "\n".join(f"rem line {n} of a long program" for n in range(400))
    (folder / "guide.md").write_text(f"# Guide\n\n## One\n\n```bbj\n{code}\n```\n\n## Two\n\nText.")
    (folder / "program.bbj").write_text(code)
    read(make_source("docs"))
    read(make_source("programs", "docs", parser="BbjSourceParser"))
    (program, *_) = read_to_the_end(server, "programs://program.bbj")
    assert "```bbj\nrem line 0 of" in program
    pages = read_to_the_end(server, "docs://guide.md")
    assert "".join(pages).count("rem line 399 of") == 1
