"""Cut documents into chunks: at headings first, never above a number of tokens."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingestion.chunking.context_header import context_header_within
from ingestion.chunking.markdown_blocks import Block, Lines, Section, read_sections
from ingestion.chunking.packer import PackedPieces, pack
from ingestion.chunking.splitter import Piece, fitting_pieces, whole_pieces
from ingestion.documents import Location, ParsedDocument, storable
from ingestion.exceptions import ConfigError
from ingestion.text.tokenizer import WORDLLAMA, Tokens, count_tokens, counted_in

CHUNKER_VERSION = 1
SMALLEST_SIZE = 32

_WORD = re.compile(r"[^\W_]")
_BLANK_LINE_TOKENS = 2


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A part of a document that is embedded and found as one.

    `content_hash` is the SHA-256 (hex) of `embedded_text`, `tokens` its length. `start_line` and
    `start_page` (from 1) are where the chunk's own text begins, without the overlap. With it, the
    chunk lies from character `start_offset` of `text_of(document)` to before `end_offset`.
    """

    ordinal: int
    heading_path: tuple[str, ...]
    context_header: str
    content: str
    content_hash: str
    tokens: int
    start_line: int | None
    start_page: int | None
    start_offset: int
    end_offset: int

    @property
    def embedded_text(self) -> str:
        return embedded_text(self.context_header, self.content)


@dataclass(slots=True)
class _Group:
    """Blocks that become one chunk, or are split if they do not fit.

    `tokens` is an upper bound of their size. `movable`: they are all of their section, so they may
    be merged with neighbours.
    """

    path: tuple[str, ...]
    blocks: list[Block]
    pieces: list[Piece]
    tokens: int
    movable: bool = True

    def followed_by(self, other: _Group, path: tuple[str, ...]) -> _Group:
        tokens = self.tokens + other.tokens + _BLANK_LINE_TOKENS
        return _Group(path, self.blocks + other.blocks, self.pieces + other.pieces, tokens)


@dataclass(frozen=True)
class Chunker:
    """`size` limits the `tokens` of the embedded text of a chunk, `overlap` those repeated from the
    previous chunk of a split section. Raises ConfigError for sizes that cannot work."""

    size: int = 400
    overlap: int = 50
    tokens: Tokens = WORDLLAMA

    def __post_init__(self) -> None:
        if self.size < SMALLEST_SIZE:
            raise ConfigError(
                f"A chunk size of {self.size} tokens leaves no room for text: "
                f"set CHUNK_SIZE to {SMALLEST_SIZE} or more (400 is a good start)."
            )
        if not 0 <= self.overlap < self.size / 2:
            raise ConfigError(
                f"A chunk overlap of {self.overlap} tokens does not go with a size of {self.size}: "
                f"set CHUNK_OVERLAP to 0 or more, below half of CHUNK_SIZE."
            )

    @property
    def key(self) -> str:
        """The settings that chunks depend on, for the fingerprint of a document."""
        sizes = f"chunker {CHUNKER_VERSION}, size {self.size}, overlap {self.overlap}"
        return f"{sizes}, {self.tokens.key}" if self.tokens.key else sizes

    def chunk(self, document: ParsedDocument) -> list[TextChunk]:
        """The chunks of `document` in reading order; none if it has no words."""
        with counted_in(self.tokens):
            return list(_Chunking(self, document).chunks())


class _Chunking:
    """Cuts one document.

    A section below a quarter of the size is tiny: its chunk would mostly consist of the heading,
    and its vector would say little. Tiny neighbours are merged up to half the size: large enough to
    differ from others, not yet a mixture.
    """

    def __init__(self, chunker: Chunker, document: ParsedDocument) -> None:
        self.document = document
        self.size = chunker.size
        self.overlap = chunker.overlap
        self.tiny = chunker.size // 4
        self.enough = chunker.size // 2
        self.breadcrumb = [storable(step) for step in document.breadcrumb]
        self.title = storable(document.title)
        self.text = text_of(document)
        self.lines = Lines(self.text)
        self.headers: dict[tuple[str, ...], tuple[str, int]] = {}

    def chunks(self) -> Iterator[TextChunk]:
        root = read_sections(self.text, self.lines, self.title)
        self._settle_headings(root)
        groups = self._whole(root) if self.document.whole_sections else self._merged(root)
        ordinal = 0
        for group in groups:
            for part in self._parts(group):
                content = part.content
                if _WORD.search(content):
                    yield self._chunk(ordinal, group.path, content, part)
                    ordinal += 1

    def _settle_headings(self, root: Section) -> None:
        """Attach the headings of empty sections to the text that follows, or to the text before if
        only a higher heading follows."""
        waiting: list[Block] = []
        highest = 0
        worded: Section | None = None
        for section in root.walk():
            if worded and waiting and highest > section.level:
                worded.body += waiting
                waiting = []
            if any(self._has_word(block) for block in section.body):
                section.headings = waiting + section.headings
                waiting, worded = [], section
            else:
                highest = min(highest, section.level) if waiting else section.level
                waiting += section.blocks
                section.headings, section.body = [], []
        (worded or root).body += waiting

    def _has_word(self, block: Block) -> bool:
        return any(_WORD.search(self.lines[line]) for line in range(block.start, block.end))

    def _whole(self, root: Section) -> Iterator[_Group]:
        """A group for each section, without the headings in its path."""
        for section in root.walk():
            if section.body:
                headings = [h for h in section.headings if h.title not in section.path]
                yield self._group(section.path, headings + section.body)

    def _merged(self, section: Section) -> list[_Group]:
        """The groups of a section and its subsections, tiny neighbours merged."""
        runs = [[self._group(section.path, section.blocks)] if section.body else []]
        runs += [self._merged(below) for below in section.sections]
        groups: list[_Group] = []
        for run in runs:
            for group in run:
                group.movable = len(run) == 1
                if groups and self._joins(groups[-1], group, section.path):
                    group = groups.pop().followed_by(group, section.path)
                groups.append(group)
        for place in range(len(groups) - 1, 0, -1):
            before, after = groups[place - 1 : place + 1]
            tiny = min(before.tokens, after.tokens) < self.tiny
            if tiny and self._fit_together(before, after, section.path):
                groups[place - 1 : place + 1] = [before.followed_by(after, section.path)]
        return self._introduced(section, groups)

    def _joins(self, before: _Group, after: _Group, path: tuple[str, ...]) -> bool:
        tiny = before.tokens < self.tiny or (
            after.tokens < self.tiny and before.tokens < self.enough
        )
        return tiny and self._fit_together(before, after, path)

    def _fit_together(self, before: _Group, after: _Group, path: tuple[str, ...]) -> bool:
        tokens = before.tokens + after.tokens + _BLANK_LINE_TOKENS
        return before.movable and after.movable and tokens <= self._header(path)[1]

    def _introduced(self, section: Section, groups: list[_Group]) -> list[_Group]:
        """Merge a tiny introduction with the first text after it, if both fit or if that text is
        split anyway."""
        if len(groups) < 2 or groups[0].path != section.path or groups[0].tokens >= self.tiny:
            return groups
        introduction, first, *rest = groups
        together = introduction.followed_by(first, section.path)
        if together.tokens <= self._header(section.path)[1]:
            return [together, *rest]
        if first.tokens > self._header(first.path)[1]:
            return [introduction.followed_by(first, first.path), *rest]
        return groups

    def _group(self, path: tuple[str, ...], blocks: list[Block]) -> _Group:
        pieces = whole_pieces(blocks, self.lines)
        tokens = sum(piece.tokens + _BLANK_LINE_TOKENS for piece in pieces) - _BLANK_LINE_TOKENS
        return _Group(path, blocks, pieces, tokens)

    def _parts(self, group: _Group) -> list[PackedPieces]:
        room = self._header(group.path)[1]
        if group.tokens <= room:
            return [PackedPieces(own=group.pieces)]
        return pack(fitting_pieces(group.blocks, self.lines, room), room, self.overlap)

    def _header(self, path: tuple[str, ...]) -> tuple[str, int]:
        """The context header for a heading path, and the tokens that are left for the content."""
        if path not in self.headers:
            header = context_header_within(self.size // 4, self.breadcrumb, self.title, path)
            taken = count_tokens(header) + _BLANK_LINE_TOKENS if header else 1
            self.headers[path] = header, self.size - taken
        return self.headers[path]

    def _chunk(
        self, ordinal: int, path: tuple[str, ...], content: str, part: PackedPieces
    ) -> TextChunk:
        header = self._header(path)[0]
        text = embedded_text(header, content)
        return TextChunk(
            ordinal=ordinal,
            heading_path=path,
            context_header=header,
            content=content,
            content_hash=hashlib.sha256(text.encode()).hexdigest(),
            tokens=count_tokens(text),
            start_line=_number_at(self.document.lines, part.line),
            start_page=_number_at(self.document.pages, part.line),
            start_offset=part.start,
            end_offset=part.end,
        )


def text_of(document: ParsedDocument) -> str:
    """The content as it is cut: with line feeds alone, and without what cannot be stored."""
    text: str = storable(document.content)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def embedded_text(header: str, content: str) -> str:
    return f"{header}\n\n{content}" if header else content


def _number_at(locations: Sequence[Location], line: int) -> int | None:
    place = bisect_right(locations, line, key=lambda location: location.content_line)
    return locations[place - 1].number if place else None
