"""Accounts of the operating system: PostgreSQL refuses root."""

from __future__ import annotations

import contextlib
import pwd
from pathlib import Path
from typing import NamedTuple

from bbjrag.embedded.installation import PostgresError


class Account(NamedTuple):
    """The account that the server runs as."""

    uid: int
    gid: int


def account_for_root(parent_owner: int) -> Account:
    """The account for a server that root starts: the folder's owner, else a system account."""
    with contextlib.suppress(KeyError):
        if parent_owner != 0:
            entry = pwd.getpwuid(parent_owner)
            return Account(entry.pw_uid, entry.pw_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise PostgresError(
        "PostgreSQL does not run as root, and there is no account postgres or nobody to run it as. "
        "Run this as an ordinary user, or set DATABASE_URL."
    )


def owner_of(path: Path) -> int:
    """The uid of the owner of `path`, or of its nearest folder that exists."""
    while True:
        try:
            return path.stat().st_uid
        except (FileNotFoundError, PermissionError):
            path = path.parent


def known_name(uid: int) -> str:
    """The name of an account; empty if the machine has none for it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def name_of(uid: int) -> str:
    return known_name(uid) or f"user {uid}"
