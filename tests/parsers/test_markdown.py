"""What the parsers write reads back, by a parser of CommonMark with tables, as it was meant."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingestion.parsers import markdown

READER = MarkdownIt("commonmark").enable("table")
SIGNS = st.text(alphabet="#-+*>`~=_|:[]<>/!? .)(1aB", min_size=1, max_size=16).map(str.strip)
LINE = SIGNS.filter(bool)
CODE = st.text(alphabet="`~ |ab\\<", min_size=1, max_size=12).filter(str.strip)
THOROUGH = settings(max_examples=200, deadline=None)


def read(text: str) -> list[Token]:
    return READER.parse(text)


def kinds(text: str) -> list[str]:
    return [token.type for token in read(text) if token.nesting >= 0 and token.type != "inline"]


def code_of(text: str) -> list[str]:
    inline = next(token for token in read(text) if token.type == "inline")
    return [child.content for child in inline.children or [] if child.type == "code_inline"]


def cells_of(text: str) -> list[str]:
    tokens = read(text)
    return [t.content for b, t in pairwise(tokens) if b.type[1:] == "d_open"]


def table(head: Sequence[str], *rows: Sequence[str]) -> str:
    width = max(map(len, [head, *rows]))
    lines = markdown.table_head([markdown.cell(text) for text in head], width)
    lines += [markdown.table_row([markdown.cell(text) for text in row], width) for row in rows]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("# sign", "\\# sign"),
        ("- dash", "\\- dash"),
        ("1986. A year", "1986\\. A year"),
        ("2) second", "2\\) second"),
        ("| bar", "\\| bar"),
        ("---", "\\---"),
        (":--|--:", "\\:--|--:"),
        ("***", "\\***"),
        ("[1]: note", "\\[1]: note"),
        ("<div>", "\\<div>"),
        ("~~~ wave", "\\~~~ wave"),
        ("```js", "\\```js"),
        ("#hash -dash 1.5 < 2", "#hash -dash 1.5 < 2"),
        ("```a``b` c``` is code", "```a``b` c``` is code"),
        ("-*-", "-*-"),
        ("[3, 10) is open", "[3, 10) is open"),
    ],
)
def test_prose_is_escaped_only_where_it_would_be_structure(line: str, written: str) -> None:
    assert markdown.escape(line) == written
    assert markdown.unescape(written) == line


@THOROUGH
@given(st.lists(LINE, min_size=1, max_size=3))
def test_whatever_prose_begins_with_it_is_one_paragraph(lines: list[str]) -> None:
    assert kinds(markdown.escape("\n".join(lines))) == ["paragraph_open"]


def test_the_address_of_a_link_is_escaped_though_its_label_runs_over_lines() -> None:
    assert markdown.escape("[a\nlabel]: x") == "\\[a\nlabel]: x"


@THOROUGH
@given(LINE)
def test_escaping_can_be_taken_back_in_an_item_too(line: str) -> None:
    assert markdown.unescape(f"- 1. {markdown.escape(line)}") == f"- 1. {line}"


def test_a_backslash_of_the_text_itself_is_not_taken_for_an_escape() -> None:
    assert markdown.unescape("\\.profile and \\-x") == "\\.profile and \\-x"


@THOROUGH
@given(CODE)
def test_a_code_span_holds_its_code_to_the_letter(code: str) -> None:
    assert code_of(f"a {markdown.code_span(code)} b") == [code]


def test_blank_code_is_no_code_span() -> None:
    assert markdown.code_span(" ") == " "


@THOROUGH
@given(st.lists(st.text(alphabet="`~ ab", max_size=8), min_size=1), st.text(alphabet="ab`~#"))
def test_a_fence_is_longer_than_any_in_its_code(lines: list[str], info: str) -> None:
    info = info.lstrip("`~")
    [token] = read("\n".join(markdown.fenced(lines, info)))
    assert (token.type, token.info) == ("fence", info)
    assert token.content == "".join(f"{line}\n" for line in lines)


def test_a_table_has_as_many_cells_in_each_row_and_no_bar_or_line_ends_one() -> None:
    written = table(["name", "use"], ["a|b", "one\n\n two"], ["alone"])
    assert written.split("\n") == [
        "| name | use |",
        "| --- | --- |",
        "| a\\|b | one two |",
        "| alone |  |",
    ]
    assert cells_of(written) == ["a|b", "one two", "alone", ""]


def test_a_table_without_a_head_has_columns_without_names() -> None:
    assert markdown.table_head([], 2) == ["|  |  |", "| --- | --- |"]


def test_what_a_cell_spans_stays_empty_and_ends_in_time() -> None:
    rows = [[("a", 2, 2), ("b", 1, 3)], [("c", 1, 1)], [("d", 1, 1)], [("e", 1, 1), ("f", 1, 1)]]
    assert list(markdown.in_columns(rows, "")) == [
        ["a", "", "b"],
        ["", "", "", "c"],
        ["d"],
        ["e", "f"],
    ]


def test_a_heading_is_one_line_and_keeps_the_signs_at_its_end() -> None:
    assert markdown.heading(2, "Open\nand close") == "## Open and close"
    assert markdown.heading(9, "C #") == "###### C \\#"
    assert markdown.heading(1, "C#") == "# C#"


def test_what_belongs_to_an_item_is_set_in_below_it() -> None:
    blocks = ["Open it:", "```\nopen\n\nread\n```", "- inner"]
    written = markdown.item(markdown.marker(10), blocks)
    assert written.startswith("10. Open it:\n\n    ```\n    open\n\n    read\n")
    assert kinds(written) == [
        "ordered_list_open",
        "list_item_open",
        "paragraph_open",
        "fence",
        "bullet_list_open",
        "list_item_open",
        "paragraph_open",
    ]
