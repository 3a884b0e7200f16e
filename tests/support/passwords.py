"""Passwords as a server that is started keeps them. Each takes half a second of a processor, on
purpose, so those of the tests are worked out once.

To check one takes as long at each login. Where tests log in hundreds of times, and are about what
follows, the server has the settings in tests/support/quick_passwords.py.
"""

from __future__ import annotations

from functools import cache

from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password

QUICK = {"DJANGO_SETTINGS_MODULE": "tests.support.quick_passwords"}


class QuickHasher(PBKDF2PasswordHasher):
    iterations = 1


@cache
def kept(password: str) -> str:
    return make_password(password, hasher="pbkdf2_sha256")


def quick(password: str) -> str:
    """As a server with the quick settings keeps it."""
    hasher = QuickHasher()
    return hasher.encode(password, hasher.salt())
