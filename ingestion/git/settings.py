"""Settings of an installation for sources in Git."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GitSettings:
    """`folder` is where repositories are kept. `max_mb` limits what is fetched of one repository,
    and what is checked out of it; `quota_mb` all of them together (0: no limit).

    A command of Git may take `seconds`, and be silent for `stall_seconds`. `known_hosts` has the
    keys of hosts that ssh may reach; `ca_file` the authorities that https believes, if not those of
    the system. `tokens` are the secrets of the environment, by the names of their variables;
    `secrets_dir` is a folder with a file for each of the others.
    """

    folder: Path
    max_mb: int = 1024
    quota_mb: int = 4096
    seconds: float = 600.0
    stall_seconds: float = 60.0
    known_hosts: Path | None = None
    ca_file: Path | None = None
    secrets_dir: Path | None = None
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def max_bytes(self) -> int:
        return self.max_mb * MEGABYTE
