"""Which code is right: each one once, and only a few guesses for each account."""

from __future__ import annotations

import logging
import time
from enum import Enum
from typing import Any

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from allauth.mfa.utils import decrypt
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

GUESSES = 5  # wrong codes for one account within AXES_COOLOFF_TIME, from wherever
User = Any  # of the project's own type, with a username

logger = logging.getLogger(__name__)


class Answer(Enum):
    RIGHT = "right"
    WRONG = "wrong"
    WAIT = "wait"
    UNREADABLE = "unreadable"


def totp_of(user: User) -> Any | None:
    """The row of this person's second factor."""
    return _totp_rows(user).first()


def _totp_rows(user: User) -> Any:
    return Authenticator.objects.filter(user_id=user.pk, type=Authenticator.Type.TOTP)


@transaction.atomic
def answer(user: User, code: str) -> Answer:
    """Whether the code is right. The lock makes the guesses at one account wait for each other."""
    row = _totp_rows(user).select_for_update().first()
    if row is None:
        return Answer.WRONG
    wrong = _recent(row.data.get("wrong_at", []))
    if len(wrong) >= GUESSES:
        return Answer.WAIT
    try:
        right = _is_new(row, code) or _is_recovery_code(user, code)
    except InvalidToken:
        logger.error("The second factor of %s was stored with another SECRET_KEY.", user)
        return Answer.UNREADABLE
    _note(row, [] if right else [time.time()], wrong)
    return Answer.RIGHT if right else Answer.WRONG


def _recent(moments: list[float]) -> list[float]:
    since = time.time() - settings.AXES_COOLOFF_TIME.total_seconds()
    return [moment for moment in moments if moment > since]


def _note(row: Any, new: list[float], wrong: list[float]) -> None:
    """Store the counter of a right code, or the moment of a wrong one."""
    row.data["wrong_at"] = [*wrong, *new]
    if not new:
        row.last_used_at = timezone.now()
    row.save(update_fields=["data", "last_used_at"])
    if len(row.data["wrong_at"]) == GUESSES:
        logger.warning("%s wrong codes for %s, whose password was right.", GUESSES, row.user)


def _is_new(row: Any, code: str) -> bool:
    """Whether the app shows this code now, and it is later than the last one that was used."""
    counter = _counter(decrypt(row.data["secret"]), code)
    if counter is None or counter <= row.data.get("counter", 0):
        return False
    row.data["counter"] = counter
    return True


def _counter(secret: str, code: str) -> int | None:
    for counter in yield_hotp_counters_from_time():
        if compare_user_code(actual=code, expected=format_hotp_value(hotp_value(secret, counter))):
            return int(counter)
    return None


def _recovery_row(user: User) -> Any | None:
    kind = Authenticator.Type.RECOVERY_CODES
    return Authenticator.objects.filter(user_id=user.pk, type=kind).first()


def _is_recovery_code(user: User, code: str) -> bool:
    row = _recovery_row(user)
    return row is not None and bool(RecoveryCodes(row).validate_code(code))


def recovery_codes(user: User) -> list[str]:
    """Those that were not used yet; they are made if there are none."""
    return list(RecoveryCodes.activate(user).get_unused_codes())


@transaction.atomic
def renewed_recovery_codes(user: User) -> list[str]:
    """New ones instead of all earlier ones."""
    row = _recovery_row(user)
    if row is not None:
        row.delete()
    return recovery_codes(user)


@transaction.atomic
def set_up(user: User, secret: str, code: str) -> bool:
    """Store the secret if the code proves that the app has it; it counts as used then."""
    get_user_model().objects.select_for_update().get(pk=user.pk)
    counter = _counter(secret, code)
    if counter is None or totp_of(user) is not None:
        return False
    row = TOTP.activate(user, secret).instance
    row.data["counter"] = counter
    row.save(update_fields=["data"])
    return True


def remove(user: User) -> None:
    Authenticator.objects.filter(user_id=user.pk).delete()
