from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import Settings

from ingestion.chunking.chunker import Chunker, TextChunk
from ingestion.chunking.stage import BatchFailed, Helpers, Preparation, prepare
from ingestion.documents import DocumentFailure, ParsedDocument
from ingestion.exceptions import ConfigError
from ingestion.pipeline import Reading
from tests.support.reading import make_source, read, write_pages

CHUNKER = Chunker(size=100, overlap=10)


class Unfit(Chunker):
    def chunk(self, document: ParsedDocument) -> list[TextChunk]:
        raise ConfigError("It fits nothing.")


def document(number: int, words: int = 30) -> ParsedDocument:
    text = " ".join(f"word{number}x{place}" for place in range(words))
    return ParsedDocument(url=f"test://{number}", title=f"Page {number}", content=text)


def work(item: int) -> tuple[int, int]:
    if item == 13:
        raise ValueError("thirteen")
    if item == 666:
        os.kill(os.getpid(), signal.SIGKILL)
    if item > 1000:
        time.sleep(0.05)
    return item, os.getpid()


@pytest.fixture
def helpers() -> Iterator[Helpers[int, tuple[int, int]]]:
    made = Helpers(work, 2)
    yield made
    made.close()


def test_it_works(helpers: Helpers[int, tuple[int, int]]) -> None:
    results = helpers.submit([1, 2, 3]).result()
    assert [item for item, _ in results] == [1, 2, 3]
    assert results[0][1] != os.getpid()


def test_nothing_is_forked_before_the_first_batch(helpers: Helpers[int, tuple[int, int]]) -> None:
    assert helpers.helpers == []


def test_batches_are_shared_out_and_done_here_when_all_are_busy(
    helpers: Helpers[int, tuple[int, int]],
) -> None:
    futures = [helpers.submit([1001]) for _ in range(6)]
    workers = {future.result()[0][1] for future in futures}
    assert len(workers) == 3
    assert os.getpid() in workers


def test_without_helpers_all_is_done_here() -> None:
    assert Helpers(work, 0).submit([1]).result() == [(1, os.getpid())]


def test_an_error_is_told_and_the_helper_goes_on(helpers: Helpers[int, tuple[int, int]]) -> None:
    with pytest.raises(BatchFailed, match="thirteen"):
        helpers.submit([1, 13]).result()
    assert helpers.submit([2]).result()[0][0] == 2


def test_a_killed_helper_is_told(helpers: Helpers[int, tuple[int, int]]) -> None:
    with pytest.raises(BatchFailed):
        helpers.submit([666]).result()


def test_closing_ends_the_processes(helpers: Helpers[int, tuple[int, int]]) -> None:
    pid = helpers.submit([1]).result()[0][1]
    helpers.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_helper_ends_with_its_process() -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        [(_, pid)] = Helpers(work, 1).submit([1]).result()
        os.write(writing, f"{pid}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
    helper = int(os.read(reading, 20))
    os.waitpid(parent, 0)
    os.close(reading)
    os.close(writing)
    deadline = time.monotonic() + 5
    while _runs(helper) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(helper)


def _runs(pid: int) -> bool:
    """Whether it is alive and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_helper_holds_none_of_its_parents_files() -> None:
    reading, writing = os.pipe()
    helpers = Helpers(work, 1)
    helpers.submit([1]).result()
    os.close(writing)
    assert os.read(reading, 1) == b""  # the end of the file: nobody else can write to it
    os.close(reading)
    helpers.close()


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


def test_a_slow_parsers_documents_do_not_wait_for_a_full_batch() -> None:
    preparation = Preparation(CHUNKER, 0)
    preparation.put(document(1), "")
    assert list(preparation.ready()) == []
    preparation.begun -= 1
    preparation.put(document(2), "")
    assert [one.url for one, *_ in preparation.ready()] == ["test://1", "test://2"]


def test_documents_of_a_killed_helper_are_prepared_here_and_told_before() -> None:
    told: list[str] = []
    preparation = Preparation(CHUNKER, 1, told.append)
    preparation.put(document(1), "")
    list(preparation.rest())
    os.kill(preparation.helpers.helpers[0].pid, signal.SIGKILL)
    preparation.put(document(2), "")
    preparation.put(document(3), "")
    assert [prepared for *_, prepared in preparation.rest()] == [
        prepare(CHUNKER, document(2)),
        prepare(CHUNKER, document(3)),
    ]
    preparation.close()
    assert told == ["test://2", "test://3"]


def test_a_document_that_cannot_be_cut_is_a_failure_and_the_rest_is_cut() -> None:
    told: list[str] = []
    preparation = Preparation(CHUNKER, 1, told.append)
    broken = replace(document(2), title=None)  # type: ignore[arg-type]
    for one in (document(1), broken, document(3)):
        preparation.put(one, "")
    results = [result for *_, result in preparation.rest()]
    preparation.close()
    assert results[::2] == [prepare(CHUNKER, document(1)), prepare(CHUNKER, document(3))]
    assert isinstance(results[1], DocumentFailure)
    assert (results[1].url, results[1].stage) == ("test://2", "chunk")
    assert told == ["test://1", "test://2", "test://3"]


def test_settings_that_fit_no_document_end_the_reading() -> None:
    preparation = Preparation(Unfit(), 0)
    preparation.put(document(1), "")
    with pytest.raises(ConfigError):
        list(preparation.rest())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [0, 3])
def test_a_reading_has_as_many_helpers_as_the_setting_says(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def tell(reading: Reading) -> None:
        raise ConfigError(f"{reading.chunking.helpers.number} helpers.")

    monkeypatch.setattr(Reading, "run", tell)
    settings.DATA_DIR, settings.CHUNKING_PROCESSES = tmp_path, number
    write_pages(tmp_path / "pages", ["a"])
    assert f"{number} helpers." in read(make_source("pages")).error
