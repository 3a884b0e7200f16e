"""Whether every line of every BBj program of a folder is in its document. Prints figures.

    python -m tests.scripts.fidelity_bbj FOLDER [--show FILE]

Exit 1 when a readable file is not a document, or a line with text is missing or out of order.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt

from ingestion.documents import DocumentFailure, Parsed, ParsedDocument
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.bbj import BbjSourceParser

_LINE_END = re.compile(rb"\r\n|\n|\r")
_METHOD = re.compile(rb"^[ \t]*method[ \t]+(public|private|protected)\b", re.IGNORECASE)
_CLASS = re.compile(rb"^[ \t]*(class|interface)[ \t]+(public|private|protected)\b", re.IGNORECASE)


def parse(folder: Path) -> list[Parsed]:
    config = SourceConfig(name="bbj", data_dir=folder.parent, paths=(folder.name,))
    return list(BbjSourceParser(config).parse())


def fenced_lines(document: ParsedDocument) -> list[str]:
    tokens = MarkdownIt("commonmark").parse(document.content)
    fences = (token.content for token in tokens if token.type == "fence")
    return [line for fence in fences for line in fence.split("\n")[:-1]]


def source_lines(data: bytes, encoding: str) -> list[str]:
    """Read apart from the parser, so that the two can differ."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    lines = _LINE_END.split(data)
    return [line.decode(encoding, errors="replace") for line in lines]


def lost(document: ParsedDocument, path: Path) -> list[str]:
    """The source's lines that are not blank, from the first that does not be at its place."""
    expected = source_lines(path.read_bytes(), document.metadata["encoding"])
    expected = [line for line in expected if line.strip()]
    found = [line for line in fenced_lines(document) if line.strip()]
    for i, line in enumerate(expected):
        if i >= len(found) or found[i] != line:
            return expected[i:]
    return [f"(too much: {line})" for line in found[len(expected) :]]


def wrong_line_numbers(document: ParsedDocument, path: Path) -> int:
    source = source_lines(path.read_bytes(), document.metadata["encoding"])
    content = document.content.split("\n")
    inside = {c: n for c, n in document.lines if not content[c].startswith(("#", "```"))}
    return sum(content[c] != source[n - 1] for c, n in inside.items())


def headings(documents: list[ParsedDocument]) -> Iterator[str]:
    for document in documents:
        tokens = MarkdownIt("commonmark").parse(document.content)
        for at, token in enumerate(tokens):
            if token.type == "heading_open":
                yield f"{token.tag} {tokens[at + 1].content}"


def kind(heading: str) -> str:
    level, text = heading.split(" ", 1)
    word = text.split()[0].lower()
    return f"{level} {word if not text.endswith(':') else 'label'}"


def grep(folder: Path, documents: list[ParsedDocument], pattern: re.Pattern[bytes]) -> int:
    paths = (folder / document.url.partition("://")[2] for document in documents)
    return sum(
        bool(pattern.match(line)) for path in paths for line in _LINE_END.split(path.read_bytes())
    )


def report(folder: Path) -> bool:
    began = time.perf_counter()
    parsed = parse(folder)
    seconds = time.perf_counter() - began
    documents = [p for p in parsed if isinstance(p, ParsedDocument)]
    failures = [p for p in parsed if isinstance(p, DocumentFailure)]
    total = missing = wrong = 0
    for document in documents:
        path = folder / document.url.partition("://")[2]
        gone = lost(document, path)
        wrong += wrong_line_numbers(document, path)
        missing += len(gone)
        total += sum(bool(line.strip()) for line in fenced_lines(document))
        if gone:
            print(f"LOST {document.url}: {gone[0][:100]!r}")
    print(f"{len(documents)} documents in {seconds:.2f} s, {total} lines kept, {missing} lost")
    print(
        f"{wrong} wrong line numbers; the longest heading has "
        f"{max(map(len, headings(documents)), default=0)} characters"
    )
    print("headings:", dict(Counter(map(kind, headings(documents))).most_common(12)))
    methods = sum(document.metadata["methods"] for document in documents)
    classes = sum(len(document.metadata["classes"]) for document in documents)
    print(f"methods: {methods} recognised, {grep(folder, documents, _METHOD)} by grep")
    print(f"classes: {classes} recognised, {grep(folder, documents, _CLASS)} by grep")
    print("generations:", dict(Counter(d.generations for d in documents)))
    described = sum(bool(document.metadata["description"]) for document in documents)
    print(f"described: {described}")
    for failure in failures:
        print("warning" if failure.warning else "FAILURE", failure.url, failure.message)
    return not missing and not wrong


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--show", default="", help="print the documents whose URL holds this")
    arguments = options.parse_args()
    folder = arguments.folder.resolve()
    if not arguments.show:
        return 0 if report(folder) else 1
    for parsed in parse(folder):
        if isinstance(parsed, ParsedDocument) and arguments.show in parsed.url:
            print(parsed.url, parsed.generations, dict(parsed.metadata), sep="\n")
            print(parsed.content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
