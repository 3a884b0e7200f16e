"""The pages of evaluations: figures, what fell with both lists, and how one is started and
stopped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from ingestion import tasks
from ingestion.models import Chunk, Document, Evaluation, Question
from ingestion.runs import evaluations
from ingestion.worker.cluster import Worker
from tests.admin.test_roles import person
from tests.support.indexed import document, index

pytestmark = pytest.mark.django_db


@pytest.fixture
def stored(db: None) -> None:
    fill()


def fill() -> None:
    index(document("Files", "The verb EXTRACT locks a record."), document("Windows", "A window."))
    ask("lock a record", "docs://Files", "locks a record", "natural")
    ask("window", "docs://Windows", "a window", "keyword")
    ask("volcano window", "docs://Volcano", "lava flows", "natural")


def ask(query: str, url: str, phrase: str, kind: str) -> None:
    passages = [{"document": url, "phrase": phrase}]
    Question.objects.create(query=query, kind=kind, passages=passages)


def evaluated() -> Evaluation:
    row = evaluations.request()
    tasks.evaluate(row.pk)
    return Evaluation.objects.get(pk=row.pk)


def shown(client: Client, row: Evaluation | None = None, **query: str) -> str:
    url = reverse("admin:evaluation", args=[row.pk]) if row else reverse("admin:search_quality")
    answer = client.get(url, query)
    assert answer.status_code == 200
    return answer.content.decode()


def started(client: Client, modes: str = "usual") -> str:
    there = reverse("admin:evaluation_start")
    return client.post(there, {"modes": modes}, follow=True).content.decode()


def test_without_questions_the_page_says_how_to_make_one(admin_client: Client) -> None:
    assert "There is no question yet" in shown(admin_client)
    assert "there is no question" in started(admin_client)
    assert not Evaluation.objects.exists()


def test_a_press_queues_one_and_shows_how_far_it_is(admin_client: Client, stored: None) -> None:
    assert "which were not asked yet" in shown(admin_client)
    assert "Asks the questions" in started(admin_client, "all")
    row = Evaluation.objects.get()
    assert row.modes == ["hybrid", "dense", "text"]
    assert row.requested_by is not None
    tasks.evaluate(row.pk)
    html = admin_client.get(reverse("admin:evaluation_live", args=[row.pk])).content.decode()
    assert "data-ended" in html
    assert "Figures by kind: words only" in html


def test_the_page_has_the_figures_by_kind_and_what_is_never_found(
    admin_client: Client, stored: None
) -> None:
    html = shown(admin_client, evaluated())
    rows = re.findall(r'<th scope="row">(?:<strong>)?(\w+).*?data-label="MRR">([\d.]+)', html)
    assert rows == [("All", "0.667"), ("keyword", "1.000"), ("natural", "0.500")]
    assert 'Never found <span class="quiet">1<' in html
    assert "volcano window" in html


def test_what_fell_is_shown_with_both_lists(admin_client: Client, stored: None) -> None:
    first = evaluated()
    index(document("Locks", "Lock a record, a record to lock."))
    html = shown(admin_client, evaluated())
    fell = html[html.index('id="fell-title"') : html.index('id="rose-title"')]
    assert "place 1 → place 2" in fell
    assert "lock a record" in fell
    now, before = fell.split("<h3>Before</h3>")
    assert now.index(">Locks<") < now.index(">Files<")
    assert ">Locks<" not in before
    assert before.count("state-ok") == 1
    assert f'since <a href="{reverse("admin:evaluation", args=[first.pk])}"' in html


def test_a_hit_leads_to_its_document_if_its_chunk_is_gone(
    admin_client: Client, stored: None
) -> None:
    row = evaluated()
    gone = Chunk.objects.get(document__url="docs://Windows")
    there = reverse("admin:ingestion_document_change", args=[gone.document_id])
    assert there not in shown(admin_client, row)
    gone.delete()
    assert there in shown(admin_client, row)
    Document.objects.all().delete()
    assert there not in shown(admin_client, row)


def test_figures_are_drawn_over_time(admin_client: Client, stored: None) -> None:
    evaluated()
    assert 'class="course"' not in shown(admin_client)
    index(document("Locks", "Lock a record, a record to lock."))
    evaluated()
    html = shown(admin_client)
    assert len(re.findall(r'<path class="dot line-mrr"', html)) == 2
    assert "MRR from 0.667 to 0.500" in html
    assert "MRR from 0.500 to 0.250" in shown(admin_client, kind="natural")
    assert "MRR from 0.667 to 0.500" in shown(admin_client, kind="no such kind")


def test_one_is_stopped(admin_client: Client, stored: None) -> None:
    row = evaluations.request()
    url = reverse("admin:evaluation_stop", args=[row.pk])
    html = admin_client.post(url, follow=True).content.decode()
    assert "was stopped before it began" in html
    assert "Stopped by admin." in html
    assert tasks.evaluate(row.pk).endswith("nothing to start.")


def test_a_viewer_sees_figures_and_starts_nothing(stored: None) -> None:
    row = evaluated()
    client = person("Viewer")
    assert "Measure now" not in shown(client)
    assert "Figures by kind" in shown(client, row)
    assert client.post(reverse("admin:evaluation_start")).status_code == 403
    assert client.post(reverse("admin:evaluation_stop", args=[row.pk])).status_code == 403
    assert person(None, "else").get(reverse("admin:search_quality")).status_code == 403


def test_a_manager_measures(stored: None) -> None:
    assert "Asks the questions" in started(person("Manager"))


def test_the_pages_ask_a_bounded_number_of_queries(
    admin_client: Client, stored: None, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        ask(f"window {number}", "docs://No", "no such words", "keyword")
    for number in range(5):
        index(document(f"Locks {number}", "Lock a record, a record to lock."))
        evaluated()
    with django_assert_max_num_queries(20):
        shown(admin_client)
    with django_assert_max_num_queries(20):
        shown(admin_client, Evaluation.objects.latest("pk"))


@pytest.fixture
def worker(transactional_db: None) -> Iterator[Worker]:
    worker = Worker(1)
    worker.start()
    yield worker
    worker.stop()


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1400])
def test_a_person_measures_and_sees_what_fell(worker: Worker, page: Page, width: int) -> None:
    fill()
    page.set_viewport_size({"width": width, "height": 844})
    page.goto("/admin/quality/search/")
    page.get_by_role("button", name="Measure now").click()
    expect(page.get_by_role("heading", name="Figures by kind")).to_be_visible()
    index(document("Locks", "Lock a record, a record to lock."))
    page.reload()
    page.get_by_role("button", name="Measure now").click()
    expect(page.get_by_role("heading", name="Fell 1")).to_be_visible()
    expect(page.get_by_text("place 1 → place 2")).to_be_visible()
    page.goto("/admin/quality/search/")
    expect(page.get_by_role("heading", name="Over time")).to_be_visible()
    for details in page.locator("details").all():
        details.evaluate("part => part.open = true")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
