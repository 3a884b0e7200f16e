"""Scans what MDX adds to Markdown: tags, expressions in braces, comments.

Sources of the rules: the JSX and MDX 3 specifications (mdxjs.com/docs/what-is-mdx) and, for real
`.md` files that were never compiled, HTML's looser attributes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_NAME = re.compile(r"[^\W\d][\w$-]*(?:[.:][^\W\d][\w$-]*)*")
_ATTRIBUTE_NAME = re.compile(r"[^\W\d]?[\w$@:.-]+")
_UNQUOTED_VALUE = re.compile(r"[^\s\"'=<>`{]+")
_SPACE = re.compile(r"\s+")
_CODE_STOP = re.compile(r"[{}\"'`/]")
TEMPLATE_STOP = re.compile(r"[`\\$]")
_STRING_REST = {quote: re.compile(rf"(?:[^{quote}\\\n]|\\.)*{quote}", re.DOTALL) for quote in "\"'"}

STRING = r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`"""
_STRING_LITERAL = re.compile(STRING, re.DOTALL)
_REFERENCE = re.compile(r"[\w$]+(?:\.[\w$]+)*")
_COMMENTS = re.compile(r"/\*.*?\*/|^\s*//[^\n]*$", re.DOTALL | re.MULTILINE)
_JS_ESCAPE = re.compile(
    r"\\(u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r?\n|.)", re.DOTALL
)
_JS_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}

LONGEST_CONSTRUCT = 200_000


class Attribute(NamedTuple):
    """`kind` is "bare" (no value), "string" (entities decoded) or "expression" (without braces)."""

    name: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Tag:
    """An opening, closing or self-closing tag; the name of a fragment is empty."""

    name: str
    raw: str
    end: int
    attributes: tuple[Attribute, ...] = ()
    closing: bool = False
    self_closing: bool = False

    def attribute(self, name: str) -> Attribute | None:
        return next((a for a in self.attributes if a.name == name), None)


class Braces(NamedTuple):
    """An expression in braces; `code` is what is between them."""

    code: str
    raw: str
    end: int


class Comment(NamedTuple):
    """An HTML comment, doctype or processing instruction."""

    end: int


Piece = Tag | Braces | Comment


@dataclass(slots=True)
class ScanBudget:
    """How much text may still be scanned in vain, so that a page of unclosed braces takes linear
    time."""

    characters: int = 1_000_000
    comment_fails_from: dict[str, int] = field(default_factory=dict)
    last_closers: dict[str, int] = field(default_factory=dict)

    def limit(self, start: int, end: int) -> int:
        longest = LONGEST_CONSTRUCT if self.characters > 0 else 200
        return min(end, start + (longest if self.characters > -1_000_000 else 0))

    def last_closer(self, text: str) -> int:
        """Where the last `]` of a text is, -1 if it has none; looked for once."""
        if text not in self.last_closers:
            self.last_closers[text] = text.rfind("]")
        return self.last_closers[text]


def scan_piece(text: str, start: int, end: int, budget: ScanBudget) -> Piece | None:
    """The construct that begins at `start` (a `<` or a `{`), or None if it is plain text."""
    if text[start] == "{":
        return scan_braces(text, start, end, budget)
    if text.startswith(("<!", "<?"), start):
        return _scan_comment(text, start, end, budget)
    return _scan_tag(text, start, end, budget)


def scan_braces(text: str, start: int, end: int, budget: ScanBudget) -> Braces | None:
    """The balanced expression at `start`, with the strings, templates and comments in it."""
    limit = budget.limit(start, end)
    close = _matching_brace(text, start, limit)
    if close < 0:
        budget.characters -= limit - start
        return None
    return Braces(text[start + 1 : close], text[start : close + 1], close + 1)


def _matching_brace(text: str, start: int, limit: int) -> int:
    stack = ["{"]
    pos = start + 1
    while stack:
        in_template = stack[-1] == "`"
        match = (TEMPLATE_STOP if in_template else _CODE_STOP).search(text, pos, limit)
        if not match:
            return -1
        step = step_template if in_template else step_code
        pos = step(text, match.start(), limit, stack)
    return pos - 1


def step_template(text: str, pos: int, limit: int, stack: list[str]) -> int:
    if text[pos] == "\\":
        return pos + 2
    if text[pos] == "`":
        stack.pop()
    elif text.startswith("${", pos):
        stack.append("{")
        return pos + 2
    return pos + 1


def step_code(text: str, pos: int, limit: int, stack: list[str]) -> int:
    char = text[pos]
    if char in "{([`":
        stack.append(char)
    elif char in "})]":
        del stack[-1:]
    elif char in "\"'":
        # an apostrophe in text between nested tags opens no string: strings end on their line
        rest = _STRING_REST[char].match(text, pos + 1, limit)
        return rest.end() if rest else pos + 1
    elif text.startswith("/*", pos):
        close = text.find("*/", pos + 2, limit)
        return close + 2 if close >= 0 else limit
    elif text.startswith("//", pos) and text[pos - 1] != ":":
        newline = text.find("\n", pos, limit)
        return newline if newline >= 0 else limit
    return pos + 1


def _scan_comment(text: str, start: int, end: int, budget: ScanBudget) -> Comment | None:
    if text.startswith("<!--", start):
        closer = "-->"
    elif text.startswith("<?", start):
        closer = "?>"
    elif re.compile(r"<!(?:[A-Za-z]|\[CDATA\[)").match(text, start):
        closer = "]]>" if text.startswith("<![CDATA[", start) else ">"
    else:
        return None
    if start >= budget.comment_fails_from.get(closer, end):
        return None
    close = text.find(closer, start + 2, end)
    if close < 0:
        budget.comment_fails_from[closer] = start
        return None
    return Comment(close + len(closer))


def _scan_tag(text: str, start: int, end: int, budget: ScanBudget) -> Tag | None:
    limit = budget.limit(start, end)
    closing = text.startswith("/", start + 1)
    pos = start + 2 if closing else start + 1
    name = _NAME.match(text, pos, limit)
    pos = name.end() if name else pos
    if not name and not text.startswith(">", pos):
        return None
    attributes: list[Attribute] = []
    while pos < limit:
        after_space = _skip_space(text, pos, limit)
        if text.startswith(">", after_space):
            return _tag(text, start, after_space + 1, name, attributes, closing, False)
        if text.startswith("/>", after_space) and not closing:
            return _tag(text, start, after_space + 2, name, attributes, False, True)
        separated = after_space > pos or text[pos - 1] in "\"'}"
        found = _scan_attribute(text, after_space, limit, budget) if separated else None
        if found is None or closing:
            return None
        attribute, pos = found
        attributes += [attribute] if attribute else []
    return None


def _tag(
    text: str,
    start: int,
    end: int,
    name: re.Match[str] | None,
    attributes: list[Attribute],
    closing: bool,
    self_closing: bool,
) -> Tag:
    return Tag(
        name.group() if name else "",
        text[start:end],
        end,
        tuple(attributes),
        closing,
        self_closing,
    )


def _skip_space(text: str, pos: int, limit: int) -> int:
    """Skip white space and the comments that JSX allows inside a tag."""
    while True:
        space = _SPACE.match(text, pos, limit)
        pos = space.end() if space else pos
        close = text.find("*/", pos + 2, limit) if text.startswith("/*", pos) else -1
        if close < 0:
            return pos
        pos = close + 2


def _scan_attribute(
    text: str, pos: int, limit: int, budget: ScanBudget
) -> tuple[Attribute | None, int] | None:
    if text.startswith("{", pos):
        spread = scan_braces(text, pos, limit, budget)
        return (None, spread.end) if spread else None
    name = _ATTRIBUTE_NAME.match(text, pos, limit)
    if not name:
        return None
    equals = _skip_space(text, name.end(), limit)
    if not text.startswith("=", equals):
        return Attribute(name.group(), "bare", ""), name.end()
    return _scan_value(text, _skip_space(text, equals + 1, limit), limit, name.group(), budget)


def _scan_value(
    text: str, pos: int, limit: int, name: str, budget: ScanBudget
) -> tuple[Attribute, int] | None:
    if text.startswith("{", pos):
        braces = scan_braces(text, pos, limit, budget)
        return (Attribute(name, "expression", braces.code), braces.end) if braces else None
    if text.startswith(("'", '"'), pos):
        close = text.find(text[pos], pos + 1, limit)
        value = html.unescape(text[pos + 1 : close])
        return (Attribute(name, "string", value), close + 1) if close >= 0 else None
    bare = _UNQUOTED_VALUE.match(text, pos, limit)
    return (Attribute(name, "string", html.unescape(bare.group())), bare.end()) if bare else None


def expression_text(code: str, names: Mapping[str, str]) -> str | None:
    """The text that an expression shows: a string literal, or a name whose text is known.

    None if only running the program would show it; an expression of only comments is "".
    """
    code = code.strip()
    if _STRING_LITERAL.fullmatch(code):
        return literal_text(code, names)
    if _REFERENCE.fullmatch(code):
        return names.get(code)
    return "" if not _COMMENTS.sub("", code).strip() else _uncommented(code, names)


def _uncommented(code: str, names: Mapping[str, str]) -> str | None:
    bare = _COMMENTS.sub("", code).strip()
    return literal_text(bare, names) if _STRING_LITERAL.fullmatch(bare) else None


def literal_text(code: str, names: Mapping[str, str]) -> str:
    body = _JS_ESCAPE.sub(_unescape, code[1:-1])
    if code[0] != "`":
        return body
    return re.sub(r"\$\{([^{}]*)\}", lambda match: names.get(match[1].strip(), match[0]), body)


def _unescape(match: re.Match[str]) -> str:
    escaped = match[1]
    if escaped[0] in "ux" and len(escaped) > 1:
        code = int(escaped[1:].strip("{}"), 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
    return "" if escaped.endswith("\n") else _JS_ESCAPED.get(escaped, escaped)


def attribute_text(tag: Tag, name: str, names: Mapping[str, str]) -> str:
    """The text of an attribute, "" if it has none or only running the program would show it."""
    attribute = tag.attribute(name)
    if attribute is None or attribute.kind == "bare":
        return ""
    if attribute.kind == "string":
        return attribute.value
    return expression_text(attribute.value, names) or ""
