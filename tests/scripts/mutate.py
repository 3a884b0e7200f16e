"""Whether the tests notice: changes small things in the code, one by one, and runs the tests.

    python -m tests.scripts.mutate --seed 1 --number 20 > mutations.md

Each mutation is made in a copy of the tree, and what the first failing test is goes into a table. A
mutation that survives is a line that no test needs, or a test that is missing.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

ROOT = Path(__file__).resolve().parents[2]
FILES = ["bbjrag/env.py", "bbjrag/settings.py", "ingestion/runs/dry_run.py"]
FILES += ["ingestion/management/commands/trial.py"]
TESTS = [
    "tests/bbjrag/test_env.py",
    "tests/parsers/web/test_settings.py",
    "tests/bbjrag/test_production.py",
]
TESTS += ["tests/runs/test_dry_run.py", "tests/settings", "tests/project/test_docs.py"]
CONVERSIONS = {"int", "float", "str", "bool", "tuple", "list", "dict", "set", "Path"}
METHODS = {"strip", "rstrip", "lower", "upper", "resolve", "expanduser", "partition"}
OPPOSITES: dict[type[ast.AST], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}


@dataclass(frozen=True)
class Mutation:
    """Put `text` in the place of a node."""

    file: str
    line: int
    kind: str
    start: int
    end: int
    text: str
    was: str

    def made_in(self, data: bytes) -> bytes:
        return data[: self.start] + self.text.encode() + data[self.end :]

    def __str__(self) -> str:
        return f"{self.kind}: `{_brief(self.was)}` -> `{_brief(self.text) or 'nothing'}`"


def _brief(code: str) -> str:
    code = " ".join(code.split()).replace("|", "\\|")
    return code if len(code) <= 60 else code[:57] + "..."


class Source:
    """A file's text, and where its nodes lie in it (in bytes, as `ast` counts)."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.data = (ROOT / file).read_bytes()
        self.tree = ast.parse(self.data)
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def span(self, node: ast.expr | ast.keyword) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.expr | ast.keyword) -> str:
        start, end = self.span(node)
        return self.data[start:end].decode()

    def instead(self, node: ast.expr | ast.keyword, kind: str, text: str) -> Mutation:
        start, end = self.span(node)
        return Mutation(self.file, node.lineno, kind, start, end, text, self.text(node))

    def without(self, node: ast.expr | ast.keyword, kind: str) -> Mutation:
        """Leave out an argument or an element, and the comma behind it."""
        start, end = self.span(node)
        if comma := re.match(rb"\s*,", self.data[end:]):
            end += comma.end()
        return Mutation(self.file, node.lineno, kind, start, end, "", self.text(node))

    def mutations(self) -> Iterator[Mutation]:
        for node in _values(self.tree):
            for maker in MAKERS:
                yield from (made for made in maker(self, node) if self._compiles(made))

    def _compiles(self, mutation: Mutation) -> bool:
        try:
            ast.parse(mutation.made_in(self.data))
        except SyntaxError:
            return False
        return True


def _values(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, except types and what is assigned to."""
    yield node
    for name, part in ast.iter_fields(node):
        if name in ("annotation", "returns", "slice", "target", "targets", "bases"):
            continue
        for child in part if isinstance(part, list) else [part]:
            if isinstance(child, ast.AST):
                yield from _values(child)


def changed_values(source: Source, node: ast.AST) -> Iterator[Mutation]:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield source.instead(node, "another value", str(not node.value))
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield source.instead(node, "another value", repr(node.value + 1))


def changed_defaults(source: Source, node: ast.AST) -> Iterator[Mutation]:
    """Words that are defaults of settings; their numbers are among the values."""
    default = node.args[1] if _reads_setting(node) and len(node.args) > 1 else None
    if isinstance(default, ast.Constant) and isinstance(default.value, str):
        yield source.instead(default, "another default", '"elsewhere"')


def unread_settings(source: Source, node: ast.AST) -> Iterator[Mutation]:
    if _reads_setting(node):
        yield source.instead(node.args[0], "a setting that is not read", '"NO_SUCH_SETTING"')


def _reads_setting(node: ast.AST) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
        and bool(node.args)
    )


def dropped_fields(source: Source, node: ast.AST) -> Iterator[Mutation]:
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            bound = keyword.arg in ("minimum", "maximum")
            yield source.without(keyword, "no bound" if bound else "a field left out")
    elif isinstance(node, ast.List | ast.Tuple | ast.Set) and len(node.elts) > 1:
        yield from (source.without(item, "an item left out") for item in node.elts)


def flipped_tests(source: Source, node: ast.AST) -> Iterator[Mutation]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = source.text(node.left), source.text(node.comparators[0])
        opposite = OPPOSITES[type(node.ops[0])]
        yield source.instead(node, "another comparison", f"({left} {opposite} {right})")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield source.instead(node, "no negation", f"({source.text(node.operand)})")
    elif isinstance(node, ast.BoolOp):
        first, last = source.text(node.values[0]), source.text(node.values[-1])
        yield source.instead(node, "one side only", f"({first})")
        yield source.instead(node, "one side only", f"({last})")


def dropped_conversions(source: Source, node: ast.AST) -> Iterator[Mutation]:
    if not isinstance(node, ast.Call):
        return
    if isinstance(node.func, ast.Name) and node.func.id in CONVERSIONS and len(node.args) == 1:
        yield source.instead(node, "no conversion", f"({source.text(node.args[0])})")
    elif isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        yield source.instead(node, "no conversion", source.text(node.func.value))
    elif isinstance(node.func, ast.Attribute) and node.func.attr == "split":
        yield source.instead(node, "a list that is not split", f"[{source.text(node.func.value)}]")


Maker = Callable[[Source, ast.AST], Iterator[Mutation]]
MAKERS: list[Maker] = [
    changed_values,
    changed_defaults,
    unread_settings,
    dropped_fields,
    flipped_tests,
    dropped_conversions,
]


def drawn(files: list[str], seed: int, number: int) -> list[Mutation]:
    """So many mutations, the same ones for the same seed and code; each kind is as likely."""
    kinds: dict[str, list[Mutation]] = {}
    for file in files:
        for mutation in Source(file).mutations():
            kinds.setdefault(mutation.kind, []).append(mutation)
    chance = random.Random(seed)
    for found in kinds.values():
        found.sort(key=lambda m: (m.file, m.start, m.end, m.text))
        chance.shuffle(found)
    chosen: list[Mutation] = []
    while len(chosen) < number and any(kinds.values()):
        chosen += [found.pop() for _, found in sorted(kinds.items()) if found]
    return sorted(chosen[:number], key=lambda m: (m.file, m.line))


@contextmanager
def copied_tree() -> Iterator[Path]:
    """The files that git knows or would take, elsewhere, with a state of their own."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        tree = Path(folder).resolve()
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        try:
            yield tree
        finally:
            _stop_database(tree)


def _stop_database(tree: Path) -> None:
    code = "from pathlib import Path; from bbjrag.embedded.server import EmbeddedPostgres;"
    code += "EmbeddedPostgres(Path('.data/tests/postgres')).stop()"
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True)


def first_failure(tree: Path, tests: list[str], seconds: float) -> str:
    """What fails first; empty when all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        ended = subprocess.run(
            command, cwd=tree, check=False, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return f"no end within {seconds:g} s"
    if ended.returncode == 0:
        return ""
    named = re.search(r"(?m)^(?:FAILED|ERROR) (\S+)", ended.stdout)
    return f"`{named[1]}`" if named else "nothing starts"


def table(tree: Path, mutations: list[Mutation], tests: list[str], seconds: float) -> Iterator[str]:
    yield "| where | mutation | caught by |"
    yield "|---|---|---|"
    for mutation in mutations:
        before = (tree / mutation.file).read_bytes()
        (tree / mutation.file).write_bytes(mutation.made_in(before))
        caught = first_failure(tree, tests, seconds) or "**SURVIVED**"
        (tree / mutation.file).write_bytes(before)
        yield f"| {mutation.file}:{mutation.line} | {mutation} | {caught} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--files", nargs="+", default=FILES, help="where mutations are made")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="what is run, in this order")
    parser.add_argument("--seconds", type=float, default=1200, help="for one run of the tests")
    parser.add_argument("--list", action="store_true", help="show them, and run nothing")
    options = parser.parse_args()
    mutations = drawn(
        [f for f in options.files if (ROOT / f).exists()], options.seed, options.number
    )
    if options.list:
        print(*(f"{m.file}:{m.line} {m}" for m in mutations), sep="\n")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the copy is cleared away
    tests = [test for test in options.tests if (ROOT / test.partition("::")[0]).exists()]
    with copied_tree() as tree:
        if failing := first_failure(tree, tests, options.seconds):
            print(f"Without any mutation, this fails: {failing}", file=sys.stderr)
            return 1
        for line in table(tree, mutations, tests, options.seconds):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
