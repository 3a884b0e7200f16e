"""All repositories of a machine: how much they take, and which are removed."""

from __future__ import annotations

import time
from collections.abc import Collection

from ingestion.git.folder import Folder, weight
from ingestion.git.settings import MEGABYTE, GitSettings

UNUSED_SECONDS = 3600.0  # after which a folder that belongs to no source is removed


def folders(settings: GitSettings) -> list[Folder]:
    """The folders of repositories; the one that was used last is last."""
    if not settings.folder.is_dir():
        return []
    found = [Folder(path) for path in settings.folder.iterdir() if path.is_dir()]
    return sorted(found, key=lambda folder: folder.last_used)


def make_room(settings: GitSettings, used: Folder) -> None:
    """Remove the repositories that were not used for the longest time, beyond GIT_QUOTA_MB."""
    if not settings.quota_mb:
        return
    weights = [(folder, weight(folder.path)) for folder in folders(settings)]
    beyond = sum(size for _, size in weights) - settings.quota_mb * MEGABYTE
    for folder, size in weights:
        if beyond <= 0:
            return
        if folder.path != used.path and folder.drop():
            beyond -= size


def remove_unused(settings: GitSettings, keys: Collection[str]) -> int:
    """Remove the repositories of no source, unless they were used lately, as by a Preview; the
    number removed. `keys` are the folders of the sources (`folder.key_of`), which are tidied."""
    lately = time.time() - UNUSED_SECONDS
    unused = [
        folder
        for folder in folders(settings)
        if folder.path.name not in keys and folder.last_used < lately
    ]
    for folder in folders(settings):
        if folder.path.name in keys:
            folder.tidy()
    return sum(folder.drop() for folder in unused)
