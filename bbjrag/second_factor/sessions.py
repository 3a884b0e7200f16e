"""What a session knows: whose password was right, whether a code was, and a secret to set up."""

from __future__ import annotations

import time
from typing import Any

from allauth.mfa.totp.internal.auth import generate_totp_secret
from allauth.mfa.utils import decrypt, encrypt
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

PENDING = "second_factor_pending"
SHOWN = "second_factor_shown"
SECRET = "second_factor_secret"
SECONDS = 300  # between password and code


def begin(request: HttpRequest, user: Any) -> None:
    """Remember that the password was right. Nobody is logged in by that."""
    request.session.cycle_key()
    request.session[PENDING] = {
        "user": user.pk,
        "backend": user.backend,
        "hash": user.get_session_auth_hash(),
        "until": time.time() + SECONDS,
    }


def waiting(request: HttpRequest) -> Any | None:
    """Whose code this session waits for: not after a while, nor if the password was changed."""
    known = request.session.get(PENDING)
    if known is None or known["until"] < time.time():
        return None
    people = get_user_model().objects.filter(pk=known["user"], is_active=True, is_staff=True)
    user: Any = people.first()
    if user is None or not constant_time_compare(known["hash"], user.get_session_auth_hash()):
        return None
    user.backend = known["backend"]
    return user


def let_in(request: HttpRequest, user: Any, totp: Any) -> None:
    login(request, user)
    request.session.pop(PENDING, None)
    mark(request, totp)


def mark(request: HttpRequest, totp: Any) -> None:
    """Remember that a code of this second factor was right."""
    request.session[SHOWN] = totp.pk


def has_shown(request: HttpRequest, totp: Any) -> bool:
    return bool(request.session.get(SHOWN) == totp.pk)


def secret(request: HttpRequest) -> str:
    """The secret that is offered for a set-up, the same until it is used."""
    if SECRET not in request.session:
        request.session[SECRET] = encrypt(generate_totp_secret())
    return str(decrypt(request.session[SECRET]))


def forget_secret(request: HttpRequest) -> None:
    request.session.pop(SECRET, None)
