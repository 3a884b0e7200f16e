"""Learns which blocks the pages of a site share, and removes them from each: boilerplate that no
class or tag marks.

A block counts whatever element it came from, and only where it begins or ends a page: what is
repeated between a page's own blocks is content. Two shares of the pages decide: what most pages
have goes if it is a paragraph or a list, unless the page's own heading is directly above it; what
nearly every page has goes whatever it is, and a page with nothing else has no content.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ingestion.parsers.web.boilerplate import block_key

EDGE = 8  # blocks looked at, at either end of a page
PAGES_THAT_TELL = 5
PAGES_OF_A_SITE = 10  # in a smaller site a block on each page may be all that it says of the matter
MOST = 0.5
NEARLY_ALL = 0.8
LONGEST = 400  # characters of a block that most pages may share
LONGEST_OF_ALL = 4_000  # characters of a block that nearly every page may share
MAX_COUNTED = 50_000
_CODE = ("```", "~~~")
_STRUCTURE = ("#", "|")


@dataclass(frozen=True)
class Repeats:
    """The keys of blocks that most pages of a site share, and of those that nearly all share."""

    most: frozenset[str] = frozenset()
    nearly_all: frozenset[str] = frozenset()

    def own_blocks(self, blocks: Sequence[str]) -> list[str]:
        """The blocks without what the site repeats at either end; none if they are only that, and
        perhaps headings."""
        if not (self.most or self.nearly_all):
            return list(blocks)
        page = _Page(blocks, self)
        last = next((i for i in range(len(blocks), 0, -1) if not page.repeats(i - 1)), 0)
        first = next((i for i in range(last) if not page.repeats(i)), last)
        own = list(blocks[first:last])
        if len(own) == len(blocks) or _says_something(own):
            return own
        rest = page.not_on_nearly_all()
        return rest if _says_something(rest) else []


class _Page:
    """One page's blocks. As many equal blocks are repeats as other pages have."""

    def __init__(self, blocks: Sequence[str], known: Repeats) -> None:
        self.blocks = blocks
        self.known = known
        self.met: Counter[str] = Counter()

    def repeats(self, place: int) -> bool:
        key = _key(self.blocks, place)
        if not key:
            return False
        self.met[key] += 1
        numbered = _numbered(key, self.met[key])
        if numbered in self.known.nearly_all:
            return True
        under_heading = place > 0 and self.blocks[place - 1].startswith("#")
        return numbered in self.known.most and not under_heading

    def not_on_nearly_all(self) -> list[str]:
        """The blocks that only most pages share, for a page that has no others."""
        keys = _numbered_keys(self.blocks, range(len(self.blocks)))
        return [self.blocks[i] for i, key in keys if key not in self.known.nearly_all]


class Tally:
    """Counts on how many pages each block begins or ends a page. The rarest are forgotten when too
    many blocks differ."""

    def __init__(self, counts: Mapping[str, int] | None = None, pages: int = 0) -> None:
        self.counts: Counter[str] = Counter(counts)
        self.pages = pages

    def add(self, blocks: Sequence[str]) -> None:
        self.pages += 1
        self.counts.update(_edge_keys(blocks))
        if len(self.counts) > MAX_COUNTED:
            self._forget_the_rarest()

    def _forget_the_rarest(self) -> None:
        kept = self.counts.most_common(MAX_COUNTED // 2)
        self.counts = Counter({key: count for key, count in kept if count > 1})

    def recurring(self) -> dict[str, int]:
        """The counts of the blocks that were met more than once."""
        return {key: count for key, count in self.counts.items() if count > 1}

    def repeats(self) -> Repeats:
        """What the counted pages share; nothing if they are too few to tell."""
        if self.pages < PAGES_THAT_TELL:
            return Repeats()
        most = max(PAGES_THAT_TELL - 1, MOST * self.pages)
        nearly_all = NEARLY_ALL * self.pages if self.pages >= PAGES_OF_A_SITE else self.pages + 1
        return Repeats(
            frozenset(k for k, n in self.counts.items() if n >= most and k[0] == _PROSE),
            frozenset(k for k, n in self.counts.items() if n >= nearly_all),
        )


def _says_something(blocks: Sequence[str]) -> bool:
    return any(not block.startswith("#") for block in blocks)


_PROSE = "p"  # begins the key of a block that goes if most pages have it
_OTHER = "x"


def _edge_keys(blocks: Sequence[str]) -> list[str]:
    places = [*range(min(EDGE, len(blocks))), *range(max(EDGE, len(blocks) - EDGE), len(blocks))]
    return [key for _, key in _numbered_keys(blocks, places)]


def _numbered_keys(blocks: Sequence[str], places: Sequence[int]) -> Iterator[tuple[int, str]]:
    met: Counter[str] = Counter()
    for place in places:
        if key := _key(blocks, place):
            met[key] += 1
            yield place, _numbered(key, met[key])


def _numbered(key: str, number: int) -> str:
    return key if number == 1 else f"{key} {number}"


def _key(blocks: Sequence[str], place: int) -> str:
    """The key of a block, of a heading together with what it heads; empty for what always stays."""
    block = blocks[place]
    if block.startswith("#"):
        under = blocks[place + 1] if place + 1 < len(blocks) else ""
        return "" if _stays(under) else _hashed(_OTHER, f"{block_key(block)}\n{block_key(under)}")
    if _stays(block):
        return ""
    is_prose = len(block) <= LONGEST and not block.startswith(_STRUCTURE)
    return _hashed(_PROSE if is_prose else _OTHER, block_key(block))


def _stays(block: str) -> bool:
    return len(block) > LONGEST_OF_ALL or block.startswith(_CODE)


def _hashed(kind: str, text: str) -> str:
    return kind + hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
