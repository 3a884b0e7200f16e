"""What the settings of single sign-on have to be; bbjrag/single_sign_on does the rest."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

BACKEND = "bbjrag.single_sign_on.backend.SingleSignOn"
SUPERUSER = "superuser"  # what OIDC_ROLES may give beside a role
THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}
LONGEST_ISSUER = 200  # of the column


def complain(
    issuer: str,
    client: str,
    secret: str,
    scopes: list[str],
    roles: dict[str, str],
    only: bool,
) -> None:
    """Raises ImproperlyConfigured, with the way out, if they are given by half."""
    needed = {
        "OIDC_ISSUER": issuer,
        "OIDC_CLIENT_ID": client,
        "OIDC_CLIENT_SECRET": secret,
        "OIDC_ROLES": roles,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing and (only or len(missing) < len(needed)):
        raise ImproperlyConfigured(
            f"Single sign-on lacks {' and '.join(missing)}: set all of {', '.join(needed)}, "
            "or none of them and no OIDC_ONLY."
        )
    if issuer:
        _complain_of_issuer(issuer)
        _complain_of_scopes(scopes)


def _complain_of_issuer(issuer: str) -> None:
    if not _is_safe(issuer) or len(issuer) > LONGEST_ISSUER:
        raise ImproperlyConfigured(
            f"OIDC_ISSUER={issuer} is not an address that begins with https:// (http:// only on "
            "this machine). Give the issuer that the provider names, the part before "
            "/.well-known/openid-configuration. Example: https://login.example.com/realms/docs"
        )


def _is_safe(issuer: str) -> bool:
    try:
        parts = urlsplit(issuer)
    except ValueError:
        return False
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in THIS_MACHINE)
    return safe and bool(parts.hostname) and not parts.query


def _complain_of_scopes(scopes: list[str]) -> None:
    if "openid" not in scopes:
        raise ImproperlyConfigured("OIDC_SCOPES lacks openid. Example: openid,profile,email,groups")
