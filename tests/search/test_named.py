"""Queries that name a class or a member: its entry is first, whatever else mentions it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.documents import ParsedDocument
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.output import read
from ingestion.search import retrievers, search
from ingestion.search.query_analysis import named
from ingestion.search.query_embedding import QueryVectors
from ingestion.search.results import Hit, Mode
from tests.support.indexed import document, index, pages

pytestmark = pytest.mark.django_db

CART = document(
    "Cart",
    "A cart of goods.\n\n- `isFull()`\n- `int countLocales(String name)`\n\n"
    "## `getLocale(String)`\n\n`getLocale(String name)`\n\nReturns the locale of the cart.\n\n"
    "## `getLocales()`\n\n`getLocales()`\n\nReturns the locales: getLocale returns the first.\n",
    whole_sections=True,
)
BASKET = document(
    "Basket",
    "## `getLocale()`\n\n`getLocale()`\n\nReturns the locale of a basket.\n",
    whole_sections=True,
)
TOPIC = document("Cart::fill", "Fills a cart with goods.\n\n## See also\n\nCart::isFull\n")
PROGRAM = document(
    "Shop.bbj",
    "## class public Shop implements Cart\n\n### method public void getLocale(String x!)\n\n"
    "```bbj\ncart!.getLocale(x!), cart!.getLocale(x!), cart!.getLocale(x!)\n```\n",
    whole_sections=True,
)
ESSAY = document(
    "About getLocale",
    "## Calling getLocale\n\nCart.getLocale and getLocale and getLocales and Cart.isFull: how "
    "getLocale differs from getLocales, what isFull says of a Cart, and why we fill a cart.\n",
)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievers, "query_vectors", QueryVectors())


@pytest.fixture
def stored() -> None:
    index(CART, BASKET, TOPIC, PROGRAM, ESSAY, *pages(40, "goods"))


def first(query: str, mode: Mode = "hybrid") -> tuple[str, str]:
    """Title and last heading of the best hit."""
    hit = search(query, mode=mode).hits[0]
    return hit.title, hit.heading_path[-1] if hit.heading_path else ""


@pytest.mark.parametrize("mode", ["hybrid", "text"])
@pytest.mark.parametrize(
    ("query", "title", "heading"),
    [
        ("Cart.getLocale", "Cart", "getLocale(String)"),
        ("Cart::getLocale", "Cart", "getLocale(String)"),
        ("cart::getlocale", "Cart", "getLocale(String)"),
        ("Cart.getLocale(name$)", "Cart", "getLocale(String)"),
        ("com.acme.Cart.getLocale", "Cart", "getLocale(String)"),
        ("Cart#getLocales()", "Cart", "getLocales()"),
        ("getLocales", "Cart", "getLocales()"),
        ("Basket.getLocale", "Basket", "getLocale()"),
        ("Cart.isFull", "Cart", ""),
        ("isFull()", "Cart", ""),
        ("Cart.countLocales", "Cart", ""),
        ("Cart::fill", "Cart::fill", ""),
    ],
)
def test_the_entry_of_a_name_is_first(
    query: str, title: str, heading: str, mode: Mode, stored: None
) -> None:
    assert first(query, mode) == (title, heading)


def test_what_an_entry_gains_is_among_its_contributions(stored: None) -> None:
    parts = search("Cart.getLocale").hits[0].parts
    assert "text of the name" in {part.ranking for part in parts}


def test_a_filter_holds_for_entries_too(stored: None) -> None:
    found = search("Cart.getLocale", doc_types=["example"])
    assert found.hits == ()


def test_a_name_without_an_entry_is_found_as_words(stored: None) -> None:
    assert search("Shelf.getLocale").hits


@pytest.mark.parametrize(
    "query", ["goods", "how to close", "Cart getLocale", 'open (lp,mode="PDF")"LP"', "21.13", "_._"]
)
def test_other_queries_are_asked_as_before(query: str, stored: None) -> None:
    rankings = {part.ranking for hit in search(query).hits for part in hit.parts}
    assert "text of the name" not in rankings


def test_a_word_that_may_be_no_name_does_not_outweigh_texts_about_it(stored: None) -> None:
    others = " ".join(f"`method{number}()`" for number in range(60))
    index(document("Door", f"- `close()`\n- `open()`\n\nAlso {others}", whole_sections=True))
    index(*(document(f"Close {n}", f"Close no. {n}: close the {n}th. Close!") for n in range(20)))
    assert first("close")[0].startswith("Clos")
    assert first("close()")[0] == "Door"


def test_a_long_query_costs_nothing() -> None:
    assert named("a." * 4000) is None


# Real material: each question names a member of a class of the API.
QUESTIONS = 40
LEAST_FIRST = 38
FORMS = ("{owner}.{name}", "{owner}::{name}", "{name}")


@pytest.mark.corpus
def test_of_forty_names_of_real_members_the_entry_is_first(corpus: Path) -> None:
    for source, parser in (("javadoc", "JavaDocParser"), ("bbj-source", "BbjSourceParser")):
        parsed = read(parser, SourceConfig(source, corpus, (source,)))
        index(*(one for one in parsed if isinstance(one, ParsedDocument)), into=source)
    asked = list(questions(corpus / "javadoc"))
    wrong = [query for query, url, name in asked if not is_entry(query, url, name)]
    assert len(asked) == QUESTIONS
    assert QUESTIONS - len(wrong) >= LEAST_FIRST, wrong


def questions(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Queries, each with the address of its class and the name of its member."""
    members = [
        (f"javadoc://{path.name}#{each['name']}", each["name"], name)
        for path in sorted(folder.glob("*.json"))
        for each in json.loads(path.read_text("utf-8-sig"))["classes"]
        for name in dict.fromkeys(method["name"] for method in each["methods"])
    ]
    chosen = random.Random(40).sample(members, QUESTIONS)
    for number, (url, owner, name) in enumerate(chosen):
        name = owner if name == "<init>" else name
        yield FORMS[number % len(FORMS)].format(owner=owner, name=name), url, name


def is_entry(query: str, url: str, name: str) -> bool:
    """Whether the first hit is the entry; for a name alone, an entry of that name of any class."""
    hit = search(query).hits[0]
    return describes(hit, name) and (query == name or hit.url == url)


def describes(hit: Hit, name: str) -> bool:
    heading = (hit.heading_path or ("",))[-1]
    listed = re.search(rf"(?m)^- `(?:\S+ )?{re.escape(name)}[(`]", hit.content)
    return bool(re.search(rf"\b{re.escape(name)}\(", heading) or listed)
