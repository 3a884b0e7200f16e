"""The settings of single sign-on, in the server that people meet, beside a real provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.bbjrag.test_single_sign_on import CALLBACK, HOST, RUNS, SMALL, Person, roles, said
from tests.settings.place import Place, end
from tests.settings.test_web_server import PASSWORD, Site, make_manager, serve
from tests.support.single_sign_on import Provider

GIVEN = {
    "OIDC_ISSUER": "https://login.example.com",
    "OIDC_CLIENT_ID": "docs",
    "OIDC_CLIENT_SECRET": "0123456789",
    "OIDC_ROLES": "docs=Viewer",
}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with Provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
def site(installation: Place, provider: Provider) -> Iterator[Site]:
    """No password lets anybody in; its roles come from a claim inside another."""
    installation.fresh()
    make_manager(installation)
    given = provider.settings(
        "docs=Viewer,keepers=superuser",
        OIDC_ROLE_CLAIM="realm_access.roles",
        OIDC_SCOPES="openid,profile",
        OIDC_ONLY="true",
        TRUSTED_PROXIES="1",
    )
    installation.says("migrate", "--verbosity", "0", **given)
    running = serve(installation, HOST, **SMALL, **given)
    provider.admits(f"https://{HOST}{CALLBACK}")
    yield running
    end(running.process)
    for app in ("socialaccount", "account"):
        installation.says("migrate", app, "zero", **given)


@pytest.fixture
def keeper(site: Site, provider: Provider) -> Person:
    provider.add("keeper", realm_access={"roles": ["docs", "keepers"]}, groups=["none"])
    return Person(site.stranger(), "keeper")


@pytest.mark.setting("OIDC_ISSUER")
@pytest.mark.setting("OIDC_CLIENT_ID")
@pytest.mark.setting("OIDC_ROLE_CLAIM")
@pytest.mark.setting("OIDC_ROLES")
def test_a_claim_gives_roles_and_what_it_no_longer_gives_is_taken(
    keeper: Person, provider: Provider, installation: Place
) -> None:
    asked = parse_qs(urlsplit(address := keeper.begin()).query)
    assert address.startswith(f"{provider.issuer}/authorize/")
    assert asked["client_id"] == ["bbjrag-tests"]
    assert keeper.come_back(keeper.prove(address)).headers["location"] == RUNS
    is_superuser = "SELECT is_superuser FROM auth_user WHERE username = 'keeper'"
    assert (roles(installation, "keeper"), installation.ask(is_superuser)) == (["Viewer"], True)
    provider.add("keeper", realm_access={"roles": ["docs"]})
    keeper.sign_in()
    assert (roles(installation, "keeper"), installation.ask(is_superuser)) == (["Viewer"], False)


@pytest.mark.setting("OIDC_LABEL")
@pytest.mark.setting("OIDC_ONLY")
def test_no_password_is_asked_for_or_taken(site: Site) -> None:
    page = site.stranger().ask("/admin/login/")
    assert "Sign in with Example Login" in page.text
    assert 'type="password"' not in page.text
    answer = site.stranger().log_in(PASSWORD, Origin=f"https://{HOST}")
    assert answer.status_code == 200, "it is the login page again"


def test_a_name_that_is_taken_is_for_an_administrator_to_link(
    site: Site, provider: Provider
) -> None:
    provider.add("manager", realm_access={"roles": ["docs"]})
    answer = Person(site.stranger(), "manager").sign_in()
    assert "Ask an administrator to link it, if it is yours" in said(answer)


@pytest.mark.setting("OIDC_SCOPES")
def test_the_scopes_are_asked_for(keeper: Person) -> None:
    asked = parse_qs(urlsplit(keeper.begin()).query)
    assert set(asked["scope"][0].split()) == {"openid", "profile"}


@pytest.mark.setting("OIDC_CLIENT_SECRET")
def test_a_wrong_secret_is_named_and_no_token_is_in_the_log(
    site: Site, installation: Place, provider: Provider
) -> None:
    provider.add("reader", groups=["docs"])
    wrong = {"OIDC_CLIENT_SECRET": "not-the-secret-of-this-client", "LOG_LEVEL": "DEBUG"}
    given = provider.settings("docs=Viewer", TRUSTED_PROXIES="1") | wrong
    running = serve(installation, HOST, **SMALL, **given)
    try:
        reader = Person(running.stranger(), "reader")
        address = reader.prove(reader.begin())
        answer = reader.come_back(address)
    finally:
        running.process.terminate()
        _, log = running.process.communicate(timeout=60)
    assert (answer.status_code, "OIDC_CLIENT_SECRET" in said(answer)) == (503, True)
    assert "Single sign-on: CLIENT (invalid_client)" in log
    code, state = (parse_qs(urlsplit(address).query)[name][0] for name in ("code", "state"))
    for secret in (code, state, wrong["OIDC_CLIENT_SECRET"], "eyJ"):
        assert secret not in log


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"OIDC_CLIENT_SECRET": ""}, "Single sign-on lacks OIDC_CLIENT_SECRET: set all of"),
        ({"OIDC_ISSUER": "", "OIDC_ROLES": ""}, "lacks OIDC_ISSUER and OIDC_ROLES"),
        (dict.fromkeys(GIVEN, "") | {"OIDC_ONLY": "true"}, "or none of them and no OIDC_ONLY"),
        ({"OIDC_ISSUER": "http://login.example.com"}, "an address that begins with https://"),
        ({"OIDC_ISSUER": "login.example.com"}, "an address that begins with https://"),
        ({"OIDC_ROLES": "docs"}, "OIDC_ROLES: 'docs' is not a pair"),
        ({"OIDC_SCOPES": "profile"}, "OIDC_SCOPES lacks openid"),
    ],
)
def test_settings_that_are_given_by_half_are_named(
    place: Place, changed: dict[str, Any], says: str
) -> None:
    _, errors = place.says("check", code=2, **{**GIVEN, **changed})
    assert says in errors
    assert "Traceback" not in errors


def test_a_role_that_is_not_there_is_named(place: Place) -> None:
    given: dict[str, Any] = {**GIVEN, "OIDC_ROLES": "docs=Reader,keepers=superuser"}
    _, errors = place.says("check", "--database", "default", **given)
    assert "OIDC_ROLES gives the role Reader, which there is not." in errors
    assert "Use one of Administrator, Manager, Viewer, superuser;" in errors


def test_the_button_names_the_host_of_the_issuer_and_the_page_lasts_without_it(
    place: Place, provider: Provider
) -> None:
    """Nothing is asked of the provider before somebody presses the button."""
    given: dict[str, Any] = {
        **GIVEN,
        "OIDC_ISSUER": "https://login.invalid/realms/docs",
        "TRUSTED_PROXIES": "1",
    }
    place.says("migrate", "--verbosity", "0", **given)
    running = serve(place, HOST, **SMALL, **given)
    try:
        page = running.ask("/admin/login/")
        form = {"csrfmiddlewaretoken": running.token("/admin/login/")}
        answer = running.ask("/admin/login/sso/", form, Origin=f"https://{HOST}")
    finally:
        end(running.process)
    assert re.findall(r"Sign in with ([\w.]+)", unescape(page.text)) == ["login.invalid"]
    assert 'type="password"' in page.text
    assert (answer.status_code, "login.invalid cannot be reached" in said(answer)) == (503, True)
