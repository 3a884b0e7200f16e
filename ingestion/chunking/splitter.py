"""Split blocks into pieces that fit a chunk: the whole block if it fits, otherwise its parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from ingestion.chunking.markdown_blocks import Block, Lines
from ingestion.text import sentences
from ingestion.text.tokenizer import count_within, cut_to_fit

_FENCE = re.compile(r"(?P<prefix>.*?)(?P<marks>`{3,}|~{3,})(?P<info>.*)", re.DOTALL)
_MARKERS = re.compile(r"[\s>]*(?:(?:[-*+]|\d{1,9}[.)])\s+)*")
_QUOTE = re.compile(r"^(?: {0,3}> ?)+", re.MULTILINE)
_CODE_WORD = re.compile(r"[ \t]*[^ \t]+|[ \t]+")
_CELL = re.compile(r"(?:\\.|[^|\\])*\|")
_CUTS = (sentences.sentences, sentences.lines, sentences.words)

Place = Callable[[int], int]
"""Where in the content a character of a text to be split is."""


@dataclass(slots=True, eq=False)
class Frame:
    """What surrounds the pieces of a code block or table in every chunk that contains some.

    `opening` comes before the first piece, `again` before a later one that begins a chunk.
    """

    opening: str
    again: str
    closing: str = ""

    @property
    def tokens(self) -> int:
        closing = count_within(self.closing) + 1 if self.closing else 0
        return max(count_within(self.opening), count_within(self.again)) + 1 + closing


@dataclass(slots=True, eq=False)
class Piece:
    """Text that is not split.

    `glue` separates it from the piece before it in the same chunk. `tokens` is an upper bound of
    what it adds (without glue and frame), `line` its first content line. It lies from character
    `start` of the content to before `end`; what is first of a code block or table from where that
    begins. `sticks`: it must not end a chunk (headings, lead-ins). `prose`: its sentences may be
    repeated. `resumes` precedes it if it begins a chunk: the first cells of its table row.
    """

    text: str
    tokens: int
    line: int
    start: int
    end: int
    glue: str
    heading: bool = False
    prose: bool = False
    sticks: bool = False
    indented: bool = False
    frame: Frame | None = None
    frame_tokens: int = 0
    resumes: str = ""
    opens: bool = False

    def cost_after(self, before: Piece | None) -> int:
        """An upper bound of the tokens it adds to a chunk that ends with `before`."""
        if before is not None and before.frame is self.frame:
            return self.tokens + _tokens_of_glue(self.glue)
        return self.tokens + self.frame_tokens + (_tokens_of_glue(self.glue) if before else 0)


def _tokens_of_glue(glue: str) -> int:
    return count_within(glue) if glue.strip(" ") else 0


def whole_pieces(blocks: Sequence[Block], lines: Lines) -> list[Piece]:
    """One piece for each block."""
    pieces = []
    end = None
    for block in blocks:
        text = "\n".join(lines[block.start : block.end])
        piece = Piece(
            text,
            count_within(text),
            block.start + (block.fence is not None and block.end - block.start > 1),
            lines.starts[block.start],
            lines.end_of(block.end - 1),
            "\n" if block.start == end else "\n\n",
            heading=block.kind == "heading",
            prose=_is_prose(block),
            indented=block.kind == "code" and block.fence is None,
        )
        pieces.append(piece)
        end = block.end
    return pieces


def _is_prose(block: Block) -> bool:
    if block.kind == "text":
        return True
    return block.kind == "item" and len(block.parts) == 1 and _is_prose(block.parts[0])


def fitting_pieces(blocks: Sequence[Block], lines: Lines, room: int) -> list[Piece]:
    """The pieces of a section that is larger than a chunk with `room` tokens."""
    return _Breaker(blocks, lines, room).pieces


class _Breaker:
    """`held` counts the tokens of headings and lead-in that wait for the next piece."""

    def __init__(self, blocks: Sequence[Block], lines: Lines, room: int) -> None:
        self.lines = lines
        self.room = room
        self.pieces: list[Piece] = []
        self.held = 0
        following: list[Block | None] = [*blocks[1:], None]
        wholes = whole_pieces(blocks, lines)
        last_text = max((n for n, piece in enumerate(wholes) if not piece.heading), default=0)
        trailing = sum(piece.tokens + 2 for piece in wholes[last_text + 1 :])
        for number, (block, piece, after) in enumerate(zip(blocks, wholes, following, strict=True)):
            if number == last_text and trailing < room // 4:
                self.held += trailing
            if after and number < last_text and self._waits(block, piece, after):
                piece.sticks = True
                self.held += piece.cost_after(self.pieces[-1] if self.pieces else None)
                self.pieces.append(piece)
            else:
                self._add(block, piece)
                self.held = 0

    def _waits(self, block: Block, piece: Piece, after: Block) -> bool:
        if self.held + piece.tokens + 2 > self.room // 2:
            return False
        if block.kind == "heading":
            return True
        leads = piece.tokens <= self.room // 4 and piece.text.rstrip(" *_`").endswith(
            (":", "\uff1a")
        )
        short = piece.tokens <= self.room // 10 and "\n" not in piece.text
        return block.kind == "text" and (
            (leads and after.kind in ("table", "code", "list"))
            or (short and after.kind in ("table", "code"))
        )

    def _add(self, block: Block, piece: Piece) -> None:
        if piece.tokens + 2 <= self.room - self.held:
            self.pieces.append(piece)
        elif block.kind == "code" and piece.tokens <= self.room and self._lead_in():
            self.pieces[-1].sticks = False
            self.pieces.append(piece)
        else:
            self.pieces += self._broken(block, piece)

    def _lead_in(self) -> Piece | None:
        last = self.pieces[-1] if self.pieces else None
        return last if last and last.sticks and not last.heading else None

    def _broken(self, block: Block, piece: Piece) -> Iterator[Piece]:
        if block.parts:
            yield from self._parts(block, piece.glue)
        elif block.kind == "code":
            yield from self._code(block, piece)
        elif block.kind == "table":
            yield from self._table(block, piece)
        else:
            text, place = self._unquoted(block, piece)
            yield from self._prose(text, piece.line, place, piece.glue)

    def _limit(self) -> int:
        return self.room - self.held - 2

    def _parts(self, block: Block, glue: str) -> Iterator[Piece]:
        for part, piece in zip(block.parts, whole_pieces(block.parts, self.lines), strict=True):
            if part is block.parts[0]:
                piece.glue = glue
            if piece.tokens <= self._limit():
                yield piece
            else:
                yield from self._broken(part, piece)

    def _unquoted(self, block: Block, piece: Piece) -> tuple[str, Place]:
        """The text of a block without marks of quotes, and where its characters are."""
        if not block.quoted:
            return piece.text, _from(piece.start)
        marks = [_QUOTE.match(line) for line in piece.text.split("\n")]
        left_out = list(accumulate(len(mark[0]) if mark else 0 for mark in marks))
        text = _QUOTE.sub("", piece.text)
        return text, lambda at: piece.start + at + left_out[text.count("\n", 0, at)]

    def _prose(
        self, text: str, line: int, place: Place, glue: str, limit: int = 0, prose: bool = True
    ) -> Iterator[Piece]:
        """Sentences; if one is too large, its lines, then words, then characters.

        If not `prose`, the text is a row of a table, whose lines end with `<br>`.
        """
        limit = limit or self._limit()
        for part in _fitting_parts(text, limit, _CUTS if prose else (sentences.breaks, *_CUTS)):
            tokens = _tokens_of(part)
            start, end = place(part.start), place(part.start + len(part.text) - 1) + 1
            before = part.glue or glue
            yield Piece(part.text, tokens, line + part.line, start, end, before, prose=prose)
            glue = ""

    def _code(self, block: Block, piece: Piece) -> Iterator[Piece]:
        lines = self.lines[block.start : block.end]
        frame = self._code_frame(lines) if block.fence is not None else None
        if frame is None or frame.tokens > self._limit() // 2:
            yield from self._code_lines(lines, block.start, piece.glue, self._limit(), None)
            return
        closed = lines[-1] == frame.closing and len(lines) > 1
        inner = lines[1:-1] if closed else lines[1:]
        limit = self._limit() - frame.tokens
        yield from self._code_lines(inner, block.start + 1, piece.glue, limit, frame)

    def _code_frame(self, lines: Sequence[str]) -> Frame | None:
        match = _FENCE.fullmatch(lines[0])
        if match is None:
            return None
        prefix, marks = _blanked(match["prefix"]), match["marks"]
        last = lines[-1].strip(" \t>")
        closed = len(lines) > 1 and len(last) >= len(marks) and not last.strip(marks[0])
        closing = lines[-1] if closed else prefix + marks
        info = match["info"].strip()
        if count_within(info) > self.room // 8:
            info = info.split()[0]
        return Frame(lines[0], f"{prefix}{marks}{info}", closing)

    def _code_lines(
        self, lines: Sequence[str], start: int, glue: str, limit: int, frame: Frame | None
    ) -> Iterator[Piece]:
        frame_tokens = frame.tokens if frame else 0
        opens = True
        for number, line in enumerate(lines, start):
            end = self.lines.starts[number]
            for text in _fitting_code(line, limit):
                begin, end = end, end + len(text)
                begin = self.lines.starts[number - 1] if opens and frame else begin
                yield Piece(
                    text, count_within(text), number, begin, end, glue, frame=frame,
                    frame_tokens=frame_tokens, opens=opens, indented=frame is None,
                )  # fmt: skip
                glue, opens = "", False
            glue = "\n"

    def _table(self, block: Block, piece: Piece) -> Iterator[Piece]:
        frame = self._table_frame(block)
        head = 2 if frame else 0
        frame_tokens = frame.tokens if frame else 0
        limit = self._limit() - frame_tokens
        glue, opens = piece.glue, True
        for number in range(block.start + head, block.end):
            for part in self._row(self.lines[number], number, glue, limit):
                part.frame, part.opens = frame, opens
                part.start = self.lines.starts[block.start] if opens else part.start
                part.frame_tokens = frame_tokens + count_within(part.resumes)
                yield part
                opens = False
            glue = "\n"

    def _row(self, row: str, number: int, glue: str, limit: int) -> Iterator[Piece]:
        start = self.lines.starts[number]
        if count_within(row) <= limit:
            yield Piece(row, count_within(row), number, start, start + len(row), glue)
            return
        cells = _first_cells(row, limit // 6)
        room = limit - count_within(cells)
        parts = self._prose(row, number, _from(start), glue, room, prose=False)
        for place, part in enumerate(parts):
            part.resumes = cells if place else ""
            yield part

    def _table_frame(self, block: Block) -> Frame | None:
        """The head of a table; from the second part on with a short lead-in above it."""
        opening = "\n".join(self.lines[block.start : block.start + 2])
        again = _MARKERS.sub(lambda marker: _blanked(marker[0]), opening, count=1)
        lead_in = self._lead_in()
        candidates = [Frame(opening, again)]
        if lead_in and lead_in.tokens <= self.room // 8:
            candidates.insert(0, Frame(opening, f"{lead_in.text}\n\n{again}"))
        fitting = [frame for frame in candidates if frame.tokens <= self._limit() // 2]
        return fitting[0] if fitting and block.end - block.start > 2 else None


def _from(start: int) -> Place:
    return lambda at: start + at


def _blanked(prefix: str) -> str:
    """Replace list markers with spaces: the next part continues the same item."""
    return re.sub(r"[^\s>]", " ", prefix)


def _first_cells(row: str, limit: int) -> str:
    """The first cells of a row, with less than `limit` tokens; empty if one is too large."""
    cells = ""
    for match in _CELL.finditer(row):
        if count_within(cells + match[0]) >= limit:
            break
        cells += match[0]
    return f"{cells} " if cells.strip("| ") else ""


def _tokens_of(part: sentences.Fragment) -> int:
    tokens = count_within(part.text)
    return max(tokens, count_within(f" {part.text}")) if part.glue == " " else tokens


def _fitting_parts(
    text: str, limit: int, cuts: Sequence[sentences.Cut]
) -> Iterator[sentences.Fragment]:
    yield from _cut_down(sentences.Fragment(text, "", 0, 0), cuts, limit)


def _cut_down(
    whole: sentences.Fragment, cuts: Sequence[sentences.Cut], limit: int
) -> Iterator[sentences.Fragment]:
    """`whole` if it fits, otherwise its parts by the first of `cuts`, recursively."""
    if _tokens_of(whole) <= limit:
        yield whole
    elif not cuts:
        start, glue = whole.start, whole.glue
        for text in cut_to_fit(whole.text, limit - 1):
            yield sentences.Fragment(text, glue, whole.line, start)
            start, glue = start + len(text), ""
    else:
        for part in cuts[0](whole.text):
            inner = part._replace(
                glue=part.glue or whole.glue,
                line=whole.line + part.line,
                start=whole.start + part.start,
            )
            yield from _cut_down(inner, cuts[1:], limit)
            whole = whole._replace(glue="")


def _fitting_code(line: str, limit: int) -> Iterator[str]:
    if count_within(line) <= limit:
        yield line
        return
    for word in _CODE_WORD.findall(line):
        if count_within(word) <= limit:
            yield word
        else:
            yield from cut_to_fit(word, limit)
