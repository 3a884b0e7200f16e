from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def button(request: HttpRequest) -> dict[str, Any]:
    """What the login page needs for the button of single sign-on."""
    return {"single_sign_on": {"label": settings.OIDC_LABEL, "only": settings.OIDC_ONLY}}
