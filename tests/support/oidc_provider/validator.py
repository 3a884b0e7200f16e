from __future__ import annotations

from typing import Any

from oauth2_provider.oauth2_validators import OAuth2Validator

from tests.support.oidc_provider.state import state


class Validator(OAuth2Validator):  # type: ignore[misc]
    """Claims what the tests say; and lies where they ask for it."""

    oidc_claim_scope = None

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        claims: dict[str, Any] = state()["people"][request.user.username]
        return claims

    def finalize_id_token(
        self, id_token: dict[str, Any], token: Any, token_handler: Any, request: Any
    ) -> str:
        said = state()
        if "nonce" in said["faults"]:
            id_token["nonce"] = request.nonce = "of another sign-in"
        if "audience" in said["faults"]:
            id_token["aud"] = "another client"
        id_token["iat"] += said["clock"]
        signed: str = super().finalize_id_token(id_token, token, token_handler, request)
        if "signature" in said["faults"]:
            head, body, signature = signed.split(".")
            signed = f"{head}.{body}.{signature[::-1]}"
        return signed

    def get_id_token_dictionary(self, token: Any, token_handler: Any, request: Any) -> Any:
        claims, until = super().get_id_token_dictionary(token, token_handler, request)
        claims["exp"] += state()["clock"]
        return claims, until

    def get_userinfo_claims(self, request: Any) -> dict[str, Any]:
        claims: dict[str, Any] = super().get_userinfo_claims(request)
        if "userinfo" in state()["faults"]:
            claims["sub"] = "somebody else"
        return claims
