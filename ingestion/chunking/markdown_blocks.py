"""Read Markdown into sections of blocks; every line belongs to exactly one block.

CommonMark with tables, except raw HTML and link definitions, which stay text. What the parser skips
(too deep nesting, an empty list item) is kept as text too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, table
from markdown_it.token import Token

Kind = Literal["heading", "text", "code", "table", "list", "item", "quote", "rule"]

DEEPEST_NESTING = 40
_KINDS: dict[str, Kind] = {
    "heading_open": "heading",
    "paragraph_open": "text",
    "fence": "code",
    "code_block": "code",
    "table_open": "table",
    "hr": "rule",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "list_item_open": "item",
    "blockquote_open": "quote",
}
_CONTAINERS = ("list", "item", "quote")
_MARKS = re.compile(r"[*_`\\\\]")
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`) ?(.+?) ?(?<!`)\1(?!`)")


def _line_of_prose(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """A paragraph of one line, as most are. What begins with a letter and is alone can be nothing
    else, so that none of the other rules need be asked."""
    if line + 1 < state.lineMax and not state.isEmpty(line + 1):
        return False
    start = state.bMarks[line] + state.tShift[line]
    if not state.src[start].isalpha() or state.is_code_block(line):
        return False
    state.line = line + 1
    opening = state.push("paragraph_open", "p", 1)
    opening.map = [line, line + 1]
    state.push("paragraph_close", "p", -1)
    return True


def _table_without_cells(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table by markdown-it's rule, without tokens for its cells, which nobody here asks for."""
    if not table(state, start, end, True):
        return False
    if silent:
        return True
    outside, state.parentType = state.parentType, "table"
    line = start + 2
    while line < end and _goes_on(state, line, end):
        line += 1
    opening = state.push("table_open", "table", 1)
    opening.map = [start, line]
    state.push("table_close", "table", -1)
    state.parentType, state.line = outside, line
    return True


def _goes_on(state: StateBlock, line: int, end: int) -> bool:
    """Whether a table goes on with this line."""
    if state.isEmpty(line) or state.sCount[line] < state.blkIndent or state.is_code_block(line):
        return False
    return not any(
        rule(state, line, end, True) for rule in state.md.block.ruler.getRules("blockquote")
    )


_markdown = MarkdownIt("commonmark", {"maxNesting": DEEPEST_NESTING}).enable("table")
_markdown.disable(["html_block", "reference", "inline"])
_markdown.block.ruler.at("table", _table_without_cells, {"alt": ["paragraph", "reference"]})
_markdown.block.ruler.before("table", "line_of_prose", _line_of_prose)


class Lines(list[str]):
    """The lines of a text, and the character at which each begins."""

    def __init__(self, text: str) -> None:
        super().__init__(text.split("\n"))
        self.starts = [0, *accumulate(len(line) + 1 for line in self)]

    def end_of(self, line: int) -> int:
        """The character after the last one of a line."""
        return self.starts[line + 1] - 1


@dataclass(slots=True)
class Block:
    """Lines `start` to `end` (exclusive) of the content, without blank lines at the end.

    `level` and `title` belong to a heading; `fence` is the info string of a fenced code block, None
    without a fence; `parts` are the blocks inside a list, an item or a quote.
    """

    kind: Kind
    start: int
    end: int
    level: int = 0
    title: str = ""
    fence: str | None = None
    quoted: bool = False
    parts: list[Block] = field(default_factory=list)


@dataclass(slots=True)
class Section:
    """A heading, its text and its subsections; the root has no heading.

    `headings` contains its own heading and those of empty sections before it.
    """

    level: int
    path: tuple[str, ...]
    headings: list[Block] = field(default_factory=list)
    body: list[Block] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    @property
    def blocks(self) -> list[Block]:
        return self.headings + self.body

    def walk(self) -> Iterator[Section]:
        """This section and all below it, in reading order."""
        yield self
        for section in self.sections:
            yield from section.walk()


def read_sections(content: str, lines: Sequence[str], title: str = "") -> Section:
    """The root section of `content`, whose `lines` are its text split at line feeds.

    A first heading that repeats the `title` is left out: what precedes each chunk has it already.
    """
    root = Section(0, ())
    open_sections = [root]
    blocks = read_blocks(content, lines)
    first = next((block for block in blocks if block.kind == "heading"), None)
    repeats = first is not None and title != "" and _bare(first.title) == _bare(title)
    for block in blocks:
        if block.kind == "rule" or (repeats and block is first):
            continue
        if block.kind != "heading":
            open_sections[-1].body.append(block)
            continue
        while open_sections[-1].level >= block.level:
            open_sections.pop()
        parent = open_sections[-1]
        section = Section(block.level, (*parent.path, *filter(None, [block.title])), [block])
        parent.sections.append(section)
        open_sections.append(section)
    return root


def _bare(heading: str) -> str:
    """A heading as it is compared with a title: without marks, case and double spaces."""
    return " ".join(_MARKS.sub("", heading).split()).casefold()


def read_blocks(content: str, lines: Sequence[str]) -> list[Block]:
    tokens = _markdown.parse(content)
    return list(_Reader(tokens, lines).blocks(0, len(lines), quoted=False))


class _Reader:
    """Walks the tokens once; lines between them that belong to no token become text."""

    def __init__(self, tokens: Sequence[Token], lines: Sequence[str]) -> None:
        self.tokens = tokens
        self.lines = lines
        self.place = 0

    def blocks(self, start: int, end: int, quoted: bool) -> Iterator[Block]:
        line = start
        while self.place < len(self.tokens) and self.tokens[self.place].nesting >= 0:
            block = self._block(line, quoted)
            if block is None:
                continue
            yield from self._text(line, block.start, quoted)
            yield block
            line = max(line, block.end)
        self.place += 1
        yield from self._text(line, end, quoted)

    def _block(self, line: int, quoted: bool) -> Block | None:
        token = self.tokens[self.place]
        self.place += 1
        kind = _KINDS.get(token.type)
        if kind is None or token.map is None:
            return None
        start = max(line, token.map[0])
        block = Block(kind, start, self._trimmed(start, token.map[1]), quoted=quoted)
        if kind in _CONTAINERS:
            inner = quoted or kind == "quote"
            block.parts = list(self.blocks(start, block.end, inner))
        elif kind == "heading":
            block.level, block.title = int(token.tag[1]), _plain(self.tokens[self.place].content)
            self._skip_to(token.level)
        elif token.nesting == 1:
            self._skip_to(token.level)
        elif token.type == "fence":
            block.fence = token.info.strip()
        return block

    def _skip_to(self, level: int) -> None:
        """The index after the closing token of what was opened at `level`."""
        while self.tokens[self.place].level != level or self.tokens[self.place].nesting != -1:
            self.place += 1
        self.place += 1

    def _text(self, start: int, end: int, quoted: bool) -> Iterator[Block]:
        while start < end and not self.lines[start].strip(" \t>"):
            start += 1
        if start < end:
            yield Block("text", start, self._trimmed(start, end), quoted=quoted)

    def _trimmed(self, start: int, end: int) -> int:
        while end > start + 1 and not self.lines[end - 1].strip():
            end -= 1
        return end


def _plain(heading: str) -> str:
    return " ".join(_CODE_SPAN.sub(r"\2", heading).split())
