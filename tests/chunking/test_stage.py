from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import Settings

from ingestion.chunking.chunker import Chunker, TextChunk
from ingestion.chunking.stage import Preparation, prepare
from ingestion.documents import DocumentFailure, ParsedDocument
from ingestion.exceptions import ConfigError
from ingestion.pipeline import Reading
from ingestion.processes.isolation import Limits
from tests.support.reading import make_source, read, write_pages

CHUNKER = Chunker(size=100, overlap=10)


class Unfit(Chunker):
    def chunk(self, document: ParsedDocument) -> list[TextChunk]:
        raise ConfigError("It fits nothing.")


def document(number: int, words: int = 30) -> ParsedDocument:
    text = " ".join(f"word{number}x{place}" for place in range(words))
    return ParsedDocument(url=f"test://{number}", title=f"Page {number}", content=text)


@pytest.mark.parametrize("helpers", [0, 1, 2])
def test_documents_come_out_in_order_with_their_own_chunks(helpers: int) -> None:
    preparation = Preparation(CHUNKER, helpers)
    given = [document(number, words=500 * (number % 3)) for number in range(60)]
    found = []
    for place, one in enumerate(given):
        preparation.put(one, f"mark {place}")
        found += list(preparation.ready())
    found += list(preparation.rest())
    preparation.close()
    assert [(one.url, mark) for one, mark, _ in found] == [
        (one.url, f"mark {place}") for place, one in enumerate(given)
    ]
    assert [prepared for *_, prepared in found] == [prepare(CHUNKER, one) for one in given]


def test_documents_of_a_killed_helper_are_prepared_by_another_one() -> None:
    preparation = Preparation(CHUNKER, 1)
    preparation.put(document(1), "")
    list(preparation.rest())
    child = preparation.helpers.slots[0].child
    assert child is not None
    child.kill()
    preparation.put(document(2), "")
    preparation.put(document(3), "")
    assert [prepared for *_, prepared in preparation.rest()] == [
        prepare(CHUNKER, document(2)),
        prepare(CHUNKER, document(3)),
    ]
    preparation.close()


def test_a_document_that_cannot_be_cut_is_a_failure_and_the_rest_is_cut() -> None:
    preparation = Preparation(CHUNKER, 1)
    broken = replace(document(2), title=None)  # type: ignore[arg-type]
    for one in (document(1), broken, document(3)):
        preparation.put(one, "")
    results = [result for *_, result in preparation.rest()]
    preparation.close()
    assert results[::2] == [prepare(CHUNKER, document(1)), prepare(CHUNKER, document(3))]
    assert isinstance(results[1], DocumentFailure)
    assert (results[1].url, results[1].stage) == ("test://2", "chunk")


class Hanging(Chunker):
    def chunk(self, document: ParsedDocument) -> list[TextChunk]:
        if document.url == "test://2":
            re.match(r"(a+)+$", "a" * 60 + "b")
        return super().chunk(document)


def test_a_document_that_takes_too_long_is_a_failure_and_the_rest_is_cut() -> None:
    waited_for: list[str] = []
    preparation = Preparation(Hanging(100, 10), 1, Limits(seconds=2), waited_for.append)
    for number in (1, 2, 3):
        preparation.put(document(number), "")
    results = [result for *_, result in preparation.rest()]
    preparation.close()
    assert results[::2] == [prepare(CHUNKER, document(1)), prepare(CHUNKER, document(3))]
    assert isinstance(results[1], DocumentFailure)
    assert (results[1].url, results[1].stage) == ("test://2", "chunk")
    assert "(DOCUMENT_TIME_LIMIT)" in results[1].message
    assert max(waited_for, key=waited_for.count) == "test://2"


def test_settings_that_fit_no_document_end_the_reading() -> None:
    preparation = Preparation(Unfit(), 0)
    preparation.put(document(1), "")
    with pytest.raises(ConfigError):
        list(preparation.rest())
    preparation.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [1, 3])
def test_a_reading_has_as_many_helpers_as_the_setting_says(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def tell(reading: Reading) -> None:
        raise ConfigError(f"{reading.chunking.helpers.number} helpers.")

    monkeypatch.setattr(Reading, "run", tell)
    settings.DATA_DIR, settings.CHUNKING_PROCESSES = tmp_path, number
    write_pages(tmp_path / "pages", ["a"])
    assert f"{number} helpers." in read(make_source("pages")).error
