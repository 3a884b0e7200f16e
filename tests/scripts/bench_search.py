"""Measure search on a made-up index: recall of HNSW against exact search, and latency.

    STATE_DIR=/tmp/bench python tests/scripts/bench_search.py [--chunks 50000] [--dimensions 1024]

Makes the index in the database of STATE_DIR (or DATABASE_URL) where it is not there yet, so give it
one of its own. The vectors lie in clusters, as those of real texts do; one chunk in a hundred
belongs to the source that the filter keeps. Latency is without the embedder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import django
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, connections  # noqa: E402
from django.utils import timezone  # noqa: E402

from ingestion import search, terms, vector_index, vocabulary  # noqa: E402
from ingestion.models import Chunk, Document, EmbeddingProfile  # noqa: E402
from ingestion.store import CHUNK_COLUMNS, pack_vector  # noqa: E402
from sources.models import Source  # noqa: E402

CLUSTERS = 400
CHUNKS_OF_A_DOCUMENT = 7
RARE_ONE_IN = 100
WORDS_OF_A_CHUNK = 150
VOCABULARY = 40_000
Matrix = np.ndarray[Any, np.dtype[np.float32]]


def main() -> None:
    options = _options()
    call_command("migrate", verbosity=0)
    made = Made(options.chunks, options.dimensions)
    profile = made.profile()
    queries = made.queries(options.queries)
    search.query_vectors.vector = (  # type: ignore[method-assign]  # the embedder's time is not ours
        lambda profile, text: queries[text]
    )
    figures = {
        "chunks": Chunk.objects.count(),
        "dimensions": options.dimensions,
        "recall@10": recall(profile, queries, search.Filters()),
        "recall@10, filter of 1 %": recall(profile, queries, search.Filters(sources=["rare"])),
    }
    for clients in (1, 8):
        for name, sources in (("", ()), (", filter of 1 %", ("rare",))):
            figures[f"ms, {clients} clients{name}"] = latency(queries, clients, sources)
    print(json.dumps(figures, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=50_000)
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--queries", type=int, default=200)
    return parser.parse_args()


class Made:
    """An index of random clusters and random words, the same at each call."""

    def __init__(self, chunks: int, dimensions: int) -> None:
        self.chunks = chunks
        self.dimensions = dimensions
        self.random = np.random.default_rng(7)
        self.centres = self.random.standard_normal((CLUSTERS, dimensions), dtype=np.float32)
        letters = self.random.integers(97, 123, (VOCABULARY, 7), dtype=np.uint8)
        self.words = [bytes(row).decode() for row in letters]

    def vectors(self, number: int) -> Matrix:
        """Shape (number, dimensions), each of length 1, near one of the centres."""
        near = self.centres[self.random.integers(0, CLUSTERS, number)]
        noise = self.random.standard_normal((number, self.dimensions), dtype=np.float32)
        made: Matrix = near + 0.8 * noise
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    def text(self, number: int) -> str:
        """Words by Zipf's law, as in real texts."""
        ranks = self.random.zipf(1.2, number) % VOCABULARY
        return " ".join(self.words[rank] for rank in ranks)

    def queries(self, number: int) -> dict[str, str]:
        """Texts of six words, and a vector for each."""
        vectors = self.vectors(number)
        return {
            self.text(6): "[" + ",".join(f"{value:.6g}" for value in vector) + "]"
            for vector in vectors
        }

    def profile(self) -> EmbeddingProfile:
        """Everything stored and indexed, if it is not yet."""
        profile, new = EmbeddingProfile.objects.get_or_create(
            provider="bench", model="made up", digest="", dimensions=self.dimensions
        )
        if new:
            self._store(profile)
        started = time.monotonic()
        vector_index.build(profile)
        print(f"HNSW built in {time.monotonic() - started:.0f} s", file=sys.stderr)
        return profile

    def _store(self, profile: EmbeddingProfile) -> None:
        sources = [
            Source.objects.create(name=name, title=name, parser="MdxParser", enabled=False)
            for name in ("common", "rare")
        ]
        now = timezone.now()
        times = {"first_seen": now, "last_seen": now, "changed_at": now}
        documents = Document.objects.bulk_create(
            Document(
                source=sources[number % RARE_ONE_IN == 0],
                url=f"bench://{number}",
                title=self.text(4),
                doc_type="concept",
                **times,
            )
            for number in range(self.chunks // CHUNKS_OF_A_DOCUMENT + 1)
        )
        sql = f"COPY ingestion_chunk ({', '.join(CHUNK_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
        with connection.cursor() as cursor, cursor.copy(sql) as copy:
            copy.set_types(list(CHUNK_COLUMNS.values()))
            for record in self._records(documents, profile):
                copy.write_row(record)
        vocabulary.rebuild()
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE ingestion_chunk")

    def _records(
        self, documents: list[Document], profile: EmbeddingProfile
    ) -> Iterator[tuple[Any, ...]]:
        for start in range(0, self.chunks, 1000):
            vectors = self.vectors(min(1000, self.chunks - start))
            for number, vector in enumerate(vectors, start):
                document = documents[number // CHUNKS_OF_A_DOCUMENT]
                place, text = number % CHUNKS_OF_A_DOCUMENT, self.text(WORDS_OF_A_CHUNK)
                yield (
                    *(document.pk, place, document.title, [], document.title, text),
                    *(str(number), 200, None, None, profile.pk, pack_vector(vector)),
                    terms.vector(document.title, document.title, text),
                )


def recall(profile: EmbeddingProfile, queries: dict[str, str], filters: search.Filters) -> float:
    """The share of the ten nearest chunks that the index gives among its first ten."""
    found = 0
    condition, parameters = filters.sql()
    exact = (
        "SELECT c.id FROM ingestion_chunk c JOIN ingestion_document d ON d.id = c.document_id"
        f" WHERE c.profile_id + 0 = {profile.pk}{condition}"
        f" ORDER BY c.embedding <=> %s::vector, c.id LIMIT 10"
    )
    chosen = list(queries.values())[:100]
    for vector in chosen:
        ranking = search.dense_ranking("", 1.0, profile, vector, filters)
        with connection.cursor() as cursor:
            sql = f"{search.INDEX_SETTINGS}; {ranking.sql} ORDER BY place LIMIT 10"
            cursor.execute(sql, list(ranking.parameters))
            cursor.nextset()
            nearest = {row[0] for row in cursor.fetchall()}
            cursor.execute(exact, [*parameters, vector])
            found += len({row[0] for row in cursor.fetchall()} & nearest)
    return round(found / (10 * len(chosen)), 4)


def latency(queries: dict[str, str], clients: int, sources: tuple[str, ...]) -> dict[str, float]:
    """p50 and p95 of the whole search, in milliseconds."""

    def one(text: str) -> float:
        started = time.perf_counter()
        search.search(text, sources=sources)
        return (time.perf_counter() - started) * 1000

    times = _in_threads(one, list(queries), clients)
    cuts = statistics.quantiles(times, n=100)
    return {"p50": round(cuts[49], 1), "p95": round(cuts[94], 1)}


def _in_threads(one: Callable[[str], float], texts: list[str], clients: int) -> list[float]:
    def several(part: list[str]) -> list[float]:
        try:
            one(part[0])  # opens the connection
            return [one(text) for text in part]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(clients) as pool:
        parts = pool.map(several, [texts[number::clients] for number in range(clients)])
        return [time for part in parts for time in part]


if __name__ == "__main__":
    main()
