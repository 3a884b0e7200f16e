"""The search page: bars, weak hits, pages of hits, modes side by side, and what is missed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from ingestion.admin import search
from ingestion.models import Document, Question
from ingestion.runs import token_vectors
from ingestion.search import retrievers
from tests.support.indexed import document, index

pytestmark = pytest.mark.django_db


@pytest.fixture
def stored(db: None) -> None:
    text = "Window number {n} holds controls of kind k{n}."
    things = [document(f"Window {n}", text.format(n=n)) for n in range(14)]
    index(*things, document("Weather", "Rain falls from clouds in autumn."))


def page(client: Client, **asked: str) -> str:
    return client.get(reverse("admin:search"), asked).content.decode()


def titles(html: str) -> list[str]:
    return re.findall(r'<a class="hit"[^>]*>([^<]*)</a>', html)


def test_hits_come_in_pages_that_do_not_overlap(admin_client: Client, stored: None) -> None:
    first, second = (titles(page(admin_client, q="window controls", page=n)) for n in "12")
    assert len(first) == 10
    assert len(second) >= 4
    assert not set(first) & set(second)


@pytest.mark.parametrize("number", ["0", "-1", "x", "9999999", "²", ""])
def test_a_page_that_is_none_is_the_first_or_last(
    admin_client: Client, stored: None, number: str
) -> None:
    answer = admin_client.get(reverse("admin:search"), {"q": "window", "page": number})
    assert answer.status_code == 200


@pytest.mark.parametrize("name", ["q", "document", "for", "source", "mode", "page"])
def test_characters_that_no_text_holds_are_left_out(
    admin_client: Client, stored: None, name: str
) -> None:
    asked = {"q": "window controls", name: "window\0 controls\x01"}
    assert admin_client.get(reverse("admin:search"), asked).status_code == 200


def test_a_question_is_kept_without_them(admin_client: Client, stored: None) -> None:
    asked = {"query": "window\0 controls\x01"}
    made = admin_client.get(reverse("admin:ingestion_question_answer"), asked)
    assert made.status_code == 302
    kept = admin_client.post(reverse("admin:ingestion_question_gap"), asked)
    assert kept.status_code == 302
    assert Question.objects.get().query == "window  controls"


def test_a_hit_without_the_words_is_called_weak(admin_client: Client, stored: None) -> None:
    html = page(admin_client, q="volcano lava eruption autumn")
    assert ">weak</span>" in html
    assert "without: " in html
    assert ">weak</span>" not in page(admin_client, q="window controls")


def test_a_hit_that_no_ranking_found_says_why_it_is_there(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrievers, "STATIC_PROVIDERS", frozenset())
    words = [" ".join(f"word{n}{number}" for number in range(150)) for n in range(60)]
    parts = [f"## Den {n}\n\nA marmot sleeps. {words[n]}." for n in range(60)]
    index(document("Marmots", "\n\n".join(parts)))
    html = "".join(page(admin_client, q="where a marmot sleeps", page=n) for n in "12345")
    assert re.search(r"Found beside others of its document, similarity 0\.\d\d</p>", html)
    assert 'class="scores"' in html


def test_passages_in_a_row_are_said_to_be_so(admin_client: Client, stored: None) -> None:
    words = [" ".join(f"word{n}{number}" for number in range(70)) for n in range(2)]
    parts = [f"## Part {n}\n\nA marmot sleeps in den {n}. {words[n]}." for n in range(2)]
    index(document("Marmots", "\n\n".join(parts)))
    html = page(admin_client, q="marmot den", mode="text")
    assert titles(html) == ["Marmots"]
    assert "2 passages in a row" in html


def test_a_hit_that_is_close_word_by_word_is_not_called_weak(
    admin_client: Client, stored: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "WEAK_MEANING", 2.0)  # above any similarity
    monkeypatch.setattr(search, "WEAK_LATELY", 0.4)
    asked = "do trees get wet in october"
    assert ">weak</span>" in _of("Weather", page(admin_client, q=asked))
    settings.LATE_INTERACTION = True
    list(token_vectors.steps())
    html = page(admin_client, q=asked)
    assert ">weak</span>" not in _of("Weather", html)
    assert ">weak</span>" in html


def _of(title: str, html: str) -> str:
    """What the page says of the hit with this title."""
    _, _, after = html.partition(f">{title}</a>")
    return after.partition('<a class="hit"')[0]


def test_the_modes_are_compared(admin_client: Client, stored: None) -> None:
    html = page(admin_client, q="window controls", compare="yes")
    assert all(f"<h2>{name}</h2>" in html for name in ("Both", "Words only", "Meaning only"))


def test_a_missed_document_is_chosen_and_explained(admin_client: Client, stored: None) -> None:
    assert "No document has" in page(admin_client, q="window", document="Volcano")
    html = page(admin_client, q="window", document="Window 1")
    assert "Which document do you miss?" in html
    weather = Document.objects.get(title="Weather")
    html = page(admin_client, q="controls of a window", document=str(weather.pk))
    assert "Words of the question it lacks: <strong>controls</strong>" in html
    html = page(admin_client, q="rain", document="Weather", source="other")
    assert "The filter keeps source other only" in html
