"""Chunks as Parquet. Loaded on use: pyarrow is large, and few need it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import IO, Any

import pyarrow as pa
from pyarrow import parquet

TEXTS = pa.list_(pa.string())
TYPES = {
    "generations": TEXTS,
    "breadcrumb": TEXTS,
    "heading_path": TEXTS,
    "deprecated": pa.bool_(),
    "ordinal": pa.int32(),
    "tokens": pa.int32(),
    "start_line": pa.int32(),
    "start_page": pa.int32(),
    "dimensions": pa.int32(),
    "embedding": pa.list_(pa.float32()),
}
GROUP = 5000  # rows in memory, and in a row group


def write_parquet(rows: Iterable[dict[str, Any]], file: IO[bytes]) -> int:
    """Row groups of GROUP rows; metadata as JSON text, everything not in TYPES as text."""
    remaining = iter(rows)
    group = list(islice(remaining, GROUP))
    schema = schema_of(group[0] if group else {})
    number = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group:
            writer.write_table(pa.Table.from_pylist([_plain(row) for row in group], schema))
            number += len(group)
            group = list(islice(remaining, GROUP))
    return number


def schema_of(row: dict[str, Any]) -> pa.Schema:
    return pa.schema([(name, TYPES.get(name, pa.string())) for name in row])


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"metadata": json.dumps(row["metadata"], ensure_ascii=False)}
