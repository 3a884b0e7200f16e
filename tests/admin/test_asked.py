"""What people asked: the groups without a good answer, what is done about one, and what is kept."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from ingestion.admin import asked
from ingestion.models import AskedQuery, EmbeddingProfile, Question
from ingestion.search.query_log import query_log
from tests.admin.test_roles import person
from tests.support.indexed import document, index

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def logging(settings: Any) -> None:
    settings.QUERY_LOG_DAYS = 30


def log(query: str, trusted: float = 0.1, **fields: Any) -> AskedQuery:
    same = hashlib.md5(query.casefold().encode()).hexdigest()
    given = {"at": timezone.now(), "mode": "hybrid", "asked_by": "mcp", "hits": 3, **fields}
    return AskedQuery.objects.create(query=query, same=same, trusted=trusted, **given)


def page(client: Client) -> str:
    return client.get(reverse("admin:asked")).content.decode()


def gaps() -> list[tuple[str, bool]]:
    return [(gap.query, gap.kept is not None) for gap in asked.gaps()]


def test_what_was_not_answered_is_listed(admin_client: Client) -> None:
    log("kafka streams")
    log("opening a window", trusted=0.9)
    assert gaps() == [("kafka streams", False)]
    assert "kafka streams" in page(admin_client)


def test_a_question_leaves_when_its_answer_is_named() -> None:
    log("Kafka streams")
    log("mongo")
    Question.objects.create(query="kafka streams", expected=["docs://kafka"])
    assert gaps() == [("mongo", False)]


def test_the_others_of_the_same_meaning_leave_with_it() -> None:
    profile = EmbeddingProfile.objects.create(provider="p", model="m", dimensions=2)
    log("kafka streams", profile=profile, embedding=[1.0, 0.0])
    log("streams of kafka", profile=profile, embedding=[1.0, 0.1])
    Question.objects.create(query="kafka streams", expected=["docs://kafka"])
    assert gaps() == []


def test_a_gap_stays_whatever_the_log_says(admin_client: Client) -> None:
    log("kafka streams")
    log("mongo")
    for query in ("mongo", "asked long ago"):
        Question.objects.create(query=query)
    assert gaps() == [("mongo", True), ("asked long ago", True), ("kafka streams", False)]
    AskedQuery.objects.all().delete()
    assert {query for query, _ in gaps()} == {"mongo", "asked long ago"}
    assert page(admin_client).count(">gap</span>") == 2


def test_gaps_are_listed_while_nothing_is_kept_of_what_is_asked(
    admin_client: Client, settings: Any
) -> None:
    settings.QUERY_LOG_DAYS = 0
    Question.objects.create(query="mongo")
    html = page(admin_client)
    assert "QUERY_LOG_DAYS" in html
    assert "mongo" in html


def test_evaluating_a_question_does_not_count_as_asking_it(
    admin_client: Client, transactional_db: None
) -> None:
    index(document("Windows", "A window holds controls."))
    admin_client.get(asked.search_url("kafka streams"))
    query_log.finish(10)
    assert not AskedQuery.objects.exists()


def test_other_words_find_the_answer_to_what_was_asked(admin_client: Client) -> None:
    index(document("Windows", "A window holds controls."))
    given = {"q": "window controls", "for": 'Where\'s my "widget"?'}
    html = admin_client.get(reverse("admin:search"), given).content.decode()
    assert "Which hit answers “Where&#x27;s my &quot;widget&quot;?”?" in html
    link = re.findall(r'class="answer" href="([^"]*)"', html)[0].replace("&amp;", "&")
    form = admin_client.get(link, follow=True)
    initial = form.context["adminform"].form.initial
    assert initial["query"] == given["for"]
    assert initial["passages"][0]["document"] == "docs://Windows"
    assert "back=%2Fadmin%2Fasked%2F" in form.redirect_chain[-1][0]


def test_a_viewer_looks_and_names_nothing() -> None:
    log("kafka streams")
    client = person("Viewer")
    html = page(client)
    assert "kafka streams" in html
    assert "Evaluate" not in html
    shown = client.get(asked.search_url("kafka streams")).content.decode()
    assert "Keep as a gap" not in shown


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1400])
def test_a_logged_question_becomes_one_of_evaluations(page: Page, width: int) -> None:
    index(document("Files", "The verb EXTRACT locks a record. A lock lasts until the next READ."))
    log("lock a record")
    log("kafka streams")
    page.set_viewport_size({"width": width, "height": 844})
    page.goto("/admin/asked/")
    page.get_by_role("link", name="Evaluate: lock a record").click()
    page.get_by_role("link", name="This is the answer").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page).to_have_url(re.compile("/admin/asked/$"))
    expect(page.get_by_role("link", name="Evaluate: lock a record")).to_have_count(0)
    page.get_by_role("link", name="Evaluate: kafka streams").click()
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    page.get_by_role("button", name="Keep as a gap").click()
    expect(page).to_have_url(re.compile("/admin/asked/$"))
    row = page.get_by_role("row").filter(has_text="kafka streams").first
    expect(row.get_by_text("gap", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert [row.is_gap for row in Question.objects.order_by("pk")] == [False, True]
