"""The outline of a BBj program: its units (classes, methods, functions, label blocks).

No line is ever dropped. The rules are the language's own: CLASS, METHOD and DEF FN begin a
statement, labels inside them do not begin a unit, and the subroutines of a numbered program begin
at the lines that its GOSUBs (SETERR, SETESC) name.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from ingestion.parsers.bbj.lines import LineKind, Statement, classify, statements, without_number

MAX_HEADING = 150
MAX_JOINED_LINES = 12

Kind = Literal["program", "class", "interface", "fields", "method", "function", "label"]


_GOES_WITH: dict[Kind, tuple[Kind, ...]] = {
    "program": ("program", "label", "function"),
    "class": (),
    "interface": (),
    "fields": (),
    "method": ("interface",),
    "function": ("function",),
    "label": ("program", "label"),
}


@dataclass(frozen=True, slots=True)
class Unit:
    """Lines from `start` to before `end` (from 0); `owner` is the class of a method."""

    kind: Kind
    name: str
    heading: str
    owner: str
    start: int
    end: int = -1


_BANNER = re.compile(r"([-=*_#~+])\1{3}")
_TYPE = re.compile(
    r"(class|interface)\s+(?:(?:public|private|protected|static|abstract|final)\s+)+([A-Za-z_]\w*)",
    re.IGNORECASE,
)
_METHOD = re.compile(
    r"method\s+((?:(?:public|private|protected|static|abstract|final)\s+)*)"
    r"(?:[^(]*?\s)?([A-Za-z_]\w*[$%!]?)\s*(?:\(|$)",
    re.IGNORECASE,
)
_FUNCTION = re.compile(r"def\s*(fn\w*[$%!]?)\s*(\([^)]*\))?\s*(=)?", re.IGNORECASE)
_CLOSER = re.compile(r"(classend|interfaceend|methodend|fnend)(?!\w)", re.IGNORECASE)
_CLOSES = {"methodend": "method", "fnend": "function"}
_FIELD = re.compile(r"field\s", re.IGNORECASE)
_USE = re.compile(r"use\s+(\S.*)", re.IGNORECASE)
_CALL = re.compile(r"(?:gosub|seterr|setesc)\s+(\d+(?:\s*,\s*\d+)*)", re.IGNORECASE)


def called_lines(program: Iterable[Statement]) -> frozenset[str]:
    """The line numbers that a numbered program calls as subroutines, without leading zeros."""
    calls = (call for s in program if s.number for p in s.parts for call in _CALL.findall(p))
    return frozenset(n.strip().lstrip("0") for call in calls for n in call.split(",")) - {""}


def uses(program: Iterable[Statement]) -> tuple[str, ...]:
    found = (_USE.match(part) for statement in program for part in statement.parts)
    return tuple(dict.fromkeys(use[1].strip() for use in found if use))


class _Scanner:
    """Walks the statements and records where each unit starts; it ends where the next starts."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.kinds = classify(lines)
        self.targets = called_lines(statements(lines, self.kinds))
        self.kinds = [self._kind(i, kind) for i, kind in enumerate(self.kinds)]
        self.program = list(statements(lines, self.kinds))
        self.has_end = _function_ends(self.program)
        self.units = [Unit("program", "", "", "", 0)]
        self.owner: Unit | None = None
        self.inside: Literal["", "method", "function"] = ""
        self.ended = False
        self.floor = 0

    def _kind(self, at: int, kind: LineKind) -> LineKind:
        """The kind of a line; a remark that is the target of a GOSUB counts as code."""
        called = self.targets and without_number(self.lines[at])[0].lstrip("0") in self.targets
        return LineKind.CODE if called else kind

    def scan(self) -> list[Unit]:
        for statement, has_end in zip(self.program, self.has_end, strict=True):
            self._read(statement, has_end)
            self.floor = statement.end
        ends = [unit.start for unit in self.units[1:]] + [len(self.lines)]
        return [replace(u, end=end) for u, end in zip(self.units, ends, strict=True)]

    def _read(self, statement: Statement, has_end: bool) -> None:
        if not self._declaration(statement, has_end):
            self._label_or_code(statement)
        for part in statement.parts:
            if closer := _CLOSER.match(part):
                self._close(closer[1].lower())

    def _declaration(self, statement: Statement, has_end: bool) -> bool:
        part = statement.parts[0] if statement.parts else ""
        if kind := _TYPE.match(part):
            self._open_type(statement, kind)
        elif (method := _METHOD.match(part)) and (method[1] or self.owner):
            self._open_method(statement, method[2])
        elif not self.inside and (function := _FUNCTION.match(part)):
            self._open_function(statement, function, has_end)
        else:
            return False
        return True

    def _open_type(self, statement: Statement, found: re.Match[str]) -> None:
        kind: Kind = "class" if found[1].lower() == "class" else "interface"
        self._open(statement, Unit(kind, found[2], statement.parts[0], "", 0))
        self.owner, self.inside = self.units[-1], ""

    def _open_method(self, statement: Statement, name: str) -> None:
        owner = self.owner.name if self.owner else ""
        self._open(statement, Unit("method", name, statement.parts[0], owner, 0))
        bodiless = self.owner is not None and self.owner.kind == "interface"
        self.inside, self.ended = ("", True) if bodiless else ("method", False)

    def _open_function(self, statement: Statement, found: re.Match[str], has_end: bool) -> None:
        self._open(statement, Unit("function", found[1], found[0].rstrip("= "), "", 0))
        multi_line = has_end and not found[3]
        self.inside, self.ended = ("function", False) if multi_line else ("", True)

    def _label_or_code(self, statement: Statement) -> None:
        first = statement.parts[0] if statement.parts else ""
        if self.inside or _CLOSER.match(first):
            return
        number = statement.number.lstrip("0")
        if statement.label:
            self.owner = None
            self._open(statement, Unit("label", statement.label, f"{statement.label}:", "", 0))
        elif number and number in self.targets and not self.owner:
            self._open(statement, Unit("label", number, f"line {statement.number}", "", 0))
        elif self.ended:
            self._open(statement, self._going_on(first))

    def _going_on(self, first: str) -> Unit:
        """A unit for code after the end of another: of the class still open, or of the program."""
        if self.owner is None:
            return Unit("program", "", "Program", "", 0)
        name = self.owner.name
        heading = f"fields of {name}" if _FIELD.match(first) else f"{name}, continued"
        return Unit("fields", name, heading, name, 0)

    def _open(self, statement: Statement, unit: Unit) -> None:
        start = self._with_comment(statement.first)
        self.units.append(replace(unit, start=start, heading=short_heading(unit.heading)))
        self.ended = False

    def _close(self, closer: str) -> None:
        if _CLOSES.get(closer) == self.inside:
            self.inside, self.ended = "", True
        elif closer in ("classend", "interfaceend") and self.owner:
            self.owner, self.inside, self.ended = None, "", True

    def _with_comment(self, first: int) -> int:
        """The line where the comment above begins; blank lines may follow only a doc comment."""
        at = first
        while at > self.floor and self.kinds[at - 1] is LineKind.BLANK:
            at -= 1
        if at < first and not (at > self.floor and self.lines[at - 1].rstrip().endswith("*/")):
            return first
        while self._is_comment(at - 1):
            at -= 1
            if "/**" in self.lines[at]:
                break
        while self._is_comment(at - 1) and _BANNER.search(self.lines[at - 1]):
            at -= 1
        return at

    def _is_comment(self, at: int) -> bool:
        return at >= self.floor and self.kinds[at] is LineKind.COMMENT


def _function_ends(program: list[Statement]) -> list[bool]:
    """For each statement, whether an FNEND follows before the next DEF FN or CLASS."""
    ends, open_ended = [], False
    for statement in reversed(program):
        ends.append(open_ended)
        for part in statement.parts:
            if part[:5].lower() == "fnend":
                open_ended = True
            elif _FUNCTION.match(part) or _TYPE.match(part):
                open_ended = False
    return ends[::-1]


def short_heading(signature: str) -> str:
    """A signature on one line, cut at a comma if it is longer than MAX_HEADING characters."""
    line = " ".join(signature.split())
    if len(line) <= MAX_HEADING:
        return line
    cut = line.rfind(",", 0, MAX_HEADING - 3)
    if cut <= 0:
        return f"{line[: MAX_HEADING - 1]}…"
    return f"{line[:cut]}, …{')' if '(' in line[:cut] else ''}"


@dataclass(frozen=True, slots=True)
class Outline:
    """`units` cover every line once, in order; `declared` are the units before small ones were
    joined. `code` is the program without its remarks, one statement per line."""

    units: list[Unit]
    declared: list[Unit]
    uses: tuple[str, ...]
    code: str


def outline(lines: list[str]) -> Outline:
    """The units of a program.

    A start without a statement (header comment, USE lines) belongs to the first unit. A unit of one
    line belongs to the one before it, so that no chunk is only `byebye: bye`.
    """
    scanner = _Scanner(lines)
    declared = scanner.scan()
    units = _join_start(declared, scanner.program)
    units = _join_small(units, _weights(units, scanner))
    code = "\n".join(part for statement in scanner.program for part in statement.parts)
    return Outline(units, declared, uses(scanner.program), code)


def _join_start(units: list[Unit], program: list[Statement]) -> list[Unit]:
    if len(units) == 1:
        return units
    start, following = units[0], units[1]
    own = itertools.takewhile(lambda s: s.first < start.end, program)
    if any(not s.parts or not all(map(_USE.match, s.parts)) for s in own):
        return units
    return [replace(following, start=0), *units[2:]]


def _weights(units: list[Unit], scanner: _Scanner) -> list[int]:
    """The number of meaningful lines of each unit: not blank ones, labels alone or CLASSEND."""
    empty = {s.first for s in scanner.program if all(map(_CLOSER.match, s.parts))}
    empty |= {i for i, kind in enumerate(scanner.kinds) if kind is LineKind.BLANK}
    return [sum(i not in empty for i in range(unit.start, unit.end)) for unit in units]


def _join_small(units: list[Unit], weights: list[int]) -> list[Unit]:
    joined: list[Unit] = []
    run: list[int] = []
    for unit, weight in zip(units, weights, strict=True):
        if joined and _belongs(unit, weight, joined[-1], run):
            heading = _joined_heading(joined[-1], unit)
            joined[-1] = replace(joined[-1], end=unit.end, heading=heading)
            run.append(weight)
        else:
            joined.append(unit)
            run = [weight]
    return joined


def _belongs(unit: Unit, weight: int, above: Unit, run: list[int]) -> bool:
    """Whether a unit is too small on its own and is joined to the one above.

    `run` has the weights of the units joined there already.
    """
    if above.kind not in _GOES_WITH[unit.kind]:
        return False
    if unit.kind == "method":
        return weight == 1
    if unit.kind == above.kind == "label" and run[-1] == 0:
        return True
    whole = unit.kind == "function" and run[0] > 1
    return weight == 1 and sum(run) < MAX_JOINED_LINES and not whole


def _joined_heading(above: Unit, unit: Unit) -> str:
    if not above.heading or above.heading.endswith("…") or unit.kind not in ("label", "function"):
        return above.heading
    return short_heading(f"{above.heading}, {unit.heading}")
