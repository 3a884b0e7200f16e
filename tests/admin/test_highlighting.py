"""The place of a chunk in its document, as the page marks it: for each parser, on real texts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest

from ingestion.admin.markdown import marked
from ingestion.admin.passages import LARGEST_BLOCK, around, block_starts, numbered
from ingestion.chunking.chunker import Chunker, TextChunk, text_of
from ingestion.documents import ParsedDocument
from ingestion.parsers import output
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.web_settings import WebSettings
from sample_data.serve import HERE, served
from sources.models import Source
from tests.support.highlights import highlighted, marked_text, problem, words

LOOKED_AT = 20
CORPUS = (
    ("MdxParser", "mdx/dwc-course/docs"),
    ("MdxParser", "mdx/redux-toolkit"),
    ("BbjSourceParser", "bbj-source"),
    ("PdfParser", "pdf"),
    ("FlareParser", "flare/laserfiche-cloud"),
    ("FlareParser", "flare/statsdirect"),
)


def is_right(text: str, chunk: TextChunk) -> bool:
    place = (chunk.start_offset, chunk.end_offset)
    return not problem(marked_text(highlighted(text, *place)), text, *place, chunk.content)


def chosen(documents: list[ParsedDocument]) -> Iterator[tuple[str, TextChunk]]:
    chunker = Chunker()
    chunks = [(text_of(one), chunk) for one in documents for chunk in chunker.chunk(one)]
    yield from random.Random(7).sample(chunks, min(LOOKED_AT, len(chunks)))


def check(documents: list[ParsedDocument]) -> None:
    assert documents
    wrong = [chunk.content[:80] for text, chunk in chosen(documents) if not is_right(text, chunk)]
    assert wrong == []


@pytest.fixture(scope="module")
def web() -> Iterator[WebSettings]:
    """The sample sites on the loopback."""
    with ExitStack() as stack:
        sites = [path for path in (HERE / "web").iterdir() if path.is_dir()]
        origins = {f"https://{site.name}": stack.enter_context(served(site)) for site in sites}
        networks = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
        yield WebSettings(allow_networks=networks, origin_map=origins)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    [
        *("flare", "pdf", "mdx-dwc", "mdx-beginner", "mdx-db-modernization", "bbj-source"),
        *("advantage", "kb", "web-crawl"),
    ],
)
def test_the_place_of_a_chunk_is_marked(name: str, web: WebSettings, settings: object) -> None:
    settings.WEB = web  # type: ignore[attr-defined]
    source = Source.objects.get(name=name)
    parsed = output.read(source.parser, source.config(HERE))
    check([one for one in parsed if isinstance(one, ParsedDocument)])


@pytest.mark.corpus
@pytest.mark.parametrize(("parser", "path"), CORPUS)
def test_the_place_of_a_chunk_of_real_material_is_marked(
    parser: str, path: str, corpus: Path
) -> None:
    parsed = output.read(parser, SourceConfig("real", corpus, (path,)))
    check([one for one in parsed if isinstance(one, ParsedDocument)])


def test_a_sentence_within_a_paragraph_is_marked_alone() -> None:
    text = "First one. **Second** one here. Third."
    html = marked(text, text.index("**"), text.index(" Third"))
    assert marked_text(html) == "Secondonehere"
    assert "<strong><mark" in html


def test_emphasis_at_the_ends_of_the_part_stays() -> None:
    text = "One _ends._ _Two here._ _Three_ goes on."
    html = marked(text, text.index("_Two"), text.index(" _Three"))
    assert html.count("<em>") == 3
    assert marked_text(html) == "Twohere"


def test_some_cells_of_a_row_are_marked() -> None:
    text = "| a | b | c | d |\n|---|---|---|---|\n| one | two | three | four |\n"
    html = marked(text, text.index("two"), text.index(" | four"))
    assert marked_text(html) == "twothree"


def test_lines_of_a_code_block_are_marked() -> None:
    text = "```bbj\nlet a=1\nlet b=2\nlet c=3\n```\n"
    html = marked(text, text.index("let b"), text.index("\nlet c"))
    assert marked_text(html) == "letb2"


def test_what_looks_like_a_sign_of_ours_is_none() -> None:
    assert "mark" not in marked("a \ufdd0 b \ufdd1 c")
    assert "href" not in marked("[x y](javascript:1) z", 3, 21)


@pytest.mark.parametrize(
    ("head", "line"),
    [("```bbj\n", "let x = 1\n"), ("| a | b |\n|---|---|\n", "| cell | other |\n")],
)
def test_a_part_of_an_endless_block_is_shown_as_such(head: str, line: str) -> None:
    text = f"Before.\n\n{head}{line * 20_000}"
    middle = len(text) // 2
    start = text.index("\n", middle) + 1
    passage = around(text, start, start + len(line) - 1)
    assert passage.text.startswith(head)
    assert len(passage.text) < 2 * LARGEST_BLOCK
    html = marked(passage.text, passage.place(start), passage.place(start + len(line) - 1))
    assert marked_text(html) == words(line)


def test_an_endless_line_is_cut() -> None:
    assert len(around("x" * 1_000_000, 500_000, 500_100).text) < 2 * LARGEST_BLOCK
    assert len(around("x" * 1_000_000, 0, 1_000_000).text) < 2 * LARGEST_BLOCK
    [line] = numbered("x" * 1_000_000, 1, 600_000, 600_010)
    assert [text for text, is_marked in line.parts if is_marked] == ["x" * 10]
    assert sum(len(text) for text, _ in line.parts) < 5_000


def test_a_text_is_cut_outside_of_blocks() -> None:
    text = "One.\n\n```\na\n\nb\n```\n\n- item\n\n  more\n\nTwo."
    assert [text[at : at + 4] for at in block_starts(text)] == ["One.", "```\n", "- it", "Two."]
