"""A provider of single sign-on on the loopback, in a process of its own: django-oauth-toolkit.

with Provider(folder) as provider:
    provider.add("grace", groups=["docs"])
    provider.admits(f"http://127.0.0.1:{port}/admin/login/sso/callback/")
    ...
    provider.say(clock=3600)                 # its clock is an hour fast
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from tests.project.test_containers import free_port
from tests.support.installation import ROOT
from tests.support.oidc_provider import CLIENT, SECRET
from tests.support.plain_http import PLAIN
from tests.support.reading import until


class Provider:
    """`say` changes what it says from its next request on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.state: dict[str, Any] = {"people": {}, "callbacks": [], "clock": 0, "faults": []}
        self.say()

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self.port}/o"

    def settings(self, roles: str, **given: str) -> dict[str, Any]:
        """Those of an installation that trusts it."""
        return {
            "OIDC_ISSUER": self.issuer,
            "OIDC_CLIENT_ID": CLIENT,
            "OIDC_CLIENT_SECRET": SECRET,
            "OIDC_LABEL": "Example Login",
            "OIDC_ROLES": roles,
            **given,
        }

    def say(self, **changed: Any) -> None:
        self.state |= changed
        draft = self.folder / "state.draft"
        draft.write_text(json.dumps(self.state))
        draft.replace(self.folder / "state.json")

    def add(self, name: str, **claims: Any) -> None:
        """Somebody who has an account there; again for other claims."""
        claims = {"preferred_username": name, "email": f"{name}@example.org", **claims}
        self.say(people={**self.state["people"], name: claims})

    def admits(self, *callbacks: str) -> None:
        """The addresses of clients that it sends people back to."""
        self.say(callbacks=[*self.state["callbacks"], *callbacks])

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.oidc_provider.serve"],
            cwd=ROOT,
            env={**os.environ, "PROVIDER_FOLDER": str(self.folder), "PROVIDER": self.issuer},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        until(self._answers, 60)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()
        try:
            address = f"{self.issuer}/.well-known/openid-configuration"
            return httpx.get(address, trust_env=False, verify=PLAIN).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=60)

    def __exit__(self, *_: object) -> None:
        self.stop()
