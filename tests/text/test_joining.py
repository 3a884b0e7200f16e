"""Consecutive chunks as one text."""

from __future__ import annotations

import time

from ingestion.chunking.chunker import Chunker
from ingestion.documents import ParsedDocument
from ingestion.text.joining import joined


def test_what_a_chunk_repeats_is_left_out() -> None:
    start = "The first sentence stands alone here. "
    shared = "This sentence is long enough to be known again. "
    assert joined([start + shared, shared + "And on."]) == f"{start}{shared}\n\nAnd on."
    assert joined(["A.", "B."]) == "A.\n\nB."


def test_code_that_was_cut_is_one_block_again() -> None:
    lines = [f'print "line {n} of a program that is long"' for n in range(120)]
    code = "```bbj\n" + "\n".join(lines) + "\n```"
    text = ParsedDocument(url="docs://long", title="Long", content=code, doc_type="example")
    chunks = [chunk.content for chunk in Chunker(size=200, overlap=40).chunk(text)]
    assert len(chunks) > 5
    assert joined(chunks) == code


def test_two_blocks_of_code_stay_two() -> None:
    first, second = "```bbj\nprint 1\n```", "```bbj\nprint 2\n```"
    assert joined([first, second]) == f"{first}\n\n{second}"


def test_the_time_for_code_that_was_cut_grows_in_proportion() -> None:
    def seconds(number: int) -> float:
        lines = [f'print "line {n} of a program that is long"' for n in range(20 * number + 5)]
        cuts = ["\n".join(lines[start : start + 25]) for start in range(0, 20 * number, 20)]
        chunks = [f"```bbj\n{cut}\n```" for cut in cuts]
        started = time.process_time()
        assert joined(chunks) == "```bbj\n" + "\n".join(lines) + "\n```"
        return time.process_time() - started

    few = min(seconds(200) for _ in range(5))
    assert min(seconds(3200) for _ in range(2)) < 5 * 16 * few
