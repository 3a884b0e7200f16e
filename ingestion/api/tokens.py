"""Tokens of the HTTP API: shown once when they are made, kept as a hash, limited by the minute."""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple

from django.db import connection

from ingestion.models import ApiToken

PREFIX = "bbjrag_"
SHOWN = 12  # characters that tell tokens apart, far from enough to guess the rest
WINDOW = 60  # seconds

# One statement, so that requests at the same moment are all counted.
_COUNT = """
UPDATE ingestion_apitoken SET
    last_used_at = now(),
    window_start = CASE WHEN window_start > now() - make_interval(secs => %s)
                        THEN window_start ELSE now() END,
    window_requests = CASE WHEN window_start > now() - make_interval(secs => %s)
                           THEN window_requests + 1 ELSE 1 END
WHERE id = %s
RETURNING window_requests, ceil(extract(epoch FROM window_start - now()) + %s)
"""


class Use(NamedTuple):
    """A request that a token was shown with: whether it is within the token's limit, and the
    seconds until the count begins again."""

    allowed: bool
    retry_after: int


def make(name: str, requests_per_minute: int = 120) -> tuple[ApiToken, str]:
    """The row, and the token itself, which is shown here and never again."""
    token = PREFIX + secrets.token_urlsafe(32)
    row = ApiToken.objects.create(
        name=name,
        beginning=token[:SHOWN],
        digest=digest(token),
        requests_per_minute=requests_per_minute,
    )
    return row, token


def digest(token: str) -> str:
    """A token is 32 random bytes: no one guesses it, so a plain hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def find(token: str) -> ApiToken | None:
    """The row of a token that is not revoked."""
    return ApiToken.objects.filter(digest=digest(token), revoked_at=None).first()


def use(row: ApiToken) -> Use:
    """Count one request."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [WINDOW, WINDOW, row.pk, WINDOW])
        found = cursor.fetchone()
    requests, left = found or (0, 0)  # deleted meanwhile: let this one request pass
    return Use(requests <= row.requests_per_minute, max(int(left), 1))
