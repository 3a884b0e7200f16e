"""Tokens of the HTTP API: shown once when they are made, kept as a hash, limited by the minute."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable
from typing import NamedTuple

from django.db import connection, transaction

from ingestion.access import RIGHTS, Right
from ingestion.models import ApiToken
from sources.models import Source

PREFIX = "bbjrag_"
SHOWN = 12  # characters that tell tokens apart, far from enough to guess the rest
WINDOW = 60  # seconds
MAY_NOT: dict[Right, str] = {
    "search": "This token may not search: an administrator can allow it in the admin.",
    "read": "This token may not read documents: an administrator can allow it in the admin.",
    "run": "This token may not start or follow runs: an administrator can allow it in the admin.",
}

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


@transaction.atomic
def make(
    name: str,
    requests_per_minute: int = 120,
    *,
    sources: Iterable[Source] = (),
    rights: Collection[Right] = ("search", "read"),
) -> tuple[ApiToken, str]:
    """The row, and the token itself, which is shown here and never again. Without sources it is for
    every source."""
    chosen = list(sources)
    token = PREFIX + secrets.token_urlsafe(32)
    row = ApiToken.objects.create(
        name=name,
        beginning=token[:SHOWN],
        digest=digest(token),
        requests_per_minute=requests_per_minute,
        every_source=not chosen,
        **{f"may_{right}": right in rights for right in RIGHTS},
    )
    row.sources.set(chosen)
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
