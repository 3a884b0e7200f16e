"""Flare projects: the gadget fixture with golden outputs, and small projects made on the spot."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from ingestion.documents import DocumentFailure, Parsed, ParsedDocument, Unchanged
from ingestion.exceptions import SourceError
from ingestion.parsers.base import NothingKnown, SourceConfig
from ingestion.parsers.flare import FlareParser
from ingestion.parsers.markup.xhtml import read_markup
from tests.hostile.growth import steep
from tests.hostile.inputs import Seed, Target
from tests.scripts.compare_flare import scores

FIXTURES = Path(__file__).parents[1] / "fixtures" / "flare"
NAMESPACE = 'xmlns:MadCap="http://www.madcapsoftware.com/Schemas/MadCap.xsd"'
GOLDEN = ["welcome.htm", "reference/open.htm", "reference/tables.htm", "code.html"]


def parse(data_dir: Path, *paths: str, **config: str) -> list[Parsed]:
    return list(FlareParser(SourceConfig("flare", data_dir, paths or ("p",), **config)).parse())  # type: ignore[arg-type]


def documents(parsed: Iterable[Parsed]) -> dict[str, ParsedDocument]:
    return {d.url.partition("Content/")[2]: d for d in parsed if isinstance(d, ParsedDocument)}


def failures(parsed: Iterable[Parsed]) -> list[DocumentFailure]:
    return [f for f in parsed if isinstance(f, DocumentFailure)]


def topic(body: str, head: str = "", attributes: str = "") -> str:
    return f"<html {NAMESPACE} {attributes}><head>{head}</head><body>{body}</body></html>"


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for path, content in files.items():
        file = folder / "p" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def content_of(folder: Path, body: str, **files: str) -> str:
    """The content of a topic with this body."""
    found = parse(write(folder, {"Content/t.htm": topic(body), **files}))
    return documents(found)["t.htm"].content


@pytest.fixture(scope="module")
def gadget() -> list[Parsed]:
    return parse(FIXTURES, "gadget", display_base_url="https://example.org/help/", generation="bbj")


def test_it_works(gadget: list[Parsed]) -> None:
    welcome = documents(gadget)["welcome.htm"]
    assert welcome.url == "flare://Content/welcome.htm"
    assert welcome.display_url == "https://example.org/help/welcome.htm"
    assert welcome.title == "Welcome to Gadget/5"
    assert welcome.deprecated
    assert welcome.generations == ("untagged", "bbj")
    assert welcome.metadata["conditions"] == ["Primary.BASISHelp", "Primary.Deprecated"]
    assert welcome.metadata["keywords"] == ["Welcome", "Start: here"]


@pytest.mark.parametrize("path", GOLDEN)
def test_golden(gadget: list[Parsed], path: str) -> None:
    golden = FIXTURES / "expected" / f"{Path(path).stem}.md"
    assert documents(gadget)[path].content + "\n" == golden.read_text(encoding="utf-8")


def test_every_topic_is_a_document_or_a_failure(gadget: list[Parsed]) -> None:
    assert sorted(documents(gadget)) == [
        "Resources/banner.htm",
        "Resources/linked.htm",
        "Resources/plain.htm",
        "code.html",
        "reference/Close.htm",
        "reference/open.htm",
        "reference/tables.htm",
        "welcome.htm",
    ]
    left_out = {f.url.rpartition("/")[2]: f.message for f in failures(gadget)}
    assert left_out["paper.htm"] == "The topic is only for print (Default.PrintOnly)."
    assert "no text" in left_out["empty.htm"]


def test_breadcrumb_follows_the_master_contents_first(gadget: list[Parsed]) -> None:
    found = documents(gadget)
    assert found["welcome.htm"].breadcrumb == ()
    assert found["reference/tables.htm"].breadcrumb == ("Gadget/5 Manual", "Reference")
    assert found["reference/tables.htm"].metadata["toc"] == "Project/TOCs/Zmaster.fltoc"


def test_breadcrumb_resolves_linked_titles_and_the_case_of_links(gadget: list[Parsed]) -> None:
    close = documents(gadget)["reference/Close.htm"]
    assert close.breadcrumb == ("Gadget/5 Manual", "Reference", "OPEN Verb")


def test_breadcrumb_goes_through_linked_contents(gadget: list[Parsed]) -> None:
    assert documents(gadget)["code.html"].breadcrumb == ("Gadget/5 Manual", "Appendix")


def test_breadcrumb_falls_back_to_folders(tmp_path: Path) -> None:
    write(tmp_path, {"Content/a/b c/t.htm": topic("<p>x</p>")})
    assert documents(parse(tmp_path))["a/b c/t.htm"].breadcrumb == ("a", "b c")


def test_display_url_is_quoted(tmp_path: Path) -> None:
    write(tmp_path, {"Content/b c/t.htm": topic("<p>x</p>")})
    found = documents(parse(tmp_path, display_base_url="https://e.org/x"))
    assert found["b c/t.htm"].display_url == "https://e.org/x/b%20c/t.htm"
    assert found["b c/t.htm"].url == "flare://Content/b c/t.htm"


def test_two_projects_of_a_source_have_addresses_of_their_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "Content").mkdir(parents=True)
        (tmp_path / name / "Content" / "t.htm").write_text(topic("<p>x</p>"))
    found = parse(tmp_path, "one", "two")
    assert [d.url for d in found] == ["flare://one/Content/t.htm", "flare://two/Content/t.htm"]


@pytest.mark.parametrize("path", ["p/X.flprj", "p/Content", "p/"])
def test_a_project_file_or_its_content_folder_may_be_configured(tmp_path: Path, path: str) -> None:
    write(tmp_path, {"Content/t.htm": topic("<p>x</p>"), "X.flprj": "<CatapultProject/>"})
    assert [d.url for d in parse(tmp_path, path)] == ["flare://Content/t.htm"]


def test_a_folder_without_content_is_no_project(tmp_path: Path) -> None:
    write(tmp_path, {"index.htm": "<html/>"})
    with pytest.raises(SourceError, match="Content and Project"):
        parse(tmp_path)


def test_output_beside_content_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"Content/t.htm": topic("<p>x</p>"), "Output/t.htm": topic("<p>y</p>")})
    assert len(parse(tmp_path)) == 1


def test_titles_fall_back_to_heading_contents_and_file_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "Content/a.htm": topic("<h1>From <b>h</b>1</h1><p>x</p>", "<title> </title>"),
            "Content/b.htm": topic("<p>x</p>"),
            "Content/c_d.htm": topic("<p>x</p>"),
            "Content/e.htm": topic("<h1>E</h1><p>x</p>", "<title>Property</title>"),
            "Project/TOCs/m.fltoc": '<CatapultToc><TocEntry Title="From contents" '
            'Link="/Content/b.htm"/></CatapultToc>',
        },
    )
    found = documents(parse(tmp_path))
    assert [found[n].title for n in sorted(found)] == [
        "From h1",
        "From contents",
        "c d",
        "Property",
    ]
    assert found["a.htm"].content == "# From h1\n\nx"
    assert found["e.htm"].content == "# E\n\nx"


def test_contents_of_basis_come_in_their_order(tmp_path: Path) -> None:
    inner = '<TocEntry Title="T" Link="/Content/t.htm"/>'
    entry = f'<CatapultToc><TocEntry Title="{{}}">{inner}</TocEntry></CatapultToc>'
    names = ["aaa", "pro5toc", "bdthelp", "emhelp"]
    write(tmp_path, {"Content/t.htm": topic("<p>x</p>")})
    seen = []
    for name in names:
        write(tmp_path, {f"Project/TOCs/{name}.fltoc": entry.format(name)})
        seen.append(documents(parse(tmp_path))["t.htm"].breadcrumb[0])
    assert seen == names


def test_names_that_differ_in_case_only_are_two_topics(tmp_path: Path) -> None:
    write(tmp_path, {"Content/a.htm": topic("<p>x</p>"), "Content/A.htm": topic("<p>y</p>")})
    assert sorted(documents(parse(tmp_path))) == ["A.htm", "a.htm"]


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ("Default.PrintOnly", False),
        ("Default.Print_Only", False),
        ("Default.print-only", False),
        ("Default.Print", False),
        ("Default.Print Only", False),
        ("Default.Print_Output", False),
        ("Default.For_Print", False),
        ("Print_Only", False),
        ("default.PRINTONLY , Other.Print", False),
        ("Default.Print,Default.Online", True),
        ("Default.Printer", True),
        ("Print_Only.Online", True),
        ("Default.Do not include", True),
        ("", True),
    ],
)
def test_only_what_is_for_print_alone_is_left_out(
    tmp_path: Path, conditions: str, kept: bool
) -> None:
    body = f'<p>x</p><p MadCap:conditions="{conditions}">y</p>'
    assert ("y" in content_of(tmp_path, body)) is kept


def test_a_dead_link_and_a_missing_snippet_are_told_once(tmp_path: Path) -> None:
    body = '<p>x<a href="gone.htm">a</a><MadCap:snippetText src="gone.flsnp"/></p>'
    write(tmp_path, {"Content/a.htm": topic(body), "Content/b.htm": topic(body)})
    found = failures(parse(tmp_path))
    assert [f.warning for f in found] == [True, True]
    assert {f.message.split(",")[0] for f in found} == {
        "It links to Content/gone.htm",
        "The snippet Content/gone.flsnp is not in the project: correct its path or add the file.",
    }


def test_warnings_are_bounded(tmp_path: Path) -> None:
    links = "".join(f'<a href="{n}.htm">x</a>' for n in range(1000))
    write(tmp_path, {"Content/t.htm": topic(f"<p>{links}</p>")})
    found = failures(parse(tmp_path))
    assert len(found) == 201
    assert found[-1].message.startswith("More than 200 warnings")


def test_unknown_variables_are_told_once_by_name(tmp_path: Path) -> None:
    body = '<p>a<MadCap:variable name="No.Such"/>b<MadCap:variable name="No.Such"/></p>'
    found = parse(write(tmp_path, {"Content/t.htm": topic(body)}))
    assert documents(found)["t.htm"].content == "ab"
    assert ["No.Such" in f.message for f in failures(found)] == [True]


def test_a_variables_text_goes_before_the_templates_default(tmp_path: Path) -> None:
    variables = (
        '<CatapultVariableSet><Variable Name="V" Definition="Some text">five</Variable>'
        '<Variable Name="W" Definition="six" /><Variable Name="X" EvaluatedDefinition="seven"'
        ' Definition="y">z</Variable></CatapultVariableSet>'
    )
    body = "<p>[%=S.V%] [%=S.W%] [%=S.X%]</p>"
    files = {"Project/VariableSets/S.flvar": variables}
    assert content_of(tmp_path, body, **files) == "five six seven"


def test_references_in_text_and_titles_are_resolved(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "Content/t.htm": topic(
                "<p>v[%=S.V%]!</p>", "<title>The [%=S.V%] [%=System.Date%]</title>"
            ),
            "Project/VariableSets/S.flvar": "<CatapultVariableSet>"
            '<Variable Name="V">[%=S.W%]</Variable><Variable Name="W">[%=S.V%]x</Variable>'
            "</CatapultVariableSet>",
        },
    )
    document = documents(parse(tmp_path))["t.htm"]
    assert "[%=" not in document.content + document.title
    assert document.title.startswith("The x")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p><b>BBj</b>Window</p>", "BBjWindow"),
        ("<p>\n  <b>a</b>\n  <i>b</i>\n</p>", "a b"),
        ("<p>ACOS<sub>x</sub>(<code>y</code>)</p>", "ACOSx(`y`)"),
        ("<p><code>BBj</code>Window</p>", "BBjWindow"),
        ("<p>a</p>b<div>c<p>d</p>e</div>", "a\n\nb\n\nc\n\nd\n\ne"),
        ("<p>a&#160;&#160;b&#8203;c</p>", "a bc"),
        ("<p>a_b *c* &lt;T&gt; 1 &lt; 2</p>", "a_b *c* <T> 1 < 2"),
        ("<p>- a</p><p>1. b</p><p>``` c</p><p>| d |</p>", "\\- a\n\n1\\. b\n\n\\``` c\n\n\\| d |"),
        ("<P>a</P><P>b</P>", "a\n\nb"),
        ("<p>a<!-- no -->b<?pi no?>c</p>", "abc"),
        ("<p>a</p><script>no()</script><style>p{}</style><hr/>b", "a\n\nb"),
        ('<p><a href="x.pdf"> </a><a name="y"/>text</p>', "text"),
        ("<button>Yes</button><button>No</button>", "Yes No"),
        ("<p>a<MadCap:keyword term='k'>no</MadCap:keyword>b</p>", "ano b".replace("no ", "")),
        ("<MadCap:breadcrumbsProxy/><p>a<MadCap:tocProxy>no</MadCap:tocProxy></p>", "a"),
        ('<p MadCap:autonum="&#8226; ">bullet</p>', "bullet"),
        ("<table>a<caption>b</caption><p>c</p></table>d", "a\n\nb\n\nc\n\nd"),
        ("<table><tr><td>a</td><th>b</th></tr>c</table>", "c\n\n| a | b |\n| --- | --- |"),
        (
            '<div class="code-box"><p>Say:</p><pre>a\n  b</pre></div>',
            "Say:\n\n```\na\n  b\n```",
        ),
        (
            '<p class="Code">a<span class="Code">b</span></p><p>t</p><p class="code">c</p>',
            "```\nab\n```\n\nt\n\n```\nc\n```",
        ),
        (
            '<div class="CodeSample"><p class="Code">a</p>\n<p class="Code">  b</p></div>',
            "```\na\n  b\n```",
        ),
        (
            "<table class='Code_Table'><tr><th>Sample</th></tr><tr><td>x = 1<br/>y = 2</td></tr>"
            "</table>",
            "Sample\n\n```\nx = 1\ny = 2\n```",
        ),
        ("<blockquote>q</blockquote><p>a</p>", "q\n\na"),
        ("<dl><dt>T</dt><dd>D</dd></dl>", "- T\n\n  D"),
        ("<ul>\n<p>stray</p><li>a</li><p>more</p></ul>", "stray\n- a\n\n  more"),
        ("<ol start='3'><li>a</li><li>b<ol><li>c</li></ol></li></ol>", "3. a\n4. b\n   1. c"),
        ("<p>See <MadCap:xref href='t.htm'>\"T\" on page 3</MadCap:xref>.</p>", 'See "T".'),
        ("<p>x</p><pre>\n\n  a\n\n\tb  \n\n</pre>", "x\n\n```\n  a\n\n\tb  \n```"),
        ("<p>x</p><pre>a<br/>b &amp; <b>c</b></pre>", "x\n\n```\na\nb & c\n```"),
    ],
)
def test_text_as_a_reader_sees_it(tmp_path: Path, source: str, text: str) -> None:
    assert content_of(tmp_path, source) == text


SNIPPET = (
    "<MadCap:codeSnippet><MadCap:codeSnippetBody>{}</MadCap:codeSnippetBody></MadCap:codeSnippet>"
)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("<pre>a = b | c</pre>", "`a = b \\| c`"),
        ("<pre>a = `b`</pre>", "`` a = `b` ``"),
        (SNIPPET.format("  a  =  1"), "`  a  =  1`"),
        ("<p>Say:</p><p class='Code'>a</p><p class='Code'>b</p><p>x</p>", "Say: `a`<br>`b` x"),
        ("<pre>if a\n\n\tb\\|c\nfi</pre>", "`if a`<br><br>`\tb\\\\|c`<br>`fi`"),
        ("<ul><li>one<pre>a\n  b</pre></li><li>two</li></ul>", "- one `a`<br>`  b` - two"),
        (
            "<table><tr><td>x</td><td><pre>a\n  b</pre></td></tr></table>",
            "x `a`<br>`  b`",
        ),
    ],
)
def test_code_in_a_cell_keeps_the_table_whole(tmp_path: Path, cell: str, text: str) -> None:
    rows = f"<tr><th>N</th><th>C</th></tr><tr><td>1</td><td>{cell}</td></tr>"
    content = content_of(tmp_path, f"<table>{rows}<tr><td>2</td><td>d</td></tr></table>")
    assert content == f"| N | C |\n| --- | --- |\n| 1 | {text} |\n| 2 | d |"


def test_xhtml_with_a_default_namespace_is_read(tmp_path: Path) -> None:
    page = topic("<h1>H</h1><p>a</p><p>b</p>", attributes='xmlns="http://www.w3.org/1999/xhtml"')
    document = documents(parse(write(tmp_path, {"Content/t.htm": page})))["t.htm"]
    assert (document.title, document.content) == ("H", "# H\n\na\n\nb")


def test_a_link_that_flare_adds_to_its_output_is_no_content(tmp_path: Path) -> None:
    link = '<p class="MCWebHelpFramesetLink"><a href="../Default.htm">Open with navigation</a></p>'
    assert content_of(tmp_path, f"{link}<p>Text.</p>{link}") == "Text."


def test_removed_text_of_tracked_changes_is_gone(tmp_path: Path) -> None:
    head = (
        '<MadCap:changeData MadCap:changes="1,2"><MadCap:RemoveChange MadCap:id="1"/>'
        '<MadCap:AddChange MadCap:id="2"/></MadCap:changeData>'
    )
    body = '<p>a<MadCap:change MadCap:changes="1">old</MadCap:change>'
    body += '<MadCap:change MadCap:changes="2">new</MadCap:change></p>'
    write(tmp_path, {"Content/t.htm": topic(body, head)})
    assert documents(parse(tmp_path))["t.htm"].content == "anew"


def test_a_heading_in_a_drop_down_stands_below_its_hotspot(tmp_path: Path) -> None:
    body = (
        "<h2>Two</h2><MadCap:dropDown><MadCap:dropDownHead><MadCap:dropDownHotspot>Spot"
        "</MadCap:dropDownHotspot></MadCap:dropDownHead><MadCap:dropDownBody><h2>In</h2><p>x</p>"
        "</MadCap:dropDownBody></MadCap:dropDown><h2>Next</h2>"
    )
    assert content_of(tmp_path, body) == "## Two\n\n### Spot\n\n#### In\n\nx\n\n## Next"


def test_a_snippet_outside_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.flsnp").write_text(topic("<p>secret</p>"))
    body = '<p>x</p><MadCap:snippetBlock src="../../secret.flsnp"/>'
    body += '<MadCap:snippetBlock src="file:///etc/passwd"/>'
    found = parse(write(tmp_path, {"Content/t.htm": topic(body)}))
    assert documents(found)["t.htm"].content == "x"
    assert any("outside Content" in f.message for f in failures(found))


def test_a_link_out_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.htm"
    outside.write_text(topic("<p>secret</p>"))
    data = write(tmp_path / "data", {"Content/t.htm": topic("<p>x</p>")})
    (data / "p/Content/link.htm").symlink_to(outside)
    found = parse(data)
    assert list(documents(found)) == ["t.htm"]
    assert "leads out of DATA_DIR" in failures(found)[0].message


def test_a_circle_of_snippets_ends(tmp_path: Path) -> None:
    files = {
        "Content/a.flsnp": topic('<p>A</p><MadCap:snippetBlock src="b.flsnp"/>'),
        "Content/b.flsnp": topic('<p>B</p><MadCap:snippetBlock src="a.flsnp"/>'),
        "Content/t.htm": topic('<MadCap:snippetBlock src="a.flsnp"/>'),
    }
    found = parse(write(tmp_path, files))
    assert documents(found)["t.htm"].content == "A\n\nB"
    assert ["includes itself" in f.message for f in failures(found)] == [True]


def test_snippets_cannot_multiply_without_end(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"Content/s9.flsnp": topic("<p>x</p>")}
    for n in range(9):
        twenty = f'<MadCap:snippetBlock src="s{n + 1}.flsnp"/>' * 20
        files[f"Content/s{n}.flsnp"] = topic(twenty)
    files["Content/t.htm"] = topic('<p>y</p><MadCap:snippetBlock src="s0.flsnp"/>')
    found = parse(write(tmp_path, files))
    assert documents(found)["t.htm"].content.startswith("y")
    assert any("more than 5,000 snippets" in f.message for f in failures(found))


def test_a_topic_that_is_not_well_formed_keeps_its_text(tmp_path: Path) -> None:
    broken = topic(
        '<h1>Broken</h1><p>one <b>two</p><p>three & four<MadCap:variable name="S.V" />'
        "<MadCap:dropDown><MadCap:dropDownHead>Spot</MadCap:dropDownHead><MadCap:dropDownBody>"
        "<p>inside &nbsp; &copy;</MadCap:dropDownBody></MadCap:dropDown>"
        '<MadCap:snippetText src="s.flsnp" /> end'
    )
    files = {
        "Content/t.htm": broken,
        "Content/s.flsnp": topic("<p>snipped</p>"),
        "Content/u.htm": topic("<p>u</p>"),
        "Project/VariableSets/S.flvar": '<CatapultVariableSet><Variable Name="V">five</Variable>'
        "</CatapultVariableSet>",
    }
    found = parse(write(tmp_path, files))
    text = documents(found)["t.htm"].content
    assert text.split("\n\n") == [
        "# Broken",
        "one two",
        "three & fourfive",
        "## Spot",
        "inside ©",
        "snipped end",
    ]
    assert "not well-formed" in failures(found)[0].message
    assert failures(found)[0].warning
    assert "u.htm" in documents(found)


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ("<p>a <!-- open <p>b</p>", "a open\n\nb"),
        ("<p>a <!-- open <p>b</p><!-- closed -->c<br>", "a open\n\nb\n\nc"),
        ("<script>open <p>b</p>", "open\n\nb"),
        ('<p>a</p><iframe src="x"><p>b</p><iframe src="y"></iframe>', "a\n\nb"),
        ("<p>a <b one <i>two</i></p>", "a one two"),
        ('<p class="x <b>a</b></p><p>c</p>', "a\n\nc"),
        ('<p>a</p><a href="x.htm>b</a><p>c</p>', "a\n\nb\n\nc"),
        ("<p>a<br><![CDATA[ b < c & d ]]></p>", "a\nb < c & d"),
        ("<p>a <? b <i>c</i> d</p>", "a <? b c d"),
        ('<p>a<MadCap:variable name="System.X" />b<br><i/>c<a name="x"/>d</p>', "ab\ncd"),
        ('<P CLASS="Code" MadCap:conditions="A.PrintOnly">a<br></P><P>b</P>', "b"),
        ('<p class="Code" xml:space="preserve">a\n  b<br></p>', "```\na\n  b\n```"),
        (
            "<br><MadCap:codeSnippetBody><b>if</b>\n    <b>x</b></MadCap:codeSnippetBody>",
            "```\nif\n    x\n```",
        ),
    ],
)
def test_a_broken_topic_hides_no_text(tmp_path: Path, broken: str, text: str) -> None:
    assert content_of(tmp_path, broken) == text


@pytest.mark.parametrize(
    "body",
    [
        "<body><p>one</p></body><body><p>two</p></body>",
        "<p>one</p><body><p>two</p></body>",
        "<body><p>one</p></body>two",
        "<body><p>one<br></p></body></html><p>two</p>",
        "<body><p>one<br></p></body></html><html><body>two</body>",
    ],
)
def test_text_outside_the_body_is_kept_with_a_warning(tmp_path: Path, body: str) -> None:
    page = f"<html><head><title>T</title></head>{body}</html>"
    found = parse(write(tmp_path, {"Content/t.htm": page}))
    assert documents(found)["t.htm"].content == "one\n\ntwo"
    [failure] = failures(found)
    assert failure.warning
    assert "outside its body" in failure.message or "not well-formed" in failure.message


def test_a_script_beside_the_body_is_no_text(tmp_path: Path) -> None:
    page = topic("<p>one</p>").replace("</body>", "</body><script>let a</script>")
    [document] = parse(write(tmp_path, {"Content/t.htm": page}))
    assert isinstance(document, ParsedDocument)


HOSTILE = ["<?", "<!--", "<script", "<title>", "<", "&", "<a ", '<a b="', "<div>", "<![CDATA["]


def test_the_time_for_a_broken_topic_grows_in_proportion() -> None:
    seeds = [Seed(part, "<br>!x") for part in HOSTILE]
    target = Target("a broken topic", lambda text: read_markup(text.encode()), "<body>", "</p>")
    assert steep(target, seeds, (8_000, 32_000, 128_000)) == []


def test_named_entities_alone_do_not_lose_the_markup(tmp_path: Path) -> None:
    body = "<p>a&nbsp;b &mdash; &lt;c&gt;</p><MadCap:codeSnippet><MadCap:codeSnippetBody>x &amp; y"
    body += "</MadCap:codeSnippetBody></MadCap:codeSnippet>"
    assert content_of(tmp_path, body) == "a b — <c>\n\n```\nx & y\n```"


def test_a_topic_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    page = topic("<p>Größe €, “quoted”</p>")
    write(tmp_path, {"Content/t.htm": page.encode("cp1252")})
    found = parse(tmp_path)
    assert documents(found)["t.htm"].content == "Größe €, “quoted”"
    assert "not UTF-8" in failures(found)[0].message


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
@pytest.mark.parametrize("declared", ["utf-8", "windows-1252", "iso-8859-1", "utf-16", "nonsense"])
def test_an_encoding_that_is_declared_wrong_spoils_nothing(
    tmp_path: Path, encoding: str, declared: str
) -> None:
    page = f'<?xml version="1.0" encoding="{declared}"?>{topic("<h1>a</h1><p>Größe</p>")}'
    found = parse(write(tmp_path, {"Content/t.htm": page.encode(encoding)}))
    assert documents(found)["t.htm"].content.endswith("Größe")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_and_other_line_ends(tmp_path: Path, encoding: str) -> None:
    page = topic("<p>Größe</p>\r\n<pre>a\r\nb</pre>").encode(encoding)
    write(tmp_path, {"Content/t.htm": page})
    found = parse(tmp_path)
    assert documents(found)["t.htm"].content == "Größe\n\n```\na\nb\n```"
    assert not failures(found)


def test_both_sides_of_a_conflict_are_kept(tmp_path: Path) -> None:
    page = topic(
        "<p>start</p>\n<<<<<<< HEAD\n<p>ours</p>\n=======\n<p>theirs</p>\n>>>>>>> x\n<p>end</p>"
    )
    found = parse(write(tmp_path, {"Content/t.htm": page}))
    assert documents(found)["t.htm"].content == "start\n\nours\n\ntheirs\n\nend"
    assert "conflict markers" in failures(found)[0].message


def test_an_entity_bomb_does_not_go_off(tmp_path: Path) -> None:
    entities = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
    )
    page = f"<!DOCTYPE html [{entities}]>{topic('<p>before &j; after</p>')}"
    found = parse(write(tmp_path, {"Content/t.htm": page, "Content/u.htm": topic("<p>u</p>")}))
    assert documents(found)["t.htm"].content == "before after"
    assert "u.htm" in documents(found)


def test_an_external_entity_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    page = f'<!DOCTYPE html [<!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">]>{topic("<p>a&x;b</p>")}'
    assert documents(parse(write(tmp_path, {"Content/t.htm": page})))["t.htm"].content == "ab"


@pytest.mark.parametrize("depth", [100, 240, 300, 5000])
def test_deep_nesting_keeps_its_text(tmp_path: Path, depth: int) -> None:
    body = "<div>" * depth + "deep" + "</div>" * depth + "<p>after</p>"
    assert content_of(tmp_path, body).split() == ["deep", "after"]


@pytest.mark.parametrize("tag", ["MadCap:footnote", "table", "MadCap:codeSnippetBody", "h2"])
def test_elements_that_nest_in_themselves_without_end_do_no_harm(tmp_path: Path, tag: str) -> None:
    inner = f"{f'<{tag}>' * 240}deep{f'</{tag}>' * 240}"
    assert "deep" in content_of(tmp_path, f"<p>x</p>{inner}")


@pytest.mark.parametrize("data", [b"", b"\x00\xff\x07", b"<", b"<html><body><p>x&#0;&#xFFFF;\x01y"])
def test_rubbish_stops_nothing(tmp_path: Path, data: bytes) -> None:
    write(tmp_path, {"Content/a.htm": data, "Content/b.htm": topic("<p>b</p>")})
    found = parse(tmp_path)
    assert "b.htm" in documents(found)
    assert len(found) >= 2
    assert "\x00" not in "".join(d.content for d in documents(found).values())


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01", "PNG image"),
        (b"%PDF-1.4\n%\xe2\xe3\n1 0 obj", "PDF document"),
        (b"MZ\x90\x00\x03\x00\x00\x00This program cannot be run in DOS mode.", "program"),
        (bytes(range(256)) + bytes(64), "binary data"),
    ],
)
def test_what_is_not_text_is_a_failure(tmp_path: Path, data: bytes, kind: str) -> None:
    page = topic('<p>MZ is text.</p><MadCap:snippetBlock src="s.flsnp" />')
    files = {"Content/a.htm": data, "Content/s.flsnp": data}
    found = parse(write(tmp_path, {**files, "Content/b.htm": page}))
    assert list(documents(found)) == ["b.htm"]
    messages = {f.url.partition("Content/")[2]: (f.message, f.warning) for f in failures(found)}
    assert f"not text but binary: {kind}" in messages["a.htm"][0]
    assert not messages["a.htm"][1]
    assert f"not text but binary: {kind}" in messages["s.flsnp"][0]


def test_lists_a_hundred_deep_keep_their_text(tmp_path: Path) -> None:
    body = "".join(f"<ul><li>i{n}" for n in range(100)) + "</li></ul>" * 100
    assert re.findall(r"i\d+", content_of(tmp_path, body)) == [f"i{n}" for n in range(100)]


def test_a_topic_of_a_megabyte_is_read_whole(tmp_path: Path) -> None:
    body = "".join(f"<p>Paragraph {n} of a long topic about nothing.</p>" for n in range(22_000))
    content = content_of(tmp_path, body)
    assert content.count("Paragraph") == 22_000


def test_a_topic_that_is_too_large_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.parsers.flare.parser.MAX_TOPIC_BYTES", 100)
    found = parse(write(tmp_path, {"Content/t.htm": topic("<p>x</p>" * 99)}))
    assert "above the limit" in failures(found)[0].message
    assert not failures(found)[0].warning


def test_spans_that_are_absurd_do_no_harm(tmp_path: Path) -> None:
    row = "<tr><td colspan='99999'>a</td><td rowspan='-1'>b</td><td colspan='1000'>c</td></tr>"
    content = content_of(tmp_path, f"<table>{row}<tr><td>d</td></tr></table>")
    assert content.startswith("| a | b | c |")
    assert len(content) < 1000


def test_broken_contents_and_variables_do_not_stop_the_project(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "Content/t.htm": topic("<p>x</p>"),
            "Project/TOCs/m.fltoc": '<CatapultToc><TocEntry Title="A & B"><TocEntry Title="T" '
            'Link="/Content/t.htm" /></TocEntry></CatapultToc>',
            "Project/VariableSets/S.flvar": b"\x00\x01garbage",
        },
    )
    found = parse(tmp_path)
    assert documents(found)["t.htm"].breadcrumb == ("A & B",)
    assert len(failures(found)) == 2


class Remembered(NothingKnown):
    """What a pipeline remembers of the last read: inputs that have not changed are current."""

    def __init__(self, data_dir: Path, found: dict[str, ParsedDocument]) -> None:
        self.data_dir = data_dir
        self.by_url = {d.url: d for d in found.values()}

    def current(self, url: str) -> bool:
        document = self.by_url.get(url)
        return document is not None and all(map(self._same, document.inputs))

    def _same(self, source: tuple[str, int, int]) -> bool:
        try:
            stat = os.stat(self.data_dir / source[0])
        except OSError:
            return source[1:] == (-1, 0)
        return source[1:] == (stat.st_size, stat.st_mtime_ns)


def test_what_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    files = {
        "Content/a.htm": topic('<MadCap:snippetBlock src="s.flsnp"/>'),
        "Content/b.htm": topic("<p>b<MadCap:xref href='c.htm'/></p>"),
        "Content/c.htm": topic("<h1>C</h1><p>c</p>"),
        "Content/d.htm": topic('<p>d</p><MadCap:snippetBlock src="later.flsnp"/>'),
        "Content/s.flsnp": topic("<p>s</p>"),
        "Project/TOCs/m.fltoc": "<CatapultToc/>",
        "Project/VariableSets/S.flvar": "<CatapultVariableSet/>",
    }
    parser = FlareParser(SourceConfig("flare", write(tmp_path, dict(files)), ("p",)))
    known = Remembered(tmp_path, documents(parser.parse()))

    def read_again() -> set[str]:
        return set(documents(parser.parse(known)))

    assert {type(p) for p in parser.parse(known)} == {Unchanged}
    write(tmp_path, {"Content/s.flsnp": topic("<p>other</p>")})
    assert read_again() == {"a.htm"}
    write(tmp_path, {"Content/c.htm": topic("<h1>Changed</h1><p>c</p>")})
    assert read_again() == {"a.htm", "b.htm", "c.htm"}
    write(tmp_path, {"Content/later.flsnp": topic("<p>later</p>")})
    assert read_again() == {"a.htm", "b.htm", "c.htm", "d.htm"}


def test_every_topic_is_read_again_when_the_contents_change(tmp_path: Path) -> None:
    write(tmp_path, {"Content/a.htm": topic("<p>a</p>"), "Project/TOCs/m.fltoc": "<CatapultToc/>"})
    parser = FlareParser(SourceConfig("flare", tmp_path, ("p",)))
    known = Remembered(tmp_path, documents(parser.parse()))
    write(tmp_path, {"Project/TOCs/a.fltoc": "<CatapultToc/>"})
    assert set(documents(parser.parse(known))) == {"a.htm"}


corpus = pytest.mark.skipif("BBJRAG_CORPUS" not in os.environ, reason="BBJRAG_CORPUS is not set")


@pytest.fixture(scope="module")
def corpus_dir() -> Path:
    return Path(os.environ["BBJRAG_CORPUS"])


@corpus
@pytest.mark.corpus
def test_topics_read_as_they_were_published(corpus_dir: Path) -> None:
    wanted = re.compile(r"/(basics|menus|randomization)/")
    measured = [
        score
        for score in scores(
            corpus_dir / "flare", "statsdirect", corpus_dir / "webhelp" / "statsdirect", wanted
        )
        if not isinstance(score, str)
    ]
    assert len(measured) > 20
    for score in measured:
        assert score.recall == score.order == 1.0, score
        assert score.precision >= 0.99, score
        assert score.exact >= 0.997, score


@corpus
@pytest.mark.corpus
@pytest.mark.parametrize("project", ["laserfiche-cloud", "tests-allfiletypes", "statsdirect"])
def test_nothing_of_the_markup_is_left(corpus_dir: Path, project: str) -> None:
    found = parse(corpus_dir / "flare", project)
    for document in documents(found).values():
        for residue in ("MadCap:", "[%=", "&nbsp;", "[]("):
            assert residue not in document.content + document.title, document.url
    topics = {p.url.partition("Content/")[2] for p in found}
    content = corpus_dir / "flare" / project / "Content"
    assert {p.relative_to(content).as_posix() for p in content.rglob("*.htm")} <= topics


@corpus
@pytest.mark.corpus
def test_a_dead_link_of_a_real_project_is_told_once(corpus_dir: Path) -> None:
    messages = [f.message for f in failures(parse(corpus_dir / "flare", "laserfiche-cloud"))]
    assert len(messages) == len(set(messages)) > 40
