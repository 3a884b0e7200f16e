"""Runs the program `git` with nothing of its surroundings: no configuration of machine or user, no
hooks, no filters, no prompts, one protocol, one host. Each command is watched and can be ended.
"""

from __future__ import annotations

import os
import re
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO

from ingestion.exceptions import SourceError
from ingestion.processes.parent_death import die_with_parent

LOOK_EVERY = 0.1  # seconds
WEIGH_EVERY = 0.3  # seconds between two looks at how much was fetched
MOST_OUTPUT = 256 * 1024 * 1024  # bytes: the names of some million files
MOST_ERRORS = 64 * 1024  # bytes; the end counts
READ_AT_ONCE = 64 * 1024
NEEDED = (2, 37)  # the first version that connects to given addresses (http.curloptResolve)
MISSING = "The program git is not installed here: install it (Debian, Ubuntu: apt-get install git)."

# Above what a repository's own configuration says.
FIXED = (
    *("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.sshCommand=ssh"),
    *("core.askPass=", "credential.helper=", "core.protectHFS=true", "core.protectNTFS=true"),
    *("protocol.allow=never", "submodule.recurse=false", "fetch.recurseSubmodules=false"),
    *("http.followRedirects=false", "http.sslVerify=true", "http.proxy=", "http.cookieFile="),
    *("gc.auto=0", "maintenance.auto=false", "fetch.unpackLimit=1", "fetch.writeCommitGraph=false"),
    *("advice.detachedHead=false", "init.defaultBranch=main"),
)

_VERSION = re.compile(r"git version (\d+)\.(\d+)")

Watch = Callable[[], None]


class GitFailed(SourceError):
    """Git ended with an error; `words` are its last ones."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class TooLarge(SourceError):
    """More than GIT_MAX_MB."""


class TooSlow(SourceError):
    """More than the time that a command may take, or no sign of life."""


@lru_cache(1)
def check_version() -> None:
    """Raise SourceError if there is no Git here, or only one that does not do as it is told."""
    try:
        said = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SourceError(MISSING) from None
    found = _VERSION.match(said.stdout)
    if found is None or tuple(map(int, found.groups())) < NEEDED:
        raise SourceError(f"Git 2.37 or later is needed: update this one ({said.stdout.strip()}).")


def nothing_to_watch() -> None:
    return None


@dataclass(frozen=True)
class Limits:
    """`weigh` says how many bytes are there so far; `watch` is called again and again, and may
    raise to end the command."""

    seconds: float
    stall_seconds: float
    max_bytes: int
    watch: Watch = nothing_to_watch
    weigh: Callable[[], int] = lambda: 0


@dataclass(frozen=True)
class Git:
    """The program with its configuration: `options` are settings (`name=value`) for all to see,
    `private` is the folder of the file with the others, and its home."""

    private: Path
    options: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        settings = [part for option in (*FIXED, *self.options) for part in ("-c", option)]
        return ["git", "--no-pager", "--no-replace-objects", *settings, *arguments]

    def environment(self, folder: Path) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.private),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self.private / "config"),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CEILING_DIRECTORIES": str(folder.resolve().parent),
            **self.variables,
        }

    def run(self, folder: Path, limits: Limits, *arguments: str) -> bytes:
        """What the command writes. Raises GitFailed, TooLarge or TooSlow."""
        with self.started(folder, limits.max_bytes, *arguments) as process:
            return _Watched(process, limits).output()

    @contextmanager
    def started(
        self, folder: Path, max_bytes: int, *arguments: str, stdin: int = subprocess.DEVNULL
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A command that runs during the `with` block, with all that it starts."""
        parent = os.getpid()

        def confined() -> None:
            os.setpgid(0, 0)
            die_with_parent(parent)
            limit_files(max_bytes)

        check_version()
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=folder,
            env=self.environment(folder),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=confined,
        )
        with process:
            try:
                yield process
            finally:
                _end(process)


def limit_files(most: int) -> None:
    """Have the kernel refuse files of more than so many bytes in this process and its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a command with all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


class _Watched:
    """Reads what a command writes until it ends or exceeds a limit."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits) -> None:
        self.process = process
        self.limits = limits
        self.written: list[bytes] = []
        self.size = 0
        self.errors = b""
        self.begun = self.sign = self.weighed = time.monotonic()
        self.weight = 0

    def output(self) -> bytes:
        try:
            self._read()
            code = self.process.wait(self.limits.stall_seconds)
        except subprocess.TimeoutExpired:
            raise TooSlow("Git did not come to an end.") from None
        except BaseException:
            _end(self.process)
            raise
        if code:
            self._judge_size()
            raise GitFailed(self.errors.decode("utf-8", "replace"))
        return b"".join(self.written)

    def _read(self) -> None:
        assert self.process.stdout
        assert self.process.stderr
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ, self._take_output)
            selector.register(self.process.stderr, selectors.EVENT_READ, self._take_errors)
            while selector.get_map():
                for key, _ in selector.select(LOOK_EVERY):
                    data = os.read(key.fd, READ_AT_ONCE)
                    key.data(data)
                    if not data:
                        selector.unregister(key.fileobj)
                    self.sign = time.monotonic()
                self._look()

    def _take_output(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > MOST_OUTPUT:
            raise TooLarge("The repository has more names than can be read.")
        self.written.append(data)

    def _take_errors(self, data: bytes) -> None:
        self.errors = (self.errors + data)[-MOST_ERRORS:]

    def _look(self) -> None:
        self.limits.watch()
        now = time.monotonic()
        if now - self.weighed >= WEIGH_EVERY:
            self.weighed = now
            weight = self.limits.weigh()
            self.sign = now if weight != self.weight else self.sign
            self.weight = weight
            self._judge_size()
        if now - self.begun > self.limits.seconds:
            raise TooSlow(f"It was not there after {self.limits.seconds:g} seconds")
        if now - self.sign > self.limits.stall_seconds:
            raise TooSlow(f"Nothing came for {self.limits.stall_seconds:g} seconds")

    def _judge_size(self) -> None:
        cut = any(words in self.errors for words in (b"File too large", b"file size limit"))
        if cut or max(self.weight, self.limits.weigh()) > self.limits.max_bytes:
            raise TooLarge("")


def exactly(pipe: IO[bytes], size: int) -> Iterator[bytes]:
    """So many bytes of a pipe, in pieces. Raises GitFailed if it ends before."""
    while size:
        data = pipe.read(min(size, READ_AT_ONCE))
        if not data:
            raise GitFailed("Git ended in the middle of a file.")
        size -= len(data)
        yield data
