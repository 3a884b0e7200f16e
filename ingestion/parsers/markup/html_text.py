"""Text to Markdown: folds white space, escapes structure, builds lists and code."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ingestion.parsers import markdown

BREAK = "\x00"
CODE, END_CODE = "\x01", "\x02"
PAD = "\x03"

_CODE_SPAN = re.compile(f"{CODE}([^{CODE}{END_CODE}]*){END_CODE}")
_PAD = re.compile(rf"(?<=[\w)]){PAD}+(?=[\w(])|{PAD}+(?=[(])")


class Flow:
    """Finished Markdown blocks, the open line of text, and the open run of code."""

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
            self.blocks.append(text if self.plain else markdown.escape(text))

    def end_code(self) -> None:
        if self.code:
            self.blocks += code_block(self.code, self.language)
            self.code, self.language = [], ""

    def add_code(self, lines: Iterable[str], language: str = "") -> None:
        """Add to the open run of code; another language begins another run."""
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
    """The list being built: it gets every `li` and stray content, however deep they are."""

    __slots__ = ("items", "number", "ordered")

    def __init__(self, ordered: bool, start: int) -> None:
        self.ordered = ordered
        self.number = start
        self.items: list[tuple[str, list[str]]] = []

    def add(self, blocks: list[str]) -> None:
        if not blocks:
            return
        self.items.append((markdown.marker(self.number if self.ordered else None), blocks))
        self.number += 1

    def add_stray(self, blocks: list[str]) -> None:
        if not blocks:
            return
        if self.items:
            self.items[-1][1].extend(blocks)
        else:
            self.items.append(("", blocks))

    def markdown(self) -> str:
        return "\n".join(markdown.item(marker, blocks) for marker, blocks in self.items)


def fold(text: str) -> str:
    """Fold white space as a browser does, with forced breaks as line ends, code in backticks."""
    if not text.isascii():
        text = text.translate(markdown.INVISIBLE)
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
        lead, tail = code[: len(code) - len(code.lstrip())], code[len(code.rstrip()) :]
        return f"{lead}{markdown.code_span(stripped)}{tail}"

    return _CODE_SPAN.sub(span, text).replace(CODE, "").replace(END_CODE, "")


def _glued(left: str, right: str) -> bool:
    """Whether backticks between the two would split a word."""
    return left.isalnum() and right.isalnum()


def code_block(code: list[str], language: str) -> list[str]:
    """A fenced block without blank lines around the code, or nothing if there is no code."""
    lines = [line.rstrip() if line.isspace() else line for line in code]
    while lines and not lines[0]:
        del lines[0]
    while lines and not lines[-1]:
        del lines[-1]
    return ["\n".join(markdown.fenced(lines, language))] if lines else []
