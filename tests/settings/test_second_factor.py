"""Whether the admin asks for a second factor, in the server that people meet."""

from __future__ import annotations

from typing import Any

import pytest

from tests.settings.place import Place, end
from tests.settings.test_web_server import PASSWORD, make_manager, serve

RUNS = "/admin/ingestion/run/"
REQUIRED: dict[str, Any] = {"SECOND_FACTOR": "required"}


@pytest.mark.setting("SECOND_FACTOR")
def test_staff_set_up_a_second_factor_before_anything_else(place: Place) -> None:
    make_manager(place)
    place.says("migrate", "--verbosity", "0", **REQUIRED)
    assert place.ask("SELECT to_regclass('mfa_authenticator')::text") == "mfa_authenticator"
    site = serve(place, "127.0.0.1", SERVER_PROCESSES="1", **REQUIRED)
    try:
        assert site.log_in(PASSWORD, Origin="http://127.0.0.1").status_code == 302
        assert site.ask(RUNS).headers["location"] == "/admin/second-factor/"
    finally:
        end(site.process)
    for app in ("mfa", "account"):
        place.says("migrate", app, "zero", **REQUIRED)
    assert place.ask("SELECT to_regclass('mfa_authenticator')") is None


@pytest.mark.setting("SECOND_FACTOR")
def test_it_is_off_optional_or_required(place: Place) -> None:
    _, errors = place.says("check", code=2, SECOND_FACTOR="on")
    assert "SECOND_FACTOR='on' is unknown: use one of off, optional, required." in errors
