"""What the tests say through the file state.json: who has an account, and what goes wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from oauth2_provider.models import get_application_model

from tests.support.oidc_provider import CLIENT, PASSWORD, SECRET


def state() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (Path(os.environ["PROVIDER_FOLDER"]) / "state.json").read_text()
    )
    return found


class Accounts(ModelBackend):
    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **credentials: Any,
    ) -> User | None:
        if username not in state()["people"] or password != PASSWORD:
            return None
        return User.objects.get_or_create(username=username)[0]


class Callbacks:
    """Middleware: the client that is registered, with the addresses of now."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith("/o/"):
            register()
        return self.get_response(request)


def register() -> None:
    callbacks = state()["callbacks"]
    back = [address.partition("/admin/")[0] + "/admin/login/" for address in callbacks]
    values = {"redirect_uris": " ".join(callbacks), "post_logout_redirect_uris": " ".join(back)}
    model = get_application_model()
    if model.objects.filter(client_id=CLIENT).update(**values):
        return
    model.objects.create(
        client_id=CLIENT,
        client_secret=SECRET,
        name="bbjrag",
        client_type=model.CLIENT_CONFIDENTIAL,
        authorization_grant_type=model.GRANT_AUTHORIZATION_CODE,
        algorithm=model.RS256_ALGORITHM,
        **values,
    )
