"""Flare's conditions: what the output of a target leaves out, and which target counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ingestion.documents import DocumentFailure, Parsed, ParsedDocument
from ingestion.exceptions import SourceError
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.flare import FlareParser
from ingestion.parsers.flare.conditions import expression_of
from tests.parsers.test_flare import Remembered, documents, failures, topic, write

WEB = "include[D.Web] exclude[D.Paper or D.Draft]"


def target(expression: str, kind: str = "WebHelp2", inside: str = "") -> str:
    quoted = expression.replace('"', "&quot;")
    named = f'ConditionTagExpression="{quoted}"' if expression else ""
    return f'<CatapultTarget Version="2" Type="{kind}" {named}>{inside}</CatapultTarget>'


def parser(data_dir: Path, name: str = "") -> FlareParser:
    options = {"target": name} if name else {}
    return FlareParser(SourceConfig("flare", data_dir, ("p",), options=options))


def parse(data_dir: Path, name: str = "") -> list[Parsed]:
    return list(parser(data_dir, name).parse())


def project(
    folder: Path, body: str, expression: str = WEB, more: Mapping[str, str] | None = None
) -> Path:
    files = {"Content/t.htm": topic(body), "Project/Targets/HTML5.fltar": target(expression)}
    return write(folder, {**files, **(more or {})})


def content(data_dir: Path, name: str = "") -> str:
    return documents(parse(data_dir, name))["t.htm"].content


@pytest.mark.parametrize(
    ("tags", "kept"),
    [
        ("D.Web", True),
        ("D.Paper", False),
        ("d.paper ", False),
        ("D.Paper,D.Web", True),
        ("D.Other", True),
        ("D.Other,D.Draft", False),
        ("D.Print", False),
        ("D.Print,D.Web", True),
        ("", True),
    ],
)
def test_the_targets_conditions_decide(tmp_path: Path, tags: str, kept: bool) -> None:
    found = content(project(tmp_path, f'<p>x</p><p MadCap:conditions="{tags}">y</p>'))
    assert ("y" in found) is kept


@pytest.mark.parametrize(
    ("expression", "tags", "verdict"),
    [
        ("include[A.x]", "A.x", True),
        ("include [A.x] ", "A.y", None),
        ("exclude[A.x or A.y]", "A.y", False),
        ("exclude[A.x, A.y]", "A.y", False),
        ("exclude[A.x and A.y]", "A.y", None),
        ("exclude[A.x and A.y]", "A.x,A.y", False),
        ("exclude[not A.x]", "A.y", False),
        ("exclude[(A.x or A.y) and not A.z]", "A.x,A.z", None),
        ("exclude[A.x or A.y and A.z]", "A.x", False),
        ('exclude["A.In Progress" or A.Draft]', "A.in  progress", False),
        ("exclude[A.In Progress or A.Draft]", "A.In Progress", False),
        ('exclude["A.this or that"]', "A.this or that", False),
        ("include[] exclude[]", "A.x", None),
        ("", "A.x", None),
    ],
)
def test_expressions(expression: str, tags: str, verdict: bool | None) -> None:
    keys = frozenset(" ".join(tag.split()).casefold() for tag in tags.split(","))
    assert expression_of(expression).verdict(keys) is verdict


@pytest.mark.parametrize(
    "expression", ["exclude[A.x", "A.x", "exclude[(A.x]", "exclude[A.x or]", "exclude[" + "(" * 999]
)
def test_an_expression_that_is_not_understood_leaves_nothing_out(
    tmp_path: Path, expression: str
) -> None:
    body = '<p>x</p><p MadCap:conditions="A.x">y</p><p MadCap:conditions="A.Print">z</p>'
    project(tmp_path, body, expression)
    assert content(tmp_path) == "x\n\ny"
    [warning] = failures(parse(tmp_path))
    assert warning.warning
    assert warning.url.endswith("Project/Targets/HTML5.fltar")


def test_a_topic_that_the_target_excludes_is_left_out_and_named(tmp_path: Path) -> None:
    excluded = topic("<p>x</p>", attributes='MadCap:conditions="D.Draft"')
    project(tmp_path, "<p>x</p>", more={"Content/d.htm": excluded})
    found = parse(tmp_path)
    assert set(documents(found)) == {"t.htm"}
    [left_out] = failures(found)
    assert left_out.warning
    assert left_out.message == "The topic is not in the output of the target HTML5 (D.Draft)."


def test_conditions_hold_for_snippets_tables_titles_and_contents(tmp_path: Path) -> None:
    out = 'MadCap:conditions="D.Paper"'
    table = (
        f"<table><col/><col {out}/><col/><tr><th>A</th><th>B</th><th>C</th></tr>"
        f'<tr><td rowspan="2">1</td><td>2</td><td>3</td></tr><tr><td>4</td><td>5</td></tr>'
        f"<tr {out}><td>6</td><td>7</td><td>8</td></tr></table>"
    )
    body = (
        f"<h1 {out}>On Paper</h1><h1>On the Web</h1>{table}"
        '<MadCap:snippetBlock src="whole.flsnp"/><MadCap:snippetBlock src="part.flsnp"/>'
        f"<p>this <MadCap:conditionalText {out}>page</MadCap:conditionalText>help</p>"
    )
    contents = (
        '<CatapultToc><TocEntry Title="Paper" conditions="D.Paper">'
        '<TocEntry Title="T" Link="/Content/t.htm"/></TocEntry></CatapultToc>'
    )
    project(
        tmp_path,
        body,
        more={
            "Content/whole.flsnp": topic("<p>whole</p>", attributes=out),
            "Content/part.flsnp": topic(f"<p>web</p><p {out}>paper</p>"),
            "Project/TOCs/t.fltoc": contents,
        },
    )
    found = documents(parse(tmp_path))["t.htm"]
    assert found.title == "On the Web"
    assert found.breadcrumb == ()
    shown = "# On the Web\n\n| A | C |\n| --- | --- |\n| 1 | 3 |\n|  | 5 |\n\n"
    assert found.content.startswith(shown)
    assert found.content.endswith("web\n\nthis help")
    assert "whole" not in found.content


def test_a_snippets_own_expression_decides_within_it(tmp_path: Path) -> None:
    both = '<p MadCap:conditions="D.Web">web</p><p MadCap:conditions="D.Paper">paper</p>'
    body = (
        '<MadCap:snippetBlock src="s.flsnp" '
        'MadCap:conditionTagExpression="include[D.Paper] exclude[D.Web]"/>' + both
    )
    assert content(project(tmp_path, body, more={"Content/s.flsnp": topic(both)})) == "paper\n\nweb"
    whole = topic(
        f'<MadCap:snippetBlock src="s.flsnp"/>{both}',
        attributes='MadCap:conditionTagExpression="exclude[D.Web]"',
    )
    write(tmp_path, {"Content/t.htm": whole})
    assert content(tmp_path) == "web"


def test_an_older_target_lists_its_tags_with_actions(tmp_path: Path) -> None:
    listed = (
        '<ConditionTags><ConditionTag Name="D.Web" Action="Include"/>'
        '<ConditionTag Name="D.Paper" Action="Exclude"/></ConditionTags>'
    )
    body = '<p MadCap:conditions="D.Web,D.Paper">web</p><p MadCap:conditions="D.Paper">paper</p>'
    project(tmp_path, body, more={"Project/Targets/HTML5.fltar": target("", "WebHelp", listed)})
    assert content(tmp_path) == "web"


def test_the_only_web_target_counts_among_others(tmp_path: Path) -> None:
    body = '<p>x</p><p MadCap:conditions="D.Web">web</p><p MadCap:conditions="D.Paper">paper</p>'
    paper = {"Project/Targets/Book.fltar": target("exclude[D.Web]", "PDF")}
    project(tmp_path, body, more=paper)
    assert content(tmp_path) == "x\n\nweb"
    assert content(tmp_path, "book") == "x\n\npaper"
    write(tmp_path, {"Project/Targets/Old.fltar": target("exclude[D.Web]", "WebHelp")})
    assert content(tmp_path) == "x\n\nweb\n\npaper"
    assert content(tmp_path, "HTML5") == "x\n\nweb"


def test_a_target_for_print_keeps_what_is_for_print(tmp_path: Path) -> None:
    body = '<p>x</p><p MadCap:conditions="D.Print_Only">paper</p>'
    project(tmp_path, body, more={"Project/Targets/Book.fltar": target("", "PDF")})
    assert (content(tmp_path), content(tmp_path, "Book")) == ("x", "x\n\npaper")


def test_a_target_that_does_not_exist_stops_the_source_and_names_those_that_do(
    tmp_path: Path,
) -> None:
    project(tmp_path, "<p>x</p>", more={"Project/Targets/sub/PDF.fltar": target("", "PDF")})
    assert sorted(parser(tmp_path).choices()["target"]) == ["HTML5", "sub/PDF"]
    with pytest.raises(SourceError, match="no target 'Web': it has 'HTML5', 'sub/PDF'"):
        parse(tmp_path, "Web")


def test_topics_are_read_again_when_a_target_changes(tmp_path: Path) -> None:
    project(tmp_path, '<p>x</p><p MadCap:conditions="D.Other">y</p>')
    known = Remembered(tmp_path, documents(parse(tmp_path)))
    write(tmp_path, {"Project/Targets/HTML5.fltar": target("exclude[D.Other]")})
    [found] = [p for p in parser(tmp_path).parse(known) if isinstance(p, ParsedDocument)]
    assert found.content == "x"
    known = Remembered(tmp_path, documents(parse(tmp_path)))
    write(tmp_path, {"Project/Targets/Other.fltar": target("")})
    assert not any(isinstance(p, DocumentFailure) for p in parser(tmp_path).parse(known))
    assert "y" in documents(parser(tmp_path).parse(known))["t.htm"].content
