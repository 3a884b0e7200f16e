"""What only the whole PDF shows: its body size, headings, words, running heads and feet."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from ingestion.parsers.pdf.layout import Item, PageLayout
from ingestion.parsers.pdf.lines import BULLETS, Line

LARGER = 1.12  # times the body size: from this size on, a line is a heading
LONGEST_HEADING = 200  # characters
MOST_HEADING_LINES = 3
EDGE_LINES = 4  # lines at the top and at the bottom of a page that may be running heads or feet
EDGE_ZONE = 0.17  # of the page height
SAME_PLACE = 4.0  # points
LEADER = re.compile(r"(?:\s*[.·…_]\s*){5,}")
IN_LEADER = re.compile(r"[.·…_](?:\s*[.·…_]){4}")  # what each leader has in it, found sooner
TWO_LETTERS = re.compile(r"[^\W\d_]{2}")
BULLET = re.compile(rf"^[{re.escape(BULLETS)}](?:\s+(?=\S)|$)")
NUMBER = re.compile(r"^(?:\(?\d{1,3}[.)]|\(?[a-z][.)]|\(?[ivx]{1,5}[.)])\s+(?=\S)")
CAPTION = re.compile(
    r"^(?:figure|fig\.|table|listing|example|abbildung|abb\.|tabelle|beispiel)\s*\d", re.IGNORECASE
)
SECTION_NUMBER = re.compile(
    r"^(?:(?:chapter|appendix|part|section|kapitel|anhang|teil)\s+)?(?:\d+|[A-Z]|[IVX]+)"
    r"(?:[.\-]\d+)*[.:)]?(?:\s+|$)",
    re.IGNORECASE,
)
WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
ROMAN = re.compile(r"^(?=[ivxlc])(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})$", re.IGNORECASE)
HYPHENS = "-\u2010\u00ad"


@dataclass(slots=True)
class Typography:
    """`levels`: heading level (1 to 6) by index into the items, for each line of a heading.
    `leading`: the usual distance of baselines, in font sizes. `words`: how often each is used."""

    body: float
    leading: float
    mono_body: bool
    levels: dict[int, int] = field(default_factory=dict)
    words: Counter[str] = field(default_factory=Counter)


# Running heads and feet


def drop_boilerplate(pages: Sequence[PageLayout]) -> None:
    """Remove what is at the same place at the page's edge on several pages.

    The page number in it may vary: a number is compared by its distance from the page's own number,
    and one at the end of a line may be any that rises from page to page. If the file has no other
    text, it is kept.
    """
    edges = {page.number: _edge_lines(page) for page in pages}
    seen: dict[tuple[str, int], dict[int, int]] = defaultdict(dict)
    for page in pages:
        for line in edges[page.number]:
            for text, value in _variants(line, page):
                for near in _near_slots(line, page):
                    seen[text, near][page.number] = value
    running = {
        page.number: {
            id(line) for line in edges[page.number] if _is_running(line, page, seen, len(pages))
        }
        for page in pages
    }
    busy = _busy_slots(pages, edges, running)
    kept: list[list[Item]] = []
    for page in pages:
        found = running[page.number]
        found |= {id(line) for line in edges[page.number] if _is_numbered_there(line, page, busy)}
        outermost = _outermost(page, found)
        kept.append([item for item in page.items if id(item) not in outermost])
    if any(kept):
        for page, items in zip(pages, kept, strict=True):
            page.items = items


def _outermost(page: PageLayout, running: set[int]) -> set[int]:
    """The `running` lines without other text between them and the page's edge.

    If other text is above it, repeated text is the wording of a form, not a running head.
    """
    lines = [item for item in page.items if isinstance(item, Line) and not item.turned]
    kept = {id(line) for line in lines if line.pagination}
    for ordered in (sorted(lines, key=lambda i: -i.y), sorted(lines, key=lambda i: i.y)):
        for _, row in itertools.groupby(ordered, key=lambda line: round(line.y / SAME_PLACE)):
            here = {id(line) for line in row} & running
            if not here:
                break
            kept |= here
    return kept & running


def _edge_lines(page: PageLayout) -> list[Line]:
    lines = [item for item in page.items if isinstance(item, Line) and not item.turned]
    by_height = sorted(lines, key=lambda line: -line.y)
    low = page.bottom + EDGE_ZONE * page.height
    high = page.bottom + (1 - EDGE_ZONE) * page.height
    top = [line for line in by_height[:EDGE_LINES] if line.y > high]
    foot = [line for line in by_height[-EDGE_LINES:] if line.y < low]
    marked = [line for line in lines if line.pagination]
    marked += [line for line in by_height[:1] + by_height[-1:] if _is_number(line)]
    return list({id(line): line for line in top + foot + marked}.values())


def _is_number(line: Line) -> bool:
    return bool(re.fullmatch(r"\W*(?:\d{1,4}|[ivxlc]+)\W*", line.text))


def _slot(line: Line, page: PageLayout) -> int:
    return round((line.y - page.bottom) / SAME_PLACE)


def _near_slots(line: Line, page: PageLayout) -> tuple[int, int, int]:
    slot = _slot(line, page)
    return slot - 1, slot, slot + 1


def _variants(line: Line, page: PageLayout) -> Iterator[tuple[str, int]]:
    """The line's text as it is, with each number replaced by its distance from the page, and
    without the number at its start or end; each with the value of the number left out."""
    text = line.text
    yield text, 0
    for match in re.finditer(r"\d{1,4}|\b[ivxlc]+\b", text):
        value = _value(match[0])
        if value is None:
            continue
        yield f"{text[: match.start()]}\0{value - page.number}\0{text[match.end() :]}", 0
        rest = _without_number(text, match)
        if rest is not None:
            yield f"\1{rest}", value


def _without_number(text: str, match: re.Match[str]) -> str | None:
    """The rest of a line whose number is at its start or end: nothing, or some words."""
    before, after = text[: match.start()].strip(" |-·"), text[match.end() :].strip(" |-·")
    if before and after:
        return None
    rest = before or after
    return rest if not rest or len(rest.split()) >= 2 else None


def _value(token: str) -> int | None:
    if token.isdigit():
        return int(token)
    if not ROMAN.match(token):
        return None
    signs = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
    values = [signs[c] for c in token.lower()]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-v if v < after else v for v, after in pairs)


def _is_running(
    line: Line, page: PageLayout, seen: dict[tuple[str, int], dict[int, int]], total: int
) -> bool:
    for text, _ in _variants(line, page):
        on = seen[text, _slot(line, page)]
        if text.startswith("\1") and not _rises(on):
            continue
        if len(on) >= 3 and len(on) >= 0.4 * _reach(on):
            return True
        if len(on) >= 2 and (line.pagination or (total == len(on) and _is_number(line))):
            return True
    return False


def _rises(on: dict[int, int]) -> bool:
    """Whether the numbers rise from page to page, not counting a preface's roman ones."""
    values = [on[number] for number in sorted(on)]
    falls = sum(a >= b for a, b in itertools.pairwise(values))
    return falls <= 1 and len(values) > 2 * falls + 1


def _reach(on: dict[int, int]) -> int:
    """The number of pages from first to last occurrence, such as a chapter's for its head."""
    return max(on) - min(on) + 1


def _busy_slots(
    pages: Sequence[PageLayout], edges: dict[int, list[Line]], running: dict[int, set[int]]
) -> set[int]:
    """The positions at which most pages have a running line."""
    counts: Counter[int] = Counter()
    for page in pages:
        lines = [line for line in edges[page.number] if id(line) in running[page.number]]
        counts.update({near for line in lines for near in _near_slots(line, page)})
    return {slot for slot, count in counts.items() if count >= max(3, 0.5 * len(pages))}


def _is_numbered_there(line: Line, page: PageLayout, busy: set[int]) -> bool:
    """Whether a line is at the position of running lines and has a page number, as in a short
    chapter."""
    if _slot(line, page) not in busy or line.turned:
        return False
    return bool(re.search(r"^(?:\d{1,4}|[ivxlc]+)(?:\s|$)|\s(?:\d{1,4}|[ivxlc]+)$", line.text))


# Sizes and headings


def study(items: Sequence[Item]) -> Typography:
    lines = [item for item in items if isinstance(item, Line)]
    sizes: Counter[float] = Counter()
    code = 0
    for line in lines:
        sizes[round(line.size * 2) / 2] += 0 if line.mono else len(line.text)
        code += len(line.text) if line.mono else 0
    mono_body = code > 0.7 * (sum(sizes.values()) + code)
    if mono_body:
        sizes = Counter(round(line.size * 2) / 2 for line in lines if line.mono)
    body = _body_size(sizes)
    found = Typography(body, _usual_leading(lines), mono_body)
    found.levels = _heading_levels(items, found)
    found.words = _vocabulary(lines)
    return found


def _body_size(sizes: Counter[float]) -> float:
    """The size of most letters, or a larger one if much of the text has it."""
    if not sizes:
        return 10.0
    usual = max(sizes, key=lambda size: (sizes[size], size))
    below, total = 0, sum(sizes.values())
    for size in sorted(sizes):
        below += sizes[size]
        if below >= 0.7 * total:
            return max(usual, size)
    return usual


def _usual_leading(lines: Sequence[Line]) -> float:
    steps = [
        (a.y - b.y) / a.size
        for a, b in itertools.pairwise(lines)
        if a.region == b.region and a.page == b.page and 0.8 < (a.y - b.y) / a.size < 2.2
    ]
    return median(steps) if steps else 1.2


def _vocabulary(lines: Sequence[Line]) -> Counter[str]:
    """The words of the text, except those that a line end may have cut."""
    words: Counter[str] = Counter()
    cut = False
    for line in lines:
        found = WORD.findall(line.text.lower())
        if cut:
            found = found[1:]
        cut = line.text.endswith(tuple(HYPHENS))
        words.update(found[:-1] if cut else found)
    return words


def _heading_levels(items: Sequence[Item], typography: Typography) -> dict[int, int]:
    groups = [g for g in _heading_groups(items, typography) if _is_heading_group(items, g)]
    steps = _size_steps(items, groups)
    levels = {}
    for group in groups:
        line = items[group[0]]
        assert isinstance(line, Line)
        level = next((i for i, size in enumerate(steps, 1) if line.size >= size - 0.6), len(steps))
        levels.update(dict.fromkeys(group, min(level, 6)))
    return levels


def _size_steps(items: Sequence[Item], groups: Sequence[list[int]]) -> list[float]:
    """The sizes of headings, largest first; sizes within 0.6 points are one."""
    steps: list[float] = []
    for size in sorted((items[group[0]].size for group in groups), reverse=True):  # type: ignore[union-attr]
        if not steps or steps[-1] - size > 0.6:
            steps.append(size)
    return steps


def _heading_groups(items: Sequence[Item], typography: Typography) -> Iterator[list[int]]:
    """Groups of lines that look like a heading."""
    group: list[int] = []
    for index, item in enumerate(items):
        if isinstance(item, Line) and _looks_like_heading(items, index, typography):
            last = items[group[-1]] if group else None
            if isinstance(last, Line) and not _goes_on(last, item):
                yield group
                group = []
            group.append(index)
        elif group:
            yield group
            group = []
    if group:
        yield group


def _goes_on(line: Line, after: Line) -> bool:
    return (
        line.page == after.page
        and line.region == after.region
        and abs(line.size - after.size) < 0.4
        and line.bold == after.bold
        and 0 < line.y - after.y < 1.6 * line.size
        and not SECTION_NUMBER.match(after.text)
    )


def _is_heading_group(items: Sequence[Item], group: Sequence[int]) -> bool:
    length = sum(len(item.text) for i in group if isinstance(item := items[i], Line))
    return len(group) <= MOST_HEADING_LINES and length <= LONGEST_HEADING


def _looks_like_heading(items: Sequence[Item], index: int, typography: Typography) -> bool:
    line = items[index]
    assert isinstance(line, Line)
    text, large = line.text, line.size >= LARGER * typography.body
    if not large and (not line.bold or line.mono or line.size < 0.95 * typography.body):
        return False
    if CAPTION.match(text) and line.size < 1.3 * typography.body:
        return False
    if line.turned or not TWO_LETTERS.search(text) or has_leader(text) or BULLET.match(text):
        return False
    if large:
        return True
    if text.endswith((".", ",", ";", "-")) or len(text) > 100 or _is_row(line):
        return False
    return _stands_alone(items, index, line)


def has_leader(text: str) -> bool:
    """Whether dots lead from an entry to its page number."""
    return bool(IN_LEADER.search(text))


def _is_row(line: Line) -> bool:
    """Whether a line is a row of a table, not a section's number and title with a gap."""
    return len(line.cells) > 2 or (
        len(line.cells) == 2 and not SECTION_NUMBER.fullmatch(line.cells[0][2].strip("`") + " ")
    )


def _stands_alone(items: Sequence[Item], index: int, line: Line) -> bool:
    """Whether a bold line has white space above and text below."""
    before = items[index - 1] if index else None
    if index + 1 >= len(items) or line.text[0].islower():
        return False
    if isinstance(before, Line) and before.page == line.page and before.region == line.region:
        return before.y - line.y >= 1.3 * line.size or before.bold
    return True
