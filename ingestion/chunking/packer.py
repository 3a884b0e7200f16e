"""Pack pieces into parts that never exceed their room, with overlap between them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ingestion.chunking.splitter import Piece
from ingestion.text import sentences
from ingestion.text.tokenizer import count_within

_GLUE_ALLOWANCE = 1
_COMMENT = re.compile(r"\s*(?:\d+\s+)?(?:rem\b|!|//|/\*|\*|#|--|<!--)", re.IGNORECASE)


@dataclass(slots=True)
class PackedPieces:
    """The pieces of one chunk: those repeated from the previous part, then its own."""

    overlap: list[Piece] = field(default_factory=list)
    own: list[Piece] = field(default_factory=list)

    @property
    def content(self) -> str:
        return render([*self.overlap, *self.own])

    @property
    def last(self) -> Piece | None:
        return self.own[-1] if self.own else self.overlap[-1] if self.overlap else None

    @property
    def line(self) -> int:
        return self.own[0].line

    @property
    def start(self) -> int:
        return (self.overlap or self.own)[0].start

    @property
    def end(self) -> int:
        return self.own[-1].end

    @property
    def tokens(self) -> int:
        """An upper bound of the tokens of its own pieces."""
        return _cost(self.own)

    def fits(self, room: int) -> bool:
        return count_within(self.content) <= room


def render(pieces: Sequence[Piece]) -> str:
    """The pieces as Markdown, with their frames."""
    text: list[str] = []
    frame = None
    for place, piece in enumerate(pieces):
        framed = place > 0 and piece.frame is frame
        if not framed and frame and frame.closing:
            text.append(f"\n{frame.closing}")
        if place:
            text.append(piece.glue)
        if not framed and piece.frame:
            text.append(f"{piece.frame.opening if piece.opens else piece.frame.again}\n")
        text.append(piece.text if framed else piece.resumes + piece.text)
        frame = piece.frame
    if frame and frame.closing:
        text.append(f"\n{frame.closing}")
    content = "".join(text)
    return content if pieces[0].indented else _dedented(content)


def _dedented(content: str) -> str:
    """Remove the indent that all lines share, so that the inside of a list is read as such."""
    if not content.startswith(" "):
        return content
    lines = content.split("\n")
    indent = min(len(line) - len(line.lstrip(" ")) for line in lines if line.strip())
    return "\n".join(line[indent:] for line in lines)


def _cost(pieces: Sequence[Piece]) -> int:
    before: list[Piece | None] = [None, *pieces]
    return sum(piece.cost_after(last) for last, piece in zip(before, pieces, strict=False))


def pack(pieces: Sequence[Piece], room: int, overlap: int) -> list[PackedPieces]:
    """Fill parts of at most `room` tokens in order; a short last part is evened out.

    Each piece must fit `room` together with the pieces before it that stick to it.
    """
    waiting = deque(pieces)
    parts: list[PackedPieces] = []
    while waiting:
        part = PackedPieces(_overlap(parts[-1].own, waiting[0], overlap) if parts else [])
        _fill(part, waiting, room)
        _shrink(part, waiting, room)
        parts.append(part)
    if len(parts) > 1:
        parts[-2:] = _evened(parts[-2], parts[-1], room, overlap)
    return parts


def _fill(part: PackedPieces, waiting: deque[Piece], room: int) -> None:
    used = _cost(part.overlap)
    while waiting:
        piece = waiting[0]
        full = used + piece.cost_after(part.last) > room
        if not part.own or all(own.sticks for own in part.own):
            while part.overlap and used + piece.cost_after(part.last) > room:
                del part.overlap[0]
                used = _cost([*part.overlap, *part.own])
        elif full or _begins_late(piece, used, room):
            _hand_on(part, piece, waiting)
            return
        used += piece.cost_after(part.last)
        part.own.append(waiting.popleft())


def _begins_late(piece: Piece, used: int, room: int) -> bool:
    """Whether a code block or table that is split anyway would begin with only a line or two."""
    return piece.opens and piece.frame is not None and used > room * 3 // 4


def _hand_on(part: PackedPieces, piece: Piece, waiting: deque[Piece]) -> None:
    """Move to the next part what sticks to its first `piece`, and code after a late good break."""
    own = part.own
    if piece.frame and piece.frame.closing and piece.frame is own[-1].frame:
        least = _cost(own) * 2 // 3
        for place in range(len(own) - 1, 0, -1):
            if own[place].frame is not piece.frame or _cost(own[:place]) < least:
                break
            after = own[place + 1] if place + 1 < len(own) else piece
            if _breaks_well(own[place].text, after.text):
                waiting.extendleft(reversed(own[place + 1 :]))
                del own[place + 1 :]
                break
    while own[-1].sticks and not all(kept.sticks for kept in own):
        waiting.appendleft(own.pop())


def _breaks_well(before: str, after: str) -> bool:
    """Whether code breaks well between two lines: after a blank line or before a comment."""
    return not before.strip() or bool(_COMMENT.match(after) and not _COMMENT.match(before))


def _shrink(part: PackedPieces, waiting: deque[Piece], room: int) -> None:
    """Move pieces on if the text has more tokens than the sum of its pieces, as when they join
    inside a word."""
    while not part.fits(room) and (part.overlap or len(part.own) > 1):
        if part.overlap:
            del part.overlap[0]
        else:
            waiting.appendleft(part.own.pop())


def _evened(
    before: PackedPieces, last: PackedPieces, room: int, overlap: int
) -> list[PackedPieces]:
    """The last two parts, if the last is short or has only headings: merged if only the overlap
    separates them, otherwise with pieces moved to the last one; code at a good break if there is
    one."""
    short = room // 4
    bare = all(piece.heading for piece in last.own)
    if last.tokens >= short and not bare:
        return [before, last]
    if together := _fitting(before.overlap, before.own + last.own, room):
        return [together]
    evened = [before, last]
    most = room if bare else min(room, before.tokens)
    for place in range(len(before.own) - 1, 0, -1):
        kept, moved = before.own[:place], before.own[place:]
        own = moved + last.own
        if _cost(own) > most or (evened[0] is not before and _cost(kept) < room // 2):
            break
        if kept[-1].sticks or not (bare or min(_cost(own), _cost(kept)) >= short):
            continue
        clean = kept[-1].frame is None or _breaks_well(kept[-1].text, moved[0].text)
        if clean or evened[0] is before:
            longer = _fitting(_overlap(kept, moved[0], overlap), own, room)
            evened = [PackedPieces(before.overlap, kept), longer] if longer else evened
        if clean:
            break
    return evened


def _fitting(overlap: list[Piece], own: list[Piece], room: int) -> PackedPieces | None:
    """A part with all of `own` and as much overlap as fits, if they fit."""
    part, rest = PackedPieces(list(overlap), own), deque[Piece]()
    if _cost(own) > room:
        return None
    _shrink(part, rest, room)
    return None if rest else part


def _overlap(own: Sequence[Piece], following: Piece, limit: int) -> list[Piece]:
    """The end of a part that is repeated before `following`: whole sentences, code lines or rows.

    Only prose is repeated before another block; code and rows only before more of the same block.
    """
    last = own[-1]
    same_block = last.frame is not None and following.frame is last.frame
    taken: deque[Piece] = deque()
    for piece in reversed(own):
        repeatable = piece.frame is last.frame and (same_block or (piece.prose and not last.frame))
        limit -= piece.tokens + _GLUE_ALLOWANCE
        if not repeatable or limit < 0:
            if repeatable and piece.prose:
                taken.extendleft(_last_sentences(piece, limit + piece.tokens))
            break
        taken.appendleft(piece)
    while taken and not taken[0].text.strip():
        taken.popleft()
    return list(taken)


def _last_sentences(piece: Piece, limit: int) -> list[Piece]:
    """Whole sentences from the end of a piece, the last one first."""
    taken = []
    for part in reversed(sentences.sentences(piece.text)[1:]):
        tokens = count_within(f" {part.text}")
        limit -= tokens + _GLUE_ALLOWANCE
        if limit < 0:
            break
        line = piece.line + part.line
        is_whole = piece.end - piece.start == len(piece.text)  # without marks of quotes it is not
        start = piece.start + part.start if is_whole else piece.start
        taken.append(
            replace(piece, text=part.text, tokens=tokens, line=line, start=start, glue=part.glue)
        )
    return taken
