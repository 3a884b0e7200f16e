"""Show how documents are cut: sizes, the smallest and largest chunks, time.

python -m tests.scripts.chunk_report notes/ page.md
python -m tests.scripts.chunk_report --parser MdxParser --data-dir corpus mdx/dwc-course
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ingestion.chunking.chunker import Chunker, TextChunk
from ingestion.documents import DocumentFailure, ParsedDocument
from ingestion.parsers import PARSERS, parser_class
from ingestion.parsers.base import SourceConfig

BAR_WIDTH = 60


def read_markdown(paths: list[str]) -> Iterator[ParsedDocument]:
    for path in map(Path, paths):
        files = sorted(path.rglob("*.md")) if path.is_dir() else [path]
        for file in files:
            text = file.read_text("utf-8", "replace")
            yield ParsedDocument(str(file), file.stem, text, breadcrumb=file.parts[-3:-1])


def parse(parser: str, data_dir: Path, paths: list[str]) -> Iterator[ParsedDocument]:
    config = SourceConfig("report", data_dir.resolve(), tuple(paths))
    for parsed in parser_class(parser)(config).parse():
        if isinstance(parsed, DocumentFailure):
            print(f"! {parsed.url}: {parsed.message}")
        elif isinstance(parsed, ParsedDocument):
            yield parsed


def print_histogram(chunks: list[TextChunk], size: int) -> None:
    step = max(1, size // 16)
    counts = Counter(chunk.tokens // step for chunk in chunks)
    widest = max(counts.values())
    for bucket in range(max(counts) + 1):
        bar = "#" * (counts[bucket] * BAR_WIDTH // widest)
        print(f"{bucket * step:>6} tokens {counts[bucket]:>7} {bar}")


def print_chunk(document: ParsedDocument, chunk: TextChunk) -> None:
    place = f"line {chunk.start_line}, page {chunk.start_page}"
    print(f"\n--- {chunk.tokens} tokens, chunk {chunk.ordinal} of {document.url} ({place})")
    print(chunk.embedded_text)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("paths", nargs="+")
    arguments.add_argument(
        "--parser", choices=PARSERS, help="without one, Markdown is read as it is"
    )
    arguments.add_argument("--data-dir", type=Path, default=Path())
    arguments.add_argument("--size", type=int, default=Chunker.size)
    arguments.add_argument("--overlap", type=int, default=Chunker.overlap)
    arguments.add_argument(
        "--show", type=int, default=5, help="how many of the smallest and largest"
    )
    arguments.add_argument("--all", action="store_true", help="show every chunk")
    options = arguments.parse_args()
    if options.parser:
        documents = list(parse(options.parser, options.data_dir, options.paths))
    else:
        documents = list(read_markdown(options.paths))
    chunker = Chunker(options.size, options.overlap)
    started = time.perf_counter()
    cut = [(document, chunk) for document in documents for chunk in chunker.chunk(document)]
    seconds = time.perf_counter() - started
    if not cut:
        print("No chunks.")
        return
    print_histogram([chunk for _, chunk in cut], options.size)
    megabytes = sum(len(document.content) for document in documents) / 1e6
    print(
        f"{len(documents)} documents, {len(cut)} chunks in {seconds:.2f} s: "
        f"{len(cut) / seconds:,.0f} chunks/s, {megabytes / seconds:.2f} MB/s"
    )
    by_size = sorted(cut, key=lambda pair: pair[1].tokens)
    shown = cut if options.all else by_size[: options.show] + by_size[-options.show :]
    for document, chunk in shown:
        print_chunk(document, chunk)


if __name__ == "__main__":
    main()
