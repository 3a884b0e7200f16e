"""Compare every topic of a Flare project with the page that Flare published from it.

    python -m tests.scripts.compare_flare <folder of projects> <project> <published folder>

Word recall, word precision, exact words and word order per topic against the published main
content. Alternative texts, popup and footnote bodies and equations (published as pictures) are
neither wanted nor punished.
"""

from __future__ import annotations

import difflib
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lxml import etree, html
from markdown_it import MarkdownIt

from ingestion.documents import ParsedDocument
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.flare import FlareParser

BLOCK_TAGS = (
    "p div h1 h2 h3 h4 h5 h6 ul ol li dl dt dd table tr td th caption pre blockquote section hr br"
)
BLOCKS = frozenset(BLOCK_TAGS.split())
UNSEEN = frozenset(("script", "style", "noscript", "nav", "footer"))
FURNITURE = re.compile(r"breadcrumb|minitoc|MCMiniToc|MCRelated|MCTopicToc|toolbar|codeSnippetCopy")
EQUATION = re.compile(r"\$[^$]*\$")
ANY = re.compile("")
WORD = re.compile(r"\w+")
MARKDOWN = (
    MarkdownIt("commonmark", {"maxNesting": 100})
    .enable("table")
    .disable(
        [
            "html_block",
            "html_inline",
            "entity",
            "reference",
            "emphasis",
            "link",
            "image",
            "autolink",
        ]
    )
)


class Score(NamedTuple):
    """Each from 0 to 1; `exact` counts the words between white space, as a reader sees them."""

    url: str
    recall: float
    precision: float
    exact: float
    order: float
    lost: list[str]
    added: list[str]


def seen_text(element: etree._Element) -> str:
    """The text of published HTML as a browser shows it."""
    parts: list[str] = []
    _collect(element, parts)
    return "".join(parts)


def _collect(element: etree._Element, parts: list[str]) -> None:
    parts.append(element.text or "")
    for child in element:
        if isinstance(child.tag, str) and not _is_furniture(child):
            border = "\n" if child.tag.lower() in BLOCKS else ""
            parts.append(border)
            _collect(child, parts)
            parts.append(border)
        parts.append(child.tail or "")


def _is_furniture(element: etree._Element) -> bool:
    name = str(element.tag).lower()
    if name in UNSEEN or name in ("madcap:pagefooter", "madcap:pageheader"):
        return True
    return FURNITURE.search(f"{element.get('class')} {element.get('id')}") is not None


def published_text(path: Path) -> str | None:
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True)
    root = html.fromstring(path.read_bytes(), parser=parser)
    for query in ("//*[@id='mc-main-content']", "//*[@role='main']", "//body"):
        found = root.xpath(query)
        if isinstance(found, list) and found and isinstance(found[0], etree._Element):
            return seen_text(found[0])
    return None


def document_text(document: ParsedDocument) -> str:
    """The words of a document as its Markdown shows them, with the title that was its h1."""
    lines = []
    for token in MARKDOWN.parse(document.content):
        if token.type in ("fence", "code_block"):
            lines.append(token.content)
        for child in token.children or ():
            lines.append("\n" if child.type.endswith("break") else child.content)
        if token.children is not None:
            lines.append("\n")
    return "".join(lines)


def compare(document: ParsedDocument, published: str) -> Score:
    ours = EQUATION.sub(" ", document_text(document))
    theirs = EQUATION.sub(" ", published)
    title = _words(document.title)
    if _words(theirs)[: len(title)] == title != _words(ours)[: len(title)]:
        ours = f"{document.title}\n{ours}"
    ours_words, theirs_words = _words(ours), _words(theirs)
    shared = _shared(ours_words, theirs_words)
    ours_exact, theirs_exact = ours.split(), theirs.split()
    matcher = difflib.SequenceMatcher(None, ours_words, theirs_words, autojunk=False)
    in_order = sum(block.size for block in matcher.get_matching_blocks())
    return Score(
        document.url,
        shared / (len(theirs_words) or 1) if theirs_words else 1.0,
        shared / (len(ours_words) or 1) if ours_words else 1.0,
        _shared(ours_exact, theirs_exact) / (len(theirs_exact) or 1) if theirs_exact else 1.0,
        in_order / (shared or 1) if shared else 1.0,
        list((Counter(theirs_exact) - Counter(ours_exact)).elements()),
        list((Counter(ours_exact) - Counter(theirs_exact)).elements()),
    )


def _words(text: str) -> list[str]:
    return WORD.findall(text)


def _shared(ours: list[str], theirs: list[str]) -> int:
    return (Counter(ours) & Counter(theirs)).total()


def scores(
    projects: Path, project: str, published: Path, wanted: re.Pattern[str] = ANY
) -> Iterator[Score | str]:
    """A score for each wanted topic, or the address of one that cannot be compared."""
    config = SourceConfig("flare", projects, (project,))
    for parsed in FlareParser(config).parse():
        if not isinstance(parsed, ParsedDocument):
            yield f"{parsed.url}: {getattr(parsed, 'message', '')}"
            continue
        if not wanted.search(parsed.url):
            continue
        page = published / parsed.url.partition("Content/")[2]
        text = published_text(page) if page.exists() else None
        yield compare(parsed, text) if text is not None else f"{parsed.url}: not published"


def main() -> None:
    projects, project, published = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    found = list(scores(projects, project, published))
    measured = [score for score in found if isinstance(score, Score)]
    for other in found:
        if isinstance(other, str):
            print(other)
    print(f"{len(measured)} topics compared")
    for name in ("recall", "precision", "exact", "order"):
        values = sorted(getattr(score, name) for score in measured)
        low = values[int(0.05 * (len(values) - 1))]
        mean = statistics.fmean(values)
        print(
            f"{name:10} median {statistics.median(values):.4f}  5th percentile {low:.4f}"
            f"  mean {mean:.4f}  least {values[0]:.4f}"
        )
    for score in sorted(measured, key=lambda s: min(s.recall, s.precision, s.exact))[:15]:
        print(
            f"{score.url} r={score.recall:.3f} p={score.precision:.3f} e={score.exact:.3f} "
            f"o={score.order:.3f} lost={score.lost[:8]} added={score.added[:8]}"
        )


if __name__ == "__main__":
    main()
