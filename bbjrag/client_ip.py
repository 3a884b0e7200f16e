"""The client's address behind reverse proxies (setting TRUSTED_PROXIES)."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The address that the outermost trusted proxy saw.

    Each proxy appends the address that it saw to X-Forwarded-For; the addresses before that came
    with the request, and anybody can write them.
    """
    direct: str = request.META.get("REMOTE_ADDR", "")
    if not settings.TRUSTED_PROXIES:
        return direct
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    seen = [part.strip() for part in forwarded.split(",") if part.strip()]
    return seen[-settings.TRUSTED_PROXIES :][0] if seen else direct
