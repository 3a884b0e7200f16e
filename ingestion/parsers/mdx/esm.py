"""Import and export statements of an MDX page: where they end, and the names they bind."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ingestion.parsers.mdx.syntax import (
    STRING,
    TEMPLATE_STOP,
    ScanBudget,
    literal_text,
    step_code,
    step_template,
)

_BINDING = r"(?:[\w$]+|\*\s+as\s+[\w$]+|\{[^}]*\})"
_ESM_START = re.compile(
    rf"import\s*(?:['\"]|(?:type\s+)?{_BINDING}(?:\s*,\s*{_BINDING})?\s*from\s*['\"])"
    r"|export\s*(?:\{|\*\s*(?:as\b|from\b))"
    r"|export\s+(?:default\s+\S|(?:const|let|var)\s+[^=\n]+=|(?:async\s+)?function\b[^(\n]*\("
    r"|(?:abstract\s+)?class\s+[\w$]+\s*(?:extends\b|\{|<)|type\s+[\w$]+\s*[=<]"
    r"|interface\s+[\w$]+\s*(?:extends\b|\{|<)|enum\s+[\w$]+\s*\{)"
)
_STATEMENT_STOP = re.compile(r"[{}()\[\]\"'`/\n]")
_BRACES_STOP = re.compile(r"[{}\"'`/\n]")
_CONTINUED = re.compile(r"(?:=>|[=+?:&|.,])\s*\Z")
_CONTINUES = re.compile(r"[ \t]*(?:[.?:&|+,;]|=[^=])")
_ESM_COMMENTS = re.compile(r"(?:[ \t]*(?://[^\n]*|/\*.*?\*/[ \t]*)\n)+", re.DOTALL)
_IMPORT = re.compile(r"import\s+(?:type\s+)?([^'\"]*?)\s*from\s*(['\"])(.*?)\2", re.DOTALL)
_EXPORTED_STRING = re.compile(
    rf"export\s+const\s+([\w$]+)\s*(?::[^=\n]+)?=\s*({STRING})\s*;?\s*$", re.DOTALL | re.MULTILINE
)
_EXPORTED_NAME = re.compile(
    r"export\s+(?:default\s+)?(?:const|let|var|(?:async\s+)?function|class)\s+([\w$]+)"
)


def esm_end(text: str, start: int, budget: ScanBudget) -> int:
    """Where the import and export statements that begin at `start` end; `start` if none do.

    A statement continues past blank lines while a bracket is open, as in MDX's JavaScript parser.
    """
    pos = start
    while text.startswith(("import", "export"), pos) and _ESM_START.match(text, pos):
        pos = _statement_end(text, pos, budget)
        comments = _ESM_COMMENTS.match(text, pos)
        pos = comments.end() if comments else pos
    return pos


def _statement_end(text: str, start: int, budget: ScanBudget) -> int:
    """Where the brackets close; else where the braces do, because text between tags may contain
    a single bracket."""
    for stop in (_STATEMENT_STOP, _BRACES_STOP):
        limit = budget.limit(start, len(text))
        end = _balanced_end(text, start, limit, stop)
        if end >= 0:
            return end
        budget.characters -= limit - start
    return _next_blank_line(text, start)


def _balanced_end(text: str, start: int, limit: int, stop: re.Pattern[str]) -> int:
    stack: list[str] = []
    pos = start
    while True:
        in_template = bool(stack) and stack[-1] == "`"
        match = (TEMPLATE_STOP if in_template else stop).search(text, pos, limit)
        if not match:
            return -1 if stack else limit
        if match.group() == "\n":
            pos = match.end()
            if not stack and _statement_is_over(text, start, match.start()):
                return pos
        else:
            step = step_template if in_template else step_code
            pos = step(text, match.start(), limit, stack)


def _statement_is_over(text: str, start: int, newline: int) -> bool:
    line = text[max(start, text.rfind("\n", start, newline)) : newline]
    return not _CONTINUED.search(line) and not _CONTINUES.match(text, newline + 1)


def _next_blank_line(text: str, start: int) -> int:
    blank = re.compile(r"\n[ \t]*\n").search(text, start)
    return blank.start() + 1 if blank else len(text)


def imported_names(esm: str) -> Iterator[tuple[str, str]]:
    """Each name that import statements bind, with its module."""
    for clause, _, module in _IMPORT.findall(esm):
        for name in re.findall(r"(?:\bas\s+)?([\w$]+)(?!\s+as\b)", clause.replace("* as", "")):
            yield name, module


def exported_strings(esm: str) -> Iterator[tuple[str, str]]:
    """Each `export const name = 'text'`."""
    for name, literal in _EXPORTED_STRING.findall(esm):
        yield name, literal_text(literal, {})


def exported_names(esm: str) -> list[str]:
    return _EXPORTED_NAME.findall(esm)
