"""What late interaction adds to the order of hits, and what happens without its vectors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.db.models import QuerySet

from ingestion import access
from ingestion.embedding import minilm
from ingestion.embedding import token_vectors as vectors
from ingestion.models import Chunk, TokenVectors
from ingestion.runs import token_vectors
from ingestion.search import hybrid, late_interaction, search
from ingestion.search.query_expansion import query_terms
from ingestion.search.retrievers import Filters
from tests.support.indexed import document, index, source

pytestmark = pytest.mark.django_db

ASKED = "how can somebody else be kept from writing to the row I am working on"
SAID = "Locks"
PAGES = [
    document(SAID, "EXTRACT holds a record, and others wait until it is released."),
    document("Rows", "Somebody is writing about a row of houses, and I am working from home."),
    document("Work", "Work on what is kept; a row of people wait to be writing letters."),
    document("Grids", "A row of a grid is selected while somebody else is working."),
]


@pytest.fixture
def on(settings: Any) -> None:
    settings.LATE_INTERACTION = True
    late_interaction._asked.cache_clear()
    late_interaction.recent.begin()


def hash_of(title: str) -> str:
    return Chunk.objects.get(document__title=title).content_hash


def lose(rows: QuerySet[TokenVectors]) -> None:
    rows.delete()
    late_interaction.recent.begin()


def late() -> dict[str, float]:
    return {hit.title: hit.relevance.get("late", 0.0) for hit in search(ASKED).hits}


@pytest.mark.usefixtures("on")
def test_it_works() -> None:
    index(*PAGES)
    without = search(ASKED)
    list(token_vectors.steps())
    found = search(ASKED)
    assert not any("late" in hit.relevance for hit in without.hits)
    assert {hit.title for hit in found.hits} == {hit.title for hit in without.hits}
    assert sum(late().values()) == pytest.approx(0, abs=1e-9)
    assert any(late().values())
    for hit in found.hits:
        assert hit.score == pytest.approx(sum(hit.relevance.values()))


def test_it_can_be_turned_off(settings: Any) -> None:
    settings.LATE_INTERACTION = False
    index(*PAGES)
    list(token_vectors.steps())
    assert not any(late().values())


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize(
    ("asked", "title"), [("row of houses", "Rows"), ("row of a grid", "Grids")]
)
def test_one_whose_vectors_are_not_made_yet_keeps_its_place(asked: str, title: str) -> None:
    index(*PAGES)
    assert search(asked).hits[0].title == title
    list(token_vectors.steps())
    lose(TokenVectors.objects.filter(pk=hash_of(title)))
    first, *others = search(asked).hits
    assert first.title == title
    assert first.relevance["late"] == max(hit.relevance["late"] for hit in others)


@pytest.mark.usefixtures("on")
def test_with_few_vectors_the_order_is_that_without_any() -> None:
    index(*PAGES)
    list(token_vectors.steps())
    lose(TokenVectors.objects.filter(pk__in=[hash_of(page.title) for page in PAGES[:2]]))
    assert not any(late().values())


@pytest.mark.usefixtures("on")
def test_with_few_vectors_nothing_is_found_by_these_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has none yet would have to compete with it."""
    monkeypatch.setattr(hybrid, "dense_rankings", lambda *_, **__: iter(()))
    rows = [document(f"Row {n}", f"House {n} is in a row.") for n in range(4)]
    index(document("Line", "Buildings stand along a line."), *rows)
    list(token_vectors.steps())
    assert "Line" in found("row of houses")
    lose(TokenVectors.objects.exclude(pk=hash_of("Line")))
    assert {*found("row of houses")} == {f"Row {n}" for n in range(4)}


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize(
    ("query", "is_compared"),
    [("BBjGrid.setRow()", False), ("setRow", False), ("row", True), ("What is setRow for?", True)],
)
def test_a_name_alone_is_not_compared(query: str, is_compared: bool) -> None:
    index(*PAGES)
    list(token_vectors.steps())
    assert (hybrid.candidates(query).late is not None) == is_compared


@pytest.mark.usefixtures("on")
def test_a_word_that_is_there_as_it_is_counts_no_more_than_a_near_one() -> None:
    """What is said counts by itself already; its place among the nearest it keeps."""
    text = "A lighthouse keeper lights lamps."
    index(*PAGES, document("Lighthouse", text))
    list(token_vectors.steps())
    found = hybrid.candidates(text)
    assert found.late is not None
    [(at, same)] = [(n, hit) for n, hit in enumerate(found.hits) if hit.title == "Lighthouse"]
    [part] = [part for part in same.parts if part.ranking == late_interaction.LATE]
    assert part.value > 0.9
    counted, alike = found.late[at]
    assert counted == pytest.approx(late_interaction.NEAR_ENOUGH)
    assert alike > 0.9


@pytest.mark.usefixtures("on")
def test_a_hit_says_how_near_it_is_if_all_words_count_alike() -> None:
    index(*PAGES)
    list(token_vectors.steps())
    first, *others = search("row of a grid").hits
    assert first.title == "Grids"
    name = "late, words alike"
    assert first.relevance[name] > max(hit.relevance.get(name, 0.0) for hit in others)


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize(
    ("asked", "read"),
    [
        ("wich recrods are relaesed?", "wich record are releas?"),
        ("wiating for a gird", "wait for a grid"),
        ("a grid, and GIRD()", "a grid, and grid()"),
        ("arson in a house", "arson in a house"),  # a word that the model knows: not `person`
        ("zzyzx", "zzyzx"),
    ],
)
def test_a_slip_is_put_right(asked: str, read: str) -> None:
    index(*PAGES, document("Person", "A person has a record in a grid."))
    assert late_interaction.spelt(asked, query_terms(asked).corrected) == read


@pytest.mark.usefixtures("on")
def test_a_misspelt_word_is_compared_as_the_index_spells_it() -> None:
    index(*PAGES)
    list(token_vectors.steps())

    def near(query: str) -> dict[str, float]:
        found = hybrid.candidates(query)
        assert found.late is not None
        return dict(zip((hit.title for hit in found.hits), found.late.tolist(), strict=True))

    assert near("hold a recrod") == near("hold a record") != near("hold a house")


@pytest.mark.usefixtures("on")
def test_a_model_that_is_missing_costs_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(*PAGES)
    list(token_vectors.steps())
    (tmp_path / minilm.PACKAGE).mkdir()
    (tmp_path / minilm.PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    minilm.opened.cache_clear()
    try:
        found = search(ASKED)
    finally:
        minilm.opened.cache_clear()
    assert len(found.hits) == len(PAGES)
    assert "Late interaction is left out" in " ".join(found.notes)


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize("query", ["?!", "row", "漢字 row", "row " * 400])
def test_any_query_is_answered(query: str) -> None:
    index(*PAGES)
    list(token_vectors.steps())
    search(query)


@pytest.fixture
def alone(on: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else finds anything."""
    for name in ("name_rankings", "text_rankings", "dense_rankings"):
        monkeypatch.setattr(hybrid, name, lambda *_, **__: iter(()))


def found(asked: str = ASKED, **chosen: Any) -> list[str]:
    return [hit.title for hit in search(asked, **chosen).hits]


@pytest.mark.usefixtures("alone")
def test_it_finds_what_nothing_else_finds() -> None:
    index(*PAGES)
    assert found() == []
    list(token_vectors.steps())
    hits = search(ASKED).hits
    assert {hit.title for hit in hits} == {page.title for page in PAGES}
    assert {part.ranking for hit in hits for part in hit.parts} == {late_interaction.LATE}
    assert found(mode="text") == found(mode="dense") == []


@pytest.mark.usefixtures("alone")
def test_it_finds_within_filters_and_what_may_be_seen() -> None:
    index(*PAGES)
    index(document("Elsewhere", "EXTRACT holds a record, others wait."), into="other")
    list(token_vectors.steps())
    assert "Elsewhere" in found()
    assert found(sources=["other"]) == ["Elsewhere"]
    assert "Elsewhere" not in found(sources=["docs"])
    with access.granted(access.Access((source("other").pk,), frozenset({"search"}))):
        assert found() == ["Elsewhere"]


@pytest.mark.usefixtures("alone")
def test_it_finds_within_a_filter_that_keeps_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Filters, "keep_few", lambda *_: False)
    index(*PAGES)
    index(document("Elsewhere", "EXTRACT holds a record, others wait."), into="other")
    list(token_vectors.steps())
    assert found(sources=["other"]) == ["Elsewhere"]
    assert SAID in found(sources=["docs"])


@pytest.mark.usefixtures("alone")
def test_vectors_of_another_version_find_nothing() -> None:
    index(*PAGES)
    list(token_vectors.steps())
    TokenVectors.objects.update(version=vectors.VERSION - 1)
    assert found() == []


@pytest.mark.usefixtures("alone")
def test_one_document_does_not_fill_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_interaction, "PER_DOCUMENT_RANKED", 2)
    parts = "\n\n".join(f"## Part {n}\n\n{f'EXTRACT holds record {n}. ' * 50}" for n in range(9))
    index(document("Long", parts), *PAGES)
    list(token_vectors.steps())
    assert found(limit=20).count("Long") == 2


@pytest.mark.usefixtures("alone")
def test_a_text_of_many_documents_is_compared_a_few_times() -> None:
    same = "EXTRACT holds a record, and others wait until it is released."
    index(*(document(f"Copy {n}", same, title="Copy") for n in range(12)), *PAGES)
    list(token_vectors.steps())
    hits = hybrid.candidates(ASKED).hits
    copies = [hit for hit in hits if hit.title == "Copy"]
    assert len(copies) == late_interaction.OF_A_TEXT


def test_however_large_the_index_is_only_some_thousands_are_compared() -> None:
    compared = late_interaction.comparison(ASKED, {"writing": 5.0, "row": 6.0})
    assert compared is not None
    near = compared.asked.vectors @ vectors.projection().centroids.T
    shares = vectors.projection().shares
    numbers = []
    for chunks in (10_000, 1_000_000):
        chosen = late_interaction._chosen(near, compared.weights, chunks)
        numbers.append(len(chosen))
        _, *others = (shares[chosen] * chunks).tolist()
        assert sum(others) <= late_interaction.ROUGHLY
    assert numbers[0] > numbers[1] >= 1


@pytest.mark.usefixtures("on")
def test_what_was_compared_lately_is_not_read_again() -> None:
    index(*PAGES)
    list(token_vectors.steps())
    before = late()
    TokenVectors.objects.update(vectors=bytes(vectors.WIDTH))
    assert late() == before
    late_interaction.recent.begin()
    assert late() != before


@pytest.mark.usefixtures("on")
def test_a_process_keeps_so_many_vectors_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_interaction.recent, "most", 2)
    index(*PAGES)
    list(token_vectors.steps())
    before = late()
    assert len(late_interaction.recent.found) == 2
    assert late() == before


def test_a_forked_process_waits_for_no_thread_of_its_parent() -> None:
    with late_interaction.recent.lock:
        child = os.fork()
        if child == 0:
            os._exit(not late_interaction.recent.lock.acquire(timeout=5))
    assert os.waitpid(child, 0)[1] == 0
