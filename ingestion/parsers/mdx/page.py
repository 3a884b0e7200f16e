"""Markdown as Docusaurus reads it: CommonMark, tables, footnotes, MDX, admonitions, heading ids.

Tags, expressions and raw elements become tokens of their own (`mdx_tag`, `mdx_expression`,
`mdx_raw`, `mdx_math`), both in blocks and in text; the caller pairs the tags.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.parser_inline import RuleFuncInlineType
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline, image, link
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin

from ingestion.parsers.mdx.admonitions import admonition, line_start
from ingestion.parsers.mdx.esm import esm_end, exported_names, exported_strings, imported_names
from ingestion.parsers.mdx.syntax import (
    Braces,
    Comment,
    Piece,
    ScanBudget,
    Tag,
    scan_piece,
)

RAW_ELEMENTS = ("pre", "script", "style", "textarea")

MAX_NESTING = 100

_HEADING_ID = re.compile(r"\\?\{#[^\s{}]+\}$")
_INLINE_MATH = re.compile(r"\$(?![\s\d{$])([^$\n]*[\\{^_][^$\n]*)(?<!\s)\$(?!\d)")
_FLOW_TAG_LINE = re.compile(r"^[ \t]*</?[A-Za-z>]", re.MULTILINE)
_MDX_MARKS = re.compile(
    r"^import\s.*['\"]|^export\s+(?:const|default|function)\s|\{/\*"
    r"|</[A-Z][\w.]*>|<[A-Z][\w.]*(?:\s[^<>]*)?/>|<\w[^<>]*\s(?:className=|\w+=\{)",
    re.MULTILINE,
)
_CODE = re.compile(r"^[ \t]*(`{3,}|~{3,}).*?^[ \t]*\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)


@dataclass(slots=True)
class MdxPage:
    """The tokens of a page and the names that its import and export statements bind."""

    tokens: list[Token]
    plain: bool
    imports: dict[str, str] = field(default_factory=dict)
    strings: dict[str, str] = field(default_factory=dict)
    exports: set[str] = field(default_factory=set)

    @property
    def cut_short(self) -> bool:
        """Whether something was left out because it is nested too deeply."""
        return any(token.level >= MAX_NESTING - 1 for token in self.tokens)


def parse_page(source: str, *, mdx: bool) -> MdxPage:
    """Tokenise a page's body.

    A page that is not named `.mdx` (`mdx` False) and has no MDX syntax is `plain`: text in braces
    is text there. If no line of it begins with a tag either, indented code is code.
    """
    plain = not mdx and not _MDX_MARKS.search(_CODE.sub("", source))
    indented_code = not mdx and not _FLOW_TAG_LINE.search(_CODE.sub("", source))
    page = MdxPage([], plain)
    env = {"budget": ScanBudget(), "page": page}
    page.tokens = _PARSERS[indented_code].parse(source, env)
    return page


def _make_parser(indented_code: bool) -> MarkdownIt:
    md = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING})
    md.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    if not indented_code:
        md.disable("code")
        md.block.ruler.before("table", "dedent", _dedent)
    footnote_plugin(md, inline=False)
    interrupts: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    md.block.ruler.before("fence", "mdx_esm", _esm)
    md.block.ruler.before("fence", "mdx_raw", _raw_element, interrupts)
    md.block.ruler.before("fence", "mdx_flow", _flow, interrupts)
    md.block.ruler.before("fence", "admonition", admonition, interrupts)
    md.block.ruler.before("fence", "math_block", _math_block, interrupts)
    md.inline.ruler.at("link", _before_closer(link))
    md.inline.ruler.at("image", _before_closer(image))
    md.inline.ruler.after("autolink", "mdx_text", _text)
    md.inline.ruler.before("escape", "math_text", _math_text)
    md.core.ruler.before("inline", "heading_ids", _heading_ids)
    return md


def _esm(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """Parse import and export statements: at the margin, outside any container."""
    start = state.bMarks[start_line]
    at_margin = start == 0 or state.src[start - 1] == "\n"
    if silent or state.level or state.blkIndent or state.sCount[start_line] or not at_margin:
        return False
    end = esm_end(state.src, start, state.env["budget"])
    if end <= start:
        return False
    esm = state.src[start:end]
    page: MdxPage = state.env["page"]
    page.imports.update(imported_names(esm))
    page.strings.update(exported_strings(esm))
    page.exports.update(exported_names(esm))
    state.line = min(_line_of(state, end - 1) + 1, end_line)
    return True


def _dedent(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """Move an indented block to the margin if indentation is not code, with the lines after it that
    are as far in, so that the rules for lists and paragraphs apply."""
    shift = state.sCount[start_line] - state.blkIndent
    if silent or shift < 4:
        return False
    for line in range(start_line, end_line):
        if state.isEmpty(line):
            continue
        if state.sCount[line] - state.blkIndent < shift:
            break
        _shift_line(state, line, shift)
    return False


def _shift_line(state: StateBlock, line: int, shift: int) -> None:
    pos, columns = state.bMarks[line], 0
    while columns < shift and state.src[pos] in " \t":
        tab = 4 - (columns + state.bsCount[line]) % 4
        columns += 1 if state.src[pos] == " " else tab
        pos += 1
    state.tShift[line] -= pos - state.bMarks[line]
    state.bMarks[line] = pos
    state.sCount[line] -= columns


def _line_of(state: StateBlock, pos: int) -> int:
    return bisect_left(state.eMarks, pos)


def _flow(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """Parse lines of only tags, expressions and comments, which may span lines."""
    start = line_start(state, start_line)
    if start is None or state.src[start] not in "<{":
        return False
    limit = state.eMarks[end_line - 1]
    pieces, end = _scan_flow(state.src, start, limit, state.env["budget"])
    last_line = _line_of(state, end)
    if end < state.eMarks[last_line]:
        return _leading_comment(state, start_line, pieces, end, silent)
    if not silent:
        for piece in pieces:
            _push_piece(state, piece, start_line, last_line + 1)
        state.line = last_line + 1
    return bool(pieces)


def _scan_flow(text: str, start: int, limit: int, budget: ScanBudget) -> tuple[list[Piece], int]:
    """The constructs from `start` on, and where they end (a line end, or text)."""
    pieces: list[Piece] = []
    pos = start
    while pos < limit and text[pos] in "<{":
        piece = scan_piece(text, pos, limit, budget)
        if piece is None:
            break
        pieces.append(piece)
        pos = piece.end
        while pos < limit and text[pos] in " \t":
            pos += 1
    return pieces, pos


def _leading_comment(
    state: StateBlock, start_line: int, pieces: list[Piece], end: int, silent: bool
) -> bool:
    """Parse a comment of several lines with text after it, which begins a block of its own."""
    last_line = _line_of(state, end)
    comments = pieces and all(isinstance(piece, Comment) or _is_comment(piece) for piece in pieces)
    if not comments or last_line == start_line:
        return False
    if not silent:
        _begin_line_at(state, last_line, end)
        state.line = last_line
    return True


def _is_comment(piece: Piece) -> bool:
    return isinstance(piece, Braces) and piece.code.strip().startswith("/*")


def _begin_line_at(state: StateBlock, line: int, pos: int) -> None:
    state.bMarks[line] = pos
    state.tShift[line] = 0
    state.sCount[line] = state.blkIndent


def _push_piece(state: StateBlock | StateInline, piece: Piece, start: int, end: int) -> None:
    if isinstance(piece, Comment):
        return
    kind = "mdx_tag" if isinstance(piece, Tag) else "mdx_expression"
    token = state.push(kind, "", 0)
    token.content = piece.raw
    token.meta = {"piece": piece}
    token.block = isinstance(state, StateBlock)
    token.map = [start, end] if token.block else None


def _raw_element(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """Parse elements whose text is not Markdown, up to their closing tag."""
    start = line_start(state, start_line)
    if start is None or not state.src.startswith("<", start):
        return False
    limit = state.eMarks[end_line - 1]
    tag = scan_piece(state.src, start, limit, state.env["budget"])
    if not isinstance(tag, Tag) or tag.closing or tag.self_closing:
        return False
    name = tag.name.lower()
    close = _find_closer(state, name, tag.end, limit) if name in RAW_ELEMENTS else None
    if close is None:
        return False
    if not silent:
        token = state.push("mdx_raw", "", 0)
        token.content = state.src[tag.end : close.start()]
        token.meta = {"piece": tag}
        last_line = _line_of(state, close.end())
        token.map = [start_line, last_line + 1]
        _continue_after(state, last_line, close.end(), start_line)
    return True


def _continue_after(state: StateBlock, line: int, pos: int, start_line: int) -> None:
    rest = state.src[pos : state.eMarks[line]].strip()
    state.line = line + 1
    if rest and line > start_line:
        _begin_line_at(state, line, pos)
        state.line = line


def _find_closer(state: StateBlock, name: str, start: int, limit: int) -> re.Match[str] | None:
    fails_from: dict[str, int] = state.env["budget"].comment_fails_from
    if start >= fails_from.get(name, limit):
        return None
    match = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(state.src, start, limit)
    if match is None:
        fails_from[name] = start
    return match


def _math_block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """Parse a math block between lines of `$$`."""
    if _line_text(state, start_line) != "$$":
        return False
    close = next((n for n in range(start_line + 1, end_line) if _line_text(state, n) == "$$"), None)
    if close is None:
        return False
    if not silent:
        token = state.push("mdx_math", "", 0)
        token.content = state.getLines(start_line + 1, close, state.blkIndent, False)
        token.map = [start_line, close + 1]
        token.block = True
        state.line = close + 1
    return True


def _line_text(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()


def _text(state: StateInline, silent: bool) -> bool:
    """Parse a tag, an expression or a comment within text."""
    if state.src[state.pos] not in "<{":
        return False
    piece = scan_piece(state.src, state.pos, state.posMax, _inline_budget(state))
    if piece is None:
        return False
    if not silent:
        _push_piece(state, piece, 0, 0)
    state.pos = piece.end
    return True


def _inline_budget(state: StateInline) -> ScanBudget:
    """The page's budget; missing closers are remembered per text."""
    budget: ScanBudget = state.env["budget"]
    if state.env.get("budget_of") is not state.src:
        budget.comment_fails_from.clear()
        state.env["budget_of"] = state.src
    return budget


def _before_closer(rule: RuleFuncInlineType) -> RuleFuncInlineType:
    """The rule of links or images, not tried after the last `]`, where it would look through all
    that is nested in vain."""

    def tried(state: StateInline, silent: bool) -> bool:
        budget: ScanBudget = state.env["budget"]
        return state.pos < budget.last_closer(state.src) and rule(state, silent)

    return tried


def _math_text(state: StateInline, silent: bool) -> bool:
    match = _INLINE_MATH.match(state.src, state.pos, state.posMax)
    if not match:
        return False
    if not silent:
        state.push("mdx_math", "", 0).content = match[0]
    state.pos = match.end()
    return True


def _heading_ids(state: StateCore) -> None:
    for opening, inline in _pairs(state.tokens):
        if opening.type == "heading_open":
            inline.content = _HEADING_ID.sub("", inline.content.rstrip()).rstrip()


def _pairs(tokens: list[Token]) -> Iterable[tuple[Token, Token]]:
    return pairwise(tokens)


_PARSERS = {indented_code: _make_parser(indented_code) for indented_code in (False, True)}
