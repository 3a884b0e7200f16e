"""The parts of a first load that nothing can spare, each as bare as it can be done.

Reading in as many processes as there are cores, embedding by concurrent calls, COPY into a table
without indexes, and building the indexes afterwards: one after the other, as separate steps.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from ingestion.chunking.chunker import Chunker
from ingestion.chunking.stage import prepare
from ingestion.documents import ParsedDocument
from ingestion.embedding.base import EmbedderSettings
from ingestion.embedding.registry import open_embedder
from ingestion.models import Chunk, EmbeddingProfile
from ingestion.parsers import parser_class
from ingestion.parsers.base import SourceConfig
from ingestion.processes import processors

Timed = Callable[[], Any]


def seconds_of(work: Timed) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


@dataclass(frozen=True)
class Share:
    """Answers as if all documents but every `of`-th were stored already, so that the parser passes
    them over."""

    number: int
    of: int

    def current(self, url: str) -> bool:
        return hash_of(url) % self.of != self.number

    def stored(self, url: str) -> bool:
        return True

    def validators(self, url: str) -> dict[str, str]:
        return {}

    def memory(self) -> dict[str, Any]:
        return {}

    def remember(self, memory: object) -> None:
        """Nothing is kept."""


def hash_of(url: str) -> int:
    return sum(url.encode())


def read(config: SourceConfig, parser: str) -> float:
    """Seconds to parse a source, cut it and find its terms, in as many processes as cores."""
    cores = processors.usable()
    shares = [(config, parser, Share(number, cores)) for number in range(cores)]
    with multiprocessing.get_context("fork").Pool(cores) as pool:
        return seconds_of(lambda: pool.map(_read_share, shares))


def _read_share(work: tuple[SourceConfig, str, Share]) -> int:
    config, parser, share = work
    chunker = Chunker(size=settings.CHUNK_SIZE, overlap=settings.CHUNK_OVERLAP)
    parsed = parser_class(parser)(config).parse(share)
    return sum(len(prepare(chunker, d).chunks) for d in parsed if isinstance(d, ParsedDocument))


def embed(embedder: EmbedderSettings, texts: list[str]) -> float:
    """Seconds in which bare concurrent calls embed the texts."""
    opened = open_embedder(embedder)
    size = opened.batch_size
    batches = [texts[start : start + size] for start in range(0, len(texts), size)]
    with ThreadPoolExecutor(opened.concurrency) as pool:
        return seconds_of(lambda: list(pool.map(opened.embed, batches)))


def stored_texts() -> list[str]:
    """What was embedded of each stored chunk, every text once."""
    rows = Chunk.objects.order_by("pk").values_list("context_header", "content")
    return list(dict.fromkeys(f"{head}\n\n{text}" if head else text for head, text in rows))


def copy_and_index(profile: EmbeddingProfile) -> tuple[float, float]:
    """Seconds to COPY the stored chunks into a bare table, and to build all of its indexes."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_chunk")
        cursor.execute("CREATE TABLE bench_chunk (LIKE ingestion_chunk INCLUDING DEFAULTS)")
        with cursor.copy("COPY ingestion_chunk TO STDOUT (FORMAT BINARY)") as copy:
            data = [bytes(part) for part in copy]
        copied = seconds_of(lambda: _copy(data))
        indexed = seconds_of(lambda: _index(profile))
        cursor.execute("DROP TABLE bench_chunk")
    return copied, indexed


def _copy(data: list[bytes]) -> None:
    sql = "COPY bench_chunk FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(sql) as copy:
        for part in data:
            copy.write(part)


def _index(profile: EmbeddingProfile) -> None:
    """Every index that the real table has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'ingestion_chunk'")
        for number, (definition,) in enumerate(cursor.fetchall()):
            kind, _, rest = definition.partition(" ON ")
            unique = "UNIQUE " if " UNIQUE " in kind else ""
            _, _, columns = rest.partition(" USING ")
            cursor.execute(f"CREATE {unique}INDEX bench_{number} ON bench_chunk USING {columns}")
