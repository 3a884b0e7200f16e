"""Export chunks with their vectors as JSON Lines or Parquet.

A row is a chunk with facts about its document (COLUMNS). All rows are from one snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from ingestion.exceptions import ConfigError
from ingestion.index import left_out
from ingestion.models import Chunk

# Each column, and its lookup from a chunk.
COLUMNS = {
    "source": "document__source__name",
    "url": "document__url",
    "display_url": "document__display_url",
    "title": "document__title",
    "doc_type": "document__doc_type",
    "generations": "document__generations",
    "deprecated": "document__deprecated",
    "breadcrumb": "document__breadcrumb",
    "metadata": "document__metadata",
    "ordinal": "ordinal",
    "heading_path": "heading_path",
    "context_header": "context_header",
    "content": "content",
    "content_hash": "content_hash",
    "tokens": "tokens",
    "start_line": "start_line",
    "start_page": "start_page",
    "provider": "profile__provider",
    "model": "profile__model",
    "dimensions": "profile__dimensions",
    "embedding": "embedding",
}
FETCHED = 500  # rows in memory at once
FORMATS = {
    "jsonl": "ingestion.index.export.write_json_lines",
    "parquet": "ingestion.index.export_parquet.write_parquet",
}

Row = dict[str, Any]


def rows(sources: Iterable[str] = (), *, vectors: bool = True) -> Iterator[Row]:
    """The chunks of the named sources, or of all, document by document in order, without the
    documents that were left out of search."""
    columns = {name: path for name, path in COLUMNS.items() if vectors or name != "embedding"}
    chunks = Chunk.objects.exclude(document__in=left_out.keys()).order_by("document_id", "ordinal")
    if names := list(sources):
        chunks = chunks.filter(document__source__name__in=names)
    for values in chunks.values_list(*columns.values()).iterator(chunk_size=FETCHED):
        row = dict(zip(columns, values, strict=True))
        if vectors:
            row["embedding"] = list(row["embedding"])
        yield row


def writer(name: str) -> Callable[[Iterable[Row], IO[bytes]], int]:
    """The function that writes rows in a format and returns their number. Raises ConfigError."""
    module, _, function = FORMATS[name].rpartition(".")
    try:
        found: Callable[[Iterable[Row], IO[bytes]], int] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{name} needs the package {error.name}: install it with `pip install {error.name}`, "
            "or choose --format jsonl."
        ) from None
    return found


def write_json_lines(rows: Iterable[Row], file: IO[bytes]) -> int:
    number = 0
    for number, row in enumerate(rows, start=1):  # noqa: B007
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return number


def write_whole(path: Path, write: Callable[[IO[bytes]], int]) -> int:
    """Have `write` write the file; an existing file is replaced only when all is written."""
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as file:
            number = write(file)
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)
    return number
