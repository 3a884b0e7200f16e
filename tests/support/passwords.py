"""Passwords as a server that is started keeps them. Each takes half a second of a processor, on
purpose, so those of the tests are worked out once."""

from __future__ import annotations

from functools import cache

from django.contrib.auth.hashers import make_password


@cache
def kept(password: str) -> str:
    return make_password(password, hasher="pbkdf2_sha256")
