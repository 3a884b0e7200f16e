"""The words of passages by number, and that those which are known count as any other."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.search.highlighting import Gains, snippet
from ingestion.search.lexicon import Lexicon, Lexicons, Text, lexicons
from ingestion.text import analyzer

GAINS = {"window": 4.0, "button": 3.0, "add": 1.0, "lock": 2.0, "21.13": 5.0, "wid*": 0.5}
WORDS = [
    "window",
    "Windows",
    "addButton",
    "LOCKED",
    "lock",
    "21.13",
    "width",
    "fenêtre",
    "the",
    "3",
]
texts = st.lists(st.sampled_from([*WORDS, "## ", "|", "\n", ".", "_"]), max_size=120).map(" ".join)


def test_a_word_is_near_to_itself_and_to_what_means_the_same() -> None:
    lexicon = Lexicon()
    read = lexicon.passages([Text(n, word, "") for n, word in enumerate(["Delete", "remove", "x"])])
    near = [lexicon.nearness(["delete"], passage.text).max() for passage in read]
    assert near[0] == pytest.approx(1, abs=1e-3)
    assert 0 < near[1] < 1
    assert near[2] < near[1]


def test_a_text_without_words_holds_and_means_nothing() -> None:
    lexicon = Lexicon()
    (read,) = lexicon.passages([Text(1, "--", "Window")])
    assert lexicon.nearness(["window"], read.text).tolist() == [[0]]
    assert lexicon.masks(read.text, ["window"], []).tolist() == [0]
    assert 1 in lexicon.masks(read.headings, ["window"], [])


def test_a_word_holds_the_terms_of_its_parts_and_what_it_begins_with() -> None:
    lexicon = Lexicon()
    (read,) = lexicon.passages([Text(1, "addButton", "")])
    terms = ["addbutton", "button", "addbut", "window"]
    assert lexicon.masks(read.text, terms, []).max() == 0b0011
    assert lexicon.masks(read.text, terms, ["addbut"]).max() == 0b0111


def test_a_text_that_has_changed_is_read_again() -> None:
    lexicon = Lexicon()
    for said, held in (("window", True), ("button", False)):
        (read,) = lexicon.passages([Text(1, said, "")])
        assert lexicon.masks(read.text, ["window"], []).any() == held


def test_a_word_longer_than_the_index_has_is_left_out() -> None:
    lexicon = Lexicon()
    lexicon.passages([Text(1, "a" * 5000, "b" * (analyzer.LONGEST_WORD + 1))])
    assert len(lexicon.numbers) == 1


def test_no_more_words_and_passages_are_kept_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingestion.search.lexicon.PASSAGES", 5)
    small = Lexicons(most=10)
    for number in range(100):
        lexicon = small.current()
        lexicon.passages([Text(number, f"word{number} more{number}", "")])
        assert len(lexicon.numbers) <= 12
        assert len(lexicon.read) <= 5


def test_threads_share_a_lexicon() -> None:
    lexicon = Lexicon()
    said = [" ".join(f"word{number * 7 % 500}" for number in range(n, n + 90)) for n in range(200)]

    def held(number: int) -> bool:
        (read,) = lexicon.passages([Text(number, said[number], "")])
        masks = lexicon.masks(read.text, [f"word{number * 7 % 500}", "absent"], [])
        return int(masks.max()) == 1

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(held, [*range(200)] * 3))


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=12)))
def test_a_word_gains_the_same_whether_it_is_known_or_not(words: list[str]) -> None:
    gains = {term: gain for term, gain in GAINS.items() if not term.endswith("*")}
    found = [word for text in words for word in analyzer.words(text)]
    lexicons.begin()
    new = [Gains(gains)[word] for word in found]
    lexicons.current().passages([Text(1, " ".join(words), "")])
    assert [Gains(gains)[word] for word in found] == new


@given(texts)
def test_a_snippet_marks_the_words_of_the_query_and_no_others(text: str) -> None:
    gains = Gains(GAINS)
    shown = snippet(text, gains)
    marked = [shown.text[mark.start : mark.end] for mark in shown.marks]
    inside = re.findall(r"\d+(?:\.\d+)+|\w+", shown.text)
    least = 0.2 * max((gains[word] for word in re.findall(r"[\w.]+", text)), default=0)
    assert marked == [word for word in inside if gains[word] and gains[word] >= least]
