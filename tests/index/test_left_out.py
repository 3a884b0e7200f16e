"""A document that is left out stays stored, is found by nobody, and can be taken back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from ingestion.api import tokens
from ingestion.index import export, left_out, term_statistics
from ingestion.mcp.server import server as made_server
from ingestion.models import Document
from ingestion.search import search
from ingestion.search.explain import explain
from sources.models import LeftOut, Source
from sources.moving import exported, import_file
from tests.mcp.test_server import talk
from tests.support.indexed import document, index
from tests.support.reading import make_source, read, urls, write_pages, wrong
from tests.test_pipeline import no_index_left

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_index_left")]
__all__ = ["no_index_left"]

SECRET = "A zyzzyvacode locks a record for a while."
URL = "docs://Secret"


@pytest.fixture
def secret() -> Document:
    """Left out, beside two that are not."""
    index(
        document("Secret", SECRET, display_url="https://example.com/secret"),
        document("Files", "The verb EXTRACT reads a record and locks it."),
        document("Windows", "A window holds controls."),
    )
    term_statistics.rebuild()
    row = Document.objects.get(url=URL)
    left_out.leave_out(row, "describes a beta version", "ada")
    return row


def found(query: str, **chosen: Any) -> set[str]:
    return {hit.url for hit in search(query, **chosen).hits}


@pytest.mark.parametrize("mode", ["hybrid", "dense", "text"])
@pytest.mark.parametrize("filters", [{}, {"sources": ["docs"]}, {"include_deprecated": False}])
def test_no_search_finds_it(secret: Document, mode: Any, filters: dict[str, Any]) -> None:
    for query in ("lock a record", "zyzzyvacode", "Secret", "zyzzyvacod"):
        assert URL not in found(query, mode=mode, **filters), query
    assert "docs://Files" in found("lock a record", mode=mode, **filters)


def test_no_spelling_is_suggested_from_it(secret: Document) -> None:
    assert search("zyzzyvacodf").corrected == {}
    assert term_statistics.counts(["zyzzyvacod", "record"])[0] == {"record": 2}
    term_statistics.rebuild()
    assert term_statistics.counts(["zyzzyvacod", "record"]) == ({"record": 1}, 2)
    term_statistics.learn([secret.pk])  # as a run does that has read it again
    assert term_statistics.counts(["zyzzyvacod"])[0] == {}


def test_clients_of_the_api_do_not_see_it(secret: Document) -> None:
    _, token = tokens.make("tests")
    client = Client(SERVER_NAME="localhost", headers={"Authorization": f"Bearer {token}"})
    body = json.dumps({"query": "zyzzyvacode record", "limit": 20})
    said = client.post("/api/search", body, content_type="application/json").text
    assert "docs://Files" in said
    assert "zyzzyva" not in said.replace("zyzzyvacode record", "")
    assert client.get(f"/api/documents/{secret.pk}").status_code == 404
    stats = client.get("/api/stats").json()
    assert (stats["documents"], stats["chunks"], stats["profiles"][0]["chunks"]) == (2, 2, 2)


def test_assistants_do_not_see_it(secret: Document) -> None:
    asked = [secret.url, secret.display_url, str(secret.pk)]
    calls = [("get_document", {"url": each}) for each in asked]
    around = {"query": "lock a record", "neighbours": 3, "limit": 20}
    _, answers = talk(made_server(), *calls, ("search_bbj_knowledge", around), ("list_sources", {}))
    *documents, passages, sources = answers
    assert all(answer.is_error for answer in documents)
    assert "zyzzyva" not in passages.content[0].text
    assert "2 documents, 2 passages" in sources.content[0].text


def test_it_is_not_exported(secret: Document) -> None:
    assert {row["url"] for row in export.rows()} == {"docs://Files", "docs://Windows"}


def test_the_search_page_says_why(secret: Document) -> None:
    explained = explain("zyzzyvacode", secret)
    assert explained.shown is None
    (reason,) = [text for text in explained.reasons if "left out" in text]
    assert "by ada" in reason
    assert reason.endswith("describes a beta version")


def test_it_is_taken_back_at_once(secret: Document) -> None:
    left_out.take_back(LeftOut.objects.get())
    assert search("zyzzyvacode").hits[0].url == URL
    assert "zyzzyvacod" in next(iter(search("zyzzyvacodf").corrected.values()))


@pytest.fixture
def guide(settings: Settings, tmp_path: Path) -> Source:
    """A source of which one page is left out."""
    settings.DATA_DIR = tmp_path
    write_pages(tmp_path / "guide", ["anchor", "button", "cursor"])
    source = make_source("guide")
    read(source)
    left_out.leave_out(Document.objects.get(url="guide://button.md"), "is wrong", "ada")
    return source


def hidden() -> set[str]:
    return set(Document.objects.filter(pk__in=left_out.keys()).values_list("url", flat=True))


def test_it_stays_left_out_whatever_runs_do(guide: Source, tmp_path: Path) -> None:
    assert "guide://button.md" not in found("button", limit=20)
    read(guide)
    read(guide, clean=True)
    assert hidden() == {"guide://button.md"}
    page = tmp_path / "guide" / "button.md"
    text = page.read_text()
    page.write_text(text.replace("button", "button button", 3))
    assert read(guide).changed == 1
    assert "guide://button.md" not in found("button", limit=20)
    page.unlink()
    assert read(guide).removed == 1
    assert hidden() == set()
    page.write_text(text)
    assert read(guide).added == 1
    assert hidden() == {"guide://button.md"}
    assert not wrong()


@pytest.mark.parametrize("how", ["a file", "a folder"])
def test_it_stays_left_out_where_it_moves(guide: Source, tmp_path: Path, how: str) -> None:
    if how == "a file":
        (tmp_path / "guide" / "button.md").rename(tmp_path / "guide" / "switch.md")
    else:
        (tmp_path / "guide" / "parts").mkdir()
        shutil.move(tmp_path / "guide" / "button.md", tmp_path / "guide" / "parts" / "button.md")
    assert read(guide).moved == 1
    (new,) = set(urls()) - {"guide://anchor.md", "guide://cursor.md"}
    assert hidden() == {new}


def test_it_moves_with_its_source(guide: Source, tmp_path: Path) -> None:
    file = tmp_path / "sources.json"
    file.write_text(exported(Source.objects.filter(name="guide")))
    LeftOut.objects.all().delete()
    (result,) = import_file(file, apply=True)
    assert (result.verdict, result.details) == (
        "update",
        ("leaves 1 more document out of search",),
    )
    row = LeftOut.objects.get()
    assert (row.url, row.reason, row.author) == ("guide://button.md", "is wrong", "ada")
    assert import_file(file, apply=True)[0].verdict == "same"
    Source.objects.all().delete()
    call_command("import_sources", str(file), "--apply")
    assert LeftOut.objects.get().source.name == "guide"


@pytest.mark.parametrize(
    "entries",
    [
        "x",
        ["x"],
        [{"url": "guide://a"}],
        [{"url": "guide://a", "reason": ""}],
        [{"url": "guide://a", "reason": "x" * 501}],
        [{"url": 3, "reason": "x"}],
        [{"url": "guide://a", "reason": "x", "id": 1}],
    ],
)
def test_a_file_with_odd_entries_is_refused(guide: Source, tmp_path: Path, entries: Any) -> None:
    file = tmp_path / "sources.json"
    content = json.loads(exported([guide]))
    content["sources"][0]["left_out"] = entries
    file.write_text(json.dumps(content))
    (result,) = import_file(file, apply=True)
    assert result.verdict == "refuse"
    assert "left_out" in result.details[0]
