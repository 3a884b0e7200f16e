"""Crawl a published site on the loopback interface and compare each page with what was published.

    python -m tests.scripts.compare_web <parser> <folder of the site> <start path> <content xpath>
        [--without <xpath>] [--only <regular expression of paths>] [--option name=json]

What should be found is computed here from the files alone: all words of the content element, by
a plain walk over its text, without what `--without` selects. Pooled word recall counts missing
pages with all their words; precision counts words that the page's content does not have. Code lines
are those of `pre`, of highlighters and of paragraphs classed as code; the document may have them
in fences, or in code spans in the row of a table. A second crawl is made to see
what it transfers.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from lxml import html

from ingestion.documents import ParsedDocument
from tests.support.web_known import Kept, read
from tests.support.web_server import WebServer

WORD = re.compile(r"\w+")
_BLOCK_TAGS = (
    "p div h1 h2 h3 h4 h5 h6 ul ol li dl dt dd table tr td th caption pre blockquote section hr br "
    "figure figcaption article header footer form body"
)
BLOCKS = frozenset(_BLOCK_TAGS.split())
CODE = (
    ".//pre | .//p[starts-with(@class, 'Code')]"
    " | .//*[contains(@class, 'EnlighterJSRAW') or contains(@class, 'crayon-line')]"
)
FENCED = re.compile(r"^( *)(`{3,})[^\n`]*\n(.*?)^\1\2`*$", re.MULTILINE | re.DOTALL)

SPAN = re.compile(r"(?<!`)(`+)(?!`) ?(.+?) ?(?<!`)\1(?!`)")


class Published(NamedTuple):
    words: Counter[str]
    alternative: Counter[str]
    code: list[str]


def text_of(element: Any) -> Iterator[str]:
    if not isinstance(element.tag, str) or element.tag in (
        "script",
        "style",
        "noscript",
        "textarea",
    ):
        return
    edge = element.tag in BLOCKS
    yield "\n" if edge else ""
    yield element.text or ""
    for child in element:
        yield from text_of(child)
        yield child.tail or ""
    yield "\n" if edge else ""


def published(file: Path, content: str, without: str) -> Published | None:
    tree = html.fromstring(file.read_bytes().decode("utf-8-sig", "replace").encode(), parser=PARSER)
    found: Any = tree.xpath(content)
    region = next(iter(found), None)
    if region is None:
        return None
    for element in region.xpath(without) if without else ():
        if element.getparent() is not None:
            element.drop_tree()
    alternative = Counter(WORD.findall(" ".join(region.xpath(".//img/@alt")).casefold()))
    code = [
        line
        for element in region.xpath(CODE)
        for line in "".join(text_of(element)).replace("\xa0", " ").split("\n")
        if line.strip()
    ]
    words = Counter(WORD.findall("".join(text_of(region)).casefold()))
    return Published(words, alternative, code)


PARSER = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)


def said(document: ParsedDocument, wanted: Published) -> Counter[str]:
    """The document's words; its title counts where the content has it too."""
    words = Counter(WORD.findall(document.content.casefold()))
    title = Counter(WORD.findall(document.title.casefold()))
    missing = wanted.words - words
    return words + (title & missing)


def code_lines(content: str) -> Iterator[str]:
    for match in FENCED.finditer(content):
        yield from map(str.strip, match[3].split("\n"))
    for row in re.findall(r"^ *\|.*\|$", FENCED.sub("", content), re.MULTILINE):
        for match in SPAN.finditer(row.replace("\\|", "|")):
            yield match[2].strip()


@dataclass
class Comparison:
    """A crawl against what was published; `missing` and `surplus` are paths."""

    wanted: int = 0
    found: int = 0
    said: int = 0
    right: int = 0
    code_wanted: int = 0
    code_found: int = 0
    missing: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    worst: list[tuple[int, str, str]] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.found / max(1, self.wanted)

    @property
    def precision(self) -> float:
        return self.right / max(1, self.said)

    @property
    def code(self) -> float:
        return self.code_found / max(1, self.code_wanted)

    def add(self, path: str, wanted: Published, document: ParsedDocument | None) -> None:
        total = sum(wanted.words.values())
        self.wanted += total
        self.code_wanted += len(wanted.code)
        if document is None:
            self.missing.append(path)
            return
        words = said(document, wanted)
        lost, extra = wanted.words - words, words - wanted.words - wanted.alternative
        self.found += total - sum(lost.values())
        self.said += sum((words & wanted.words).values()) + sum(extra.values())
        self.right += sum((words & wanted.words).values())
        ours = set(code_lines(document.content))
        gone = [line for line in wanted.code if line.strip() not in ours]
        self.code_found += len(wanted.code) - len(gone)
        off = sum(lost.values()) + sum(extra.values()) + len(gone)
        if off:
            what = f"lost {_top(lost)} extra {_top(extra)} code {gone[:2]}"
            self.worst.append((off, path, what))


def compare(
    root: Path,
    documents: Mapping[str, ParsedDocument],
    content: str,
    without: str = "",
    only: str = "",
) -> Comparison:
    """`documents` by their path on the site."""
    comparison = Comparison()
    left = dict(documents)
    for file in sorted(root.rglob("*.htm*")):
        path = "/" + file.relative_to(root).as_posix()
        wanted = published(file, content, without) if re.search(only, path) else None
        if wanted is not None and wanted.words:
            short = re.sub(r"index\.html?$", "", path)
            comparison.add(path, wanted, left.pop(path, None) or left.pop(short, None))
    comparison.surplus = sorted(left)
    return comparison


def main() -> None:
    arguments = _arguments()
    options = {k: json.loads(v) for k, v in (o.split("=", 1) for o in arguments.option)}
    root = Path(arguments.folder)
    kept = Kept()
    with WebServer() as server:
        server.folder(root)
        for reading in ("first", "second"):
            server.forget()
            begun = time.monotonic()
            found = read(arguments.parser, server.origin, arguments.start, kept, **options)
            spent = time.monotonic() - begun
            print(
                f"{reading} crawl: {len(found.documents)} documents, "
                f"{len(found.unchanged)} unchanged, {len(server.requests)} requests, "
                f"{server.bodies} bodies, {spent:.1f} s"
            )
            if reading == "first":
                documents = {unquote(path): d for path, d in found.documents.items()}
                _report(compare(root, documents, *arguments.compared), arguments.worst)
                for failure in found.failures:
                    kind = "warning" if failure.warning else "error"
                    print(f"{kind}: {failure.url.removeprefix(server.origin)}: {failure.message}")
    print(f"memory of the crawl: {len(json.dumps(kept.kept)):,} bytes")


def _report(comparison: Comparison, number: int) -> None:
    for path in comparison.missing:
        print(f"missing: {path}")
    for path in comparison.surplus:
        print(f"more than was looked for: {path}")
    for off, path, what in sorted(comparison.worst, reverse=True)[:number]:
        print(f"{off:5} {path}: {what}")
    print(f"recall {comparison.recall:.4f}  precision {comparison.precision:.4f}")
    lines = f"{comparison.code_found} of {comparison.code_wanted}"
    print(f"code lines {lines} ({comparison.code:.4f})")


def _top(words: Counter[str]) -> str:
    return " ".join(f"{word}:{count}" for word, count in words.most_common(8)) or "-"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("parser", "folder", "start", "content"):
        parser.add_argument(name)
    parser.add_argument("--without", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--worst", type=int, default=10)
    arguments = parser.parse_args()
    arguments.compared = (arguments.content, arguments.without, arguments.only)
    return arguments


if __name__ == "__main__":
    main()
