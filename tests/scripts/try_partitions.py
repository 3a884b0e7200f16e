"""Chunks in one table, and in a table partitioned by source: what each costs.

    STATE_DIR=.data/partitions python -m tests.scripts.try_partitions [--chunks N] [--sources N]

Vectors are made up, in clusters, and terms by a power law. Each step is timed on both tables: COPY
with all indexes but the one over vectors, building that, searching it without and with a source,
and the removal of a source. Prints JSON: seconds, milliseconds (p50) and recall@10.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import django
import numpy as np

django.setup()

from django.db import connection, transaction  # noqa: E402

from ingestion.embedding.stage import pack_vector  # noqa: E402
from ingestion.text import analyzer  # noqa: E402

TABLES = {"one table": "try_flat", "partitioned": "try_parted"}
COLUMNS = (
    "id bigint, source bigint, hash text, content text, terms tsvector, embedding vector({0:d})"
)
QUERIES = 100
WORDS = 20_000
CHUNK_WORDS = 100
AT_ONCE = 5_000


def main() -> None:
    given = _arguments()
    found: dict[str, dict[str, Any]] = {}
    queries = _vectors(np.random.default_rng(7), QUERIES, given.dimensions)
    for name, table in TABLES.items():
        _create(table, given)
        steps = found[name] = {"MB": {}}
        steps["copy, s"] = _seconds(lambda: _copy(table, given))  # noqa: B023
        steps["build the vector index, s"] = _seconds(lambda: _index(table, given))  # noqa: B023
        _sql(f"ANALYZE {table}")
        steps["MB"] = _size(table)
        for which, source in (("", None), (", one source", given.sources - 1)):
            steps[f"search{which}"] = _searched(table, queries, given.dimensions, source)
        steps["remove a source, s"] = _seconds(lambda: _remove(table, name, given))  # noqa: B023
        sys.stderr.write(f"{name}: {steps}\n")
    _sql(f"DROP TABLE {', '.join(TABLES.values())}")
    sys.stdout.write(json.dumps({"chunks": given.chunks, "sources": given.sources, **found}))


def _create(table: str, given: argparse.Namespace) -> None:
    _sql(f"DROP TABLE IF EXISTS {table}")
    columns = COLUMNS.format(given.dimensions)
    if table == TABLES["one table"]:
        _sql(f"CREATE TABLE {table} ({columns})")
    else:
        _sql(f"CREATE TABLE {table} ({columns}) PARTITION BY LIST (source)")
        for source in range(given.sources):
            _sql(f"CREATE TABLE {table}_{source} PARTITION OF {table} FOR VALUES IN ({source})")
    for column in ("(id)", "(source)", "(hash)", "USING gin (terms)"):
        _sql(f"CREATE INDEX ON {table} {column}")


def _copy(table: str, given: argparse.Namespace) -> None:
    """Source after source, as runs do; the sizes of sources follow a power law."""
    sql = f"COPY {table} (id, source, hash, content, terms, embedding) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(sql) as copy:
        copy.set_types(["int8", "int8", "text", "text", "bytea", "bytea"])
        for row in _rows(given):
            copy.write_row(row)


def _rows(given: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    rng = np.random.default_rng(1)
    shares = 1 / np.arange(1, given.sources + 1)
    sizes = (shares / shares.sum() * given.chunks).astype(int)
    key = 0
    for source, size in enumerate(sizes):
        for start in range(0, int(size), AT_ONCE):
            for vector in _vectors(rng, min(AT_ONCE, int(size) - start), given.dimensions):
                words = (WORDS * rng.random(CHUNK_WORDS) ** 4).astype(int)
                text = " ".join(f"word{word}" for word in words)
                terms = analyzer.vector("", "", text)
                yield key, source, f"{key:064x}", text, terms, pack_vector(vector)
                key += 1


def _vectors(rng: np.random.Generator, number: int, dimensions: int) -> Any:
    centres = np.random.default_rng(0).normal(size=(2_000, dimensions))
    made = centres[rng.integers(len(centres), size=number)]
    made = made + 0.6 * rng.normal(size=made.shape)
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@transaction.atomic
def _index(table: str, given: argparse.Namespace) -> None:
    _sql("SET LOCAL maintenance_work_mem = '2000MB'")
    _sql(
        f"CREATE INDEX ON {table} USING hnsw"
        f" ((embedding::halfvec({given.dimensions:d})) halfvec_cosine_ops)"
    )


def _searched(table: str, queries: Any, dimensions: int, source: int | None) -> dict[str, float]:
    where = "" if source is None else f"WHERE source = {source:d}"
    asked = f"embedding::halfvec({dimensions:d}) <=> %s::halfvec({dimensions:d})"
    sql = f"SELECT id FROM {table} {where} ORDER BY {asked} LIMIT 10"
    taken, right = [], 0
    for query in queries:
        text = "[" + ",".join(map(str, query)) + "]"
        with transaction.atomic():
            _sql("SET LOCAL hnsw.ef_search = 100")
            _sql("SET LOCAL hnsw.iterative_scan = relaxed_order")
            begun = time.monotonic()
            found = _sql(sql, [text])
            taken.append(1000 * (time.monotonic() - begun))
            _sql("SET LOCAL enable_indexscan = off")
            right += len({*found} & {*_sql(sql, [text])})
    p50 = statistics.median(taken)
    return {"p50, ms": round(p50, 1), "recall@10": round(right / len(queries) / 10, 3)}


def _remove(table: str, name: str, given: argparse.Namespace) -> None:
    """The largest source."""
    if name == "one table":
        _sql(f"DELETE FROM {table} WHERE source = 0")
        _sql(f"VACUUM {table}")
    else:
        _sql(f"DROP TABLE {table}_0")


def _size(table: str) -> dict[str, int]:
    sql = """SELECT sum(pg_table_size(oid)) / 1048576, sum(pg_indexes_size(oid)) / 1048576
        FROM pg_class WHERE relkind = 'r' AND relname LIKE %s"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [f"{table}%"])
        rows, indexes = cursor.fetchone()
    return {"rows": int(rows), "indexes": int(indexes)}


def _seconds(work: Callable[[], None]) -> float:
    begun = time.monotonic()
    work()
    return round(time.monotonic() - begun, 1)


def _sql(sql: str, values: list[Any] | None = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [row[0] for row in cursor.fetchall()] if cursor.description else []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--sources", type=int, default=20)
    parser.add_argument("--dimensions", type=int, default=256)
    return parser.parse_args()


if __name__ == "__main__":
    main()
