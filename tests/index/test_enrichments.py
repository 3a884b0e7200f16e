"""Words that a language model adds to chunks: asked for once, embedded and found, never shown.

The model is a stand-in on the loopback that behaves as Ollama's chat API is documented.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from ingestion.chunking.added_words import Added, EnrichedChunk, with_words
from ingestion.chunking.chunker import Chunker
from ingestion.chunking.stage import prepare
from ingestion.enrichment.passages import SCHEMA, Words, read_answer
from ingestion.index import enriching, enrichments
from ingestion.models import Chunk, Document, Enrichment, State
from ingestion.monitoring import health
from ingestion.runs import comparison, dry_run
from ingestion.search import retrievers, search
from ingestion.search.query_embedding import QueryVectors
from ingestion.text.tokenizer import count_tokens
from sources.models import Source
from tests.support.indexed import document
from tests.support.ollama_server import (
    DIGEST,
    MODEL,
    OllamaServer,
    Reply,
    as_json,
    embed_small,
)
from tests.support.reading import (
    digest,
    make_source,
    nothing_left_behind,
    physical_rows,
    read,
    write_pages,
    wrong,
)

pytestmark = pytest.mark.django_db(transaction=True)

WRITER = "writer:latest"
NAMES = ["anchor", "button", "cursor"]


@pytest.fixture
def ollama(settings: Settings, tmp_path: Path) -> Iterator[OllamaServer]:
    with OllamaServer(models={MODEL: DIGEST, WRITER: "1" * 64, "other:latest": "2" * 64}) as server:
        embed_small(settings, server)
        settings.DATA_DIR = tmp_path
        yield server
    nothing_left_behind()


@pytest.fixture
def source(ollama: OllamaServer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A source of three pages that was read while there was no language model; now there is."""
    monkeypatch.setattr(retrievers, "query_vectors", QueryVectors())
    write_pages(settings.DATA_DIR / "pages", NAMES, sections=2)
    source = make_source("pages")
    assert read(source).state == State.SUCCEEDED
    settings.ENRICHMENT_MODEL = "writer"
    return source


def enrich(*options: str) -> str:
    out = StringIO()
    call_command("enrich", *options, stdout=out, stderr=out)
    return out.getvalue()


def enriched() -> int:
    return Chunk.objects.filter(enrichment__isnull=False).count()


def embedded_by(ollama: OllamaServer) -> int:
    """How many texts of chunks were embedded."""
    return sum(number for text, number in ollama.embedded.items() if text != "ready")


def numbers() -> dict[str, str]:
    """The word that each text was given, by its document."""
    rows = Chunk.objects.filter(enrichment__isnull=False)
    found = rows.values_list("document__title", "enrichment__context")
    return {title: context.split()[-1].rstrip(".") for title, context in found}


def test_the_words_are_embedded_and_found_and_not_shown(
    source: Source, ollama: OllamaServer
) -> None:
    before = digest()
    said = enrich()
    assert f"Words of {Chunk.objects.count()} texts were stored" in said
    assert "ingest_all" in said
    assert digest() == before
    row = read(source)
    assert (row.state, row.changed) == (State.SUCCEEDED, 3)
    assert enriched() == Chunk.objects.count()
    for title, word in numbers().items():
        asked = [text for text in ollama.embedded if word in text]
        assert all("What is zyx" in text and title in text for text in asked)
        hit = search(word).hits[0]
        assert hit.title == title
        assert word not in hit.content + hit.context_header + hit.snippet
    assert wrong() == []


def test_the_model_is_asked_for_json_of_a_form(source: Source, ollama: OllamaServer) -> None:
    enrich()
    sent = ollama.chats[0]
    assert sent["model"] == "writer"
    assert sent["format"] == json.loads(json.dumps(SCHEMA))
    assert (sent["stream"], sent["think"]) == (False, False)
    assert sent["options"]["temperature"] == 0
    assert len({chat["options"]["num_ctx"] for chat in ollama.chats}) == 1
    (question,) = [message["content"] for message in sent["messages"]]
    first = Chunk.objects.order_by("pk")[0]
    assert first.content in question
    assert "It begins:" not in question
    assert sum("It begins:" in chat["messages"][0]["content"] for chat in ollama.chats) == 3


def test_nothing_is_asked_or_made_twice(source: Source, ollama: OllamaServer) -> None:
    enrich()
    read(source)
    asked, embedded, rows = len(ollama.chats), embedded_by(ollama), physical_rows()
    assert "Nothing is missing" in enrich()
    assert read(source).unchanged == 3
    assert physical_rows() == rows
    assert read(source, clean=True).state == State.SUCCEEDED
    assert "Nothing is missing" in enrich()
    assert len(ollama.chats) == asked
    assert enriched() == len(rows)
    assert embedded_by(ollama) == embedded + len(rows)  # clean embeds again


def test_an_index_without_words_stays_as_it_is(source: Source, settings: Settings) -> None:
    prints = set(Document.objects.values_list("fingerprint", flat=True))
    rows = physical_rows()
    assert read(source).unchanged == 3
    enrich()
    settings.ENRICHMENT_MODEL = ""
    assert read(source).unchanged == 3
    assert physical_rows() == rows
    settings.ENRICHMENT_MODEL = "writer"
    read(source)
    assert set(Document.objects.values_list("fingerprint", flat=True)) == prints


def test_without_the_setting_the_next_run_takes_the_words_away(
    source: Source, settings: Settings, ollama: OllamaServer
) -> None:
    before = digest()
    enrich()
    read(source)
    assert digest() != before
    settings.ENRICHMENT_MODEL = ""
    embedded = embedded_by(ollama)
    assert read(source).changed == 3
    assert digest() == before
    assert enriched() == 0
    assert embedded_by(ollama) == embedded + len(before)
    settings.ENRICHMENT_MODEL = "writer"
    asked = len(ollama.chats)
    assert "Nothing is missing" in enrich()
    assert len(ollama.chats) == asked


def test_another_model_is_asked_again(
    source: Source, settings: Settings, ollama: OllamaServer
) -> None:
    enrich()
    read(source)
    settings.ENRICHMENT_MODEL = "other"
    enrich()
    assert {chat["model"] for chat in ollama.chats} == {"writer", "other"}
    assert Enrichment.objects.count() == 2 * Chunk.objects.count()
    read(source)
    assert set(Chunk.objects.values_list("enrichment__model", flat=True)) == {"other"}


def test_only_documents_with_new_words_are_made_again(
    source: Source, settings: Settings, ollama: OllamaServer
) -> None:
    enrich()
    read(source)
    write_pages(settings.DATA_DIR / "pages", ["window"], sections=2)
    read(source)
    assert enriched() == 6
    rows, asked = physical_rows(), len(ollama.chats)
    enrich()
    assert len(ollama.chats) - asked == Chunk.objects.count() - 6
    row = read(source)
    assert (row.changed, row.unchanged) == (1, 3)
    assert rows.items() & physical_rows().items() == {
        (pk, place)
        for pk, place in rows.items()
        if Chunk.objects.filter(pk=pk).exclude(title="Page window").exists()
    }


def refuse(*parts: str) -> Any:
    def fault(body: dict[str, Any]) -> Reply | None:
        text = body["messages"][0]["content"]
        if any(part in text.rpartition("Passage:")[2] for part in parts):
            return as_json({"error": "the runner had enough"}, 500)
        return None

    return fault


def test_what_fails_is_recorded_and_the_rest_goes_on(source: Source, ollama: OllamaServer) -> None:
    ollama.chat_fault = refuse("button")
    said = enrich()
    failed = Enrichment.objects.exclude(failure="")
    assert failed.count() == 2
    assert "the runner had enough" in failed[0].failure
    assert "Nothing came of 2 texts; --retry-failed asks again" in said
    assert read(source).changed == 2
    assert wrong() == []
    asked = len(ollama.chats)
    assert "Nothing is missing" in enrich()
    assert len(ollama.chats) == asked
    ollama.chat_fault = None
    assert "Words of 2 texts were stored" in enrich("--retry-failed")
    assert read(source).changed == 1
    assert enriched() == Chunk.objects.count()


@pytest.mark.parametrize(
    "answer",
    [
        "I am a helpful assistant.",
        "",
        "{}",
        '{"context": "", "questions": ["a", "b", "c"]}',
        '{"context": "a", "questions": []}',
        '{"context": "a", "questions": 7}',
        '{"context": ["a"], "questions": ["b"]}',
        '{"context": "a", "questions": [{"b": 1}]}',
        "[1, 2]",
        "{" * 100_000 + "}",
    ],
)
def test_nonsense_is_no_answer(answer: str) -> None:
    with pytest.raises(ValueError, match="the answer"):
        read_answer(answer)


def test_an_answer_is_cut_to_what_is_of_use() -> None:
    long = json.dumps({"context": " a\n\0b " * 500, "questions": ["q" * 900, "", "b", "c", "d"]})
    words = read_answer(f"```json\n{long}\n```")
    assert len(words.context) == 400
    assert "\0" not in words.context
    assert "\n" not in words.context
    assert [len(question) for question in words.questions] == [200, 1, 1]


def test_a_model_that_breaks_the_form_without_thinking_may_think(
    source: Source, ollama: OllamaServer
) -> None:
    def aloud(body: dict[str, Any]) -> Reply | None:
        return ollama.said(body, "Well, let me see.") if "think" in body else None

    ollama.chat_fault = aloud
    enrich()
    assert not Enrichment.objects.exclude(failure="").exists()
    assert len(ollama.chats) == 2 * Enrichment.objects.count()


def test_an_answer_that_is_cut_off_is_named(source: Source, ollama: OllamaServer) -> None:
    ollama.chat_fault = lambda body: ollama.said(body, '{"context": "On and on', "length")
    enrich()
    assert {row.failure for row in Enrichment.objects.all()} == {
        f"{ollama.host}: the answer was cut off at its longest"
    }


def test_a_model_at_fault_is_not_asked_about_everything(
    source: Source, ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enriching, "FAILURES_IN_A_ROW", 3)
    ollama.chat_fault = refuse("")
    with pytest.raises(CommandError, match="3 texts in a row failed"):
        enrich()
    assert Enrichment.objects.count() == 3


def test_a_server_that_goes_away_ends_it_and_what_was_stored_stays(
    source: Source, ollama: OllamaServer
) -> None:
    def go(body: dict[str, Any]) -> Reply | None:
        if len(ollama.chats) > 3:
            ollama.stop()
        return None

    ollama.chat_fault = go
    with pytest.raises(CommandError, match=r"Words of \d texts? were stored"):
        enrich()
    stored = Enrichment.objects.filter(failure="").count()
    assert stored >= 2
    ollama.start()
    ollama.chat_fault = None
    assert (
        f"Words of {Chunk.objects.count() - Enrichment.objects.count()} text"
        in enrich("--retry-failed")
        or not Enrichment.objects.exclude(failure="").exists()
    )
    assert Enrichment.objects.filter(failure="").count() == Chunk.objects.count()


def test_the_cost_is_said_before(source: Source, ollama: OllamaServer) -> None:
    texts = Chunk.objects.count()
    said = enrich("--estimate")
    assert f"{texts} texts to ask about, about " in said
    assert "Less than a minute, as measured with 3 texts, which are done now" in said
    assert len(ollama.chats) == Enrichment.objects.count() == 3
    assert f"{texts - 3} texts" in enrich("--estimate")
    ollama.stop()
    assert enriching.extent([]).startswith("Nothing is missing")


def test_the_rate_does_not_count_the_loading(source: Source, ollama: OllamaServer) -> None:
    """The stand-in says 5 seconds, of which 3 went into loading."""
    chat = enriching.opened()
    missing = enrichments.missing("writer")
    many = missing * 100
    assert enriching.duration(chat, many).startswith(f"About {len(many) * 2 // 60} minutes")


@pytest.mark.parametrize("name", ["", "absent"])
def test_without_a_model_it_says_what_to_do(source: Source, settings: Settings, name: str) -> None:
    settings.ENRICHMENT_MODEL = name
    with pytest.raises(CommandError, match=r"ollama pull absent" if name else "ENRICHMENT_MODEL"):
        enrich()


def test_one_source_alone(source: Source, settings: Settings, ollama: OllamaServer) -> None:
    write_pages(settings.DATA_DIR / "others", ["grid"], sections=1)
    other = make_source("others")
    read(other)
    enrich("--source", "others")
    assert len(ollama.chats) == Chunk.objects.filter(document__source=other).count()
    with pytest.raises(CommandError, match="There is no source 'nobody'"):
        enrich("--source", "nobody")


def test_the_overview_says_what_the_next_run_makes_again(source: Source) -> None:
    enrich()
    assert health._count_remakes()[0] == "warn"
    assert "3 of 3 documents are read again" in health._count_remakes()[1]
    read(source)
    assert health._count_remakes()[0] == "ok"


def test_a_test_of_the_source_finds_nothing_changed(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHUNK_SIZE", "100")
    monkeypatch.setenv("CHUNK_OVERLAP", "10")
    enrich()
    read(source)
    found = dry_run.run(dry_run.order(source, seconds=30))
    stored = comparison.stored_hashes(source)
    assert {one.url: one.hashes for one in found.documents} == stored


def test_what_does_not_fit_is_found_by_its_words_alone() -> None:
    page = document("Page", "The verb OPEN opens a channel.")
    plain = prepare(Chunker(), page)
    (chunk,) = plain.chunks
    words = Words("A sentence of six words here.", ("Is this one short?", "And " * 50, "Last?"))
    added = {chunk.content_hash: Added(7, words)}
    (some,) = with_words(page, plain, added, chunk.tokens + 20).chunks
    assert isinstance(some, EnrichedChunk)
    assert some.embedded_text.endswith("here.\n\nIs this one short?")
    assert count_tokens(some.embedded_text) <= chunk.tokens + 20
    assert some.content == chunk.content
    (none,) = with_words(page, plain, added, chunk.tokens).chunks
    assert none.embedded_text == chunk.embedded_text
    assert none.content_hash == chunk.content_hash
    vectors = [with_words(page, plain, added, limit).vectors for limit in (0, 100)]
    assert vectors[0] == vectors[1] != plain.vectors
