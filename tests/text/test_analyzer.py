"""How texts become terms: identifiers whole and in parts, prose by its stems."""

from __future__ import annotations

import struct
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
import snowballstemmer
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from snowballstemmer.english_stemmer import EnglishStemmer

from ingestion.text import analyzer


def unpacked(packed: bytes) -> dict[str, list[tuple[int, int]]]:
    """Each term of a binary tsvector with its (position, weight)s."""
    (number,), at = struct.unpack_from(">I", packed), 4
    found: dict[str, list[tuple[int, int]]] = {}
    for _ in range(number):
        end = packed.index(b"\0", at)
        (count,) = struct.unpack_from(">H", packed, end + 1)
        places = struct.unpack_from(f">{count}H", packed, end + 3)
        found[packed[at:end].decode()] = [(place & 0x3FFF, place >> 14) for place in places]
        at = end + 3 + 2 * count
    assert at == len(packed)
    return found


def all_terms(text: str) -> set[str]:
    return set(unpacked(analyzer.vector("", "", text)))


def weights(title: str, header: str, content: str) -> dict[str, int]:
    found = unpacked(analyzer.vector(title, header, content))
    return {term: max(weight for _, weight in places) for term, places in found.items()}


def test_prose_is_found_by_its_stems() -> None:
    assert all_terms("Opening windows") == {"open", "window"}


@pytest.mark.parametrize(
    ("written", "whole", "parts"),
    [
        ("addButton", "addbutton", {"add", "button"}),
        ("PROCESS_EVENTS", "processev", {"process", "event"}),
        ("BBjWindow", "bbjwindow", {"bbj", "window"}),
        ("BBjAPI", "bbjapi", {"bbj", "api"}),
        ("HTMLView", "htmlview", {"html", "view"}),
        ("URLs", "url", set()),
        ("utf8", "utf8", {"utf", "8"}),
        ("_private", "privat", set()),
    ],
)
def test_an_identifier_is_found_whole_and_in_parts(
    written: str, whole: str, parts: set[str]
) -> None:
    assert all_terms(written) == {whole} | parts


@pytest.mark.parametrize(
    "spelling", ["processEvents", "process_events", "PROCESS_EVENTS", "ProcessEvents"]
)
def test_spellings_of_a_name_are_one_term(spelling: str) -> None:
    assert analyzer.forms(spelling).whole == analyzer.forms("processEvents").whole


def test_signs_around_names_are_passed_over() -> None:
    assert all_terms("window!.setCss(x$)") >= {"window", "setcss", "css", "x"}
    assert all_terms("!ERROR=26") == {"error", "26"}


def test_a_version_is_a_term_of_its_own() -> None:
    assert "25.00" in all_terms("since BBj 25.00")


def test_accents_do_not_matter() -> None:
    assert all_terms("Übergröße café") == all_terms("Ubergroße cafe")


@pytest.mark.parametrize("between", ["", " ", "x", "…" * 40])
def test_a_text_is_folded_as_its_characters_are(between: str) -> None:
    signs = [chr(code) for code in range(0xA0, 0x3000) if chr(code).isprintable()]
    signs += ["e\u0301", "\u1112\u1161\u11ab", "\ufb01", "\u1e9b\u0323"]
    decomposed = unicodedata.normalize("NFKD", between.join(signs))
    plain = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    assert analyzer.folded(between.join(signs)) == plain


def test_title_headings_and_keys_weigh_more_than_text() -> None:
    content = "# Codes\n\n| 11 | Record not found |\n|---|---|\n\nNothing else."
    found = weights("Errors", "Guide > Errors", content)
    assert found["error"] == analyzer.A
    assert found["guid"] == found["code"] == found["11"] == analyzer.B
    assert found["record"] == found["noth"] == analyzer.C


def test_a_hash_or_a_bar_in_code_is_no_heading_or_key() -> None:
    found = weights("", "", "```\n# remark\n| pipe | x |\n```")
    assert found["remark"] == found["pipe"] == analyzer.C


def test_endless_words_are_left_out() -> None:
    assert all_terms("x" * 200) == set()


@pytest.mark.django_db
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_postgresql_takes_any_vector(text: str) -> None:
    packed = analyzer.vector(text[:20], text[20:40], text[40:])
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS packed (v tsvector)")
        cursor.execute("TRUNCATE packed")
        with cursor.copy("COPY packed FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["bytea"])
            copy.write_row([packed])
        cursor.execute("SELECT coalesce(array_length(tsvector_to_array(v), 1), 0) FROM packed")
        stored = cursor.fetchone()[0]
    assert stored == len(unpacked(packed))


def test_a_vector_keeps_positions_within_postgresqls_bounds() -> None:
    packed = analyzer.vector("", "", " ".join(f"word{number}" for number in range(30_000)))
    assert len(packed) < 1_000_000


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("window", "window", 0),
        ("widnow", "window", 1),
        ("windo", "window", 1),
        ("addbuton", "addbutton", 1),
        ("abcd", "wxyz", 3),
        ("", "abc", 3),
    ],
)
def test_edits_count_a_swap_as_one(one: str, other: str, expected: int) -> None:
    assert analyzer.edits(one, other, 2) == expected


def test_searches_at_once_stem_their_own_words() -> None:
    said = [f"{word}{ending}" for word in "abcdefghijklmnop" for ending in ENDINGS]
    analyzer.stem.cache_clear()
    alone = [analyzer.stem(word) for word in said]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            analyzer.stem.cache_clear()
            with ThreadPoolExecutor(8) as pool:
                together = list(pool.map(analyzer.stem, said))
            assert together == alone
    finally:
        sys.setswitchinterval(interval)


ENDINGS = (
    "ationally",
    "fulness",
    "izations",
    "ousnesses",
    "ingly",
    "ements",
    "abilities",
    "icated",
)


def test_a_compiled_stemmer_gives_the_same_stems() -> None:
    compiled, pure = snowballstemmer.stemmer("english"), EnglishStemmer()
    words = "generally events windows happy skies dying running databases news sky's proceed"

    assert type(compiled) is not EnglishStemmer
    assert compiled.stemWords(words.split()) == pure.stemWords(words.split())


@given(st.text("abcdefghinostuyBX", min_size=1, max_size=9))
def test_no_word_is_foreign_to_its_own_terms(word: str) -> None:
    whole, parts = analyzer.forms(word)
    for term in (whole, *parts):
        assert not analyzer.is_foreign(word, analyzer.beginnings([term]))


def test_a_plain_word_that_begins_otherwise_is_foreign() -> None:
    beginnings = analyzer.beginnings(["window", "die"])
    assert analyzer.is_foreign("wall", beginnings)
    assert not analyzer.is_foreign("dying", beginnings)
    assert not analyzer.is_foreign("BBjWindow", beginnings)
