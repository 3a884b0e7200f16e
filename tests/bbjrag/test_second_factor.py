"""The second factor, as a browser meets it: a real server, a real database, codes of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from django.apps import apps
from django.conf import settings as live
from django.db import connection
from django.test import Client
from django.urls import NoReverseMatch, reverse

from tests.settings.place import Place, end
from tests.settings.test_web_server import PASSWORD, Site, add_manager, serve
from tests.support.ollama_server import OllamaServer
from tests.support.passwords import QUICK, quick

HOST = "127.0.0.1"
PAGE = "/admin/second-factor/"
RUNS = "/admin/ingestion/run/"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with OllamaServer() as ollama:
        made = Place(tmp_path_factory.mktemp("factor"), ollama)
        made.says("migrate", "--verbosity", "0", SECOND_FACTOR="optional")
        yield made
        made.server.stop()


def start(place: Place, mode: str, **given: str) -> Site:
    """Small servers, because the database of the tests has few connections."""
    small = {"SERVER_PROCESSES": "1", "SERVER_THREADS": "4"}
    return serve(place, HOST, SECOND_FACTOR=mode, **QUICK, **small, **given)


@pytest.fixture(scope="module")
def optional(place: Place) -> Iterator[Site]:
    site = start(place, "optional")
    yield site
    end(site.process)


@pytest.fixture(scope="module")
def required(place: Place) -> Iterator[Site]:
    site = start(place, "required")
    yield site
    end(site.process)


def hotp(secret: str, counter: int) -> str:
    """RFC 4226, written down again: the tests take no code from what they test."""
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", counter), hashlib.sha1).digest()
    start = digest[-1] & 15
    number = struct.unpack(">I", digest[start : start + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**6:06}"


@dataclass
class Person:
    """A member of staff with an app. Each code counts once, so the app is asked for later ones."""

    site: Site
    name: str
    secret: str = ""
    recovery: list[str] = field(default_factory=list)

    def log_in(self, then: str = RUNS) -> httpx.Response:
        """Type name and password in a new browser."""
        self.site = self.site.stranger()
        return self.post(
            f"/admin/login/?next={then}", "/admin/login/", username=self.name, password=PASSWORD
        )

    def post(self, path: str, form_at: str = "", **form: str) -> httpx.Response:
        token = self.site.token(form_at or path)
        return self.site.ask(path, {**form, "csrfmiddlewaretoken": token})

    def code(self, later: int = 0) -> str:
        return hotp(self.secret, int(time.time()) // 30 + later)

    def wrong(self) -> str:
        right = {self.code(later) for later in range(-2, 4)}
        return next(code for code in ("000000", "111111", "222222") if code not in right)

    def show(self, code: str, then: str = RUNS) -> httpx.Response:
        return self.post(f"/admin/login/code/?next={then}", code=code)

    def set_up(self) -> Person:
        """With the code of now; the next one is left for a login."""
        page = self.site.ask(PAGE).text
        self.secret = found(r"Secret: <code>(\w+)</code>", page)
        done = self.post(PAGE, code=self.code())
        self.recovery = re.findall(r"<li><code>(\d+)</code>", done.text)
        assert len(self.recovery) == 10, done.text
        return self

    def is_in(self) -> bool:
        return self.site.ask(RUNS).status_code == 200


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, text
    return match[1]


def join(site: Site, place: Place, request: pytest.FixtureRequest) -> Person:
    name = request.node.name[5:100]
    add_manager(place, name, quick(PASSWORD))
    person = Person(site, name)
    assert person.log_in().headers["location"] == RUNS
    return person


@pytest.fixture
def newcomer(optional: Site, place: Place, request: pytest.FixtureRequest) -> Person:
    """Logged in, without a second factor."""
    return join(optional, place, request)


@pytest.fixture
def person(newcomer: Person) -> Person:
    """Has set up a second factor, and has typed the password in another browser since."""
    answer = newcomer.set_up().log_in()
    assert answer.headers["location"].startswith("/admin/login/code/")
    return newcomer


def test_it_works(newcomer: Person) -> None:
    assert f'href="{PAGE}"' in newcomer.site.ask(RUNS).text
    newcomer.set_up()
    assert newcomer.is_in(), "the browser that set it up goes on"
    newcomer.log_in()
    assert not newcomer.is_in()
    answer = newcomer.show(newcomer.code(1))
    assert (answer.status_code, answer.headers["location"]) == (302, RUNS)
    assert newcomer.is_in()


def test_who_has_none_logs_in_with_the_password_alone(newcomer: Person) -> None:
    assert newcomer.is_in()


@pytest.mark.parametrize("path", ["/admin/", RUNS, PAGE, "/admin/auth/user/", "/admin/nothing/"])
def test_a_login_without_code_opens_no_page_of_the_admin(person: Person, path: str) -> None:
    answer = person.site.ask(path)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/admin/login/?next=")


def test_a_wrong_code_is_refused(person: Person) -> None:
    answer = person.show(person.wrong())
    assert answer.status_code == 200
    assert "This code is wrong or was used before." in answer.text
    assert not person.is_in()


def test_a_code_counts_once_and_no_earlier_one_after_it(person: Person) -> None:
    code, earlier = person.code(1), person.code()
    assert person.show(code).status_code == 302
    for used in (code, earlier):
        person.log_in()
        assert person.show(used).status_code == 200
        assert not person.is_in()


def test_a_recovery_code_counts_once(person: Person) -> None:
    assert person.show(person.recovery[0]).status_code == 302
    assert person.is_in()
    person.log_in()
    assert person.show(person.recovery[0]).status_code == 200
    assert not person.is_in()
    assert person.show(person.recovery[1]).status_code == 302


def test_codes_cannot_be_guessed(person: Person, place: Place) -> None:
    for _ in range(5):
        assert person.show(person.wrong()).status_code == 200
        person.log_in()
    for code in (person.code(1), person.recovery[0]):
        answer = person.show(code)
        assert answer.status_code == 429
        assert "Too many wrong codes: try again in 15 minutes." in answer.text
        assert not person.is_in()
    moments = f"jsonb_set(data, '{{wrong_at}}', '[{time.time() - 901}]')"
    place.do(f"UPDATE mfa_authenticator SET data = {moments} WHERE type = 'totp'")
    assert person.show(person.code(1)).status_code == 302


def test_nobody_is_asked_for_a_code_without_a_password(optional: Site) -> None:
    answer = optional.stranger().ask("/admin/login/code/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/admin/login/")


def test_a_code_is_not_asked_for_after_a_wrong_password(person: Person) -> None:
    person.site = person.site.stranger()
    form = {"username": person.name, "password": "guess"}
    assert person.post("/admin/login/", **form).status_code == 200
    assert person.site.ask("/admin/login/code/").headers["location"] == "/admin/login/"


def test_a_changed_password_ends_the_wait_for_a_code(person: Person, place: Place) -> None:
    token = person.site.token("/admin/login/code/")
    with place.connect() as server:
        server.execute(
            "UPDATE auth_user SET password = %s WHERE username = %s",
            [quick("another-horse"), person.name],
        )
    form = {"code": person.code(1), "csrfmiddlewaretoken": token}
    answer = person.site.ask("/admin/login/code/", form)
    assert answer.headers["location"] == "/admin/login/"
    assert not person.is_in()


def test_the_session_before_the_code_is_another_one_than_after_it(person: Person) -> None:
    before = person.site.cookies["sessionid"]
    person.show(person.code(1))
    assert person.site.cookies["sessionid"] != before


def test_a_login_leads_to_this_site_only(person: Person) -> None:
    answer = person.show(person.code(1), then="https://elsewhere.example/")
    assert answer.headers["location"] == "/admin/"


def test_a_session_from_before_the_set_up_is_asked_for_a_code(newcomer: Person) -> None:
    older = newcomer.site
    newcomer.log_in()
    newcomer.set_up()
    answer = older.ask(RUNS)
    assert answer.headers["location"] == f"/admin/login/?next={RUNS}"
    assert newcomer.is_in()


def test_a_browser_is_known_after_the_code_only(person: Person) -> None:
    assert "known_browser" not in person.site.cookies
    person.show(person.code(1))
    assert "known_browser" in person.site.cookies


@pytest.mark.parametrize("wish", ["show", "renew", "remove"])
def test_an_open_browser_is_not_enough_for_a_change(person: Person, wish: str) -> None:
    person.show(person.recovery[0])
    refused = person.post(PAGE, do=wish, code=person.wrong())
    assert "This code is wrong" in refused.text
    assert not any(code in refused.text for code in person.recovery)
    person.log_in()
    assert not person.is_in(), "it is still there"


def test_recovery_codes_are_shown_again_without_the_used_ones(person: Person) -> None:
    person.show(person.recovery[0])
    page = person.post(PAGE, do="show", code=person.code(1)).text
    assert re.findall(r"<li><code>(\d+)</code>", page) == person.recovery[1:]


def test_new_recovery_codes_replace_the_old_ones(person: Person) -> None:
    person.show(person.recovery[0])
    page = person.post(PAGE, do="renew", code=person.code(1)).text
    new = re.findall(r"<li><code>(\d+)</code>", page)
    assert len(new) == 10
    assert not set(new) & set(person.recovery)
    person.log_in()
    assert person.show(person.recovery[1]).status_code == 200
    assert person.show(new[0]).status_code == 302


def test_people_remove_their_own(person: Person) -> None:
    person.show(person.recovery[0])
    assert person.post(PAGE, do="remove", code=person.code(1)).headers["location"] == PAGE
    assert person.log_in().headers["location"] == RUNS
    assert person.is_in()


def test_a_set_up_needs_a_code_of_the_app(newcomer: Person) -> None:
    page = newcomer.site.ask(PAGE).text
    newcomer.secret = found(r"Secret: <code>(\w+)</code>", page)
    refused = newcomer.post(PAGE, code=newcomer.wrong())
    assert "This is not the code that belongs to the secret." in refused.text
    assert newcomer.secret in refused.text, "the same secret again"
    assert newcomer.log_in().headers["location"] == RUNS


def test_an_operator_removes_it(person: Person, place: Place) -> None:
    given: dict[str, Any] = {"SECOND_FACTOR": "optional"}
    assert place.says("second_factor", "--remove", person.name, **given)[0] == (
        f"Removed: {person.name} logs in with the password alone, and can set up another one.\n"
    )
    assert person.log_in().headers["location"] == RUNS
    assert person.is_in()
    again, _ = place.says("second_factor", "--remove", person.name, **given)
    assert "Nothing to remove." in again
    _, unknown = place.says("second_factor", "--remove", "nobody", code=1, **given)
    assert "Nobody is called nobody" in unknown
    _, off = place.says("second_factor", "--remove", person.name, code=1)
    assert "SECOND_FACTOR is off" in off


def test_secrets_are_stored_encrypted(person: Person, place: Place) -> None:
    stored = place.all("SELECT data::text FROM mfa_authenticator")
    assert stored
    assert not any(person.secret in text for text in stored)
    assert all(re.search(r'"(secret|seed)": "gAAAA', text) for text in stored)


def test_another_secret_key_is_named(person: Person, place: Place) -> None:
    site = start(place, "optional", SECRET_KEY="x" * 60)
    try:
        person.site = site
        person.log_in()
        answer = person.show(person.code(1))
        assert f"manage.py second_factor --remove {person.name}" in answer.text
        assert not person.is_in()
    finally:
        end(site.process)


@pytest.mark.parametrize("path", ["/admin/", RUNS, "/admin/password_change/", "/admin/search/"])
def test_where_it_is_required_nothing_else_opens_first(
    required: Site, place: Place, request: pytest.FixtureRequest, path: str
) -> None:
    newcomer = join(required, place, request)
    answer = newcomer.site.ask(path)
    assert (answer.status_code, answer.headers["location"]) == (302, PAGE)
    assert "A second factor is required here" in newcomer.site.ask(PAGE).text
    newcomer.set_up()
    assert newcomer.site.ask(path).status_code == 200
    newcomer.log_in()
    assert not newcomer.is_in()
    newcomer.show(newcomer.code(1))
    assert newcomer.is_in()


def test_its_pages_keep_the_content_security_policy(newcomer: Person) -> None:
    pages = [newcomer.site.ask(PAGE).text]
    newcomer.set_up()
    pages.append(newcomer.site.ask(PAGE).text)
    newcomer.log_in()
    pages.append(newcomer.site.ask("/admin/login/code/").text)
    for page in pages:
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", page)
    assert 'src="data:image/svg+xml;base64,' in pages[0]


def test_the_admin_shows_no_rows_of_it(newcomer: Person) -> None:
    assert newcomer.site.ask("/admin/mfa/authenticator/").status_code == 404
    assert newcomer.site.ask("/admin/account/emailaddress/").status_code == 404


@pytest.mark.parametrize("path", ["/accounts/login/", "/accounts/signup/", "/accounts/2fa/"])
def test_allauth_has_no_pages_here(newcomer: Person, path: str) -> None:
    answer = newcomer.site.ask(path)
    assert answer.status_code in (301, 302, 404)
    assert "accounts" not in answer.headers.get("location", "")


@pytest.mark.parametrize("mode", ["off", "optional", "required"])
def test_no_migration_is_missing(place: Place, mode: str) -> None:
    out, _ = place.says("makemigrations", "--check", "--dry-run", SECOND_FACTOR=mode)
    assert "No changes detected" in out


@pytest.mark.django_db
def test_it_is_off_unless_it_is_asked_for(client: Client, admin_client: Client) -> None:
    names: list[Any] = [*live.INSTALLED_APPS, *live.MIDDLEWARE]
    assert not [name for name in names if "allauth" in name or "second_factor" in name]
    assert not apps.is_installed("allauth.mfa")
    assert not [name for name in connection.introspection.table_names() if "mfa" in name]
    for name in ("admin:code", "admin:second_factor"):
        with pytest.raises(NoReverseMatch):
            reverse(name)
    assert "second-factor" not in admin_client.get("/admin/", secure=True).content.decode()
