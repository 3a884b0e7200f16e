"""What a source's parser yields, as it is stored: used by runs, trials and commands alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from ingestion.documents import Parsed, ParsedDocument, storable
from ingestion.enrichment.generations import UNTAGGED
from ingestion.parsers import parser_class, permalinks
from ingestion.parsers.base import NOTHING_KNOWN, Known, SourceConfig
from ingestion.parsers.readers import Finished, OwnProcesses


def read(parser: str, config: SourceConfig, known: Known = NOTHING_KNOWN) -> Iterator[Parsed]:
    """What the source's parser yields, with the source's generation on each document.

    Each document is read in a process that is ended if it exceeds the limits of `config`.
    Raises ConfigError for invalid options and SourceError when the source cannot be read.
    """
    return worked_on(parser, config, known, lambda document: document, processes=1)


def worked_on(
    parser: str,
    config: SourceConfig,
    known: Known,
    work: Callable[[ParsedDocument], Any],
    processes: int,
) -> Iterator[Any]:
    """The same, read in so many `processes`. Where documents are read from files, `work` is done
    there, and its result comes in place of the document."""
    isolation = OwnProcesses(config.limits, processes, lambda d: work(finished(d, config)))
    try:
        for parsed in parser_class(parser)(config).parse(known, isolation):
            if isinstance(parsed, Finished):
                yield parsed.result
            elif isinstance(parsed, ParsedDocument):
                yield finished(parsed, config)
            else:
                yield parsed
    finally:
        isolation.close()


def finished(document: ParsedDocument, config: SourceConfig) -> ParsedDocument:
    """The document with the source's generation, without characters PostgreSQL cannot store."""
    found = list(document.generations)
    link = permalinks.stored_link(document, config) if config.repository else document.display_url
    if config.generation != "auto" and config.generation not in found:
        found.append(config.generation)
    return replace(
        document,
        url=storable(document.url),
        title=storable(document.title).strip() or document.url.rpartition("/")[2],
        content=storable(document.content),
        display_url=storable(link),
        breadcrumb=storable(document.breadcrumb),
        metadata=storable(document.metadata),
        inputs=tuple(entry._replace(path=storable(entry.path)) for entry in document.inputs),
        generations=tuple(found) or (UNTAGGED,),
    )
