"""The conversation with the provider: allauth's, which checks less than the standard asks for."""

from __future__ import annotations

import time
from typing import Any

import jwt
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from bbjrag.single_sign_on.claims import identity
from bbjrag.single_sign_on.refusals import Refusal, SignInRefused

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
LEEWAY = 60  # seconds that clocks may differ by
LONGEST_SUBJECT = 191  # of the column
KEPT = 300  # seconds that the provider's description of itself is believed

_described: dict[str, tuple[float, dict[str, Any]]] = {}


class OpenIDConnect(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """Checks the signature of each ID token, its times and nonce, and that what else is told of a
    person is of the same."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request, settings.OIDC_ISSUER)

    @property
    def openid_config(self) -> dict[str, Any]:
        """What the provider says of itself."""
        until, found = _described.get(settings.OIDC_ISSUER, (0.0, {}))
        if until < time.monotonic():
            found = _fetched(self.get_provider().server_url)
            _complain(found)
            _described[settings.OIDC_ISSUER] = (time.monotonic() + KEPT, found)
        return found

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        return request.build_absolute_uri(reverse("single_sign_on:callback"))

    def complete_login(
        self, request: HttpRequest, app: Any, token: Any, **kwargs: Any
    ) -> SocialLogin:
        signed = self._verified(kwargs["response"].get("id_token"))
        claims = {**self._told(token.token, signed["sub"]), **signed}
        known = identity(claims, settings.OIDC_ROLE_CLAIM)
        if len(known.subject) > LONGEST_SUBJECT:
            raise SignInRefused(Refusal.ODD, reason=f"a subject beyond {LONGEST_SUBJECT} letters")
        account = SocialAccount(provider=settings.OIDC_ISSUER, uid=known.subject)
        login = SocialLogin(provider=self.get_provider(), account=account)
        login.identity = known
        return login

    def _verified(self, token: str | None) -> dict[str, Any]:
        """The claims of an ID token."""
        if not token:
            raise SignInRefused(Refusal.ODD, reason="there is no ID token")
        try:
            return jwt.decode(
                token,
                self._key(token),
                algorithms=ALGORITHMS,
                audience=settings.OIDC_CLIENT_ID,
                issuer=self.openid_config["issuer"],
                leeway=LEEWAY,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
            raise SignInRefused(Refusal.CLOCK, reason=str(error)) from None
        except jwt.PyJWTError as error:
            reason = f"the ID token: {error.__class__.__name__}"
            raise SignInRefused(Refusal.ODD, reason=reason) from None

    def _key(self, token: str) -> jwt.PyJWK:
        """The key of the provider that it names, or the only one."""
        keys = jwt.PyJWKSet.from_dict(_fetched(self.openid_config["jwks_uri"])).keys
        keys = [key for key in keys if key.public_key_use in (None, "sig")]
        name = jwt.get_unverified_header(token).get("kid")
        fitting = [key for key in keys if name is None or key.key_id == name]
        if len(fitting) != 1:
            raise SignInRefused(Refusal.ODD, reason="no key of the provider signed the ID token")
        return fitting[0]

    def _told(self, access_token: str, subject: str) -> dict[str, Any]:
        """What the provider says of a person beside the ID token, if it has an address for that."""
        address = self.openid_config.get("userinfo_endpoint")
        if not address:
            return {}
        told = _fetched(address, Authorization=f"Bearer {access_token}")
        if told.get("sub") != subject:
            raise SignInRefused(Refusal.ODD, reason="the user info is of somebody else")
        return told


class Provider(OpenIDConnectProvider):  # type: ignore[misc]
    def get_oauth2_adapter(self, request: HttpRequest) -> OpenIDConnect:
        return OpenIDConnect(request)


def _complain(described: dict[str, Any]) -> None:
    issuer = str(described["issuer"])
    if issuer.rstrip("/") != settings.OIDC_ISSUER.rstrip("/"):
        reason = f"the provider calls itself {issuer}, which OIDC_ISSUER has to be"
        raise SignInRefused(Refusal.ODD, reason=reason)


def _fetched(address: str, **headers: str) -> dict[str, Any]:
    """Raises requests.RequestException."""
    with get_adapter().get_requests_session() as session:
        answer = session.get(address, headers=headers)
        answer.raise_for_status()
        return dict(answer.json())
