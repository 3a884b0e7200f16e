from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from ingestion.documents import DocumentFailure, ParsedDocument, Unchanged
from ingestion.exceptions import ConfigError
from ingestion.parsers.base import NothingKnown, SourceConfig
from ingestion.parsers.mdx import MdxParser
from ingestion.parsers.mdx.docusaurus import display_url, readable, split_number_prefix
from tests.scripts.fidelity_mdx import Score, scores

FIXTURES = Path(__file__).parents[1] / "fixtures" / "mdx"
GOLDEN = FIXTURES / "golden"
BASE = "https://docs.example.com/BBj/"


def run(folder: Path, *paths: str, **options: Any) -> list[Any]:
    config = SourceConfig("mdx", folder, paths or ("docs",), display_base_url=BASE, options=options)
    return list(MdxParser(config).parse())


def write(folder: Path, pages: dict[str, str]) -> None:
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def parse(tmp_path: Path, text: str, name: str = "page.mdx") -> ParsedDocument:
    write(tmp_path / "docs", {name: text})
    documents = [each for each in run(tmp_path) if isinstance(each, ParsedDocument)]
    return next(each for each in documents if each.url == f"mdx://{name}")


def by_name(documents: list[Any]) -> dict[str, ParsedDocument]:
    return {each.url.removeprefix("mdx://"): each for each in documents}


@pytest.fixture(scope="module")
def parsed() -> list[Any]:
    return run(FIXTURES)


@pytest.fixture(scope="module")
def documents(parsed: list[Any]) -> dict[str, ParsedDocument]:
    return by_name([each for each in parsed if isinstance(each, ParsedDocument)])


@pytest.fixture(scope="module")
def failures(parsed: list[Any]) -> dict[str, list[DocumentFailure]]:
    found: dict[str, list[DocumentFailure]] = {}
    for each in parsed:
        if isinstance(each, DocumentFailure):
            found.setdefault(each.url.removeprefix("mdx://"), []).append(each)
    return found


def as_golden(document: ParsedDocument) -> str:
    head = [
        f"title: {document.title}",
        f"breadcrumb: {' > '.join(document.breadcrumb)}",
        f"display_url: {document.display_url}",
        f"metadata: {dict(document.metadata)}",
        f"lines: {' '.join(f'{line}:{number}' for line, number in document.lines)}",
    ]
    return "\n".join(head) + "\n\n" + document.content + "\n"


def golden_pages() -> list[str]:
    paths = sorted(GOLDEN.rglob("*.golden"))
    return [path.relative_to(GOLDEN).as_posix().removesuffix(".golden") for path in paths]


def test_it_works(tmp_path: Path) -> None:
    document = parse(tmp_path, "---\ntitle: Hello\n---\n\n# Hello\n\nSome **text**.\n")
    assert document.url == "mdx://page.mdx"
    assert document.title == "Hello"
    assert document.content == "# Hello\n\nSome text."
    assert document.display_url == BASE + "page"
    assert document.doc_type == "tutorial"
    assert document.lines == ((0, 5), (2, 7))


@pytest.mark.parametrize("name", golden_pages())
def test_page_reads_as_its_golden_file(name: str, documents: dict[str, ParsedDocument]) -> None:
    assert as_golden(documents[name]) == (GOLDEN / f"{name}.golden").read_text("utf-8")


def test_every_document_has_a_golden_file(documents: dict[str, ParsedDocument]) -> None:
    assert sorted(documents) == sorted(golden_pages())


def test_content_holds_no_structure_but_the_agreed(documents: dict[str, ParsedDocument]) -> None:
    for document in documents.values():
        tokens = MarkdownIt("commonmark").enable("table").parse(document.content)
        kinds = {token.type for token in tokens}
        assert not kinds & {"html_block", "code_block", "blockquote_open", "hr"}


def test_prose_never_becomes_structure(documents: dict[str, ParsedDocument]) -> None:
    content = documents["03.text/protected.md"].content
    prose = content.partition("| a |")[0]
    tokens = MarkdownIt("commonmark").enable("table").parse(prose)
    kinds = [token.type for token in tokens if token.nesting == 1]
    assert set(kinds) == {"paragraph_open", "bullet_list_open", "list_item_open"}
    assert kinds.count("list_item_open") == 1


def test_lines_point_into_the_file(documents: dict[str, ParsedDocument]) -> None:
    document = documents["01-basics/01-code-fences.md"]
    source = (FIXTURES / "docs/01-basics/01-code-fences.md").read_text("utf-8").split("\n")
    lines = document.content.split("\n")
    for content_line, number in document.lines:
        words = lines[content_line].strip("`-1234567890. ").split()
        assert not words or words[0] in source[number - 1]


def test_failures_name_the_page_and_the_reason(failures: dict[str, list[DocumentFailure]]) -> None:
    assert "binary" in failures["broken/binary.md"][0].message
    assert not failures["broken/binary.md"][0].warning
    warnings = {name: each for name, each in failures.items() if name != "broken/binary.md"}
    assert all(failure.warning for each in warnings.values() for failure in each)
    assert "UTF-8" in warnings["broken/latin1.md"][0].message
    assert "line 2" in warnings["broken/front-matter.md"][0].message
    assert "no text" in warnings["broken/empty.mdx"][0].message
    assert sorted(warnings) == [
        "02_components/partials.mdx",
        "broken/empty.mdx",
        "broken/front-matter.md",
        "broken/latin1.md",
        "broken/list.md",
    ]


def test_drafts_and_underscored_files_are_no_pages(documents: dict[str, ParsedDocument]) -> None:
    assert "broken/draft.md" not in documents
    assert not [name for name in documents if "/_" in name]


def test_partials_are_read_where_they_are_imported(
    documents: dict[str, ParsedDocument], failures: dict[str, list[DocumentFailure]]
) -> None:
    inputs = {each.path: each.size for each in documents["02_components/partials.mdx"].inputs}
    assert inputs["docs/02_components/_install.mdx"] > 0
    assert inputs["docs/02_components/_note.md"] > 0
    assert inputs["docs/02_components/hello.bbj"] > 0
    assert inputs["docs/02_components/_missing.mdx"] == -1
    assert not [path for path in inputs if "passwd" in path]
    missing, outside = [each.message for each in failures["02_components/partials.mdx"]]
    assert "_missing.mdx" in missing
    assert "leads out of DATA_DIR" in outside


def test_category_files_are_inputs_even_when_missing(documents: dict[str, ParsedDocument]) -> None:
    inputs = {each.path: each.size for each in documents["03.text/tables.mdx"].inputs}
    assert inputs["docs/03.text/_category_.json"] == -1
    assert inputs["docs/03.text/_category_.yml"] == -1
    inputs = {each.path: each.size for each in documents["01-basics/01-code-fences.md"].inputs}
    assert inputs["docs/01-basics/_category_.json"] > 0


def test_a_broken_category_file_is_a_warning_once(tmp_path: Path) -> None:
    pages = {"_category_.json": "{broken", "a.md": "Text.", "b.md": "Text."}
    write(tmp_path / "docs" / "02-my_folder", pages)
    parsed = run(tmp_path)
    failures = [each for each in parsed if isinstance(each, DocumentFailure)]
    assert [each.url for each in failures] == ["mdx://02-my_folder/_category_.json"]
    assert failures[0].warning
    assert {d.breadcrumb for d in parsed if isinstance(d, ParsedDocument)} == {("My folder",)}


def test_an_unchanged_page_is_not_read(tmp_path: Path) -> None:
    class Stored(NothingKnown):
        def current(self, url: str) -> bool:
            return url == "mdx://a.md"

    write(tmp_path / "docs", {"a.md": "Text.", "b.md": "Text."})
    first, second = MdxParser(SourceConfig("mdx", tmp_path, ("docs",))).parse(Stored())
    assert first == Unchanged("mdx://a.md")
    assert isinstance(second, ParsedDocument)


def test_exclude_leaves_pages_out(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "docs", tmp_path / "docs")
    parsed = run(tmp_path, exclude=["broken/*", "**/0*", "README.md"])
    names = {each.url.removeprefix("mdx://") for each in parsed}
    assert "slugs/absolute.md" in names
    assert "slugs/README.md" not in names
    assert not [name for name in names if name.startswith(("broken", "01-basics"))]


def test_number_prefixes_can_be_kept(tmp_path: Path) -> None:
    write(tmp_path / "docs", {"01-a.md": "Text."})
    assert run(tmp_path, number_prefixes=False)[0].display_url == BASE + "01-a"


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exclude, number_prefixes"):
        run(tmp_path, excluded=["x"])


def test_several_paths_keep_addresses_apart(tmp_path: Path) -> None:
    write(tmp_path, {"a/page.md": "Text.", "b/page.md": "Text."})
    assert [each.url for each in run(tmp_path, "a", "b")] == ["mdx://a/page.md", "mdx://b/page.md"]


@pytest.mark.parametrize(
    ("name", "number", "rest"),
    [
        ("01-intro", 1, "intro"),
        ("01_intro", 1, "intro"),
        ("01.intro", 1, "intro"),
        ("003 - My doc", 3, "My doc"),
        ("0 --- Client", 0, "Client"),
        ("2021-11-foo", None, "2021-11-foo"),
        ("7.0-foo", None, "7.0-foo"),
        ("31-01-2021 - Doc", None, "31-01-2021 - Doc"),
        ("a1-doc", None, "a1-doc"),
        ("404", None, "404"),
    ],
)
def test_number_prefix(name: str, number: int | None, rest: str) -> None:
    assert split_number_prefix(name) == (number, rest)


def test_a_title_from_a_file_name_is_the_name(tmp_path: Path) -> None:
    assert parse(tmp_path, "Text.", "02-no-array-delete.md").title == "no-array-delete"


@pytest.mark.parametrize(
    "comment", ["// {}", "# {}", "/* {} */", "{{/* {} */}}", "<!-- {} -->", "  -- {}"]
)
def test_comments_that_highlight_lines_are_left_out(comment: str, tmp_path: Path) -> None:
    code = "\n".join(["a = 1", comment.format("highlight-next-line"), "b = 2"])
    document = parse(tmp_path, f"# A\n\n```js\n{code}\n```\n")
    assert "highlight" not in document.content
    lines = {number: line for line, number in document.lines}
    assert document.content.splitlines()[lines[6]] == "b = 2"


def test_names_are_made_readable() -> None:
    assert readable("02-getting_started--now") == "Getting started now"


def test_display_url_is_quoted() -> None:
    assert display_url("https://x.org", "my page/ä") == "https://x.org/my%20page/%C3%A4"
    assert display_url("", "page") == ""


@pytest.mark.parametrize(
    ("front", "heading", "title"),
    [
        ("title: Given\nsidebar_label: Side", "# Heading", "Given"),
        ("sidebar_label: Side", "# Heading `x`", "Heading x"),
        ("sidebar_label: Side", "## Only a section", "Side"),
        ("title: 42", "", "42"),
        ("tags: [x]", "", "page"),
    ],
)
def test_title_precedence(front: str, heading: str, title: str, tmp_path: Path) -> None:
    assert parse(tmp_path, f"---\n{front}\n---\n\n{heading}\n\nText.\n").title == title


def test_a_heading_that_differs_from_the_title_stays(tmp_path: Path) -> None:
    document = parse(tmp_path, "---\ntitle: Short\n---\n\n# The long heading\n\nText.\n")
    assert document.content == "# The long heading\n\nText."


def test_a_folder_is_labelled_by_its_index_page(tmp_path: Path) -> None:
    write(tmp_path / "docs", {"01-gui/index.md": "# From GUI to *DWC*\n\nText."})
    document = parse(tmp_path, "Text.", "01-gui/page.md")
    assert document.breadcrumb == ("From GUI to DWC",)
    assert "docs/01-gui/index.md" in {each.path for each in document.inputs}


@pytest.mark.parametrize(
    "container", ["{0}", "- item\n\n{1}", ":::tip\n{0}\n:::", "<Foo>\n\n{0}\n\n</Foo>", "    {0}"]
)
def test_code_survives_to_the_letter(container: str, tmp_path: Path) -> None:
    code = "import x from 'y'\n\n  {`${a}`} </div> <!-- --> &amp; :::note\n\t\\* *a* **"
    fence = f"```js\n{code}\n```"
    indented = "\n".join(f"  {line}" if line else "" for line in fence.split("\n"))
    page = container.replace("{0}", fence).replace("{1}", indented)
    assert fence in parse(tmp_path, page).content


def test_preformatted_text_keeps_its_braces_and_entities(tmp_path: Path) -> None:
    text = "<pre>\na &lt; b ::= '{' *x '}'\n  <b>c</b>\n</pre>\n"
    assert parse(tmp_path, text, "page.md").content == "```\na < b ::= '{' *x '}'\n  c\n```"
    braced = "<pre><code>{`<b>{x}</b>\n`}</code></pre>\n"
    assert parse(tmp_path, braced).content == "```\n<b>{x}</b>\n```"


@pytest.mark.parametrize(
    "component",
    [
        '<ExpandableCode language="bbj" title="Two lines">\n{`a = 1\n  b = 2`}\n</ExpandableCode>',
        '<ExpandableCode title="Two lines" className="language-bbj">{`a = 1\n  b = 2`}'
        "</ExpandableCode>",
        '<Sample language="bbj" title="Two lines" code={`a = 1\n  b = 2`} />',
    ],
)
def test_code_in_a_component_of_the_sites_own_keeps_its_lines(
    component: str, tmp_path: Path
) -> None:
    content = "Before.\n\nTwo lines\n\n```bbj\na = 1\n  b = 2\n```\n\nAfter."
    assert parse(tmp_path, f"Before.\n\n{component}\n\nAfter.").content == content


def test_a_component_that_holds_more_than_code_is_read_as_any_other(tmp_path: Path) -> None:
    text = "<CodeTabs>\n\nFirst.\n\n```bbj\na = 1\n```\n\n</CodeTabs>\n\n<Note>{`one\ntwo`}</Note>"
    assert parse(tmp_path, text).content == "First.\n\n```bbj\na = 1\n```\n\none two"


def test_a_page_shows_the_cards_it_names(tmp_path: Path) -> None:
    text = """<DocCardList items={[
  {type: 'link', label: 'DWC', href: '/{x}', description: "The {DWC}, BASIS\\' own."},
  {"label": `BBj`},
  {href: '/none'},
]} />

<DocCardList />

After."""
    content = "- DWC: The {DWC}, BASIS' own.\n- BBj\n\nAfter."
    assert parse(tmp_path, text).content == content


def test_images_speak_when_they_say_something(tmp_path: Path) -> None:
    text = "# Print ![logo of print](l.png)\n\n![Build](https://img.shields.io/x) ![A queue](q.png)"
    document = parse(tmp_path, text)
    assert (document.title, document.content) == ("Print", "# Print\n\nA queue")


def test_upper_case_html_is_html(tmp_path: Path) -> None:
    text = "One<BR>two, List<A> and List<T>.\n\n<TABLE><TR><TD>x</TD></TR></TABLE>\n"
    content = "One\ntwo, List<A> and List<T>.\n\n|  |\n| --- |\n| x |"
    assert parse(tmp_path, text, "page.md").content == content


def test_expressions_in_attributes_never_leak(tmp_path: Path) -> None:
    text = '<A b={"}"} c={`}${"}"}`} d={/* } */ 1} e={{f: {g: ">"}}}>\n\nseen\n\n</A>\n\nafter'
    assert parse(tmp_path, text).content == "seen\n\nafter"


def test_the_same_pages_give_the_same_documents(documents: dict[str, ParsedDocument]) -> None:
    again = [each for each in run(FIXTURES) if isinstance(each, ParsedDocument)]
    assert [d.fingerprint() for d in again] == [d.fingerprint() for d in documents.values()]


@pytest.mark.parametrize(
    "text",
    [
        "{" * 5000,
        "<a b={" * 3000,
        "<div>\n" * 2000,
        "<!-- a\n\n" * 2000,
        ">" * 5000,
        "> " * 300 + "a\n",
        "- " * 2000,
        "[" * 2000,
        "export const a = (\n\n" * 1000,
        "<ul><li>" * 1000,
        "<table><tr><td>" * 300 + "x" + "</td></tr></table>" * 300,
        "<Tabs>\n<TabItem label='a'>\n" * 1000,
        "<Code>" * 40_000 + "x" + "</Code>" * 40_000,
        "".join(f"<x{n}>" for n in range(2000)) + "".join(f"</y{n}>" for n in range(2000)),
        "# a" + " \t" * 20000 + "x",
        "---\na: " + "[" * 3000 + "\n---\nx",
    ],
    ids=lambda text: text[:12].strip(),
)
def test_pathological_pages_end(text: str, tmp_path: Path) -> None:
    write(tmp_path / "docs", {"page.md": text, "zz.md": "Next."})
    assert run(tmp_path)[-1].content == "Next."


def test_a_page_that_is_too_large_is_a_failure(tmp_path: Path) -> None:
    write(tmp_path / "docs", {"page.md": "x" * (4 * 1024 * 1024 + 1)})
    (failure,) = run(tmp_path)
    assert "above the limit" in failure.message
    assert not failure.warning


@pytest.mark.corpus
@pytest.mark.parametrize(
    "docs", ["dwc-course", "bbj-beginner-course", "bbj-ai-strategy", "redux-toolkit"]
)
def test_a_reader_misses_nothing_of_the_corpus(docs: str) -> None:
    corpus = os.environ.get("BBJRAG_CORPUS")
    if not corpus:
        pytest.skip("BBJRAG_CORPUS is not set")
    results = list(scores(Path(corpus, "mdx", docs, "docs"), None))
    found = [each for each in results if isinstance(each, Score)]
    assert found == results
    matched, words = sum(r.matched for r in found), sum(r.reference for r in found)
    assert matched / words >= 0.995
    assert [r.page for r in found if r.code_exact != r.code] == []
    assert [leftover for r in found for leftover in r.leftovers] == []
