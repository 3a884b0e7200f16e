"""Single sign-on, as a browser meets it: a real server, provider and database."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.conf import settings as live
from django.test import Client
from django.urls import NoReverseMatch, reverse
from playwright.sync_api import Browser, Page, expect

from tests.bbjrag.test_second_factor import PAGE as SECOND_FACTOR
from tests.bbjrag.test_second_factor import found, hotp
from tests.settings.place import Place, end
from tests.settings.test_web_server import PASSWORD, Site, add_manager, serve
from tests.support.browser import chromium, visit
from tests.support.looks import serious
from tests.support.oidc_provider import PASSWORD as THERE
from tests.support.ollama_server import OllamaServer
from tests.support.passwords import QUICK, quick
from tests.support.plain_http import PLAIN
from tests.support.reading import until
from tests.support.single_sign_on import Provider
from tests.support.web_server import Answer, WebServer, html, status, typed

HOST = "127.0.0.1"
CALLBACK = "/admin/login/sso/callback/"
RUNS = "/admin/ingestion/run/"
PEOPLE = "/admin/auth/user/"
ROLES = "docs=Viewer,writers=Manager,keepers=Administrator"
SMALL = {"SERVER_PROCESSES": "1", "SERVER_THREADS": "4", **QUICK}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with Provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Place]:
    with OllamaServer() as ollama:
        made = Place(tmp_path_factory.mktemp("single"), ollama)
        given = provider.settings(ROLES, SECOND_FACTOR="optional")
        made.says("migrate", "--verbosity", "0", **given)
        yield made
        made.server.stop()


def start(place: Place, provider: Provider, roles: str = ROLES, **given: str) -> Site:
    site = serve(place, HOST, **SMALL, **provider.settings(roles, **given))
    provider.admits(f"https://{HOST}{CALLBACK}")
    return site


@pytest.fixture(scope="module")
def site(place: Place, provider: Provider) -> Iterator[Site]:
    running = start(place, provider, TRUSTED_PROXIES="1")
    yield running
    end(running.process)


@dataclass
class Person:
    """Somebody with a browser, which keeps the cookies of both sides."""

    site: Site
    name: str
    there: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, verify=PLAIN))

    def begin(self, then: str = RUNS, page: str = "/admin/login/", action: str = "") -> str:
        """Press the button; the address that the page goes on to."""
        form = {"csrfmiddlewaretoken": self.site.token(page), "next": then}
        origin = f"https://{HOST}"
        answer = self.site.ask(action or "/admin/login/sso/", form, Origin=origin)
        match = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.text)
        assert match, answer.text
        return unescape(match[1])

    def prove(self, address: str, press: str = "allow") -> str:
        """Log in at the provider, and press a button there; the address that it leads back to."""
        page = self.there.get(address, follow_redirects=True)
        if "password" in page.text:
            login = {"username": self.name, "password": THERE, "next": _next(page)}
            page = self.there.post(str(page.url), data=_form(page, login), follow_redirects=True)
        answer = self.there.post(str(page.url), data=_form(page, {press: "1"}))
        assert answer.status_code == 302, page.text
        return answer.headers["location"]

    def come_back(self, address: str) -> httpx.Response:
        parts = urlsplit(address)
        assert (parts.scheme, parts.netloc, parts.path) == ("https", HOST, CALLBACK)
        return self.site.ask(f"{parts.path}?{parts.query}")

    def sign_in(self, then: str = RUNS) -> httpx.Response:
        """In a new browser here."""
        self.site = self.site.stranger()
        return self.come_back(self.prove(self.begin(then)))

    def log_in(self) -> Person:
        """With the password here."""
        token = self.site.token("/admin/login/")
        form = {"username": self.name, "password": PASSWORD, "csrfmiddlewaretoken": token}
        answer = self.site.ask(f"/admin/login/?next={RUNS}", form, Origin=f"https://{HOST}")
        assert answer.status_code == 302, answer.text
        return self

    def link(self) -> httpx.Response:
        page = "/admin/single-sign-on/"
        return self.come_back(self.prove(self.begin("", page, f"{page}link/")))

    def sees(self, path: str) -> int:
        return self.site.ask(path).status_code


def _form(page: httpx.Response, more: dict[str, str]) -> dict[str, str]:
    hidden = re.findall(r'<input type="hidden" name="(\w+)"(?: value="([^"]*)")?', page.text)
    return {name: unescape(value) for name, value in hidden} | more


def _next(page: httpx.Response) -> str:
    return parse_qs(urlsplit(str(page.url)).query)["next"][0]


@pytest.fixture
def person(site: Site, provider: Provider, request: pytest.FixtureRequest) -> Person:
    """Known to the provider, as a reader of the documentation; not known here."""
    name = request.node.name[5:60].replace("[", "-").rstrip("]")
    provider.add(name, groups=["docs", "others"])
    return Person(site.stranger(), name)


def account(place: Place, name: str, what: str = "id") -> Any:
    return place.ask(f"SELECT {what} FROM auth_user WHERE username = '{name}'")


def roles(place: Place, name: str) -> list[str]:
    return place.all(
        "SELECT g.name FROM auth_group g JOIN auth_user_groups m ON m.group_id = g.id"
        f" JOIN auth_user u ON u.id = m.user_id WHERE u.username = '{name}' ORDER BY 1"
    )


def said(answer: httpx.Response) -> str:
    """The text of a page, in one line."""
    body = answer.text.partition("<body")[2]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def test_it_works(person: Person, place: Place) -> None:
    answer = person.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (302, RUNS)
    assert person.sees(RUNS) == 200
    assert roles(place, person.name) == ["Viewer"]
    assert account(place, person.name, "email") == f"{person.name}@example.org"
    assert person.sees(PEOPLE) == 403, "a Viewer keeps no people"


def test_the_request_has_state_nonce_and_pkce(person: Person) -> None:
    asked = parse_qs(urlsplit(person.begin()).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [f"https://{HOST}{CALLBACK}"]
    assert asked["scope"][0].split().sort() == ["openid", "profile", "email"].sort()
    assert {"state", "nonce", "code_challenge"} <= set(asked)


def test_a_sign_in_leads_to_this_site_only(person: Person) -> None:
    for elsewhere in ("https://evil.example/", "//evil.example/"):
        assert person.sign_in(elsewhere).headers["location"] == "/admin/"


def test_roles_are_those_of_the_last_sign_in(
    person: Person, place: Place, provider: Provider
) -> None:
    person.sign_in()
    key = account(place, person.name)
    place.do(f"INSERT INTO auth_group (name) VALUES ('By hand {key}')")
    place.do(
        f"INSERT INTO auth_user_groups (user_id, group_id) SELECT {key}, id FROM auth_group"
        f" WHERE name = 'By hand {key}'"
    )
    provider.add(person.name, groups=["writers", "keepers"])
    person.sign_in()
    assert roles(place, person.name) == ["Administrator", f"By hand {key}", "Manager"]
    assert person.sees(PEOPLE) == 200
    told = place.all(
        f"SELECT change_message FROM django_admin_log WHERE object_id = '{key}' ORDER BY id"
    )
    assert told[0] == "Came by single sign-on of Example Login."
    assert told[1:] == [
        "Roles by single sign-on: none → Viewer.",
        f"Roles by single sign-on: By hand {key}, Viewer → Administrator, By hand {key}, Manager.",
    ]


def test_who_lost_the_claim_is_not_let_in_and_every_session_is_closed(
    person: Person, place: Place, provider: Provider
) -> None:
    person.sign_in()
    elsewhere = Person(person.site.stranger(), person.name)
    provider.add(person.name, groups=["others"])
    assert elsewhere.sign_in().status_code == 403
    assert roles(place, person.name) == []
    assert person.sees(RUNS) == 302, "the first browser is asked to log in"


@pytest.mark.parametrize("claims", [{}, {"groups": []}, {"groups": "others"}, {"groups": 7}])
def test_without_a_role_nobody_is_made_and_the_page_says_what_is_missing(
    site: Site, place: Place, provider: Provider, claims: dict[str, Any]
) -> None:
    provider.add("nobody", **claims)
    answer = Person(site.stranger(), "nobody").sign_in()
    assert answer.status_code == 403
    assert "Example Login knows you, but its claim “groups”" in said(answer)
    assert ("is missing or empty" in said(answer)) is (claims.get("groups") != "others")
    assert "Ask an administrator of bbjrag which group you need" in said(answer)
    assert account(place, "nobody") is None


def test_a_mail_address_links_nothing(person: Person, place: Place) -> None:
    add_manager(place, "owner-of-the-address", quick(PASSWORD))
    place.do(
        f"UPDATE auth_user SET email = '{person.name}@example.org'"
        " WHERE username = 'owner-of-the-address'"
    )
    person.sign_in()
    assert account(place, person.name, "is_superuser") is False
    assert roles(place, "owner-of-the-address") == []


def test_a_name_that_is_taken_is_not_taken_over(person: Person, place: Place) -> None:
    add_manager(place, person.name.upper(), quick(PASSWORD))
    answer = person.sign_in()
    assert answer.status_code == 403
    assert f"There is an account named {person.name} here already" in said(answer)
    assert "log in with its password, choose Single sign-on" in said(answer)
    assert account(place, person.name) is None
    assert person.sees(RUNS) == 302


def test_people_link_an_account_that_they_have(person: Person, place: Place) -> None:
    add_manager(place, person.name, quick(PASSWORD))
    person.log_in()
    assert person.link().headers["location"] == "/admin/single-sign-on/"
    elsewhere = Person(person.site.stranger(), person.name)
    assert elsewhere.sign_in().headers["location"] == RUNS
    assert account(place, person.name, "is_superuser") is True, "no claim gave or took it"
    form = {"csrfmiddlewaretoken": person.site.token("/admin/single-sign-on/")}
    person.site.ask("/admin/single-sign-on/", form, Origin=f"https://{HOST}")
    assert elsewhere.sign_in().status_code == 403, "the link is removed"


def test_one_account_there_is_one_account_here(person: Person, place: Place) -> None:
    person.sign_in()
    add_manager(place, "second", quick(PASSWORD))
    second = Person(person.site.stranger(), "second").log_in()
    second.name = person.name
    assert "is linked to another account here" in said(second.link())


def test_who_has_no_password_keeps_the_link(person: Person) -> None:
    person.sign_in()
    form = {"csrfmiddlewaretoken": person.site.token("/admin/")}
    person.site.ask("/admin/single-sign-on/", form, Origin=f"https://{HOST}")
    assert "Not removed: you could not log in any more." in said(person.site.ask("/admin/"))
    assert person.sign_in().headers["location"] == RUNS


def test_an_operator_links_and_unlinks(person: Person, place: Place, provider: Provider) -> None:
    given = provider.settings(ROLES, SECOND_FACTOR="optional")
    person.sign_in()
    subject = place.ask(
        f"SELECT uid FROM socialaccount_socialaccount WHERE user_id = {account(place, person.name)}"
    )
    add_manager(place, "colleague", quick(PASSWORD))
    _, errors = place.says("single_sign_on", "--link", "colleague", subject, code=1, **given)
    assert f"manage.py single_sign_on --unlink {person.name}" in errors
    place.says("single_sign_on", "--unlink", person.name, **given)
    out, _ = place.says("single_sign_on", "--link", "colleague", subject, **given)
    assert f"colleague signs in at Example Login as {subject}." in out
    assert person.sign_in().headers["location"] == RUNS
    assert "colleague" in person.site.ask("/admin/").text
    assert "Nobody is called x" in place.says("single_sign_on", "--unlink", "x", code=1, **given)[1]
    assert "OIDC_ISSUER is not set" in place.says("single_sign_on", "--unlink", "x", code=1)[1]


def test_an_account_that_is_switched_off_stays_out(person: Person, place: Place) -> None:
    person.sign_in()
    place.do(f"UPDATE auth_user SET is_active = false WHERE username = '{person.name}'")
    assert f"Your account here, {person.name}, is switched off." in said(person.sign_in())
    assert person.sees(RUNS) == 302


def test_an_answer_counts_once_and_in_its_own_browser(person: Person, site: Site) -> None:
    address = person.prove(person.begin())
    stranger = Person(site.stranger(), person.name).come_back(address)
    assert (stranger.status_code, "begun in another browser" in said(stranger)) == (400, True)
    assert person.come_back(address).status_code == 302
    assert person.come_back(address).status_code == 400


@pytest.mark.parametrize("query", ["", "?code=x", "?state=forged&code=x", "?error=access_denied"])
def test_an_answer_that_nobody_asked_for_is_refused(person: Person, query: str) -> None:
    answer = person.site.ask(CALLBACK + query)
    assert (answer.status_code, "Begin again here" in said(answer)) == (400, True)


def test_a_code_that_was_changed_is_refused(person: Person) -> None:
    address = re.sub(r"code=\w+", "code=guessed", person.prove(person.begin()))
    assert "did not accept its own answer" in said(person.come_back(address))
    assert person.sees(RUNS) == 302


def test_who_cancels_there_is_told_so(person: Person) -> None:
    answer = person.come_back(person.prove(person.begin(), press="cancel"))
    assert answer.status_code == 403
    assert "you cancelled, or may not use bbjrag there" in said(answer)


def test_another_refusal_of_the_provider_is_named(person: Person) -> None:
    state = parse_qs(urlsplit(person.begin()).query)["state"][0]
    answer = person.site.ask(f"{CALLBACK}?state={state}&error=temporarily_unavailable")
    assert "declined the sign-in (temporarily_unavailable)" in said(answer)


@pytest.mark.parametrize("fault", ["signature", "audience", "nonce", "userinfo"])
def test_an_answer_that_does_not_fit_is_not_believed(
    person: Person, provider: Provider, fault: str
) -> None:
    provider.say(faults=[fault])
    try:
        answer = person.sign_in()
    finally:
        provider.say(faults=[])
    assert "cannot be trusted or understood" in said(answer)
    assert person.sees(RUNS) == 302


@pytest.mark.parametrize("hours", [-11, 1])
def test_clocks_that_differ_are_named(person: Person, provider: Provider, hours: int) -> None:
    provider.say(clock=3600 * hours)
    try:
        answer = person.sign_in()
    finally:
        provider.say(clock=0)
    assert "the clocks there and here differ" in said(answer)


def test_clocks_may_differ_by_half_a_minute(person: Person, provider: Provider) -> None:
    provider.say(clock=30)
    try:
        assert person.sign_in().status_code == 302
    finally:
        provider.say(clock=0)


def test_a_provider_that_is_away_is_named(person: Person, provider: Provider) -> None:
    address = person.prove(person.begin())
    provider.stop()
    try:
        began = time.monotonic()
        answer = person.come_back(address)
    finally:
        provider.start()
    assert (answer.status_code, "Example Login cannot be reached" in said(answer)) == (503, True)
    assert time.monotonic() - began < 60
    assert person.sign_in().status_code == 302


def test_a_log_out_ends_the_session_and_offers_to_end_the_other(person: Person) -> None:
    person.sign_in()
    form = {"csrfmiddlewaretoken": person.site.token("/admin/")}
    page = person.site.ask("/admin/logout/", form, Origin=f"https://{HOST}")
    assert "Sign out of Example Login, too" in said(page)
    assert person.sees(RUNS) == 302
    led = person.site.ask("/admin/logout/sso/").headers["location"]
    assert parse_qs(urlsplit(led).query) == {
        "client_id": ["bbjrag-tests"],
        "post_logout_redirect_uri": [f"https://{HOST}/admin/login/"],
    }
    assert person.there.get(led, follow_redirects=True).status_code == 200


def test_wrong_passwords_still_lock_an_address_out(site: Site, person: Person) -> None:
    given = {"Origin": f"https://{HOST}", "X-Forwarded-For": "198.51.100.99"}
    answers = [site.stranger().log_in("guess", **given).status_code for _ in range(11)]
    assert (answers[0], answers[-1]) == (200, 429)
    address = person.prove(person.begin())
    assert person.come_back(address).status_code == 302, "the provider counts its own guesses"


@pytest.fixture(scope="module")
def strict(place: Place, provider: Provider) -> Iterator[Site]:
    running = start(place, provider, TRUSTED_PROXIES="1", SECOND_FACTOR="required")
    yield running
    end(running.process)


def test_a_second_factor_of_here_is_asked_for_and_none_is_demanded(
    strict: Site, person: Person
) -> None:
    person.site = strict
    person.sign_in()
    assert person.sees(RUNS) == 200, "the provider decides about its own second factor"
    page = person.site.ask(SECOND_FACTOR).text
    secret = found(r"Secret: <code>(\w+)</code>", page)
    form, origin = with_code(person, secret, 0), f"https://{HOST}"
    assert "recovery codes" in person.site.ask(SECOND_FACTOR, form, Origin=origin).text
    person.sign_in()
    asked = person.site.ask(RUNS).headers["location"]
    assert asked.startswith("/admin/login/code/")
    assert person.sees("/admin/single-sign-on/") == 302, "nobody is logged in before the code"
    answer = person.site.ask(asked, with_code(person, secret, 1, asked), Origin=origin)
    assert answer.headers["location"] == RUNS
    assert person.sees(RUNS) == 200


def with_code(person: Person, secret: str, later: int, page: str = SECOND_FACTOR) -> dict[str, str]:
    code = hotp(secret, int(time.time()) // 30 + later)
    return {"code": code, "csrfmiddlewaretoken": person.site.token(page)}


def test_no_migration_is_missing(place: Place, provider: Provider) -> None:
    given = provider.settings(ROLES)
    out, _ = place.says("makemigrations", "--check", "--dry-run", **given)
    assert "No changes detected" in out


def test_the_admin_shows_no_rows_of_it(person: Person, provider: Provider) -> None:
    provider.add(person.name, groups=["keepers"])
    person.sign_in()
    assert "socialaccount" not in person.site.ask("/admin/").text
    assert person.sees("/admin/socialaccount/socialaccount/") == 404
    assert person.sees("/accounts/login/") == 404


def test_the_list_of_people_calls_them_active(person: Person, provider: Provider) -> None:
    provider.add(person.name, groups=["keepers"])
    person.sign_in()
    row = found(rf"{person.name}</a>(.*?)</tr>", re.sub(r"\s", "", person.site.ask(PEOPLE).text))
    assert ">active<" in row


@pytest.mark.django_db
def test_it_is_off_unless_it_is_asked_for(client: Client) -> None:
    names: list[str] = [*live.INSTALLED_APPS, *live.MIDDLEWARE, *live.AUTHENTICATION_BACKENDS]
    assert not [name for name in names if "allauth" in name or "single_sign_on" in name]
    with pytest.raises(NoReverseMatch):
        reverse("single_sign_on:start")
    assert "Sign in with" not in client.get("/admin/login/", secure=True).content.decode()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.mark.browser
def test_a_person_signs_in_with_a_browser(
    browser: Browser, place: Place, provider: Provider
) -> None:
    """The pages keep their own policy on the way to another site and back."""
    running = serve(place, HOST, **SMALL, **provider.settings(ROLES))
    address = f"http://{HOST}:{running.port}"
    provider.admits(f"{address}{CALLBACK}")
    provider.add("grace", groups=["docs"])
    try:
        with visit(browser, address) as page:
            sign_in_with(page)
    finally:
        end(running.process)


def sign_in_with(page: Page) -> None:
    page.goto(RUNS)
    assert serious(page) == []
    page.get_by_role("button", name="Sign in with Example Login").click()
    page.get_by_label("Username").fill("grace")
    page.get_by_label("Password").fill(THERE)
    page.get_by_role("button", name="Enter").click()
    page.get_by_role("button", name="Authorize").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    page.get_by_role("link", name="Single sign-on").click()
    expect(page.get_by_text("This account is linked to Example Login")).to_be_visible()
    assert serious(page) == []
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("link", name="Sign out of Example Login, too").click()
    page.get_by_role("button", name="Logout").click()
    expect(page.get_by_role("button", name="Sign in with Example Login")).to_be_visible()
    page.get_by_role("button", name="Sign in with Example Login").click()
    expect(page.get_by_label("Username")).to_be_visible()


DESCRIBED = "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def odd() -> Iterator[WebServer]:
    """A server that is no provider, or a bad one."""
    with WebServer() as server:
        yield server


@pytest.fixture(scope="module")
def trusting(place: Place, provider: Provider, odd: WebServer) -> Iterator[Site]:
    """One place for who talks to the provider."""
    given = provider.settings(ROLES, OIDC_ISSUER=odd.origin, TRUSTED_PROXIES="1")
    running = serve(place, HOST, **SMALL, **given)
    yield running
    end(running.process)


def pressed(site: Site) -> httpx.Response:
    form = {"csrfmiddlewaretoken": site.token("/admin/login/")}
    return site.ask("/admin/login/sso/", form, Origin=f"https://{HOST}")


@pytest.mark.parametrize(
    ("described", "says"),
    [
        (status(500), "cannot be reached, or does not work"),
        (html("Welcome"), "cannot be trusted or understood"),
        (typed(b"[1]", "application/json"), "cannot be trusted or understood"),
        (typed(b"{}", "application/json"), "cannot be trusted or understood"),
        (typed(b'{"issuer": "https://a.example"}', "application/json"), "cannot be trusted"),
    ],
)
def test_what_does_not_describe_itself_as_the_issuer_is_not_believed(
    trusting: Site, odd: WebServer, described: Answer, says: str
) -> None:
    odd.always(DESCRIBED, described)
    answer = pressed(trusting.stranger())
    assert (answer.status_code, says in said(answer)) == (503, True)


def test_a_provider_that_hangs_leaves_the_server_to_others(trusting: Site, odd: WebServer) -> None:
    odd.always(DESCRIBED, replace(status(500), hang=6))
    before = len(odd.requests)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(pressed, trusting.stranger())
        until(lambda: len(odd.requests) > before, 20)
        answer = pressed(trusting.stranger())
        assert not waiting.done()
        assert "Many sign-ins wait for Example Login at this moment." in said(answer)
        assert trusting.ask("/health").status_code == 200
    assert waiting.result().status_code == 503


def test_a_provider_without_an_address_to_sign_out_at_is_named(
    trusting: Site, odd: WebServer
) -> None:
    odd.always(DESCRIBED, typed(f'{{"issuer": "{odd.origin}"}}'.encode(), "application/json"))
    answer = trusting.ask("/admin/logout/sso/")
    assert (answer.status_code, "has no address to sign out at" in said(answer)) == (404, True)
    assert "cannot be trusted" in said(pressed(trusting.stranger())), "it has no other either"
