"""Ask a language model about the texts that it was not asked about yet, and store what it says.

Each answer is stored as it comes, so it may be ended at any moment and started again: what is
stored is not asked for again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from django.conf import settings

from ingestion.documents import counted
from ingestion.embedding.ollama_chat import Answered, Chat
from ingestion.enrichment.passages import (
    LONGEST_OPENING,
    MOST_TOKENS,
    SCHEMA,
    Passage,
    Words,
    read_answer,
)
from ingestion.exceptions import ConfigError, EmbedderError, TextRejected
from ingestion.index import enrichments
from ingestion.index.enrichments import Missing
from ingestion.text.tokenizer import count_tokens

logger = logging.getLogger(__name__)

SAMPLE = 3  # texts that the rate is measured with
FAILURES_IN_A_ROW = 10  # after which the model is at fault, and not the texts
TOKENS_PER_TOKEN = 2  # of any model for one of the product's, with room to spare
WINDOW_STEP = 1024  # tokens; a model is loaded again for each other window


@dataclass
class Counts:
    asked: int = 0
    failed: int = 0
    seconds: float = 0.0
    in_a_row: int = 0


def model() -> str:
    """The model that the environment names. Raises ConfigError if it names none."""
    name: str = settings.ENRICHMENT_MODEL
    if not name:
        raise ConfigError("ENRICHMENT_MODEL is not set: name a chat model, such as qwen3:4b.")
    return name


def opened() -> Chat:
    """Raises ConfigError and EmbedderError."""
    return Chat.open(
        model(),
        settings.OLLAMA_HOSTS,
        settings.EMBEDDING_TIMEOUT,
        num_ctx=_window(),
        num_predict=MOST_TOKENS,
    )


def _window() -> int:
    """The same for each text, with room for the largest chunk, what is around it and an answer."""
    around = count_tokens(Passage("", "", "").prompt) + LONGEST_OPENING // 2
    needed = TOKENS_PER_TOKEN * (settings.CHUNK_SIZE + around) + MOST_TOKENS
    return -(-needed // WINDOW_STEP) * WINDOW_STEP


def extent(missing: Sequence[Missing]) -> str:
    """A sentence that says how much there is to ask about."""
    if not missing:
        return "Nothing is missing: each text was asked about."
    tokens = sum(one.tokens for one in missing) + len(missing) * _around(_sample(missing))
    return f"{counted(len(missing), 'text')} to ask about, about {tokens:,} tokens to read."


def duration(chat: Chat, missing: Sequence[Missing]) -> str:
    """A sentence that says how long that takes, after asking about a few of them.

    Raises EmbedderError if the model cannot be asked.
    """
    sample, counts = _sample(missing), Counts()
    for _ in fill(chat, sample, counts):
        pass
    if counts.failed == counts.asked:
        return (
            f"Nothing came of {counted(counts.asked, 'text')}: how long the rest takes is unknown."
        )
    rate = counts.seconds / (counts.asked - counts.failed) / len(chat.hosts)
    minutes = (len(missing) - counts.asked) * rate / 60
    took = f"About {counted(round(minutes), 'minute')}" if minutes >= 1 else "Less than a minute"
    return f"{took}, as measured with {counted(counts.asked, 'text')}, which are done now."


def _sample(missing: Sequence[Missing]) -> Sequence[Missing]:
    """A few, spread over all."""
    return missing[:: max(1, len(missing) // SAMPLE)][:SAMPLE]


def _around(sample: Sequence[Missing]) -> int:
    """Tokens that go with a text, on average."""
    passages = [(one, enrichments.passage(one.chunk)) for one in sample]
    spare = [count_tokens(found.prompt) - one.tokens for one, found in passages if found]
    return sum(spare) // len(spare) if spare else 0


def fill(chat: Chat, missing: Sequence[Missing], counts: Counts) -> Iterator[Counts]:
    """Ask about each text and store the outcome; yields the counts after each.

    A text that nothing comes of is recorded, and the rest goes on, unless too many fail in a row.
    Raises EmbedderError.
    """
    with _pool(len(chat.hosts)) as pool:
        for one, answer in _answers(pool, chat, missing):
            _store(one, answer, counts)
            yield counts


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing more after an error or an interruption."""
    pool = ThreadPoolExecutor(threads, "enrich")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


Answer = Future[Answered[Words]]


def _answers(
    pool: ThreadPoolExecutor, chat: Chat, missing: Sequence[Missing]
) -> Iterator[tuple[Missing, Answer]]:
    """Each text with its answer, as they come; a few are under way at once."""
    questions = _questions(missing)
    under_way: dict[Answer, Missing] = {}
    while True:
        for one, question in islice(questions, len(chat.hosts) + 1 - len(under_way)):
            under_way[pool.submit(chat.ask, question, SCHEMA, read_answer)] = one
        if not under_way:
            return
        done, _ = wait(under_way, return_when=FIRST_COMPLETED)
        for answer in done:
            yield under_way.pop(answer), answer


def _questions(missing: Sequence[Missing]) -> Iterator[tuple[Missing, str]]:
    for one in missing:
        if passage := enrichments.passage(one.chunk):
            yield one, passage.prompt


def _store(one: Missing, answer: Answer, counts: Counts) -> None:
    try:
        words, seconds = answer.result()
    except TextRejected as problem:
        counts.failed += 1
        counts.in_a_row += 1
        logger.warning("Nothing comes of chunk %s: %s", one.chunk, problem)
        enrichments.keep(settings.ENRICHMENT_MODEL, one.text_hash, str(problem))
        if counts.in_a_row >= FAILURES_IN_A_ROW:
            raise EmbedderError(
                f"{counts.in_a_row} texts in a row failed. The last one: {problem}. If that is "
                "mended, ask about them again with --retry-failed."
            ) from problem
    else:
        counts.seconds += seconds
        counts.in_a_row = 0
        enrichments.keep(settings.ENRICHMENT_MODEL, one.text_hash, words)
    counts.asked += 1
