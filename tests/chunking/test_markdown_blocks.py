"""Own rules for what is most frequent find the blocks that markdown-it's rules find."""

from __future__ import annotations

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ingestion.chunking import markdown_blocks
from ingestion.chunking.markdown_blocks import DEEPEST_NESTING, read_blocks

PLAIN = MarkdownIt("commonmark", {"maxNesting": DEEPEST_NESTING}).enable("table")
PLAIN.disable(["html_block", "reference", "inline"])

LINES = (
    *("", "", "a line of prose", "another one", "Überschrift", "===", "---", "- - -", "***"),
    *("# A heading", "- an item", "  - below", "    code or below", "1. first", "> quoted"),
    *("| a | b |", "|---|:-:|", "| 1 | 2 | 3 |", "a | b", "--|--", "| a \\| b | c |", "|"),
    *("```bbj", "```", "~~~", "\ttab", "  indented", "> | a | b |", "> |---|---|", "- | a | b |"),
)


@settings(max_examples=400)
@given(st.lists(st.sampled_from(LINES), max_size=14))
def test_the_blocks_are_those_of_markdown_it(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = read_blocks(text, lines)

    with mock.patch.object(markdown_blocks, "_markdown", PLAIN):
        assert found == read_blocks(text, lines)
