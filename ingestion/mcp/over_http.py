"""The MCP server over HTTP: who may ask, and with what token."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ingestion import access
from ingestion.access import Access
from ingestion.api import tokens
from ingestion.mcp.server import server

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PASSED_ON = {"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"}


def http_app(host: str, *, behind_proxy: bool = False) -> ASGIApp:
    """The server as an ASGI application at /mcp, without sessions: any process can answer.

    A token of the HTTP API is asked for, and counted against its limit, unless the server listens
    on the loopback and is reached there directly (see `is_direct`). With `behind_proxy` everybody
    is asked: some proxies leave no trace.
    """
    allowed = [*LOOPBACK, host, *settings.ALLOWED_HOSTS]
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection="*" not in settings.ALLOWED_HOSTS,
        allowed_hosts=[name for host in allowed for name in (host, f"{host}:*")],
        allowed_origins=[
            f"{scheme}://{name}"
            for scheme in ("http", "https")
            for host in allowed
            for name in (host, f"{host}:*")
        ],
    )
    app = server().streamable_http_app(
        host=host, stateless_http=True, json_response=True, transport_security=security
    )
    return WithToken(app, trusts_direct=host in LOOPBACK and not behind_proxy)


class WithToken:
    """Lets requests pass that show a token of the HTTP API, with what it allows; and those that are
    direct and trusted for that, with everything."""

    def __init__(self, app: ASGIApp, *, trusts_direct: bool) -> None:
        self.app = app
        self.trusts_direct = trusts_direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        found = await self._access(scope)
        if isinstance(found, JSONResponse):
            await found(scope, receive, send)
            return
        with access.granted(found):
            await self.app(scope, receive, send)

    async def _access(self, scope: Scope) -> Access | JSONResponse:
        if self.trusts_direct and is_direct(scope):
            return access.EVERYTHING
        return await sync_to_async(_allowed)(Headers(scope=scope).get("authorization", ""))


def is_direct(scope: Scope) -> bool:
    """Whether a program on this machine asks by itself: from the loopback, by the loopback's name,
    and without what a proxy adds. (nginx speaks HTTP/1.0 to what is behind it, unless told not to.)
    """
    headers = Headers(scope=scope)
    passed_on = any(name in PASSED_ON or name.startswith("x-forwarded") for name in headers)
    return (
        _is_loopback((scope.get("client") or ("", 0))[0])
        and all(urlsplit(f"//{name}").hostname in LOOPBACK for name in headers.getlist("host"))
        and scope["http_version"] != "1.0"
        and not passed_on
    )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _allowed(authorization: str) -> Access | JSONResponse:
    """What the token allows, or the refusal."""
    try:
        return _judged(authorization)
    finally:
        connection.close()


def _judged(authorization: str) -> Access | JSONResponse:
    scheme, _, token = authorization.partition(" ")
    row = tokens.find(token.strip()) if scheme.casefold() == "bearer" else None
    if row is None:
        message = {"error": "Send a valid token: `Authorization: Bearer bbjrag_...`."}
        return JSONResponse(message, 401, {"WWW-Authenticate": "Bearer"})
    use = tokens.use(row)
    if use.allowed:
        return access.of_token(row)
    message = {"error": f"This token may ask {row.requests_per_minute} times a minute."}
    return JSONResponse(message, 429, {"Retry-After": str(use.retry_after)})
