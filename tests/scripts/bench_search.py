"""Measure search on a made-up index: recall of HNSW against exact search, and latency.

    STATE_DIR=/tmp/bench python tests/scripts/bench_search.py [--chunks 50000] [--dimensions 1024]

Makes the index in the database of STATE_DIR (or DATABASE_URL) where it is not there yet, so give it
one of its own. The vectors lie in clusters, as those of real texts do; one chunk in a hundred
belongs to the source that the filter keeps. Latency is without the embedder. A million chunks of
256 dimensions want about 3 GB besides the database, as no vector is kept but those of the queries.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
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

from ingestion import access  # noqa: E402
from ingestion.embedding.stage import pack_vector  # noqa: E402
from ingestion.index import hnsw, term_statistics  # noqa: E402
from ingestion.index.writer import CHUNK_COLUMNS  # noqa: E402
from ingestion.models import Chunk, Document, EmbeddingProfile  # noqa: E402
from ingestion.search import fetching, hybrid, retrievers  # noqa: E402
from ingestion.search.query_embedding import query_vectors  # noqa: E402
from ingestion.text import analyzer  # noqa: E402
from sources.models import Source  # noqa: E402

CLUSTERS = 400
CHUNKS_OF_A_DOCUMENT = 7
RARE_ONE_IN = 100
WORDS_OF_A_CHUNK = 150
VOCABULARY = 40_000
JUDGED = 100  # queries that are asked exactly as well
BLOCK = 2_000  # chunks made or compared at once
FILTERS: dict[str, tuple[str, ...]] = {"": (), ", filter of 1 %": ("rare",)}
Matrix = np.ndarray[Any, np.dtype[np.float32]]


def main() -> None:
    options = _options()
    call_command("migrate", verbosity=0)
    made = Made(options.chunks, options.dimensions)
    profile = made.profile()
    queries = made.queries(options.queries)
    query_vectors.vector = (  # type: ignore[method-assign]  # the embedder's time is not ours
        lambda profile, text: queries[text]
    )
    figures = {
        "chunks": Chunk.objects.count(),
        "dimensions": options.dimensions,
        "seconds of the index's build": made.seconds,
        "MB": sizes(profile),
    }
    judged = dict(islice(queries.items(), JUDGED))
    exact = nearest(profile, list(judged.values()))
    for name, sources in FILTERS.items():
        figures[f"recall@10{name}"] = recall(profile, judged, sources, exact)
    for clients in (1, 8):
        for name, sources in FILTERS.items():
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
        self.words = np.array([bytes(row).decode() for row in letters])
        self.seconds: float | None = None

    def vectors(self, number: int) -> Matrix:
        """Shape (number, dimensions), each of length 1, near one of the centres."""
        near = self.centres[self.random.integers(0, CLUSTERS, number)]
        noise = self.random.standard_normal((number, self.dimensions), dtype=np.float32)
        made: Matrix = near + 0.8 * noise
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made

    def texts(self, number: int, length: int) -> list[str]:
        """Words by Zipf's law, as in real texts."""
        ranks = self.random.zipf(1.2, (number, length)) % VOCABULARY
        return [" ".join(row) for row in self.words[ranks].tolist()]

    def queries(self, number: int) -> dict[str, str]:
        """Texts of six words, and a vector for each."""
        vectors = self.vectors(number)
        return {
            text: "[" + ",".join(f"{value:.6g}" for value in vector) + "]"
            for text, vector in zip(self.texts(number, 6), vectors, strict=True)
        }

    def profile(self) -> EmbeddingProfile:
        """Everything stored and indexed, if it is not yet."""
        profile, new = EmbeddingProfile.objects.get_or_create(
            provider="bench", model="made up", digest="", dimensions=self.dimensions
        )
        if new:
            self._store(profile)
        started = time.monotonic()
        if hnsw.build(profile):
            self.seconds = round(time.monotonic() - started, 1)
            print(f"HNSW built in {self.seconds:.0f} s", file=sys.stderr)
        else:
            print("The index was there.", file=sys.stderr)
        return profile

    def _store(self, profile: EmbeddingProfile) -> None:
        sources = [
            Source.objects.create(name=name, title=name, parser="MdxParser", enabled=False)
            for name in ("common", "rare")
        ]
        now = timezone.now()
        times = {"first_seen": now, "last_seen": now, "changed_at": now}
        titles = self.texts(self.chunks // CHUNKS_OF_A_DOCUMENT + 1, 4)
        documents = Document.objects.bulk_create(
            (
                Document(
                    source=sources[number % RARE_ONE_IN == 0],
                    url=f"bench://{number}",
                    title=title,
                    doc_type="concept",
                    **times,
                )
                for number, title in enumerate(titles)
            ),
            batch_size=BLOCK,
        )
        sql = f"COPY ingestion_chunk ({', '.join(CHUNK_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
        with connection.cursor() as cursor, cursor.copy(sql) as copy:
            copy.set_types(list(CHUNK_COLUMNS.values()))
            for record in self._records(documents, profile):
                copy.write_row(record)
        term_statistics.rebuild()
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE ingestion_chunk")

    def _records(
        self, documents: list[Document], profile: EmbeddingProfile
    ) -> Iterator[tuple[Any, ...]]:
        for start in range(0, self.chunks, BLOCK):
            count = min(BLOCK, self.chunks - start)
            pairs = zip(self.vectors(count), self.texts(count, WORDS_OF_A_CHUNK), strict=True)
            for number, (vector, text) in enumerate(pairs, start):
                document = documents[number // CHUNKS_OF_A_DOCUMENT]
                place = number % CHUNKS_OF_A_DOCUMENT
                yield (
                    *(document.pk, place, document.title, [], document.title, text),
                    *(str(number), 200, None, None, profile.pk, pack_vector(vector)),
                    analyzer.vector(document.title, document.title, text),
                    None,
                )


def sizes(profile: EmbeddingProfile) -> dict[str, float]:
    """Of the vectors' index, of the text's, and of the chunks with all theirs."""
    names = {
        "vector index": ("pg_relation_size", profile.index_name),
        "text index": ("pg_relation_size", "chunk_search_vector_gin"),
        "chunks in all": ("pg_total_relation_size", "ingestion_chunk"),
    }
    with connection.cursor() as cursor:
        found = {}
        for name, (function, relation) in names.items():
            cursor.execute(f"SELECT {function}(%s::regclass)", [relation])
            found[name] = round(cursor.fetchone()[0] / 2**20, 1)
        return found


class Nearest:
    """The ten chunks nearest to each of the queries so far, by comparing with every one."""

    def __init__(self, queries: int) -> None:
        self.chunks = np.zeros((queries, 10), dtype=np.int64)
        self.similarities = np.full((queries, 10), -np.inf, dtype=np.float32)

    def add(self, chunks: np.ndarray[Any, np.dtype[np.int64]], similarities: Matrix) -> None:
        """`similarities` has the shape (queries, chunks)."""
        every = np.concatenate([self.similarities, similarities], axis=1)
        wide = np.broadcast_to(chunks, similarities.shape)
        best = np.argpartition(-every, 9, axis=1)[:, :10]
        self.similarities = np.take_along_axis(every, best, axis=1)
        self.chunks = np.take_along_axis(np.concatenate([self.chunks, wide], axis=1), best, axis=1)


def nearest(profile: EmbeddingProfile, queries: Sequence[str]) -> dict[tuple[str, ...], Nearest]:
    """By the sources kept; in one reading of all vectors, a block at a time."""
    wanted = np.array([json.loads(query) for query in queries], dtype=np.float32)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    found = {sources: Nearest(len(queries)) for sources in FILTERS.values()}
    for ids, rare, vectors in _blocks(profile):
        similarities = wanted @ vectors.T
        found[()].add(ids, similarities)
        found[("rare",)].add(ids[rare], similarities[:, rare])
    return found


def _blocks(profile: EmbeddingProfile) -> Iterator[tuple[Any, Any, Matrix]]:
    """The chunks' ids, whether each is of the rare source, and the vectors, of length 1."""
    rows = Chunk.objects.filter(profile=profile).values_list(
        "pk", "document__source__name", "embedding"
    )
    for block in batched(rows.order_by().iterator(BLOCK), BLOCK):
        ids, names, vectors = zip(*block, strict=True)
        yield (
            np.array(ids),
            np.array([name == "rare" for name in names]),
            np.array(vectors, dtype=np.float32),
        )


def batched(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(rows)
    while block := list(islice(left, size)):
        yield block


@access.everything()
def recall(
    profile: EmbeddingProfile,
    queries: Mapping[str, str],
    sources: tuple[str, ...],
    exact: Mapping[tuple[str, ...], Nearest],
) -> float:
    """The share of the ten nearest chunks that the index gives among its first ten.

    Asked as search asks, which ranks more of them and keeps few of one document.
    """
    found = 0
    filters = retrievers.Filters(sources=sources)
    few = filters.keep_few(Chunk.objects.count())
    for vector, chunks in zip(queries.values(), exact[sources].chunks, strict=True):
        ranking = retrievers.dense_ranking(0, 1.0, profile, vector, filters, exact=few)
        with connection.cursor() as cursor:
            sql = f"{fetching.QUERY_SETTINGS}; {ranking.sql} ORDER BY place LIMIT 10"
            cursor.execute(sql, list(ranking.parameters))
            cursor.nextset()
            found += len({row[0] for row in cursor.fetchall()} & set(chunks.tolist()))
    return round(found / (10 * len(queries)), 4)


def latency(queries: dict[str, str], clients: int, sources: tuple[str, ...]) -> dict[str, float]:
    """p50 and p95 of the whole search, in milliseconds."""

    @access.everything()
    def one(text: str) -> float:
        started = time.perf_counter()
        hybrid.search(text, sources=sources)
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
