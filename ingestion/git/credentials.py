"""Secrets by name, from the environment or a folder. Git gets them in private files only."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path

from ingestion.exceptions import ConfigError, SourceError
from ingestion.git.settings import GitSettings

TOKEN_PREFIX = "GIT_TOKEN_"
LONGEST_SECRET = 64 * 1024
# Who a bare token belongs to; other hosts accept any name.
TOKEN_USERS = {"bitbucket.org": "x-token-auth"}
ANY_USER = "x-access-token"


@dataclass(frozen=True, slots=True)
class Secret:
    """A token, a `user:password`, or a private key of ssh."""

    name: str
    text: str = field(repr=False)

    @property
    def is_key(self) -> bool:
        return self.text.startswith("-----BEGIN")

    def header(self, host: str) -> str:
        """The HTTP header that shows the secret to a host."""
        known = self.text if ":" in self.text else f"{_user(host)}:{self.text}"
        return f"Authorization: Basic {base64.b64encode(known.encode()).decode()}"

    def left_out_of(self, message: str) -> str:
        """The message without the secret, in case a server repeats it."""
        parts = {self.text, *self.text.split(":"), self.header("").rpartition(" ")[2]}
        for part in sorted(parts, key=len, reverse=True):
            if len(part) >= 4:
                message = message.replace(part, "***")
        return message


NO_SECRET = Secret("", "")


def _user(host: str) -> str:
    return TOKEN_USERS.get(host, ANY_USER)


def variable(name: str) -> str:
    """The environment variable of a secret."""
    return TOKEN_PREFIX + name.upper().replace("-", "_")


def find(name: str, settings: GitSettings) -> Secret:
    """The secret of this name; NO_SECRET for an empty one. Raises SourceError if there is none."""
    if not name:
        return NO_SECRET
    text = settings.tokens.get(variable(name), "").strip() or _from_file(name, settings)
    if not text:
        raise SourceError(
            f"The credential {name!r} is unknown here: set {variable(name)} for web server and "
            f"worker, or put a file {name} into GIT_SECRETS_DIR."
        )
    if not text.startswith("-----BEGIN") and any(c.isspace() or not c.isprintable() for c in text):
        raise ConfigError(f"The credential {name!r} is neither a token nor a private key.")
    return Secret(name, text)


def _from_file(name: str, settings: GitSettings) -> str:
    if settings.secrets_dir is None:
        return ""
    path: Path = settings.secrets_dir / name
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(LONGEST_SECRET).strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"The credential {name!r} cannot be read ({type(error).__name__}): let the user of web "
            "server and worker read its file in GIT_SECRETS_DIR."
        ) from None
