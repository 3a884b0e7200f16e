"""The settings of bbjrag, with passwords that are checked at once."""

from __future__ import annotations

from bbjrag.settings import *  # noqa: F403

PASSWORD_HASHERS = ["tests.support.passwords.QuickHasher"]
