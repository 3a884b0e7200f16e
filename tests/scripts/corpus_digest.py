"""Parse and chunk a folder of real material, and print one SHA-256 a source over what came out.

    BBJRAG_CORPUS=corpus python -m tests.scripts.corpus_digest
        [--only <regular expression of sources>] [--write <folder>] [--times <number>]

The digest covers what reaches the index of every document (address, title, text, breadcrumb,
metadata, where lines and pages come from) and of every chunk (text, context header, place), and
every failure: two revisions with the same digests index the same. `--write` keeps the documents as
JSON lines, a file a source, to be compared with `diff`. The seconds are CPU time of parsing, the
least of `--times` readings. Published sites are served on the loopback interface.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from ingestion.chunking.chunker import Chunker
from ingestion.documents import DocumentFailure, Parsed, ParsedDocument
from ingestion.parsers import parser_class
from ingestion.parsers.base import SourceConfig
from tests.parsers.web.test_corpus import SITES
from tests.support.web_known import SETTINGS
from tests.support.web_server import WebServer

# A folder is a source for each of its own folders, but PDFs are one source together.
FOLDERS = {"flare": "FlareParser", "mdx": "MdxParser", "bbj-source": "BbjSourceParser"}
SITE = "http://site"  # in place of the origin, whose port is another one each time


class Material(NamedTuple):
    """`start` is the path at which a published site is entered; a folder has none."""

    name: str
    parser: str
    start: str = ""


class Reading(NamedTuple):
    parsed: list[Parsed]
    seconds: float
    origin: str


def materials(corpus: Path) -> Iterator[Material]:
    for folder, parser in FOLDERS.items():
        for below in sorted((corpus / folder).glob("*/")):
            yield Material(f"{folder}/{below.name}", parser)
    yield Material("pdf", "PdfParser")
    for site in SITES.values():
        yield Material(site.folder, site.parser, site.start)


def read(corpus: Path, material: Material) -> Reading:
    with configured(corpus, material) as config:
        begun = time.thread_time()
        parsed = list(parser_class(material.parser)(config).parse())
        return Reading(parsed, time.thread_time() - begun, config.start_url)


@contextmanager
def configured(corpus: Path, material: Material) -> Iterator[SourceConfig]:
    if not material.start:
        yield SourceConfig("digest", corpus, (material.name,))
        return
    with WebServer() as server:
        server.folder(corpus / material.name)
        start = server.origin + material.start
        yield SourceConfig("digest", corpus, start_url=start, options={"delay": 0}, web=SETTINGS)


def lines_of(reading: Reading) -> list[str]:
    """Each document with its chunks, and each failure, as JSON; in the order of their addresses."""
    port = re.compile(re.escape(reading.origin.rsplit("/", 1)[0]) if reading.origin else r"\Z(?!)")
    lines = [json.dumps(_fields(p), sort_keys=True, default=str) for p in reading.parsed]
    return sorted(port.sub(SITE, line) for line in lines)


def _fields(parsed: Parsed) -> dict[str, Any]:
    fields = asdict(parsed)
    if isinstance(parsed, ParsedDocument):
        del fields["inputs"], fields["validators"]
        fields["chunks"] = [asdict(chunk) for chunk in Chunker().chunk(parsed)]
    return fields


def report(material: Material, readings: list[Reading], write: Path | None) -> None:
    lines = lines_of(readings[0])
    digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()
    documents = [p for p in readings[0].parsed if isinstance(p, ParsedDocument)]
    failures = sum(isinstance(p, DocumentFailure) for p in readings[0].parsed)
    seconds = min(reading.seconds for reading in readings)
    print(
        f"{digest}  {material.name}  {len(documents)} documents, {failures} failures, "
        f"{seconds:.2f} s",
        flush=True,
    )
    if write:
        write.mkdir(parents=True, exist_ok=True)
        path = write / f"{material.name.replace('/', '_')}.jsonl"
        path.write_text("\n".join(lines) + "\n", "utf-8", "surrogatepass")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", default="", help="a regular expression of sources")
    arguments.add_argument("--write", type=Path, help="a folder for the documents as JSON lines")
    arguments.add_argument("--times", type=int, default=1, help="how often each is parsed")
    options = arguments.parse_args()
    if not os.environ.get("BBJRAG_CORPUS"):
        sys.exit("BBJRAG_CORPUS names no folder of real material.")
    corpus = Path(os.environ["BBJRAG_CORPUS"]).resolve()
    for material in materials(corpus):
        if re.search(options.only, material.name):
            readings = [read(corpus, material) for _ in range(options.times)]
            report(material, readings, options.write)


if __name__ == "__main__":
    main()
