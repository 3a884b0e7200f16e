"""What a row may name: the address of a repository, a branch or tag, a folder, a credential.

Each function raises ConfigError with the way out. What they accept can be given to Git as an
argument: nothing of it is taken for an option, a helper program or a path out of a folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from ingestion.exceptions import ConfigError
from ingestion.parsers.files import quoted

PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418, "file": 0}
PLAIN = frozenset({"http", "git"})  # read by anybody on the way: private networks only
ADDRESSES = "https://host/owner/name.git, ssh://git@host/owner/name.git or file:///path"

_SCP = re.compile(r"(?:[\w.-]+@)?[\w.-]+:(?!//)\S+")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]+")
_USER = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)
_UNPRINTED = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_NEVER_IN_A_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(^|/)\.|\.lock(/|$)|[/.]$")
_CREDENTIAL = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a repository; `path` is a folder of this machine if the scheme is `file`."""

    text: str
    scheme: str
    host: str
    port: int
    path: str
    user: str = ""


def parsed(text: str, data_dir: Path) -> Address:
    """The address in its parts. A `file` address has to be below `data_dir`."""
    decoded = unquote(text)
    if _UNPRINTED.search(text) or _UNPRINTED.search(decoded.replace(" ", "")):
        raise ConfigError("An address contains no blanks, backslashes or control characters.")
    if text.startswith("-") or "::" in text.partition("//")[0]:
        raise ConfigError(f"{quoted(text)} is not the address of a repository: give {ADDRESSES}.")
    if _SCP.fullmatch(text):
        host, _, path = text.partition(":")
        raise ConfigError(f"Write it as an address: ssh://{host}/{path.lstrip('/')}")
    if ".." in decoded.split("/"):
        raise ConfigError("An address contains no '..': give the whole path.")
    parts = _split(text)
    if not parts.scheme:
        raise ConfigError(f"{quoted(text)} is not the address of a repository: give {ADDRESSES}.")
    if parts.scheme not in PORTS:
        raise ConfigError(
            f"{parts.scheme} is not read: give https, ssh or file, as in {ADDRESSES}."
        )
    return _local(text, parts, data_dir) if parts.scheme == "file" else _remote(text, parts)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{quoted(text)} is not an address: {error}.") from None
    if parts.query or parts.fragment or "?" in text or "#" in text or port == 0:
        raise ConfigError("The address of a repository has no '?', no '#' and no port 0.")
    return parts


def _local(text: str, parts: SplitResult, data_dir: Path) -> Address:
    base = data_dir.resolve()
    if parts.netloc:
        raise ConfigError(f"Write three slashes: file://{base}/name.git")
    try:
        path = Path(unquote(parts.path)).resolve()
    except (OSError, RuntimeError, ValueError):
        raise ConfigError(f"{quoted(text)} cannot be followed.") from None
    if not path.is_relative_to(base):
        raise ConfigError(f"{quoted(text)} is outside DATA_DIR: only what is below {base} is read.")
    return Address(text, "file", "", 0, str(path))


def _remote(text: str, parts: SplitResult) -> Address:
    host = parts.hostname or ""
    if not _HOST.fullmatch(host):
        raise ConfigError(f"{quoted(text)} names no host: give {ADDRESSES}.")
    if parts.password is not None or (parts.username and parts.scheme != "ssh"):
        raise ConfigError(
            "Leave user names and passwords out of the address: a credential names the secret."
        )
    if parts.username and not _USER.fullmatch(parts.username):
        raise ConfigError(f"{quoted(parts.username)} is not a user name of ssh, such as git.")
    if not parts.path.strip("/"):
        raise ConfigError(f"{quoted(text)} names no repository: give its path behind the host.")
    port = parts.port or PORTS[parts.scheme]
    return Address(text, parts.scheme, host, port, parts.path, parts.username or "")


def check_revision(name: str) -> None:
    """Raise ConfigError unless this can be the name of a branch or tag (or is empty)."""
    if name and (name.startswith(("-", "/", "+")) or name == "@" or _NEVER_IN_A_NAME.search(name)):
        raise ConfigError(
            f"{quoted(name)} cannot be the name of a branch or tag: give one such as main or v1.2."
        )


def check_credential(name: str) -> None:
    """Raise ConfigError unless this can be the name of a secret (or is empty)."""
    if name and not _CREDENTIAL.fullmatch(name):
        raise ConfigError(
            "Give the name of a secret, not the secret: small letters, digits and hyphens, such "
            "as docs-key for the variable GIT_TOKEN_DOCS_KEY or a file docs-key in GIT_SECRETS_DIR."
        )


def check_folder(path: str) -> None:
    """Raise ConfigError unless this is a path within a repository; `.` is the whole of it."""
    if re.search(r"[\x00-\x1f\x7f]", path):
        raise ConfigError("A path contains no control characters.")
    if path.startswith("/"):
        raise ConfigError(f"{quoted(path)} begins with a slash: give a path in the repository.")
    if ".." in path.split("/"):
        raise ConfigError(f"{quoted(path)} leaves the repository: give a path in it.")
    if ".git" in map(str.lower, path.split("/")):
        raise ConfigError(f"{quoted(path)} names Git's own files, which are not checked out.")
