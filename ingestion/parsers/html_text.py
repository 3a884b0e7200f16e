"""Text on its way to Markdown: white space folded, structure protected, lists and fences."""

from __future__ import annotations

import re
from collections.abc import Iterable

BREAK = "\x00"
CODE, END_CODE = "\x01", "\x02"
PAD = "\x03"

_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad\u200e\u200f"), None)
_CODE_SPAN = re.compile(f"{CODE}([^{CODE}{END_CODE}]*){END_CODE}")
_PAD = re.compile(rf"(?<=[\w)]){PAD}+(?=[\w(])|{PAD}+(?=[(])")
_STRUCTURE = re.compile(
    r"(?P<mark>#{1,6}(?=\s|$)|[-+*](?=\s|$)|>|`{3}|~{3}|=+$|-+$|(?:[-*_][ \t]*){3,}$|\|)"
    r"|(?P<number>\d{1,9})(?=[.)](?:\s|$))"
)
_STRUCTURE_STARTS = frozenset("#-+*>`~=_|0123456789")


class Flow:
    """Text on its way to Markdown: finished blocks, the open line of text, the open run of code."""

    __slots__ = ("blocks", "code", "inline", "language", "plain")

    def __init__(self, plain: bool = False) -> None:
        self.blocks: list[str] = []
        self.inline: list[str] = []
        self.code: list[str] = []
        self.language = ""
        self.plain = plain

    def end_line(self) -> None:
        """Close the open line of text, as the border of a block element does."""
        if not self.inline:
            return
        text = "".join(self.inline)
        self.inline.clear()
        if text.isspace():
            return
        text = fold(text)
        if text:
            self.end_code()
            self.blocks.append(text if self.plain else protect(text))

    def end_code(self) -> None:
        if self.code:
            self.blocks.append(fence("\n".join(self.code), self.language))
            self.code, self.language = [], ""

    def add_code(self, lines: Iterable[str], language: str = "") -> None:
        """Lengthen the open run of code; another language begins another run."""
        self.end_line()
        if self.code and language != self.language:
            self.end_code()
        self.code.extend(lines)
        self.language = language

    def add_block(self, block: str) -> None:
        self.end_line()
        self.end_code()
        if block:
            self.blocks.append(block)

    def finish(self) -> list[str]:
        self.end_line()
        self.end_code()
        return self.blocks


class ListItems:
    """The list being built: `li` and stray content go to it, however deep they stand."""

    __slots__ = ("items", "number", "ordered")

    def __init__(self, ordered: bool, start: int) -> None:
        self.ordered = ordered
        self.number = start
        self.items: list[tuple[str, list[str]]] = []

    def add(self, blocks: list[str]) -> None:
        if not blocks:
            return
        marker = f"{self.number}. " if self.ordered else "- "
        self.number += 1
        self.items.append((marker, blocks))

    def add_stray(self, blocks: list[str]) -> None:
        if not blocks:
            return
        if self.items:
            self.items[-1][1].extend(blocks)
        else:
            self.items.append(("", blocks))

    def markdown(self) -> str:
        return "\n".join(_item(marker, blocks) for marker, blocks in self.items)


def _item(marker: str, blocks: list[str]) -> str:
    text = blocks[0]
    for block in blocks[1:]:
        tight = block.startswith(("- ", "1. ")) and not text.endswith("```")
        text += ("\n" if tight else "\n\n") + block
    indent = " " * len(marker)
    first, *rest = text.split("\n")
    return "\n".join([marker + first, *(indent + line if line else "" for line in rest)])


def fold(text: str) -> str:
    """White space folded as a browser folds it, forced breaks as line ends, code in backticks."""
    if not text.isascii():
        text = text.translate(_INVISIBLE)
    if CODE in text:
        text = _code_spans(text)
    if PAD in text:
        text = _PAD.sub(" ", text).replace(PAD, "")
    if BREAK not in text:
        return " ".join(text.split())
    lines = (" ".join(line.split()) for line in text.split(BREAK))
    return "\n".join(line for line in lines if line)


def _code_spans(text: str) -> str:
    text = text.replace(END_CODE + CODE, "")

    def span(match: re.Match[str]) -> str:
        code = match[1]
        stripped = code.strip()
        if not stripped or BREAK in stripped:
            return code
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        if _glued(before, code[0]) or _glued(code[-1], after):
            return code
        ticks, pad = ("``", " ") if "`" in stripped else ("`", "")
        quoted = f"{ticks}{pad}{stripped}{pad}{ticks}"
        lead, tail = code[: len(code) - len(code.lstrip())], code[len(code.rstrip()) :]
        return f"{lead}{quoted}{tail}"

    return _CODE_SPAN.sub(span, text).replace(CODE, "").replace(END_CODE, "")


def _glued(left: str, right: str) -> bool:
    """Whether backticks between the two would split a word."""
    return left.isalnum() and right.isalnum()


def protect(text: str) -> str:
    """Prose whose lines CommonMark would read as headings, lists, fences or rules, escaped."""
    if "\n" in text:
        return "\n".join(map(_protect_line, text.split("\n")))
    return _protect_line(text)


def _protect_line(line: str) -> str:
    if line[0] not in _STRUCTURE_STARTS:
        return line
    match = _STRUCTURE.match(line)
    if match is None:
        return line
    at = match.end("number") if match["number"] else 0
    return f"{line[:at]}\\{line[at:]}"


def fence(code: str, language: str = "") -> str:
    """A fenced block; blank lines around the code go, its own white space stays to the letter."""
    lines = [line.rstrip() if line.isspace() else line for line in code.split("\n")]
    while lines and not lines[0]:
        del lines[0]
    while lines and not lines[-1]:
        del lines[-1]
    if not lines:
        return ""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    ticks = "`" * (longest + 1)
    return "\n".join([ticks + language, *lines, ticks])
