"""Decodes the bytes of a program file, and checks whether a text is BBj at all."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from ingestion.exceptions import DocumentError
from ingestion.parsers.bbj.lines import LineKind, Statement, classify, statements

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TOKENISED = (b"<<bbj>>", b"<<bbx>>")
_CONTROL = bytes(set(range(0x20)) - set(b"\t\n\v\f\r\x1a\x1b"))
_MAX_CONTROL_SHARE = 0.01

_STRONG = re.compile(
    r"""
    (?:class|interface|method|field)\s+(?:public|private|protected)\s
    | (?:class|interface|method|fn)end\b
    | use\s+:: | def\s*fn\w
    | (?:let\s+)?\#?[a-z_][\w.]*(?:[$!%]|\[[^\]]*\])\s*[=(.] | let\s+[a-z_]\w*\s*=
    | (?:print|input|read|write|find|extract|open|close)\s*(?:record\s*)?\(\s*\w+[^)]*\)
    | (?:print|input|\?)\s*(?:["'@]|\w+[$!]|\w+\.\w+\()
    | print\s+[a-z_]\w*\s*(?:[-+*/,].*)?$
    | (?:gosub|goto)\s+\w+$ | on\s+\S.*\s(?:goto|gosub)\s
    | (?:if|while)\b.*[$!<>=] | for\s+\w+\s*=\s*\S+\s+to\s | next\s+\w$
    | (?:begin|return|wend|endif|fi|bye|release|process_events|swend|methodret|stop|end)$
    | (?:methodret|release|seterr|setesc)\s+\S+$
    | (?:dim|declare|enter|call|run|throw)\s+["\w].*[$!("\[,] | switch\s*\( | case\s+\S+$
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WEAK = re.compile(r"[a-z_]\w*\s*=\s*[-+(]?[\w.(\"][^{}<>\\]*$", re.IGNORECASE)
_MIN_SHARE = 0.5


class BinaryContent(DocumentError):
    """The file contains neither text nor a tokenised BBj program."""


class SourceText(NamedTuple):
    """`replaced` counts the bytes without a character in the encoding, replaced with U+FFFD."""

    text: str
    encoding: str
    replaced: int


def decode(data: bytes) -> SourceText:
    """Decode UTF-8 (with or without BOM), UTF-16 with a BOM, else windows-1252.

    Raises DocumentError for a tokenised program and for other binary content.
    """
    if data.startswith(_TOKENISED):
        raise DocumentError(
            f"Tokenised BBj program ({data[:7].decode()} header): it contains no readable source. "
            "List it to text with bbjlst (a protected one needs its password) and store that."
        )
    if data.startswith(_UTF16):
        return _decode_utf16(data)
    data = data.rstrip(b"\0\x1a")
    if problem := _binary(data):
        raise BinaryContent(
            f"Binary content ({problem}), not program text: if it is a compiled program, "
            "list it to text with bbjlst; else leave it out."
        )
    try:
        return SourceText(data.decode("utf-8-sig"), "utf-8", 0)
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
        return SourceText(text, "cp1252", text.count("\ufffd"))


def _decode_utf16(data: bytes) -> SourceText:
    text = data.decode("utf-16", errors="replace")
    if "\0" in text:
        raise BinaryContent("Binary content (NUL characters), not program text: leave it out.")
    return SourceText(text, "utf-16", text.count("\ufffd"))


def _binary(data: bytes) -> str:
    if b"\0" in data:
        return "NUL bytes"
    control = len(data) - len(data.translate(None, _CONTROL))
    return "control bytes" if control > len(data) * _MAX_CONTROL_SHARE else ""


def reads_as_code(statement: str) -> bool:
    """Whether a statement is very unlikely to be prose."""
    return bool(_STRONG.match(statement))


def is_bbj(lines: list[str]) -> bool:
    """Whether a text is a program: at least half of its statements read as BBj.

    Labels alone prove nothing, because many texts have `name:` lines. A text of REM lines is a
    program.
    """
    kinds = classify(lines)
    program = list(statements(lines, kinds))
    if not program:
        return any(line.lstrip()[:3].lower() == "rem" for line in lines)
    marks = [_mark(statement) for statement in program]
    strong, weak = marks.count("strong"), marks.count("weak")
    return strong + weak >= len(program) * _MIN_SHARE and (strong > 0 or _has_remark(lines, kinds))


def _mark(statement: Statement) -> str:
    parts = statement.parts
    if not parts:
        return "weak" if statement.label else ""
    if any(map(reads_as_code, parts)):
        return "strong"
    return "weak" if any(_WEAK.match(part) for part in parts) else ""


def _has_remark(lines: list[str], kinds: list[LineKind]) -> bool:
    remarks = (line for line, kind in zip(lines, kinds, strict=True) if kind is LineKind.COMMENT)
    return any(re.match(r"[\s\d]*rem\b", line, re.IGNORECASE) for line in remarks)
