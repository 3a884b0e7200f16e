"""The files of a source, in a fixed order, never outside DATA_DIR, with their size and time."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ingestion.documents import DocumentFailure, InputFile, Unchanged
from ingestion.exceptions import DocumentError, SourceError
from ingestion.parsers import beneath
from ingestion.parsers.base import FileOptions, Known, SourceConfig
from ingestion.parsers.readers import Task

MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SourceFile:
    """`path` is absolute; `url` is the document address `<source name>://<path>`;
    `relative` is below `root`, the configured path (or its folder, if that path is a file)."""

    path: Path
    url: str
    relative: PurePosixPath
    root: Path


def resolve_inside(data_dir: Path, path: str) -> Path:
    """The real path of `path` below `data_dir`.

    Raises SourceError when it is missing, absolute, or leads out of `data_dir` (also by a symlink).
    """
    base = data_dir.resolve()
    try:
        target = (base / path).resolve()
        there = target.exists()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL, a name too long
        raise SourceError(f"{quoted(path[:100])} is not a path that can be followed.") from None
    if not target.is_relative_to(base):
        raise SourceError(f"{quoted(path)} leaves DATA_DIR ({base}): give a path below it.")
    if Path(path).is_absolute():
        relative = quoted(target.relative_to(base).as_posix())
        raise SourceError(
            f"{quoted(path)} is an absolute path: write {relative}, relative to DATA_DIR ({base})."
        )
    if not there:
        raise SourceError(
            f"{quoted(path)} does not exist under DATA_DIR ({base}): {_way_out(base, path)}"
        )
    return target


def root_of(config: SourceConfig, configured: str) -> Path:
    """The real path of one of the source's paths. Raises SourceError as `resolve_inside` does."""
    try:
        return resolve_inside(config.data_dir, configured)
    except SourceError:
        if not config.repository:
            raise
    raise SourceError(
        f"{quoted(configured)} is not in the repository, or leads out of it: correct the path or "
        "the branch."
    )


def _way_out(base: Path, path: str) -> str:
    slashed = path.replace("\\", "/")
    if slashed != path and not PurePosixPath(slashed).is_absolute() and (base / slashed).exists():
        return f"write {quoted(slashed)}, with slashes."
    return "correct the path or mount it."


def quoted(path: str) -> str:
    """The path in quotes as it was typed; characters that cannot be shown are escaped."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in path)
    return f"'{shown}'"


def address_prefixes(paths: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    """The address prefix of each of the `paths`: what follows `<source name>://`.

    A path keeps its `known` prefix when others are added, so that its documents keep their
    addresses. The prefix of a new path is the path itself, or empty if it is the only one. At most
    one prefix is empty.
    """
    found: dict[str, str] = {}
    for own in map(normal_path, paths):
        prefix = known.get(own, "" if len(paths) == 1 else own)
        found[own] = own if prefix == "" and "" in found.values() else prefix
    return found


def normal_path(path: str) -> str:
    """One spelling of a configured path: `docs` for `docs/` and `./docs`."""
    return posixpath.normpath(path).strip("/")


def address_of(config: SourceConfig, path: str) -> str:
    """The address prefix of the documents below one of the configured paths."""
    prefix = address_prefixes(config.paths, config.address_prefixes)[normal_path(path)]
    return f"{config.name}://{prefix}/" if prefix else f"{config.name}://"


def find_files(
    config: SourceConfig, suffixes: Collection[str]
) -> Iterator[SourceFile | DocumentFailure]:
    """The files of a source with one of the `suffixes` (lower case, with the dot), sorted by path.

    Hidden files and folders and node_modules are skipped. A folder that cannot be listed and a
    file outside DATA_DIR are Failures. Raises SourceError when a configured path is missing.
    """
    for configured in config.paths:
        root = root_of(config, configured)
        prefix = address_of(config, configured)
        if root.is_file():
            bare = prefix == f"{config.name}://"
            url = f"{prefix}{root.name}" if bare else prefix.rstrip("/")
            yield SourceFile(root, url, PurePosixPath(root.name), root.parent)
            continue
        yield from _walk(config, root, root, prefix, suffixes)


def kept(
    files: Iterable[SourceFile | DocumentFailure], options: FileOptions
) -> Iterator[SourceFile | DocumentFailure]:
    """The files that the options do not leave out."""
    for file in files:
        if isinstance(file, DocumentFailure) or not options.excludes(file.relative):
            yield file


def tasks_of(
    config: SourceConfig, files: Iterable[SourceFile | DocumentFailure], known: Known
) -> Iterator[Task[SourceFile] | DocumentFailure | Unchanged]:
    """What is to be read of files: a task for each one that is not as it was at the last read."""
    for file in files:
        if isinstance(file, DocumentFailure):
            yield file
        elif known.current(file.url):
            yield Unchanged(file.url)
        else:
            yield Task(file.url, size_of(config, file.path), file)


def size_of(config: SourceConfig, path: Path) -> int:
    """The size of a file in bytes; at least 1, also if it cannot be seen."""
    return max(1, stat_input(config, path).size)


def is_skipped(name: str) -> bool:
    """Whether a file or folder of this name is never read."""
    return name.startswith(".") or name == "node_modules"


def _walk(
    config: SourceConfig, root: Path, folder: Path, prefix: str, suffixes: Collection[str]
) -> Iterator[SourceFile | DocumentFailure]:
    def url(path: Path) -> str:
        return prefix + path.relative_to(root).as_posix()

    try:
        entries = beneath.entries(config.data_dir, folder)
    except OSError as error:
        yield DocumentFailure(
            url(folder) if folder != root else prefix,
            f"The folder cannot be listed ({error.strerror}): check its permissions.",
            stage="read",
        )
        return
    for entry in entries:
        if is_skipped(entry.name):
            continue
        path = folder / entry.name
        if entry.is_link and (problem := _link_problem(config, path)):
            yield DocumentFailure(
                url(path), f"The link {problem} and was not followed.", stage="read"
            )
        elif entry.is_folder:
            yield from _walk(config, root, path, prefix, suffixes)
        elif path.suffix.lower() in suffixes and entry.is_file:
            yield SourceFile(
                path, url(path), PurePosixPath(path.relative_to(root).as_posix()), root
            )


def files_below(config: SourceConfig, folder: Path, suffix: str) -> list[Path]:
    """The files with a suffix in a folder and in those below it, sorted; no links to folders."""
    found: list[Path] = []
    for entry in list_folder(config, folder):
        path = folder / entry.name
        if entry.is_folder:
            found += files_below(config, path, suffix)
        elif path.suffix == suffix and entry.is_file:
            found.append(path)
    return sorted(found)


def list_folder(config: SourceConfig, folder: Path) -> list[beneath.Entry]:
    """What is in a folder, by name; nothing if it cannot be listed."""
    try:
        return beneath.entries(config.data_dir, folder)
    except OSError:
        return []


def _link_problem(config: SourceConfig, path: Path) -> str:
    """Why a symlink is not followed; empty when it may be."""
    try:
        inside = path.resolve().is_relative_to(config.data_dir.resolve())
    except (OSError, RuntimeError):
        return "leads in a circle"
    return "" if inside else f"leads out of {config.place}"


def stat_input(config: SourceConfig, path: Path) -> InputFile:
    """The file as an input; one that is missing, or outside DATA_DIR, has size -1."""
    relative = _relative(config, path)
    try:
        return _input(relative, beneath.status(config.data_dir, relative))
    except OSError:
        return InputFile(relative, -1, 0)


def _input(relative: str, status: os.stat_result) -> InputFile:
    return InputFile(relative, status.st_size, status.st_mtime_ns)


def _relative(config: SourceConfig, path: Path) -> str:
    return Path(os.path.relpath(path, config.data_dir.resolve())).as_posix()


def read_file(
    config: SourceConfig, path: Path, limit: int = MAX_FILE_BYTES
) -> tuple[bytes, InputFile]:
    """The bytes of a file, and its size and time from before the read.

    Raises DocumentError when it cannot be read, is outside DATA_DIR or is larger than `limit`
    bytes.
    """
    relative = _relative(config, path)
    try:
        with beneath.opened(config.data_dir, relative) as (file, status):
            return _read_up_to(limit, file, status), _input(relative, status)
    except beneath.OutsideError:
        raise DocumentError(
            f"The file was not read, because it leads out of {config.place}."
        ) from None
    except beneath.IrregularError as error:
        raise DocumentError(f"The file was not read, because {error.strerror}.") from None
    except OSError as error:
        raise DocumentError(
            f"The file cannot be read ({error.strerror}): check that it exists."
        ) from error


def _read_up_to(limit: int, file: int, status: os.stat_result) -> bytes:
    """All that an open file holds, even if it grows meanwhile."""
    data = b""
    if status.st_size <= limit:
        with os.fdopen(file, "rb", closefd=False) as reader:
            data = reader.read(status.st_size + 1)
            if len(data) > status.st_size:
                data += reader.read(limit + 1 - len(data))
    if (size := max(status.st_size, len(data))) > limit:
        raise DocumentError(
            f"The file is {size:,} bytes, above the limit of {limit:,}: split it or leave it out."
        )
    return data
