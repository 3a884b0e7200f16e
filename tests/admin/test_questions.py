"""Questions in the admin: typed, taken from a result in two clicks, imported and exported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from ingestion.models import Chunk, Document, Question
from ingestion.search import evaluation, questions
from ingestion.search.phrases import phrase_of
from tests.admin.test_roles import person
from tests.support.indexed import document, index

pytestmark = pytest.mark.django_db
SAMPLE = Path(__file__).parents[1] / "data" / "questions_passages.jsonl"


@pytest.fixture
def stored(db: None) -> None:
    index(
        document("Files", "The verb EXTRACT locks a record. A lock lasts until the next READ."),
        document("Windows", "A window holds controls."),
        document("More windows", "Another window."),
    )


def url(name: str, *args: Any) -> str:
    return reverse(f"admin:ingestion_question_{name}", args=args)


def typed(*passages: tuple[str, str], **fields: Any) -> dict[str, Any]:
    return {
        "query": "How is a record locked?",
        "kind": "question",
        "passages-document": [one for one, _ in passages],
        "passages-phrase": [phrase for _, phrase in passages],
        **fields,
    }


def sent(client: Client, name: str = "add", *args: Any, **fields: Any) -> str:
    return client.post(url(name, *args), fields, follow=True).content.decode()


def test_a_question_is_typed_with_a_document_by_its_title(
    admin_client: Client, stored: None
) -> None:
    sent(admin_client, **typed(("files", "EXTRACT locks a record"), ("", ""), kind="my own"))
    row = Question.objects.get()
    assert row.passages == [{"document": "docs://Files", "phrase": "EXTRACT locks a record"}]
    assert (row.kind, row.author.get_username() if row.author else "") == ("my own", "admin")
    assert "my own" in admin_client.get(url("changelist")).content.decode()


def test_one_of_several_documents_is_chosen(admin_client: Client, stored: None) -> None:
    html = sent(admin_client, **typed(("window", "holds controls")))
    assert "More than one document has “window”" in html
    assert '<option value="docs://Windows">' in html
    assert not Question.objects.exists()


@pytest.mark.parametrize(
    ("passages", "said"),
    [
        ((), "Say what answers it"),
        ((("volcano", "lava"),), "No document has “volcano”"),
        ((("", "lava"),), "Which document says “lava”?"),
        ((("docs://Files", "…"),), "Give some words of the passage"),
    ],
)
def test_what_is_wrong_is_said(
    admin_client: Client, stored: None, passages: Any, said: str
) -> None:
    assert said in sent(admin_client, **typed(*passages))
    assert not Question.objects.exists()


def test_the_same_question_is_refused(admin_client: Client, stored: None) -> None:
    for _ in range(2):
        html = sent(admin_client, **typed(("docs://Files", "locks a record")))
    assert "This question is there already." in html


def test_words_that_are_not_in_the_document_are_stored_with_a_warning(
    admin_client: Client, stored: None
) -> None:
    html = sent(admin_client, **typed(("docs://Files", "locks a table")))
    assert "is not in the stored text of docs://Files now" in html
    assert Question.objects.count() == 1


def answer_link(html: str) -> str:
    return str(re.findall(r'class="answer" href="([^"]*)"', html)[0]).replace("&amp;", "&")


def test_a_hit_is_made_the_answer(admin_client: Client, stored: None) -> None:
    search = f"{reverse('admin:search')}?q=lock+a+record"
    link = answer_link(admin_client.get(search).content.decode())
    form = admin_client.get(link, follow=True)
    offered = form.context["adminform"].form.initial
    assert offered["query"] == "lock a record"
    [passage] = offered["passages"]
    assert passage["document"] == "docs://Files"
    assert evaluation.holds("The verb EXTRACT locks a record. A lock", passage["phrase"])
    answer = admin_client.post(
        form.redirect_chain[-1][0],
        typed((passage["document"], passage["phrase"]), query=offered["query"]),
    )
    assert answer.headers["Location"] == search
    asked = questions.asked(Question.objects.get())
    assert evaluation.answer(asked, "hybrid", questions.find).reciprocal_rank == 1.0


def test_another_answer_is_added_to_the_question_that_is_there(
    admin_client: Client, stored: None
) -> None:
    row = Question.objects.create(
        query="window", passages=[{"document": "docs://Windows", "phrase": "holds controls"}]
    )
    chunk = Chunk.objects.get(document__url="docs://More windows")
    asked = {"query": "window", "chunk": str(chunk.pk)}
    answer = admin_client.get(url("answer"), asked, follow=True)
    assert answer.redirect_chain[-1][0].startswith(url("change", row.pk))
    html = answer.content.decode()
    assert 'value="docs://Windows"' in html
    assert 'value="docs://More windows"' in html
    row.refresh_from_db()
    assert len(row.passages) == 1


def test_a_question_without_an_answer_is_kept_as_a_gap(admin_client: Client, stored: None) -> None:
    search = f"{reverse('admin:search')}?q=kafka"
    assert "Keep as a gap" in admin_client.get(search).content.decode()
    html = sent(admin_client, "gap", query="kafka", back=search)
    assert "“kafka” is kept as a gap until somebody names its answer." in html
    row = Question.objects.get()
    assert row.is_gap
    assert (row.author and row.author.get_username()) == "admin"
    assert "is kept as a gap already" in sent(admin_client, "gap", query="kafka", back=search)
    assert "Keep as a gap" not in admin_client.get(search).content.decode()
    listed = admin_client.get(url("changelist"), {"answer": "gap"}).content.decode()
    assert ">gap</span>" in listed
    assert "kafka" not in admin_client.get(url("changelist"), {"answer": "known"}).content.decode()


def test_evaluations_and_files_leave_gaps_out(admin_client: Client, stored: None) -> None:
    sent(admin_client, "gap", query="kafka")
    assert (
        "Nothing was started"
        in admin_client.post(reverse("admin:evaluation_start"), follow=True).content.decode()
    )
    Question.objects.create(query="window", expected=["docs://Windows"])
    assert [one.query for one in questions.stored()] == ["window"]
    assert "kafka" not in admin_client.get(url("export")).content.decode()


def test_a_gap_gets_its_answer(admin_client: Client, stored: None) -> None:
    sent(admin_client, "gap", query="kafka")
    row = Question.objects.get()
    assert "Kept as a gap" in admin_client.get(url("change", row.pk)).content.decode()
    sent(admin_client, "change", row.pk, **typed(query="kafka", note="Ask the team."))
    row.refresh_from_db()
    assert (row.note, row.is_gap) == ("Ask the team.", True)
    chunk = Chunk.objects.get(document__url="docs://Windows")
    asked = {"query": "kafka", "chunk": str(chunk.pk)}
    form = admin_client.get(url("answer"), asked, follow=True)
    assert 'value="docs://Windows"' in form.content.decode()
    sent(admin_client, "change", row.pk, **typed(("docs://Windows", "holds"), query="kafka"))
    row.refresh_from_db()
    assert not row.is_gap
    assert "Say what answers it" in sent(admin_client, "change", row.pk, **typed(query="kafka"))


def crumbs(client: Client, address: str) -> str:
    html = client.get(address).content.decode()
    shown = html.partition('class="breadcrumbs"')[2].partition("</nav>")[0]
    return re.sub(r"<[^>]*>", "", shown.partition(">")[2]).replace("\u203a", ">").strip()


@pytest.mark.parametrize(
    ("name", "last"),
    [("change", "kafka"), ("delete", "Delete"), ("history", "kafka > Who changed it")],
)
def test_its_pages_lead_back_to_the_questions(admin_client: Client, name: str, last: str) -> None:
    row = Question.objects.create(query="kafka")
    shown = crumbs(admin_client, url(name, row.pk))
    assert shown == f"Overview > Quality > Questions > {last}"


def test_a_page_of_a_section_names_it_once(admin_client: Client) -> None:
    assert crumbs(admin_client, url("changelist")) == "Overview > Quality > Questions"
    assert crumbs(admin_client, url("add")).startswith("Overview > Quality > Questions > Add")
    token = reverse("admin:ingestion_apitoken_add")
    assert crumbs(admin_client, token) == "Overview > API tokens > Add API token"


def test_a_link_leads_back_to_the_admin_only(admin_client: Client, stored: None) -> None:
    given = typed(("docs://Files", "locks a record"))
    answer = admin_client.post(f"{url('add')}?back=https://example.org/", given)
    assert answer.headers["Location"] == url("changelist")


def test_a_phrase_is_around_the_words_of_the_question_and_unique() -> None:
    passage = "A record is read. **A record** is locked by EXTRACT, then read. A record is read."
    text = f"{passage} And then a record is read again, by READ."
    index(document("Records", text))
    phrase = phrase_of(passage, text, "extract locked")
    words = phrase.split()
    assert 4 <= len(words) <= 12
    assert {"locked", "EXTRACT,"} <= set(words)
    assert text.count(phrase) == 1
    assert phrase_of("Two words", "Two words", "words") == "Two words"
    assert phrase_of("...", "...", "words") == ""


def uploaded(text: str) -> dict[str, Any]:
    return {"file": SimpleUploadedFile("q.jsonl", text.encode())}


def test_a_file_is_imported_once_and_exported_as_it_was(admin_client: Client) -> None:
    text = SAMPLE.read_text()
    html = sent(admin_client, "import", **uploaded(text))
    number = len(text.splitlines())
    assert f"Questions: {number} added, 0 changed, 0 there already." in html
    assert f"{number} there already" in sent(admin_client, "import", **uploaded(text))
    back = admin_client.get(url("export")).content.decode()
    assert [json.loads(line) for line in back.splitlines()] == [
        json.loads(line) for line in text.splitlines()
    ]


def test_the_import_says_which_lines_are_wrong(admin_client: Client) -> None:
    lines = ['{"query": "x", "expected": ["docs://a"]}', '{"query": "y"}', "nonsense"]
    html = sent(admin_client, "import", **uploaded("\n".join(lines)))
    assert "2 lines refused" in html
    assert "Line 2, the line: " in html
    assert "Line 3, the line: " in html
    assert Question.objects.count() == 1


def test_a_viewer_sees_questions_and_changes_none(stored: None) -> None:
    row = Question.objects.create(query="window", expected=["docs://Windows"])
    client = person("Viewer")
    assert client.get(url("changelist")).status_code == 200
    assert client.get(url("change", row.pk)).status_code == 200
    assert client.post(url("add"), typed(("docs://Files", "x"))).status_code == 403
    assert client.get(url("answer"), {"query": "x"}).status_code == 403
    assert client.post(url("import"), uploaded("")).status_code == 403
    assert client.post(url("gap"), {"query": "x"}).status_code == 403
    search = client.get(reverse("admin:search"), {"q": "window"}).content.decode()
    assert "This is the answer" not in search
    assert "Keep as a gap" not in search


def test_a_manager_makes_questions(stored: None) -> None:
    client = person("Manager")
    client.post(url("add"), typed(("docs://Files", "locks a record")))
    assert Question.objects.count() == 1


def test_the_form_of_a_chunk_that_is_gone_says_so(admin_client: Client, stored: None) -> None:
    answer = admin_client.get(url("add"), {"chunk": "999999"})
    assert answer.status_code == 404


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1400])
def test_a_result_becomes_a_question_in_two_clicks(page: Page, width: int) -> None:
    index(document("Files", "The verb EXTRACT locks a record. A lock lasts until the next READ."))
    assert Document.objects.exists()
    page.set_viewport_size({"width": width, "height": 844})
    page.goto("/admin/search/?q=lock+a+record")
    page.get_by_role("link", name="This is the answer").click()
    expect(page.get_by_label("Words of the passage").first).not_to_have_value("")
    inner = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert inner <= 0
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page).to_have_url(re.compile(r"/admin/search/\?q=lock\+a\+record"))
    assert Question.objects.get().query == "lock a record"
