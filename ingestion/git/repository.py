"""Reads a branch or tag of a repository: fetches what is missing, and checks it out."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ingestion.exceptions import SourceError
from ingestion.git import address, credentials, store, transport, tree
from ingestion.git.errors import explained
from ingestion.git.folder import Folder, key_of, remove, weight
from ingestion.git.program import Git, GitFailed, Limits, TooLarge, TooSlow, Watch, nothing_to_watch
from ingestion.git.settings import GitSettings
from ingestion.parsers.base import SourceConfig

REFS = "refs/bbjrag/"
MOST_PACKS = 8  # of earlier fetches, before they are put together
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class Checkout:
    """A commit, and the folder it is checked out in (None if that was not asked for).

    `warnings` are what it leaves out; `seconds` what it took to fetch and check out.
    """

    commit: str
    folder: Path | None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@contextmanager
def checked_out(
    config: SourceConfig,
    settings: GitSettings,
    *,
    read: str = "",
    watch: Watch = nothing_to_watch,
    seconds: float | None = None,
) -> Iterator[Checkout]:
    """The newest commit of a source's branch or tag, whose folder stays during the `with` block.

    Nothing is fetched or checked out if it is `read`, the commit that was read before. `watch` is
    called meanwhile, and may raise to stop. Raises SourceError if the repository cannot be read.
    """
    with _Repository(config, settings, watch, seconds or settings.seconds).opened(read) as found:
        yield found


def fetched(config: SourceConfig, settings: GitSettings) -> Path | None:
    """The folder with the commit of a source's branch or tag that was fetched last, as it is now;
    None if there is none. It may be removed at any time. Raises ConfigError for a wrong address."""
    address.parsed(config.repository, config.data_dir)
    folder = Folder(settings.folder / key_of(config.repository, config.credential))
    try:
        noted = folder.objects / REFS / _short(config.revision)
        tree = folder.trees / noted.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return tree if _COMMIT.fullmatch(tree.name) and tree.is_dir() else None


class _Repository:
    def __init__(
        self, config: SourceConfig, settings: GitSettings, watch: Watch, seconds: float
    ) -> None:
        self.config = config
        self.settings = settings
        self.address = address.parsed(config.repository, config.data_dir)
        self.secret = credentials.find(config.credential, settings)
        self.folder = Folder(settings.folder / key_of(config.repository, config.credential))
        size = self.folder.objects
        self.limits = Limits(
            seconds, settings.stall_seconds, settings.max_bytes, watch, lambda: weight(size)
        )

    @contextmanager
    def opened(self, read: str) -> Iterator[Checkout]:
        held = None
        try:
            try:
                found, held = self._found(read)
            except GitFailed as error:
                raise explained(error, self.address, self.secret) from None
            except (TooLarge, TooSlow) as error:
                raise self._beyond(error) from None
            yield found
        finally:
            if held is not None:
                os.close(held)

    def _found(self, read: str) -> tuple[Checkout, int | None]:
        begun = time.monotonic()
        allowed = self.config.web.allow_networks if self.config.web else ()
        limits = self.limits
        with (
            self.folder.locked(self.config.repository, limits.seconds, limits.watch),
            transport.connected(
                self.address, self.secret, self.settings, allowed, self.folder.path
            ) as (git, where),
        ):
            ref, commit = self._newest(git, where)
            if commit == read:
                return Checkout(commit, None), None
            commit, place, warnings = self._tree(git, where, ref, commit)
            held = self.folder.hold(place)
        store.make_room(self.settings, self.folder)
        return Checkout(commit, place, warnings, time.monotonic() - begun), held

    def _newest(self, git: Git, where: str) -> tuple[str, str]:
        """The full name of the branch or tag at the remote, and its commit."""
        name = self.config.revision
        names = _full_names(name)
        asked = [f"{full}{end}" for full in names for end in ("", "^{}")]
        limits = replace(self.limits, weigh=lambda: 0)
        listed = git.run(self.folder.path, limits, "ls-remote", "--", where, *asked)
        there = dict(line.split("\t")[::-1] for line in listed.decode().splitlines())
        for full in names:
            commit = there.get(f"{full}^{{}}") or there.get(full, "")
            if _COMMIT.fullmatch(commit):
                return full, commit
        raise SourceError(
            f"The repository has no branch or tag {name!r} (any more): name one that it has, or "
            "none for its default branch."
            if name
            else "The repository has no default branch, or no commit yet: name a branch or tag."
        )

    def _tree(
        self, git: Git, where: str, ref: str, commit: str
    ) -> tuple[str, Path, tuple[str, ...]]:
        """The commit checked out, after a fetch if need be; all over again if what was fetched
        earlier is damaged, or leaves no room."""
        had = self.folder.objects.exists()
        try:
            commit = self._fetched(git, where, ref, commit)
            return commit, *self._checked_out(git, commit)
        except (GitFailed, TooLarge) as error:
            if had or isinstance(error, TooLarge):
                remove(self.folder.objects)
            if not had:
                raise
        return self._tree(git, where, ref, commit)

    def _fetched(self, git: Git, where: str, ref: str, commit: str) -> str:
        """The commit that is there now; usually the one that was asked for."""
        objects, mine = self.folder.objects, REFS + _short(self.config.revision)
        if not objects.exists():
            self._init(git, commit)
        if not self._has(git, commit):
            options = ("--depth=1", "--no-tags", "--force", "--no-write-fetch-head", "--progress")
            git.run(objects, self.limits, "fetch", *options, "--", where, f"+{ref}:{mine}")
            commit = self._asked(git, "rev-parse", "--verify", f"{mine}^{{commit}}")
        self._asked(git, "update-ref", mine, commit)
        if len(list(objects.glob("objects/pack/*.pack"))) > MOST_PACKS:
            git.run(objects, self.limits, "repack", "-a", "-d", "-q")
        return commit

    def _init(self, git: Git, commit: str) -> None:
        kind = "sha1" if len(commit) == 40 else "sha256"
        draft = Path(tempfile.mkdtemp(prefix="part-", dir=self.folder.path))
        options = ("--bare", "--quiet", "--template=", f"--object-format={kind}")
        git.run(draft, self.limits, "init", *options, "--", str(draft))
        draft.rename(self.folder.objects)

    def _has(self, git: Git, commit: str) -> bool:
        try:
            self._asked(git, "cat-file", "-e", f"{commit}^{{commit}}")
        except GitFailed:
            return False
        return True

    def _asked(self, git: Git, *arguments: str) -> str:
        return git.run(self.folder.objects, self.limits, *arguments).decode().strip()

    def _checked_out(self, git: Git, commit: str) -> tuple[Path, tuple[str, ...]]:
        place = self.folder.trees / commit
        notes = self.folder.trees / f"{commit}.warnings"
        if not place.exists():
            draft = Path(tempfile.mkdtemp(prefix="part-", dir=self.folder.path))
            objects = self.folder.objects
            found = tree.entries(git, objects, self.limits, commit)
            left = tree.write(git, objects, self.limits, found, draft, self._earlier())
            notes.write_text("\n".join(left.warnings()), encoding="utf-8", errors="replace")
            draft.rename(place)
        kept = self._asked(git, "for-each-ref", "--format=%(objectname)", REFS).split()
        self.folder.drop_trees({*kept, commit})
        return place, tuple(notes.read_text(encoding="utf-8").splitlines())

    def _earlier(self) -> Path | None:
        """The newest of the trees that are there."""
        trees = [path for path in self.folder.trees.iterdir() if path.is_dir()]
        return max(trees, key=lambda path: path.stat().st_ctime, default=None)

    def _beyond(self, error: TooLarge | TooSlow) -> SourceError:
        if isinstance(error, TooSlow):
            where = self.address.host or "the repository"
            hint = (
                "a run waits longer"
                if self.limits.seconds < self.settings.seconds
                else ("a large repository may need a higher GIT_TIMEOUT")
            )
            return SourceError(f"{error}: see whether {where} answers; {hint}.")
        return SourceError(
            f"The repository is larger than {self.settings.max_mb} MB: raise GIT_MAX_MB, or read "
            "its documents from a smaller one."
        )


def _full_names(revision: str) -> list[str]:
    if not revision:
        return ["HEAD"]
    if revision.startswith("refs/"):
        return [revision]
    return [f"refs/heads/{revision}", f"refs/tags/{revision}"]


def _short(revision: str) -> str:
    return hashlib.sha256(revision.encode()).hexdigest()[:16]
