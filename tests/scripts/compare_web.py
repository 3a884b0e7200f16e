"""Crawl a published site on the loopback interface and compare each page with what was published.

    python -m tests.scripts.compare_web <parser> <folder of the site> <start path> <content xpath>
        [--without <xpath>] [--only <regular expression of paths>] [--option name=json]

What should be found is computed here from the files alone: all words of the content element, by
a plain walk over its text, without what `--without` selects. Pooled word recall counts missing
pages with all their words; precision counts words that the page's content does not have. Code lines
are those of `pre`, of highlighters and of paragraphs classed as code. A second crawl is made to see
what it transfers.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from lxml import html

from ingestion.documents import Document, Failure, Unchanged
from ingestion.parsers import parser_class
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.web.settings import WebSettings
from tests.web_known import Kept
from tests.web_server import LOOPBACK, WebServer

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
    region = next(iter(tree.xpath(content)), None)
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


def said(document: Document, wanted: Published) -> Counter[str]:
    """The document's words; its title counts where the content has it too."""
    words = Counter(WORD.findall(document.content.casefold()))
    title = Counter(WORD.findall(document.title.casefold()))
    missing = wanted.words - words
    return words + (title & missing)


def main() -> None:
    arguments = _arguments()
    options = {
        "delay": 0,
        **{k: json.loads(v) for k, v in (o.split("=", 1) for o in arguments.option)},
    }
    root = Path(arguments.folder)
    with WebServer() as server:
        server.folder(root)
        config = SourceConfig(
            "site",
            root,
            start_url=server.origin + arguments.start,
            options=options,
            web=WebSettings(allow_networks=LOOPBACK),
        )
        memory = Kept()
        first = _crawl(arguments.parser, config, memory, server)
        documents = {
            unquote(url.removeprefix(server.origin)): d for url, d in memory.documents.items()
        }
        _compare(arguments, root, documents)
        for failure in first:
            if isinstance(failure, Failure):
                kind = "warning" if failure.warning else "error"
                print(f"{kind}: {failure.url.removeprefix(server.origin)}: {failure.message}")
        server.forget()
        again = _crawl(arguments.parser, config, memory, server)
        unchanged = sum(isinstance(p, Unchanged) for p in again)
        counted = f"{len(server.requests)} requests, {server.bodies} bodies, {unchanged} unchanged"
        print(f"second crawl: {counted}")
        print(f"memory of the crawl: {len(json.dumps(memory.kept)):,} bytes")


def _crawl(name: str, config: SourceConfig, memory: Kept, server: WebServer) -> list[Any]:
    begun = time.monotonic()
    parsed = list(parser_class(name)(config).parse(memory))
    documents = [p for p in parsed if isinstance(p, Document)]
    memory.documents |= {d.url: d for d in documents}
    spent = time.monotonic() - begun
    print(f"{len(documents)} documents, {len(server.requests)} requests, {spent:.1f} s")
    return parsed


def _compare(arguments: argparse.Namespace, root: Path, documents: dict[str, Document]) -> None:
    wanted_words = found_words = said_words = right_words = code_lines = code_found = 0
    misses: list[tuple[int, str, str]] = []
    left = dict(documents)
    for file in sorted(root.rglob("*.htm*")):
        path = "/" + file.relative_to(root).as_posix()
        if not re.search(arguments.only, path):
            continue
        wanted = published(file, arguments.content, arguments.without)
        if wanted is None or not wanted.words:
            continue
        document = left.pop(path, None) or left.pop(re.sub(r"index\.html?$", "", path), None)
        total = sum(wanted.words.values())
        wanted_words += total
        code_lines += len(wanted.code)
        if document is None:
            print(f"missing: {path} ({total} words)")
            continue
        words = said(document, wanted)
        lost, extra = wanted.words - words, words - wanted.words - wanted.alternative
        found_words += total - sum(lost.values())
        said_words += sum((words - (words - wanted.words & wanted.alternative)).values())
        right_words += sum((words & wanted.words).values())
        fenced = {
            line.strip()
            for match in FENCED.finditer(document.content)
            for line in match[3].split("\n")
        }
        gone = [line for line in wanted.code if line.strip() not in fenced]
        code_found += len(wanted.code) - len(gone)
        misses.append(
            (
                sum(lost.values()) + sum(extra.values()) + len(gone),
                path,
                f"lost {_top(lost)} extra {_top(extra)} code {gone[:2]}",
            )
        )
    for url in left:
        print(f"more than was looked for: {url}")
    for number, path, what in sorted(misses, reverse=True)[: arguments.worst]:
        if number:
            print(f"{number:5} {path}: {what}")
    print(
        f"recall {found_words / wanted_words:.4f}  precision {right_words / max(1, said_words):.4f}"
    )
    print(f"code lines {code_found} of {code_lines} ({code_found / max(1, code_lines):.4f})")


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
    return parser.parse_args()


if __name__ == "__main__":
    main()
