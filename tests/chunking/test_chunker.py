from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ingestion.chunking.chunker import Chunker, TextChunk
from ingestion.documents import Location, ParsedDocument
from ingestion.exceptions import ConfigError
from ingestion.parsers import parser_class
from ingestion.parsers.base import SourceConfig
from ingestion.text.tokenizer import count_tokens

FIXTURES = Path(__file__).parents[1] / "fixtures" / "chunker"
SENTENCE = "The order is written before the screen is drawn again. "
WORD = re.compile(r"\w+")


def document(content: str, **fields: Any) -> ParsedDocument:
    return replace(ParsedDocument("test://page", "Page", content, breadcrumb=("Book",)), **fields)


def chunk(content: str, size: int = 400, overlap: int = 0, **fields: Any) -> list[TextChunk]:
    return Chunker(size, overlap).chunk(document(content, **fields))


def contents(chunks: Sequence[TextChunk]) -> list[str]:
    return [one.content for one in chunks]


def words(text: str) -> list[str]:
    return WORD.findall(text)


def is_subsequence(needed: Sequence[str], given: Sequence[str]) -> bool:
    rest = iter(given)
    return all(word in rest for word in needed)


def table(rows: int, lead_in: str = "") -> str:
    head = "| Code | Meaning |\n|---|---|\n"
    return lead_in + head + "\n".join(f"| {n} | Record {n} not found |" for n in range(rows))


def test_it_works() -> None:
    content = "# Open\n\nOpens a file."

    [one] = chunk(content)

    assert one.ordinal == 0
    assert one.heading_path == ("Open",)
    assert one.context_header == "Book > Page > Open"
    assert one.content == content
    assert one.embedded_text == f"Book > Page > Open\n\n{content}"
    assert one.tokens == count_tokens(one.embedded_text)
    assert one.content_hash == sha256(one.embedded_text.encode()).hexdigest()
    assert (one.start_line, one.start_page) == (None, None)


def test_without_title_and_headings_the_content_alone_is_embedded() -> None:
    [one] = Chunker().chunk(ParsedDocument("test://page", "", "Only text."))

    assert one.embedded_text == one.content == "Only text."


@pytest.mark.parametrize("content", ["", "\n \n", "---\n\n***", "...\n\n- -\n", "\0\0"])
def test_a_document_without_a_word_has_no_chunks(content: str) -> None:
    assert chunk(content) == []


def test_a_heading_alone_joins_the_text_that_follows() -> None:
    [one] = chunk("# Files\n\n## Opening\n\nOpens a file.")

    assert one.content == "# Files\n\n## Opening\n\nOpens a file."
    assert one.heading_path == ("Files", "Opening")


def test_a_last_heading_without_text_joins_the_text_before() -> None:
    long = SENTENCE * 12
    chunks = chunk(f"# A\n\n## B\n\n{long}\n\n## See also\n\n# C\n\n{long}")

    assert [one.heading_path for one in chunks] == [("A", "B"), ("C",)]
    assert chunks[0].content.endswith("## See also")


def test_a_heading_without_text_at_the_end_of_a_full_chunk_is_not_alone() -> None:
    for sentences in range(28, 36):
        chunks = chunk(f"# A\n\n{SENTENCE * sentences}\n\n## See also", size=400)

        assert all("order" in one.content for one in chunks)
        assert chunks[-1].content.endswith("## See also")


def test_a_document_of_headings_only_is_kept_as_text() -> None:
    [one] = chunk("# One\n\n## Two\n\n# Three")

    assert one.content == "# One\n\n## Two\n\n# Three"


def test_large_sections_are_chunks_of_their_own() -> None:
    text = SENTENCE * 12
    chunks = chunk(f"## A\n\n{text}\n\n## B\n\n{text}")

    assert [one.heading_path for one in chunks] == [("A",), ("B",)]
    assert chunks[1].content.startswith("## B\n\nThe order")


def test_tiny_neighbours_under_one_parent_are_merged() -> None:
    [one] = chunk("# OPEN\n\n## Syntax\n\nOPEN file\n\n## Errors\n\nNone.")

    assert one.heading_path == ("OPEN",)
    assert words(one.content) == ["OPEN", "Syntax", "OPEN", "file", "Errors", "None"]


def test_tiny_sections_of_different_parents_are_not_merged() -> None:
    long = SENTENCE * 12
    content = f"# A\n\n{long}\n\n## A1\n\n{long}\n\n## A2\n\nTiny.\n\n# B\n\n{long}"

    assert [one.heading_path for one in chunk(content)] == [("A",), ("A",), ("B",)]


def test_merging_stops_at_half_a_chunk() -> None:
    content = "\n\n".join(f"## S{n}\n\n{SENTENCE * 5}" for n in range(12))

    sizes = [one.tokens for one in chunk(content)]

    assert all(200 <= size < 300 for size in sizes)


def test_a_short_introduction_joins_the_first_section() -> None:
    chunks = chunk(f"# Files\n\nAbout files.\n\n## Open\n\n{SENTENCE * 15}")

    assert [one.heading_path for one in chunks] == [("Files",)]


def test_a_short_introduction_joins_a_section_that_is_split() -> None:
    chunks = chunk(f"# Files\n\nAbout files.\n\n## Open\n\n{SENTENCE * 60}")

    assert chunks[0].content.startswith("# Files\n\nAbout files.\n\n## Open\n\nThe order")
    assert {one.heading_path for one in chunks} == {("Files", "Open")}


def test_setext_headings_and_six_levels_make_sections() -> None:
    long = SENTENCE * 12
    content = f"One\n===\n\n{long}\n\nTwo\n---\n\n{long}\n\n###### Six\n\n{long}"

    paths = [one.heading_path for one in chunk(content)]

    assert paths == [("One",), ("One", "Two"), ("One", "Two", "Six")]


def test_a_hash_inside_code_is_no_heading() -> None:
    [one] = chunk("## Shell\n\n~~~sh\n# a comment\n```\nls\n~~~\n")

    assert one.heading_path == ("Shell",)


def test_raw_html_does_not_swallow_the_headings_after_it() -> None:
    long = SENTENCE * 12

    assert [c.heading_path for c in chunk(f"<pre>\n\n# A\n\n{long}\n\n# B\n\n{long}")][-1] == ("B",)


def test_backticks_leave_the_heading_path_but_not_the_content() -> None:
    [one] = chunk("# The `open()` verb\n\nOpens.")

    assert one.heading_path == ("The open() verb",)
    assert "`open()`" in one.content


def test_whole_sections_are_never_merged_and_leave_their_heading_out() -> None:
    chunks = chunk("Header.\n\n## A\n\n### a()\n\nx = 1\n\n### b()\n\ny = 2", whole_sections=True)

    assert contents(chunks) == ["Header.", "x = 1", "y = 2"]
    assert [one.heading_path for one in chunks] == [(), ("A", "a()"), ("A", "b()")]


def test_whole_sections_keep_the_words_of_an_empty_section() -> None:
    chunks = chunk("## A\n\n## B\n\nx = 1", whole_sections=True)

    assert contents(chunks) == ["## A\n\nx = 1"]


def test_oversized_text_is_split_between_paragraphs_first() -> None:
    paragraph = (SENTENCE * 15).strip()
    chunks = chunk("\n\n".join([paragraph] * 4))

    assert contents(chunks) == ["\n\n".join([paragraph] * 2)] * 2


def test_an_oversized_paragraph_is_split_between_sentences() -> None:
    chunks = chunk(SENTENCE * 90)

    assert all(one.content.endswith("again.") for one in chunks)
    assert all(one.content.startswith("The order") for one in chunks)


def test_abbreviations_and_numbers_do_not_end_a_sentence() -> None:
    sentence = "See e.g. Fig. 3 of Dr. Beispiel, version 5.2 or later, please. "

    for one in chunk(sentence * 60):
        assert one.content.startswith("See e.g.")


def test_an_oversized_list_is_split_between_items_that_keep_their_markers() -> None:
    items = [f"- item {n} is described by a few words that fill its line" for n in range(80)]

    for one in chunk("\n".join(items)):
        assert set(one.content.split("\n")) <= set(items)


def test_an_oversized_sentence_is_split_between_words() -> None:
    chunks = chunk("word " * 2000)

    assert set(words(" ".join(contents(chunks)))) == {"word"}
    assert sum(one.content.count("word") for one in chunks) == 2000


def test_an_oversized_word_is_split_between_characters() -> None:
    chunks = chunk("x1" * 5000)

    assert "".join(contents(chunks)) == "x1" * 5000
    assert all(one.tokens <= 400 for one in chunks)


def test_joined_emoji_and_marks_are_not_torn() -> None:
    seen = "\U0001f468\u200d\U0001f469\u200d\U0001f467e\u0301"
    chunks = chunk(seen * 300)

    assert "".join(contents(chunks)) == seen * 300
    assert all(one.content.startswith(("e", "\U0001f468\u200d\U0001f469")) for one in chunks)


def test_chinese_is_split_between_sentences() -> None:
    chunks = chunk("这个文件必须先打开。" * 200)

    assert len(chunks) > 1
    assert all(one.content.endswith("。") for one in chunks)


def test_a_code_block_that_fits_a_chunk_is_never_torn() -> None:
    block = "```bbj\n" + "\n".join(f"let x{n} = {n}" for n in range(40)) + "\n```"
    chunks = chunk(f"{SENTENCE * 20}\n\n{block}\n\n{SENTENCE * 20}\n\n{block}")

    assert sum(block in one.content for one in chunks) == 2


def test_a_larger_code_block_is_split_at_line_ends_with_its_fence_repeated() -> None:
    lines = [f"    let x{n} = {n}" for n in range(200)]
    block = "\n".join(['~~~bbj title="x"', *lines, "~~~"])

    chunks = chunk(block)

    kept = [line for one in chunks for line in one.content.split("\n")[1:-1]]
    assert kept == lines
    assert all(one.content.startswith('~~~bbj title="x"\n    let') for one in chunks)
    assert all(one.content.endswith("\n~~~") for one in chunks)


def test_a_larger_code_block_is_rather_split_after_a_blank_line() -> None:
    steps = [f"rem step {n}\nopen({n}) file$\nclose({n})\n" for n in range(60)]
    chunks = chunk("```bbj\n" + "\n".join(steps) + "\n```")

    assert len(chunks) > 2
    assert all(one.content.startswith("```bbj\nrem step") for one in chunks)


def test_a_fence_that_never_ends_is_closed_in_each_part() -> None:
    chunks = chunk("```bbj\n" + "x = 1\n" * 300)

    assert all(one.content.startswith("```bbj\n") for one in chunks)
    assert all(one.content.endswith("\n```") for one in chunks)


def test_a_line_of_code_larger_than_a_chunk_loses_no_character() -> None:
    line = "call(a,  b);\t" * 500

    chunks = chunk(f"```js\n{line}\n```")

    assert "".join(one.content[6:-4] for one in chunks) == line


def test_code_inside_a_list_is_split_as_code() -> None:
    lines = [f"x{n} = {n}" for n in range(200)]
    chunks = chunk("- Do this:\n\n  ```bbj\n" + "\n".join(f"  {x}" for x in lines) + "\n  ```")

    code = "".join(
        token.content
        for one in chunks
        for token in MarkdownIt("commonmark").parse(one.content)
        if token.type == "fence" and token.info == "bbj"
    )
    assert code.split() == "\n".join(lines).split()


def test_a_larger_table_is_split_between_rows_with_its_head_repeated() -> None:
    chunks = chunk(table(100))

    rows = [row for one in chunks for row in one.content.split("\n")[2:]]
    assert rows == table(100).split("\n")[2:]
    assert all(one.content.startswith("| Code | Meaning |\n|---|---|\n| ") for one in chunks)


def test_a_short_lead_in_is_repeated_with_the_head_of_its_table() -> None:
    chunks = chunk(f"{SENTENCE * 20}\n\n{table(100, 'The codes are:' + chr(10) * 2)}")

    with_rows = [one.content for one in chunks if "| Record" in one.content]
    assert len(with_rows) > 2
    assert all("The codes are:\n\n| Code | Meaning |\n|---|---|" in text for text in with_rows)


def test_a_lead_in_stays_with_the_table_that_follows() -> None:
    for sentences in range(8, 18):
        text = f"{SENTENCE * sentences}\n\nThe codes are:\n\n{table(20)}"
        for one in chunk(text, size=300):
            assert ("The codes are:" in one.content) == ("| Code |" in one.content)


def test_a_row_larger_than_a_chunk_is_split_inside_with_the_head_repeated() -> None:
    chunks = chunk(f"| Code | Meaning |\n|---|---|\n| 11 | {SENTENCE * 90} |\n| 12 | b |")

    assert len(chunks) > 2
    assert all(one.content.startswith("| Code | Meaning |\n|---|---|\n") for one in chunks)
    assert sum(one.content.count("The order is written") for one in chunks) == 90


def test_each_part_of_a_torn_row_begins_with_its_first_cells() -> None:
    chunks = chunk(f"| Code | Meaning |\n|---|---|\n| 11 | {SENTENCE * 90} |")

    assert all(one.content.split("\n")[2].startswith("| 11 | The order") for one in chunks)


def test_a_torn_row_keeps_its_lines_of_code_whole() -> None:
    code = [f"`    x{n}  =  {n}. Y`" for n in range(200)]
    chunks = chunk(f"| Name | Sample |\n|---|---|\n| add | Use it so: {'<br>'.join(code)} |")

    assert len(chunks) > 2
    assert all(one.content.split("\n")[2].startswith("| add | ") for one in chunks)
    assert all(any(line in one.content for one in chunks) for line in code)


def test_overlap_repeats_whole_sentences_inside_a_section() -> None:
    numbered = " ".join(f"This is sentence number {n} of many." for n in range(150))
    chunks = chunk(numbered, overlap=50)

    for before, after in pairwise(chunks):
        assert after.content.startswith("This is sentence")
        repeated = after.content[: after.content.index(before.content[-20:]) + 20]
        assert before.content.endswith(repeated)
        assert 20 < count_tokens(repeated) <= 50


def test_overlap_repeats_whole_lines_of_code() -> None:
    lines = [f"let x{n} = {n}" for n in range(200)]
    chunks = chunk("\n".join(["```bbj", *lines, "```"]), overlap=50)

    for before, after in pairwise(chunks):
        own_before, own_after = before.content.split("\n"), after.content.split("\n")
        repeated = own_after[1 : own_after.index(own_before[-2]) + 1]
        assert own_before[-1 - len(repeated) : -1] == repeated
        assert 3 <= len(repeated) <= 10


def test_overlap_repeats_rows_below_the_head() -> None:
    chunks = chunk(table(100), overlap=50)

    assert chunks[0].content.split("\n")[-1] in chunks[1].content.split("\n")[2:]


def test_there_is_no_overlap_between_sections() -> None:
    content = "\n\n".join(f"## S{n}\n\nMark{n}. {SENTENCE * 15}" for n in range(5))

    joined = " ".join(contents(chunk(content, overlap=100)))

    assert all(joined.count(f"Mark{n}.") == 1 for n in range(5))


def test_a_short_last_part_is_evened_out() -> None:
    for sentences in range(32, 40):
        sizes = [one.tokens for one in chunk(SENTENCE * sentences)]

        assert min(sizes) >= 100


def test_an_overlong_context_header_keeps_title_and_last_heading() -> None:
    breadcrumb = tuple(f"Very long step number {n} of the breadcrumb" for n in range(40))
    content = f"# First\n\n## Second\n\n{SENTENCE * 5}"

    [one] = chunk(content, breadcrumb=breadcrumb, size=200)

    assert count_tokens(one.context_header) <= 50
    assert one.context_header.endswith("number 39 of the breadcrumb > Page > First > Second")


def test_an_overlong_heading_leaves_room_for_text() -> None:
    chunks = chunk(f"# {'Heading ' * 300}\n\nText.", size=64, title="Title " * 100)

    assert all(one.tokens <= 64 for one in chunks)
    assert " ".join(contents(chunks)).count("Heading") == 300


def test_start_line_and_page_are_those_of_the_own_text() -> None:
    content = "\n".join(["```bbj", *(f"let x{n} = {n}" for n in range(200)), "```"])
    lines = tuple(Location(n + 1, 1001 + n) for n in range(200))
    pages = (Location(0, 7), Location(100, 8))

    chunks = chunk(content, overlap=50, lines=lines, pages=pages)

    assert chunks[0].start_line == 1001
    second_own = int(chunks[0].content.split("\n")[-2].split()[-1]) + 1
    assert chunks[1].start_line == 1001 + second_own
    assert [one.start_page for one in chunks] == [
        8 if int(one.start_line or 0) > 1099 else 7 for one in chunks
    ]


def test_what_postgresql_refuses_is_replaced() -> None:
    [one] = chunk("a\0b \ud800 c\r\nd", title="T\0", breadcrumb=("\udfff",))

    assert one.content == "a\ufffdb \ufffd c\nd"
    assert one.context_header == "\ufffd > T\ufffd"
    one.embedded_text.encode("utf-8")


@pytest.mark.parametrize(("size", "overlap"), [(31, 0), (0, 0), (100, 50), (100, -1)])
def test_settings_that_cannot_work_are_refused_with_the_way_out(size: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match="set CHUNK_"):
        Chunker(size, overlap)


def test_the_key_tells_settings_apart() -> None:
    assert len({Chunker(400, 50).key, Chunker(400, 40).key, Chunker(300, 50).key}) == 3


@pytest.mark.parametrize(
    "content",
    [
        "> " * 100 + "deep",
        "\n".join("  " * depth + f"- item {depth}" for depth in range(100)),
        "- " * 100 + "deep",
        "| a " * 3000 + "|\n" + "|--" * 3000 + "|\n" + "| b " * 3000 + "|",
        "# a\n" * 3000,
        "a\n---\n" * 2000,
        "".join(map(chr, range(1, 32))) * 50 + "word",
        "\u05e9\u05dc\u05d5\u05dd. " * 2000,
        "<s> </s> <unk> \u2581 " * 300,
        "```" + "x" * 5000 + "\ncode\n```",
        f"- {SENTENCE * 60}\n\n  > {SENTENCE * 60}\n",
    ],
)
def test_hostile_content_keeps_its_words_within_the_size(content: str) -> None:
    chunks = chunk(content, size=64, overlap=16)

    assert all(one.tokens <= 64 for one in chunks)
    together = "".join(words("".join(contents(chunks))))
    assert is_subsequence("".join(words(content)), together)


@pytest.mark.parametrize(
    ("name", "size", "whole_sections"),
    [("guide", 120, False), ("codes", 120, False), ("program", 120, True)],
)
def test_golden(name: str, size: int, whole_sections: bool) -> None:
    content = (FIXTURES / f"{name}.md").read_text("utf-8")
    numbered = tuple(Location(n, n + 1) for n in range(content.count("\n")))
    chunks = chunk(content, size, 24, whole_sections=whole_sections, lines=numbered)
    golden = FIXTURES / f"{name}.chunks.txt"
    if os.environ.get("BBJRAG_WRITE_GOLDEN"):
        golden.write_text(described(chunks), "utf-8")

    assert described(chunks) == golden.read_text("utf-8")


def described(chunks: Sequence[TextChunk]) -> str:
    return "".join(
        f"======== chunk {one.ordinal}: {one.tokens} tokens, from line {one.start_line}\n"
        f"{one.embedded_text}\n"
        for one in chunks
    )


line = st.text(st.sampled_from("ab1 .:|-#>`*_\t日。é\u0301\u200d\U0001f468\n"), max_size=30)
sentence = st.integers(1, 60).map(lambda n: SENTENCE * n)
code = st.lists(st.sampled_from(["", "x = 1", "    rem note", "# no", "y" * 90]), max_size=40).map(
    lambda lines: "```bbj\n" + "\n".join(lines) + "\n```"
)
block = st.one_of(
    line,
    sentence,
    code,
    st.integers(0, 30).map(table),
    st.lists(sentence, max_size=4).map(lambda items: "\n".join(f"- {item}" for item in items)),
    st.tuples(st.integers(1, 6), st.sampled_from(["A", "B b", "See also"])).map(
        lambda pair: f"{'#' * pair[0]} {pair[1]}"
    ),
)
markdown = st.lists(block, max_size=12).map("\n\n".join)
thorough = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


@thorough
@given(markdown, st.sampled_from([(32, 0), (64, 31), (128, 16), (400, 50)]), st.booleans())
def test_every_document_is_cut_within_its_bounds(
    content: str, sizes: tuple[int, int], whole_sections: bool
) -> None:
    chunks = chunk(content, *sizes, whole_sections=whole_sections)

    assert [one.ordinal for one in chunks] == list(range(len(chunks)))
    for one in chunks:
        assert one.tokens == count_tokens(one.embedded_text) <= sizes[0]
        assert re.search(r"[^\W_]", one.content)
    assert chunks == chunk(content, *sizes, whole_sections=whole_sections)


@thorough
@given(markdown, st.sampled_from([(64, 31), (128, 0), (400, 50)]))
def test_no_word_of_a_document_is_lost(content: str, sizes: tuple[int, int]) -> None:
    chunks = chunk(content, *sizes)

    together = "".join(words("".join(contents(chunks))))
    assert is_subsequence("".join(words(content)), together)


@thorough
@given(st.lists(st.one_of(sentence, code), max_size=8).map("\n\n".join))
def test_code_lines_come_through_to_the_letter(content: str) -> None:
    kept = [line for one in chunk(content) for line in one.content.split("\n")]

    assert is_subsequence([line for line in content.split("\n") if line.strip() in CODE], kept)


CODE = ("x = 1", "rem note", "# no", "y" * 90)


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("parser", "path"), [("MdxParser", "mdx/dwc-course"), ("BbjSourceParser", "bbj-source")]
)
def test_real_documents_keep_every_word(parser: str, path: str) -> None:
    corpus = os.environ.get("BBJRAG_CORPUS")
    if not corpus:
        pytest.skip("BBJRAG_CORPUS is not set")
    config = SourceConfig("real", Path(corpus), (path,))
    documents = [d for d in parser_class(parser)(config).parse() if isinstance(d, ParsedDocument)]
    assert documents
    for one in documents[::5]:
        chunks = Chunker().chunk(one)
        text = "".join(words("".join(c.embedded_text for c in chunks)))
        assert is_subsequence("".join(words(one.content)), text), one.url
        assert all(c.tokens <= 400 for c in chunks)


@pytest.mark.parametrize("heading", ["# My Title", "## My Title", "# My `Title`", "# MY  TITLE"])
def test_the_title_at_the_beginning_of_a_text_is_not_cut_into_a_chunk(heading: str) -> None:
    text = "Text one here.\n\n## Sub\n\nMore text."
    fields: dict[str, Any] = {"url": "a://b", "title": "My Title", "breadcrumb": ("X",)}
    fields |= {"doc_type": "concept", "generations": ("bbj",)}
    without = Chunker().chunk(ParsedDocument(content=text, **fields))
    headed = Chunker().chunk(ParsedDocument(content=f"{heading}\n\n{text}", **fields))
    assert [one.embedded_text for one in headed] == [one.embedded_text for one in without]
    assert [one.heading_path for one in headed] == [one.heading_path for one in without]
