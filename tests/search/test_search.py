"""What search finds, and in which order."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from threading import Event
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ingestion.embedding.configured import configured_embedder
from ingestion.exceptions import EmbedderUnavailable
from ingestion.index import hnsw, term_statistics
from ingestion.models import Chunk, Document, EmbeddingProfile
from ingestion.search import fetching, retrievers, search
from ingestion.search import query_embedding as vectors_module
from ingestion.search.highlighting import Gains, snippet
from ingestion.search.query_analysis import clauses, content_words, prose
from ingestion.search.query_embedding import QueryVectors, query_vectors
from ingestion.search.query_expansion import query_terms
from ingestion.search.results import Results
from ingestion.text.analyzer import words
from tests.support.indexed import document, index, pages, source

pytestmark = pytest.mark.django_db

WINDOW = document(
    "BBjWindow",
    "## Adding a button\n\n`BBjWindow::addButton(x, y, w, h, text$)` adds a push button to the "
    "window and gives back a BBjButton.\n\n"
    "## Events\n\nThe verb PROCESS_EVENTS waits for events and never comes back.\n",
    generations=("bbj_gui",),
)
CSS = document(
    "Styling",
    'A control takes a style by `button!.setCss("color", "red")` in the browser.\n',
    generations=("dwc",),
    doc_type="tutorial",
)
ERRORS = document(
    "BBj Error Codes",
    "| Error | Meaning |\n|---|---|\n| 2 | End of file |\n| 11 | Record not found |\n"
    "| 26 | String of the wrong form |\n\n`!ERROR=26` is what a program sees.\n",
)
FILES = document(
    "Files",
    "A keyed file is opened on a channel. The verb EXTRACT reads a record and locks it, so that "
    "no other user can change it.\n",
)
LICENCE = "Permission is hereby granted, free of charge, to any person who opens a window. " * 4


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No vector or embedder of another test's profiles."""
    monkeypatch.setattr(retrievers, "query_vectors", QueryVectors())


@pytest.fixture
def stored() -> EmbeddingProfile:
    return index(WINDOW, CSS, ERRORS, FILES, *pages(12, "accounting"))


def titles(results: Results) -> list[str]:
    return [hit.title for hit in results.hits]


def first(query: str, **options: Any) -> str:
    return titles(search(query, **options))[0]


def test_it_finds_the_passage_that_answers(stored: EmbeddingProfile) -> None:
    hit = search("How do I lock a record against other users?").hits[0]
    assert hit.title == "Files"
    assert "EXTRACT" in hit.content
    assert hit.url == "docs://Files"
    assert hit.source == "docs"


@pytest.mark.parametrize("mode", ["hybrid", "dense", "text"])
def test_each_mode_finds_by_itself(stored: EmbeddingProfile, mode: Any) -> None:
    assert first("lock a record of a keyed file", mode=mode) == "Files"


@pytest.mark.parametrize(
    "query",
    [
        "addButton",
        "BBjWindow::addButton",
        "add button",
        "add a button",
        "addbutton",
        "ADDBUTTON(",
        "window!.addButton(",
        "addBut",
        "addButon",
        "PROCESS_EVENTS",
        "process events",
        "processEvents",
    ],
)
def test_spellings_of_a_name_find_each_other(stored: EmbeddingProfile, query: str) -> None:
    assert first(query) == "BBjWindow"


@pytest.mark.parametrize("query", ["setCss(", "set css", "setcss", "setCs"])
def test_a_method_is_found_by_any_spelling(stored: EmbeddingProfile, query: str) -> None:
    assert first(query) == "Styling"


@pytest.mark.parametrize("query", ["BBj error 11", "error 26", "!ERROR=26", "ERR 11"])
def test_a_number_reaches_the_row_that_explains_it(stored: EmbeddingProfile, query: str) -> None:
    assert first(query) == "BBj Error Codes"


@pytest.mark.parametrize(
    ("query", "expected"),
    [("widnow buton", "BBjWindow"), ("recrod locked by anothr usr", "Files")],
)
def test_words_with_typos_are_understood(
    stored: EmbeddingProfile, query: str, expected: str
) -> None:
    results = search(query, mode="text")
    assert titles(results)[0] == expected
    assert results.corrected


def test_swapped_letters_are_the_likelier_slip() -> None:
    """`wiat` has more in common with each of the others, which are in more texts, than with `wait`,
    of which it has the first letter only."""
    alike = [f"wia{letter}" for letter in "bcdefghjklmnpqrs"] + ["wilt"] * 3
    index(document("Wait", "One wait."), *(document(f"N{n}", w) for n, w in enumerate(alike)))
    assert search("wiat", mode="text").corrected["wiat"][0] == "wait"


def test_two_words_written_as_one_are_taken_apart(stored: EmbeddingProfile) -> None:
    results = search("keyedfile", mode="text")
    assert titles(results)[0] == "Files"
    assert results.corrected == {"keyedfil": ("key", "file")}


def test_not_all_words_need_to_be_there(stored: EmbeddingProfile) -> None:
    assert first("extract sqlite zebra kangaroo", mode="text") == "Files"


def test_a_question_for_two_things_brings_both(stored: EmbeddingProfile) -> None:
    both = "How do I lock a record and how do I give a control a style in the browser?"
    assert set(titles(search(both))[:2]) == {"Files", "Styling"}


def test_the_best_of_each_part_stands_above_the_rest(stored: EmbeddingProfile) -> None:
    index(*(document(f"Lock {n}", f"Lock a record, way {n} of many to lock.") for n in range(6)))
    results = search("How do I lock a record? What does setCss do?", mode="text")
    assert "Styling" in titles(results)[:2]
    assert {part.clause for part in results.hits[0].parts} == {0, 1}


def test_a_slip_of_a_letter_is_mended_before_a_word_is_taken_apart() -> None:
    index(document("Starting", "A starter of programs."), document("Sky", "A star and ten more."))
    assert dict(search("starten", mode="text").corrected) == {"starten": ("starter",)}


def test_a_question_for_one_thing_is_not_split() -> None:
    assert clauses("How do I open and read a keyed file?") == []
    assert len(clauses("What is a channel? How do I add a button?")) == 2


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("ON GOTO label", "ON GOTO label"),
        ("IF THE FILE IS OPEN", "FILE OPEN"),
        ("to be or not to be", "to be or not to be"),
        ("Wie sperre ich einen Record?", "sperre Record"),
        ("the MIT licence and die size", "MIT licence die size"),
    ],
)
def test_words_of_any_sentence_are_left_out(query: str, kept: str) -> None:
    assert content_words(words(query)) == kept.split()


def test_a_german_question_is_a_question() -> None:
    assert prose("Wie sperre ich einen Satz?") == 1.0
    assert len(clauses("Wie sperre ich einen Satz und wie gebe ich ihn frei?")) == 2


def test_a_list_counts_by_how_clearly_its_first_stands_out() -> None:
    weights = {}
    for name, best in {"clear": 0.9, "vague": 0.401}.items():
        values = ", ".join(f"({n}, {n}, {best if n == 1 else 0.4}::float8)" for n in range(1, 101))
        sql = f"SELECT * FROM (VALUES {values}) AS v(id, place, value)"
        ranking = retrievers.Ranking(name, 0, 1.0, sql, [], retrievers.STANDS_OUT)
        with connection.cursor() as cursor:
            cursor.execute(fetching.weighed(0, ranking), [1.0])
            weights[name] = cursor.fetchone()[1]
    assert weights == {"clear": 1.0, "vague": fetching.LEAST_TRUST}


def test_a_comparison_asks_for_both_sides() -> None:
    assert clauses("Difference between BBjWindow and BBjChildWindow") == [
        "BBjWindow",
        "BBjChildWindow",
    ]
    assert clauses("DWC vs. BUI") == ["DWC", "BUI"]
    assert clauses("How do I compare two dates?") == []


def test_a_long_text_is_asked_by_its_rarest_words(stored: EmbeddingProfile) -> None:
    log = " ".join(f"line {number} of the window" for number in range(300))
    assert "extract" in {wanted.term for wanted in query_terms(f"{log} EXTRACT").wanted}
    assert len(query_terms(" ".join(WINDOW.content.split() * 40)).wanted) <= 48


def test_words_before_the_first_count_are_found() -> None:
    index(WINDOW, FILES, count=False)
    assert first("addButton", mode="text") == "BBjWindow"


def test_a_document_fills_only_four_places_while_there_are_others(stored: EmbeddingProfile) -> None:
    sections = "\n\n".join(
        f"## Window part {n}\n\n" + f"Opening a window, way {n}: {'window detail ' * 80}word{n}."
        for n in range(8)
    )
    index(document("Long", sections), document("Short", "Opening a window in one line."))
    found = titles(search("opening a window", limit=6))
    assert found.count("Long") == 4
    assert "Short" in found


def ways(*found: int, of: int = 6, words: int = 60) -> str:
    """A text of some sections, some of which tell of a window."""
    told = {n: f"Opening a window, way {n}." for n in found}
    fillers = [" ".join(f"word{n}{word}" for word in range(words)) for n in range(of)]
    return "\n\n".join(
        f"## Part {n}\n\n{told.get(n, '')} {filler} end{n}." for n, filler in enumerate(fillers)
    )


def test_passages_in_a_row_are_one_hit(stored: EmbeddingProfile) -> None:
    index(document("Ways", ways(1, 2, 4)))
    results = search("opening a window", limit=6, mode="text")
    hits = [hit for hit in results.hits if hit.title == "Ways"]
    held = [[n for n in range(6) if f"end{n}." in hit.content] for hit in hits]
    assert sorted(held) == [[1, 2], [4]]
    both = hits[held.index([1, 2])]
    chunks = Chunk.objects.filter(document__title="Ways", ordinal__in=(1, 2)).order_by("ordinal")
    assert both.chunk_ids == tuple(chunk.pk for chunk in chunks)
    assert both.content == "\n\n".join(chunk.content for chunk in chunks)
    best = chunks.get(pk=both.chunk_id)
    assert both.heading_path == tuple(best.heading_path)
    assert (" ".join(both.snippet.split()[:4])) in " ".join(best.content.split())


def test_no_more_passages_are_one_hit_than_are_read_at_a_glance(stored: EmbeddingProfile) -> None:
    index(document("Ways", ways(*range(6), words=80)))
    hits = [hit for hit in search("opening a window", limit=6).hits if hit.title == "Ways"]
    assert sum(len(hit.chunk_ids) for hit in hits) == Chunk.objects.filter(title="Ways").count()
    assert 3 <= len(hits) < 6
    assert all(len(hit.content) <= 2000 for hit in hits)


def test_what_a_longer_list_joins_a_shorter_one_does(stored: EmbeddingProfile) -> None:
    index(document("Ways", ways(*range(6))))
    short, long = search("opening a window", limit=4), search("opening a window", limit=60)
    assert [hit.chunk_ids for hit in short.hits] == [hit.chunk_ids for hit in long.hits[:4]]


def test_where_one_document_is_all_there_is_it_fills_the_list() -> None:
    sections = "\n\n".join(f"## Part {n}\n\n" + f"window {n} word{n} " * 80 for n in range(5))
    index(document("Only", sections))
    assert len(search("window", limit=4).hits) == 4


def test_the_same_text_in_many_documents_stands_once(stored: EmbeddingProfile) -> None:
    index(*(document(f"Licensed {n}", LICENCE) for n in range(6)))
    found = titles(search("who opens a window", limit=8))
    assert sum(title.startswith("Licensed") for title in found) == 1
    assert "BBjWindow" in found


def test_the_head_of_many_programs_does_not_crowd_the_list(stored: EmbeddingProfile) -> None:
    head = "rem This file is part of the plugin and comes without any warranty."
    own = ["reads the customers", "prints bills", "draws charts", "sends letters by night"]
    index(*(document(f"{text}.bbj", f"```bbj\n{head}\nrem it {text}\n```") for text in own))
    index(document("Terms", "Whether there is a warranty for a plugin is said in its contract."))
    found = titles(search("warranty of the plugin", limit=6))
    assert sum(title.endswith(".bbj") for title in found[:3]) == 1
    assert "Terms" in found[:2]


def test_filters_keep_what_carries_any_of_their_values(stored: EmbeddingProfile) -> None:
    index(document("Other", "A window of another source."), into="other")
    assert titles(search("window", sources=["other"])) == ["Other"]
    assert set(titles(search("button", generations=["dwc"]))) == {"Styling"}
    assert set(titles(search("button", doc_types=["tutorial"]))) == {"Styling"}
    both = titles(search("button", generations=["dwc", "bbj_gui"]))
    assert set(both) == {"Styling", "BBjWindow"}


def test_a_filter_that_names_nothing_stored_says_what_there_is(stored: EmbeddingProfile) -> None:
    (note,) = search("button", generations=["dvk"]).notes
    assert note.startswith("No document has the generation dvk: there are ")
    assert "bbj_gui, dwc" in note
    (note,) = search("button", doc_types=["novel", "poem"]).notes
    assert note.startswith("No document has the type novel or poem: there are ")
    assert search("button", generations=["dvk", "dwc"]).notes == ()


def test_a_filter_that_nothing_passes_finds_nothing(stored: EmbeddingProfile) -> None:
    assert search("window", sources=["nowhere"]).hits == ()
    assert search("window", generations=["b\0d"]).hits == ()


def test_deprecated_documents_stand_at_the_end(stored: EmbeddingProfile) -> None:
    index(document("Old", "PROCESS_EVENTS PROCESS_EVENTS", deprecated=True))
    assert titles(search("PROCESS_EVENTS"))[-1] == "Old"
    assert "Old" in titles(search("PROCESS_EVENTS", include_deprecated=True))[:2]
    assert "Old" not in titles(search("PROCESS_EVENTS", include_deprecated=False))


def test_the_order_is_the_same_each_time(stored: EmbeddingProfile) -> None:
    once = [hit.chunk_id for hit in search("page about accounting").hits]
    assert all([h.chunk_id for h in search("page about accounting").hits] == once for _ in "123")


def test_equal_hits_are_ordered_by_their_ids() -> None:
    index(*(document(f"Twin {n}", f"equal words, number{n}") for n in range(4)))
    ids = [hit.chunk_id for hit in search("equal words", mode="text").hits]
    assert ids == sorted(ids)


def test_hits_say_what_each_ranking_gave(stored: EmbeddingProfile) -> None:
    hit = search("addButton").hits[0]
    names = [part.ranking for part in hit.parts]
    assert names == ["text", f"dense {stored}"]
    assert hit.parts[0].place == 1
    assert 0 < hit.parts[1].value <= 1
    assert hit.near == pytest.approx(hit.parts[1].value)
    assert hit.score == pytest.approx(sum(hit.relevance.values()))
    hit = search("addButton", mode="text").hits[0]
    gained = sum(part.weight / (10 + part.place) for part in hit.parts)
    assert hit.score == pytest.approx(gained)


def test_a_stub_stands_below_a_text_that_says_as_much() -> None:
    text = " ".join(f"It reads line {number} of the file and checks it." for number in range(12))
    index(document("Stub", "readLedger"), document("Told", f"readLedger\n\n{text}"))
    assert titles(search("readLedger", mode="text")) == ["Told", "Stub"]


@pytest.mark.parametrize(
    ("name", "fields", "place", "link"),
    [
        ("a/b.bbj", {}, {"start_line": 7}, "docs://a/b.bbj, line 7"),
        (
            "a/b.bbj",
            {"display_url": "https://x.y/b.bbj"},
            {"start_line": 7},
            "https://x.y/b.bbj, line 7",
        ),
        ("a/b.md", {"display_url": "https://x.y/b"}, {"start_line": 7}, "https://x.y/b"),
        ("c.pdf", {}, {"start_page": 3}, "docs://c.pdf, page 3"),
        ("c.pdf", {"display_url": "c.pdf#page=3"}, {"start_page": 3}, "c.pdf#page=3"),
    ],
)
def test_a_link_says_the_line_only_of_the_file_it_leads_to(
    name: str, fields: dict[str, str], place: dict[str, int], link: str
) -> None:
    index(document(name, "A ledger.", **fields))
    Chunk.objects.update(**{"start_line": None, **place})
    assert search("ledger").hits[0].link == link


def test_search_asks_the_server_for_the_hits_once(stored: EmbeddingProfile) -> None:
    search("addButton")
    with CaptureQueriesContext(connection) as queries:
        search("How do I lock a record and how do I add a button?")
    assert sum("hnsw.iterative_scan" in query["sql"] for query in queries) == 1


def test_the_index_is_used(stored: EmbeddingProfile) -> None:
    assert stored.index_name in plan(stored, retrievers.Filters())


def test_what_a_filter_keeps_few_of_is_compared_one_by_one(
    stored: EmbeddingProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    filters = retrievers.Filters(sources=["docs"])
    assert filters.keep_few(chunks=1_000)
    assert stored.index_name not in plan(stored, filters, exact=True)
    monkeypatch.setattr(retrievers, "LEAST_FEW", 2)
    assert not filters.keep_few(chunks=0)
    assert filters.keep_few(chunks=1_000_000)
    assert not retrievers.Filters().keep_few(chunks=1_000_000)


def test_a_model_that_comes_into_use_meanwhile_is_asked_as_well(
    stored: EmbeddingProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may store the first documents of another model after a search has looked which are in
    use: the query's vector takes its time."""
    other = EmbeddingProfile.objects.create(
        provider="wordllama", model="other", digest="", dimensions=stored.dimensions
    )
    vector = query_vectors.vector

    def slow(profile: EmbeddingProfile, text: str) -> str:
        Chunk.objects.filter(document__title="Files").update(profile=other)
        return vector(stored, text)

    monkeypatch.setattr(query_vectors, "vector", slow)
    assert "Files" in titles(search("EXTRACT locks a record", mode="dense"))


def plan(profile: EmbeddingProfile, filters: retrievers.Filters, *, exact: bool = False) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    hnsw.build(profile)
    vector = query_vectors.vector(profile, "window")
    ranking = retrievers.dense_ranking(0, 1.0, profile, vector, filters, exact=exact)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {ranking.sql}", list(ranking.parameters))
        return "\n".join(row[0] for row in cursor.fetchall())


@pytest.mark.parametrize(
    "query",
    [
        "' & | ! <-> :* \\ ()",
        "'; DROP TABLE ingestion_chunk; --",
        "%s %(x)s {} %",
        "a\0b",
        "window \ud800",
        "💥 emoji",
        "שלום עולם",
        "日本語のテキスト",
        "x" * 9000,
        "window " * 1200,
        "_ __ ___",
    ],
)
@pytest.mark.parametrize("mode", ["hybrid", "text"])
def test_any_query_gets_a_clean_answer(stored: EmbeddingProfile, query: str, mode: Any) -> None:
    results = search(query, mode=mode)
    assert results.query == query
    assert Document.objects.filter(title="BBjWindow").exists()


@pytest.mark.parametrize("query", ["", "   ", "\0", "?!", "___"])
def test_a_query_without_a_word_says_so(stored: EmbeddingProfile, query: str) -> None:
    results = search(query)
    assert results.hits == ()
    assert results.notes == ("The query holds no word to search for.",)


def test_an_empty_index_finds_nothing() -> None:
    assert search("window").hits == ()


@pytest.mark.parametrize("options", [{"mode": "best"}, {"limit": 0}, {"limit": 101}])
def test_what_cannot_be_asked_is_refused(options: Any) -> None:
    with pytest.raises(ValueError, match=r"mode|limit"):
        search("window", **options)


# -- profiles


def in_another_model(title: str, **fields: Any) -> EmbeddingProfile:
    """Say that a document was embedded with a model that is not the configured one."""
    facts = {"provider": "ollama", "model": "gone", "digest": "old", "dimensions": 256, **fields}
    profile = EmbeddingProfile.objects.create(**facts)
    Chunk.objects.filter(title=title).update(profile=profile)
    return profile


def test_chunks_of_a_model_that_is_gone_are_found_by_text(
    stored: EmbeddingProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(settings: Any) -> Any:
        raise EmbedderUnavailable("Nobody answers.")

    monkeypatch.setattr(vectors_module, "open_embedder", unreachable)
    gone = in_another_model("Files")
    results = search("lock a record")
    assert "Files" in titles(results)[:2]
    assert results.notes == (f"Chunks of {gone} were found by their text alone: Nobody answers.",)


def test_each_profile_is_asked_by_its_own_model(
    stored: EmbeddingProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Other:
        digest, dimensions = "old", 256

        def embed_query(self, text: str) -> Any:
            asked.append(text)
            return configured_embedder().embed_query(text)

    monkeypatch.setattr(vectors_module, "open_embedder", lambda settings: Other())
    other = in_another_model("Files")
    results = search("lock a record", mode="dense")
    assert asked == ["lock a record"]
    names = {part.ranking for hit in results.hits for part in hit.parts}
    assert names == {f"dense {stored}", f"dense {other}"}
    assert results.notes == ()


def test_a_model_that_is_another_version_by_now_is_not_asked(stored: EmbeddingProfile) -> None:
    in_another_model("Files", provider="wordllama", model=stored.model, dimensions=256)
    results = search("lock a record")
    assert "another version" in results.notes[0]
    assert "Files" in titles(results)[:2]


def test_an_embedder_that_is_down_is_tried_again_after_a_while(
    stored: EmbeddingProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [100.0]
    vectors = QueryVectors(clock=lambda: times[0])
    opened = []

    class Weak:
        digest, dimensions = stored.digest, stored.dimensions

        def embed_query(self, text: str) -> Any:
            raise EmbedderUnavailable("Down.")

    def opening() -> Any:
        opened.append(times[0])
        return Weak()

    monkeypatch.setattr(vectors_module, "configured_embedder", opening)
    for _ in range(3):
        with pytest.raises(vectors_module.NotAskable, match="Down"):
            vectors.vector(stored, "window")
    times[0] += 60
    with pytest.raises(vectors_module.NotAskable):
        vectors.vector(stored, "window")
    assert opened == [100.0, 160.0]


@pytest.mark.parametrize("hangs", ["opening", "embedding"])
def test_an_embedder_that_hangs_holds_no_search_for_long(
    stored: EmbeddingProfile, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    """Nor do searches wait for each other, and later ones are answered at once."""
    vectors, released = QueryVectors(), Event()

    class Hanging:
        digest, dimensions = stored.digest, stored.dimensions

        def __init__(self) -> None:
            if hangs == "opening":
                released.wait(30)

        def embed_query(self, text: str) -> Any:
            released.wait(30)
            raise EmbedderUnavailable("Down.")

    monkeypatch.setattr(vectors_module, "configured_embedder", Hanging)
    monkeypatch.setattr(vectors_module, "PATIENCE", 0.5)

    def asked(_: int) -> str:
        with pytest.raises(vectors_module.NotAskable) as refused:
            vectors.vector(stored, "window")
        return str(refused.value)

    begun = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(asked, range(6))) == {"It did not answer within 0.5 s."}
    assert time.monotonic() - begun < 2.5, "six times 0.5, one after the other, would be 3"
    released.set()


def test_a_querys_vector_is_kept_briefly(
    stored: EmbeddingProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [100.0]
    vectors = QueryVectors(clock=lambda: times[0])
    embedder = configured_embedder()
    asked = []

    class Counting:
        digest, dimensions = stored.digest, stored.dimensions

        def embed_query(self, text: str) -> Any:
            asked.append(text)
            return embedder.embed_query(text)

    monkeypatch.setattr(vectors_module, "configured_embedder", Counting)
    assert vectors.vector(stored, "window") == vectors.vector(stored, "window")
    times[0] += vectors_module.KEPT_SECONDS + 1
    vectors.vector(stored, "window")
    assert asked == ["window", "window"]


# -- vocabulary and snippets


def test_a_rare_term_gains_more_than_a_common_one(stored: EmbeddingProfile) -> None:
    gains = query_terms("extract page").gains
    assert gains["extract"] > 2 * gains["page"]


def test_counts_follow_what_is_stored(stored: EmbeddingProfile) -> None:
    counts, chunks = term_statistics.counts(["extract", "nonsens"])
    assert counts == {"extract": 1}
    assert chunks == Chunk.objects.count()
    Document.objects.filter(title="Files").delete()
    term_statistics.rebuild()
    assert term_statistics.counts(["extract"])[0] == {}


def test_a_beginning_with_signs_of_patterns_is_taken_by_the_letter(
    stored: EmbeddingProfile,
) -> None:
    assert term_statistics.completions(["ad%", "___", "a\\d"]) == {}


def test_beginnings_are_looked_up_in_an_index(
    stored: EmbeddingProfile,
) -> None:
    asked = term_statistics._BEGINNING
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(
            "EXPLAIN " + asked.replace("{terms}", "ingestion_searchterm"), [["extr", "win"], 8]
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")
    assert "Index Cond" in plan
    assert "~>~" in plan
    assert term_statistics.completions(["extr"]) == {"extr": {"extract": 1}}


def test_a_snippet_shows_the_best_stretch_with_its_hits() -> None:
    content = "Nothing here. " * 60 + "The verb EXTRACT locks a record. " + "More text. " * 60
    cut = snippet(content, Gains({"extract": 5.0, "lock": 3.0, "record": 2.0}))
    assert "**EXTRACT** **locks** a **record**" in cut.marked()
    assert len(cut.text) < 320
    assert "".join(text for text, _ in cut.parts()) == cut.text


def test_a_snippet_marks_no_word_that_hardly_counts() -> None:
    cut = snippet("A BBjString of addButton", Gains({"bbj": 0.5, "addbutton": 6.0}))
    assert cut.marked() == "A BBjString of **addButton**"


def test_a_snippet_of_code_leaves_its_fence_out() -> None:
    cut = snippet("```bbj\nprint 1\n```\n\n## Head\n\n| a | b |\n|---|---|\n| c | d |", Gains({}))
    assert cut.text == "print 1 Head | a | b | | c | d |"
    assert cut.marks == ()


# -- the command


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("search", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_shows_title_link_and_marked_snippet(
    stored: EmbeddingProfile, capsys: pytest.CaptureFixture[str]
) -> None:
    run("lock a record", "--limit", "1")
    shown = capsys.readouterr().out
    assert "1. Files" in shown
    assert "docs://Files" in shown
    assert "**record**" in shown


def test_the_command_gives_json(stored: EmbeddingProfile) -> None:
    out, _ = run("lock a record", "--limit", "1", "--json")
    assert json.loads(out)["hits"][0]["title"] == "Files"


def test_the_command_says_what_it_understood(stored: EmbeddingProfile) -> None:
    _, err = run("widnow", "--json", "--mode", "text")
    assert err == ""
    _, err = run("widnow", "--mode", "text")
    assert "searched for window" in err


def test_the_command_names_the_sources_there_are(stored: EmbeddingProfile) -> None:
    with pytest.raises(CommandError, match=r"no source 'nope'.*docs"):
        run("window", "--source", "nope")
    with pytest.raises(CommandError, match="limit of 0"):
        run("window", "--limit", "0")


def test_a_source_without_documents_is_a_source(stored: EmbeddingProfile) -> None:
    source("empty")
    assert run("window", "--source", "empty", "--json")[1] == ""
