"""The type of a document: its headings decide first, then its path, then its text."""

from __future__ import annotations

import re
from collections.abc import Iterator

FALLBACK = "concept"

SYNTAX = frozenset(("syntax", "syntax formats", "format", "usage syntax"))
PARAMETERS = frozenset(
    (
        "parameter",
        "parameters",
        "argument",
        "arguments",
        "return",
        "returns",
        "return value",
        "return values",
        "return type",
    )
)
_MEMBERS = re.compile(r"(?:methods|constructors|properties|fields|events) of\b|method summary$")

TITLES: dict[str, re.Pattern[str]] = {
    "version-note": re.compile(
        r"\bwhat.?s new\b|\brelease (?:notes?|history)\b|\bnew features?\b|\bchange ?log\b"
        r"|\brecent changes\b|\bupdates? in (?:version )?\d|\bchanges in (?:version )?\d"
        r"|\b(?:january|february|march|april|may|june|july|august|september|october|november"
        r"|december) (?:19|20)\d\d\b"
    ),
    "migration": re.compile(
        r"\bmigrat(?:e|es|ed|ing|ion)\b|\bupgrading\b|\bupgrade (?:guide|from|to)\b|\bporting\b"
        r"|\bconverting (?:from|programs?|applications?|to)\b|\bmodernization\b"
    ),
    "best-practice": re.compile(
        r"\bbest practices?\b|\brecommendations\b|\btips (?:and|for|on)\b|\bguidelines\b"
        r"|\bdo.?s and don.?ts\b"
    ),
    "tutorial": re.compile(
        r"\btutorials?\b|\bwalk-?through\b|\bstep[- ]by[- ]step\b|\bgetting started\b"
        r"|\bquick ?start\b|\blesson \d|\blearning paths?\b"
    ),
    "example": re.compile(
        r"^(?:code |sample |simple )*(?:example|sample)s?\b|\b(?:examples?|samples?)$"
    ),
}

PATH_PREFIXES: dict[str, str] = {
    **dict.fromkeys(
        ("bbjobjects/", "bbjevents/", "bbjinterfaces/", "gridmethods/"), "api-reference"
    ),
    **dict.fromkeys(("commands/", "mnemonic/", "sendmsg/"), "language-reference"),
}
PATH_WORDS: dict[str, re.Pattern[str]] = {
    "version-note": re.compile(r"\brelease ?notes?\b|\bwhats? ?new\b|\bchange ?log\b"),
    "migration": re.compile(r"\bmigrat\w+\b|\bupgrad\w+\b|\bporting\b"),
    "best-practice": re.compile(r"\bbest ?practices?\b"),
    "tutorial": re.compile(r"\btutorials?\b|\bgetting ?started\b|\bwalkthrough\b|\bquick ?start\b"),
    "example": re.compile(r"\bexamples?\b|\bsamples?\b"),
}

CONTENT: dict[str, tuple[tuple[str, ...], int]] = {
    "tutorial": (("this tutorial", "the tutorial", "this lesson", "this walkthrough"), 1),
    "migration": (("migrate", "migrating", "migration", "upgrading from"), 4),
    "best-practice": (("best practice",), 2),
}
WORDS_PER_PHRASE = 150
CODE_SHARE_OF_EXAMPLE = 0.6
CODE_LINES_OF_EXAMPLE = 8

LONGEST_LABEL = 24

_HEADING = re.compile(r"^#{1,6} +([^ ].*)$")
_LABEL = re.compile(r"^(?:- )?([A-Z][A-Za-z ]{3,}):?$")
_SEPARATORS = re.compile(r"[\W_]+")


def doc_type_of(title: str, path: str, content: str) -> str:
    """The type of a topic; `path` is relative to the Content folder or the site's root."""
    headings, labels, code_lines, lines = _read(content)
    text = content.casefold()
    return (
        _by_sections(headings)
        or _by_title(title)
        or _by_path(path)
        or _by_sections(headings | labels)
        or _by_content(text, code_lines, lines)
        or FALLBACK
    )


def _read(content: str) -> tuple[set[str], set[str], int, int]:
    """Headings, lines that are labels, the number of lines of code, and of all lines."""
    headings: set[str] = set()
    labels: set[str] = set()
    code = lines = 0
    for line, is_code in _lines(content):
        lines += 1
        code += is_code
        if is_code:
            continue
        if line[0] == "#":
            if heading := _HEADING.match(line):
                headings.add(heading[1].rstrip(" #").strip(" :`").casefold())
        elif len(line) <= LONGEST_LABEL and (label := _LABEL.match(line)):
            labels.add(label[1].casefold())
    return headings, labels, code, lines


def _lines(content: str) -> Iterator[tuple[str, bool]]:
    fence = ""
    for line in content.split("\n"):
        stripped = line.lstrip()
        if fence:
            if stripped.startswith(fence):
                fence = ""
            else:
                yield line, True
        elif stripped.startswith("```"):
            fence = stripped[: len(stripped) - len(stripped.lstrip("`"))]
        elif stripped:
            yield line, False


def _by_sections(names: set[str]) -> str:
    """The type by section names: Syntax with Parameters or Return Value is an API; Syntax alone is
    the language."""
    if any(_MEMBERS.match(name) for name in names):
        return "api-reference"
    if not names & SYNTAX:
        return ""
    return "api-reference" if names & PARAMETERS else "language-reference"


def _by_title(title: str) -> str:
    folded = title.casefold()
    return next((name for name, pattern in TITLES.items() if pattern.search(folded)), "")


def _by_path(path: str) -> str:
    place = path.replace("\\", "/").lstrip("/").casefold()
    prefix = max((p for p in PATH_PREFIXES if place.startswith(p)), key=len, default="")
    if prefix:
        return PATH_PREFIXES[prefix]
    words = _SEPARATORS.sub(" ", place.rpartition(".")[0])
    return next((name for name, pattern in PATH_WORDS.items() if pattern.search(words)), "")


def _by_content(text: str, code_lines: int, lines: int) -> str:
    if code_lines >= CODE_LINES_OF_EXAMPLE and code_lines >= CODE_SHARE_OF_EXAMPLE * lines:
        return "example"
    for name, (phrases, least) in CONTENT.items():
        found = sum(map(text.count, phrases))
        if found >= least and found * WORDS_PER_PHRASE >= text.count(" "):
            return name
    return ""
