"""A parser that does what no parser should, in the middle of its documents."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator

from ingestion.documents import DocumentFailure, Parsed, ParsedDocument, Unchanged
from ingestion.exceptions import SourceError
from ingestion.parsers.base import NOTHING_KNOWN, Known, Parser, ParserOptions
from ingestion.parsers.files import SourceFile, find_files, read_file, tasks_of
from ingestion.parsers.readers import SAME_PROCESS, Isolation, Task


class OddOptions(ParserOptions):
    does: str = "nothing"
    at: str = "cursor"
    seconds: float = 60.0


class OddParser(Parser):
    """Each page is a document; at the page named `at` it does what `does` says."""

    version = 1
    Options = OddOptions

    def parse(
        self, known: Known = NOTHING_KNOWN, isolation: Isolation = SAME_PROCESS
    ) -> Iterator[Parsed]:
        for file in find_files(self.config, {".md"}):
            if isinstance(file, DocumentFailure):
                yield file
            elif known.current(file.url):
                yield Unchanged(file.url)
            elif file.path.stem == self.options.at:
                yield from self._odd(file)
            else:
                yield self._document(file)

    def _document(self, file: SourceFile) -> ParsedDocument:
        data, entry = read_file(self.config, file.path)
        return ParsedDocument(file.url, file.path.stem, data.decode(), inputs=(entry,))

    def _odd(self, file: SourceFile) -> Iterator[Parsed]:
        if self.options.does == "fail":
            yield DocumentFailure(file.url, "The page did not answer: try again later.")
        elif self.options.does == "binary":
            text = self._document(file).content
            yield ParsedDocument(
                file.url, "Nul \0", f"{text}\0 \udc80", metadata={"\0": ["\udfff", 1.5]}
            )
        else:
            DEEDS[self.options.does](self)
            yield self._document(file)


class HostileParser(OddParser):
    """Does what `does` says where documents are read, in a process that may be ended."""

    def parse(
        self, known: Known = NOTHING_KNOWN, isolation: Isolation = SAME_PROCESS
    ) -> Iterator[Parsed]:
        tasks = tasks_of(self.config, find_files(self.config, {".md"}), known)
        yield from isolation.documents(self._read, tasks)

    def _read(self, task: Task[SourceFile]) -> Iterator[Parsed]:
        if task.item.path.stem == self.options.at:
            yield from self._odd(task.item)
        else:
            yield self._document(task.item)


def _raise(parser: OddParser) -> None:
    raise ZeroDivisionError("the parser has a bug")


def _break_off(parser: OddParser) -> None:
    raise SourceError("The site went away: try again later.")


def _recurse(parser: OddParser) -> None:
    _recurse(parser)


def _eat(parser: OddParser) -> None:
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1024)) * 4096)


def _loop(parser: OddParser) -> None:
    while True:
        time.sleep(0.01)


def _die(parser: OddParser) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _ignore(parser: OddParser) -> None:
    """Go on for seconds after being asked to end, and leave a file where that was allowed."""

    def go_on(*_: object) -> None:
        time.sleep(parser.options.seconds)
        (parser.config.data_dir / "outlived").touch()

    signal.signal(signal.SIGTERM, go_on)
    _loop(parser)


def _backtrack(parser: OddParser) -> None:
    """Hang in C code that no signal handler gets into."""
    re.match(r"(a+)+$", "a" * 60 + "b")


DEEDS: dict[str, Callable[[OddParser], None]] = {
    "nothing": lambda parser: None,
    "raise": _raise,
    "break off": _break_off,
    "recurse": _recurse,
    "eat": _eat,
    "loop": _loop,
    "die": _die,
    "ignore": _ignore,
    "backtrack": _backtrack,
    "sleep": lambda parser: time.sleep(parser.options.seconds),
    "leave": lambda parser: os._exit(7),
}
