"""What the provider claims about a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONGEST_NAME = 150  # of the column


@dataclass(frozen=True)
class Identity:
    """Who the provider says that this is. `subject` never changes; all else may."""

    subject: str
    name: str
    email: str
    first_name: str
    last_name: str
    values: tuple[str, ...]  # of the claim that gives roles
    nonce: str


def identity(claims: Mapping[str, Any], role_claim: str) -> Identity:
    return Identity(
        subject=str(claims["sub"]),
        name=_name(claims),
        email=_text(claims, "email")[:254],
        first_name=_text(claims, "given_name")[:150],
        last_name=_text(claims, "family_name")[:150],
        values=_values(_found(claims, role_claim)),
        nonce=_text(claims, "nonce"),
    )


def _text(claims: Mapping[str, Any], key: str) -> str:
    value = claims.get(key)
    return value.strip() if isinstance(value, str) else ""


def _name(claims: Mapping[str, Any]) -> str:
    """The name of the account, with the characters that one may have."""
    known = (_text(claims, key) for key in ("preferred_username", "email", "sub"))
    return re.sub(r"[^\w.@+-]", "_", next(filter(None, known)))[:LONGEST_NAME]


def _found(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of this name; or, with dots, one inside another: `realm_access.roles`."""
    if path in claims:
        return claims[path]
    key, dot, rest = path.partition(".")
    inner = claims.get(key)
    return _found(inner, rest) if dot and isinstance(inner, Mapping) else None


def _values(claim: Any) -> tuple[str, ...]:
    found = claim if isinstance(claim, list) else [claim]
    return tuple(value for value in found if isinstance(value, str))


def roles(values: tuple[str, ...], named: Mapping[str, str]) -> set[str]:
    """The roles that these values of the claim give."""
    return {named[value] for value in values if value in named}
