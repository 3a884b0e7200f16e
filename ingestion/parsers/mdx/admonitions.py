"""A Markdown block rule for Docusaurus' admonitions."""

from __future__ import annotations

import re

from markdown_it.rules_block import StateBlock

ADMONITIONS = frozenset(
    ["note", "tip", "info", "warning", "caution", "danger", "important", "success", "secondary"]
)

_ADMONITION = re.compile(
    r"(?P<colons>:{3,})(?P<space>[ \t]*)(?P<name>[A-Za-z][\w-]*)?(?P<rest>[^\n]*)$"
)
_DIRECTIVE_LABEL = re.compile(r"\[(?P<label>.*)\][ \t]*(?:\{[^}]*\})?[ \t]*$")
_DIRECTIVE_ATTRIBUTES = re.compile(r"\{[^}]*\}[ \t]*$")
_TITLE_ATTRIBUTE = re.compile(r"""\btitle=(?:"([^"]*)"|'([^']*)')""")


def line_start(state: StateBlock, line: int) -> int | None:
    """Where the text of the line begins; None if it is indented code or blank."""
    start = state.bMarks[line] + state.tShift[line]
    if state.is_code_block(line) or start >= state.eMarks[line]:
        return None
    return start


def admonition(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """Parse `:::note Title`, `:::note[Title]` and the closing `:::`.

    Without a title, the site shows the name of the admonition.
    """
    start = line_start(state, start_line)
    if start is None or not state.src.startswith(":::", start):
        return False
    match = _ADMONITION.match(state.src, start, state.eMarks[start_line])
    title = _admonition_title(match) if match else None
    if title is None:
        return False
    if not silent:
        if title:
            _push_paragraph(state, title, start_line)
        state.line = start_line + 1
    return True


def _admonition_title(match: re.Match[str]) -> str | None:
    """The visible title, "" for none (a closing line), None if the line is not an admonition."""
    name, rest = match["name"], match["rest"].strip()
    if not name:
        return None if rest else ""
    if match["space"] and name.lower() not in ADMONITIONS:
        return None
    label = _DIRECTIVE_LABEL.match(rest)
    if label:
        return label["label"]
    attribute = _TITLE_ATTRIBUTE.search(rest)
    if attribute:
        return attribute[1] or attribute[2] or ""
    bare = _DIRECTIVE_ATTRIBUTES.sub("", rest).strip()
    return bare or (name.capitalize() if name.lower() in ADMONITIONS else "")


def _push_paragraph(state: StateBlock, text: str, line: int) -> None:
    opening = state.push("paragraph_open", "p", 1)
    inline = state.push("inline", "", 0)
    inline.content, inline.children = text, []
    opening.map = inline.map = [line, line + 1]
    state.push("paragraph_close", "p", -1)
