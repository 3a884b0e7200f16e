"""How much of what a reader of a Docusaurus page sees is in the parsed content.

    python tests/scripts/fidelity_mdx.py DOCS_DIR... [--rendered DIR] [--diff]

With `--rendered`, the reference is HTML that MDX's own compiler made of each page:
`DIR/<page path>.html`, with several DOCS_DIRs `DIR/<their parent's name>/<page path>.html`.
Without it, the reference is a plain reading of the source, line by line, which shares no code with
the parser. Words are compared in order and exactly as seen: a word split or glued counts as lost.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingestion.documents import DocumentFailure, ParsedDocument
from ingestion.parsers.base import SourceConfig
from ingestion.parsers.mdx import MdxParser

_INLINE = """
a abbr b code del em i kbd mark s small span strong sub sup u var input img button label
"""
INLINE = frozenset(_INLINE.split())
LEFTOVER = re.compile(
    r"^(?:import|export) .*(?:from ['\"]|=)|className=|\{#[\w-]+\}|&nbsp;"
    r"|(?<!\w)</?[A-Za-z][\w.]*(?:\s[^<>]*)?>|^:::|<!--|\{/\*|^sidebar_position:",
    re.MULTILINE,
)


_PLAIN = (
    (r"^import .*?from ['\"].*?$|^import ['\"].*?$", ""),
    (r"^ *(:{3,})(\w+)(?: +|\[)([^\n\]]+)\]?$", r"\3"),
    (r"^ *:{3,}(?=\w*$)", ""),
    (r"^\s*\[[^\]]+\]: \S+$", ""),
    (r"\{(['\"])(.*?)\1\}", r"\2"),
    (r"<TabItem[^>]*?label=\"([^\"]*)\"[^>]*>", r" \1 "),
    (r"</?(?:b|i|em|strong|code|span|a|kbd|sub|sup)(?:\s[^<>]*)?>", ""),
    (r"</?[A-Za-z][\w.]*(?:\s(?:[^<>]|=>)*?)?/?>", " "),
    (r"!\[([^\]]*)\]\([^)]*\)", r" \1 "),
    (r"\s*\{#[\w-]+\}$|^\s*\|?[-:| ]+\|?$|^\s*>|^[-=]{2,}$", " "),
    (r"\[([^\]]+)\](?:\([^)\s]*(?:\s\"[^\"]*\")?\)|\[[^\]]*\]|(?=[ ,.]))", r"\1"),
    (r"^\s*(?:#+|[-*+]|\d+\.)\s|(?<!\\)\|", " "),
    (r"(?<![\w*\\])\*{1,3}(?=[^\s*])|(?<=[^\s*\\])\*{1,3}", ""),
    (r"(?<![\w\\])_{1,3}(?=\S)|(?<=[^\s\\])_{1,3}(?!\w)|~~|\\(?=[^\w\s])", ""),
)


@dataclass(slots=True)
class Seen:
    """Words in reading order, and code blocks apart, without the newlines around them."""

    words: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Score:
    page: str
    reference: int
    matched: int
    content: int
    code: int
    code_exact: int
    leftovers: list[str]
    missing: list[str]


class _Reader(HTMLParser):
    """Visible text of rendered HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.code: list[str] = []
        self._pre = 0
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "style", "iframe", "title"):
            self._hidden += 1
        if tag == "pre":
            self._pre += 1
            self.code.append("")
        if tag == "a" and "data-footnote-ref" in given:
            self.parts.append("[")
        elif tag not in INLINE:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "iframe", "title"):
            self._hidden -= 1
        if tag == "pre":
            self._pre -= 1
        if tag not in INLINE:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if self._pre:
            self.code[-1] += data
        elif not self._hidden:
            self.parts.append(data)


def read_rendered(text: str) -> Seen:
    reader = _Reader()
    reader.feed(re.sub(r'<h2[^>]*id="footnote-label"[^>]*>.*?</h2>', "", text))
    reader.close()
    words = "".join(reader.parts).replace("\u200b", "").split()
    return Seen(words, [code.strip("\n") for code in reader.code if code.strip()])


_HIGHLIGHTS = re.compile(r"\W+highlight-(?:next-line|start|end)\b")  # no reader sees them


def read_plainly(source: str) -> Seen:
    """The words and code of a page's source, by the look of its lines alone."""
    body = re.sub(r"\A---\n.*?^---\n", "", source, count=1, flags=re.DOTALL | re.MULTILINE)
    prose: list[str] = []
    code: list[str] = []
    fence = ""
    for line in body.split("\n"):
        marks = re.match(
            r"(\s*(?:(?:[-*+]|\d+\.)\s+)?)(`{3,}|~{3,})(?:.*title=[\"'](.*?)[\"'])?", line
        )
        if not fence and marks:
            fence, indent = marks[2], len(marks[1])
            code.append("")
            prose.append(f"\n{marks[3] or ''}\n")
        elif fence and line.strip() == fence:
            fence = ""
        elif fence and not _HIGHLIGHTS.match(line):
            code[-1] += (line[indent:] if not line[:indent].strip() else line) + "\n"
        elif not fence:
            prose.append(line)
    return Seen(_plain_words("\n".join(prose)), [c.strip("\n") for c in code if c.strip()])


def _plain_words(text: str) -> list[str]:
    spans: list[str] = []

    def put_aside(match: re.Match[str]) -> str:
        spans.append(match[2].strip() if match[2].strip() else match[2])
        return f"\x00{len(spans) - 1}\x00"

    text = re.sub(r"<!--.*?-->|\{/\*.*?\*/\}", "", text, flags=re.DOTALL)
    text = re.sub(r"(?<![`\\])(`+)(?!`)(.+?)(?<!`)\1(?!`)", put_aside, text, flags=re.DOTALL)
    for pattern, by in _PLAIN:
        text = re.sub(pattern, by, text, flags=re.MULTILINE | re.DOTALL)
    text = html.unescape(text).replace("\xa0", " ")
    return re.sub("\x00(\\d+)\x00", lambda match: spans[int(match[1])], text).split()


def read_content(document: ParsedDocument) -> Seen:
    """The words and code of Markdown, as CommonMark's blocks and backticks say."""
    md = MarkdownIt("zero").enable(
        ["table", "fence", "list", "heading", "paragraph", "html_block", "backticks", "newline"]
    )
    first = document.content.partition("\n")[0].replace("`", "").replace("\\", "")
    shows_title = first.lstrip("# ").casefold() == document.title.casefold()
    seen = Seen([] if shows_title else document.title.split())
    for token in md.parse(document.content):
        if token.type == "fence":
            seen.code.append(token.content.strip("\n"))
        for text in _texts(token):
            seen.words += text.split()
    return seen


def _texts(token: Token) -> Iterator[str]:
    if token.type != "inline":
        return
    text = "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for child in token.children or []
    )
    yield re.sub(r"^\\(?=[^\w\s])|^(\d+)\\(?=[.)])|^\[[ x]\] ", r"\1", text)


def score(page: str, reference: Seen, document: ParsedDocument) -> Score:
    ours = read_content(document)
    expected = [word.casefold() for word in _titled(reference.words, document.title)]
    got = [word.casefold() for word in ours.words]
    matcher = SequenceMatcher(None, expected, got, autojunk=False)
    matched = sum(block.size for block in matcher.get_matching_blocks())
    missing = [
        f"{' '.join(expected[a:b])!r} -> {' '.join(got[c:d])!r}"
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal"
    ]
    exact = SequenceMatcher(None, reference.code, ours.code, autojunk=False)
    code_exact = sum(block.size for block in exact.get_matching_blocks())
    prose = re.sub(r"^(`{3,}).*?^\1$|`+[^`\n]+`+", "", document.content, flags=re.S | re.M)
    return Score(
        page,
        len(expected),
        matched,
        len(got),
        len(reference.code),
        code_exact,
        [match.group() for match in LEFTOVER.finditer(prose)],
        missing,
    )


def _titled(words: list[str], title: str) -> list[str]:
    """The reference with the title once in front, as the page's own heading may say it already."""
    own = title.split()
    begins = [word.casefold() for word in words[: len(own)]]
    return words if begins == [word.casefold() for word in own] else own + words


def scores(docs: Path, rendered: Path | None) -> Iterator[Score | DocumentFailure]:
    config = SourceConfig("fidelity", docs.parent, (docs.name,))
    for parsed in MdxParser(config).parse():
        if isinstance(parsed, DocumentFailure):
            yield parsed
        elif isinstance(parsed, ParsedDocument):
            path = parsed.url.partition("://")[2]
            if rendered:
                reference = read_rendered((rendered / f"{path}.html").read_text("utf-8"))
            else:
                reference = read_plainly((docs / path).read_text("utf-8"))
            yield score(f"{docs.parent.name}/{path}", reference, parsed)


def report(results: Sequence[Score], show_diff: bool) -> None:
    for each in results:
        line = f"{each.matched / max(each.reference, 1):8.4%} of {each.reference:6} words, "
        line += f"{each.matched / max(each.content, 1):8.4%} precise, "
        line += f"code {each.code_exact}/{each.code}"
        print(f"{line}, {len(each.leftovers)} leftovers  {each.page}")
        for detail in (each.missing + each.leftovers) if show_diff else each.leftovers:
            print(f"      {detail}")
    words, matched = sum(r.reference for r in results), sum(r.matched for r in results)
    code, exact = sum(r.code for r in results), sum(r.code_exact for r in results)
    content = sum(r.content for r in results)
    print(
        f"{len(results)} pages: {matched / max(words, 1):.4%} of {words} words, "
        f"{matched / max(content, 1):.4%} precise, {exact} of {code} code blocks exact, "
        f"{sum(len(r.leftovers) for r in results)} leftovers"
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("docs", nargs="+", type=Path)
    parser.add_argument("--rendered", type=Path)
    parser.add_argument("--diff", action="store_true", help="show each difference")
    options = parser.parse_args(arguments)
    results: list[Score] = []
    for docs in options.docs:
        several = len(options.docs) > 1 and options.rendered
        rendered = options.rendered / docs.resolve().parent.name if several else options.rendered
        for each in scores(docs.resolve(), rendered):
            if isinstance(each, Score):
                results.append(each)
            else:
                print(f"{'warning' if each.warning else 'failure'}: {each.url}: {each.message}")
    report(results, options.diff)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
