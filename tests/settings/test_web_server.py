"""The settings of the web, in the server that people and their browsers meet."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from django.core import signing

from tests.project.test_containers import free_port
from tests.settings.place import Place, end
from tests.support.passwords import kept
from tests.support.plain_http import PLAIN
from tests.support.reading import until

SECRET = "k" * 20 + "0123456789" * 4
PASSWORD = "right-horse-battery"
NOON = datetime(2024, 7, 1, 12, 0, 0, tzinfo=UTC)
PROXIES = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.1, 203.0.113.7"}


@dataclass
class Site:
    """What a server answers to a browser behind two proxies, whose cookies are kept."""

    port: int
    process: subprocess.Popen[str]
    host: str
    cookies: dict[str, str] = field(default_factory=dict)

    def stranger(self) -> Site:
        """The same site, for somebody who was not there before."""
        return replace(self, cookies={})

    def ask(self, path: str, form: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Host": self.host, **PROXIES, **given}
        given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        address = f"http://127.0.0.1:{self.port}{path}"
        method = "GET" if form is None else "POST"
        answer = httpx.request(
            method, address, data=form, headers=given, trust_env=False, verify=PLAIN, timeout=60
        )
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def token(self, path: str) -> str:
        """What a form of that page sends along."""
        page = self.ask(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token, page.text
        return token[1]

    def log_in(self, password: str, name: str = "manager", **headers: str) -> httpx.Response:
        token = self.token("/admin/login/")
        form = {"username": name, "password": password, "csrfmiddlewaretoken": token}
        given = {"Origin": f"https://{self.host}", **headers}
        return self.ask("/admin/login/?next=/admin/ingestion/run/", form, **given)


def serve(place: Place, host: str, **given: Any) -> Site:
    port = free_port()
    command = ["-m", "gunicorn", "bbjrag.wsgi", "--bind", f"127.0.0.1:{port}"]
    site = Site(port, place.spawn(*command, **given), host)

    def answers() -> bool:
        assert site.process.poll() is None, site.process.communicate()
        try:
            return site.ask("/health").status_code == 200
        except httpx.TransportError:
            return False

    until(answers, 60)
    return site


def make_manager(place: Place, *others: str) -> None:
    """Somebody who may do everything, and others who may as well."""
    place.do("DELETE FROM ingestion_previewdocument")
    place.do("DELETE FROM ingestion_preview")
    place.do("DELETE FROM django_admin_log")
    place.do("DELETE FROM auth_user_groups")
    place.do("DELETE FROM auth_user")
    for name in ("manager", *others):
        add_manager(place, name)


def add_manager(place: Place, name: str, password: str = "") -> None:
    """With PASSWORD, unless `password` is another, as it is kept."""
    with place.connect() as connection:
        connection.execute(
            "INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active,"
            " first_name, last_name, email, date_joined)"
            " VALUES (%s, %s, true, true, true, '', '', '', now())",
            [name, password or kept(PASSWORD)],
        )
        connection.execute(
            "INSERT INTO ingestion_run (origin, options, created_at) VALUES ('command', '{}', %s)",
            [NOON],
        )


@pytest.fixture(scope="module")
def production(installation: Place) -> Iterator[Site]:
    installation.fresh()
    make_manager(installation)
    site = serve(
        installation,
        "docs.example.com",
        ALLOWED_HOSTS="docs.example.com, www.example.com",
        SECRET_KEY=SECRET,
        TRUSTED_PROXIES="2",
        HSTS_SECONDS="60",
        SESSION_HOURS="2",
        LOGIN_ATTEMPTS="2",
        CSRF_TRUSTED_ORIGINS="https://a.example,https://docs.example.com:8443",
        TIME_ZONE="Asia/Tokyo",
    )
    yield site
    end(site.process)


@pytest.fixture(scope="module")
def session(production: Site) -> str:
    """What the server says to a login that succeeds."""
    answer = production.log_in(PASSWORD, Origin="https://docs.example.com:8443")
    assert answer.status_code == 302, answer.text
    lines: list[str] = answer.headers.get_list("set-cookie")
    return next(line for line in lines if line.startswith("sessionid="))


@pytest.mark.setting("ALLOWED_HOSTS")
def test_the_names_that_people_type_are_answered(production: Site) -> None:
    names = ("docs.example.com", "www.example.com", "127.0.0.1", "evil.example")
    codes = [production.ask("/admin/login/", Host=name).status_code for name in names]
    assert codes == [200, 200, 200, 400]


@pytest.mark.setting("HSTS_SECONDS")
def test_browsers_are_asked_to_come_by_https(production: Site) -> None:
    answer = production.ask("/admin/login/")
    assert answer.headers["Strict-Transport-Security"] == "max-age=60"


@pytest.mark.setting("SESSION_HOURS")
def test_a_login_lasts_so_long(session: str) -> None:
    assert "; Max-Age=7200;" in session
    assert "; Secure" in session


@pytest.mark.setting("CSRF_TRUSTED_ORIGINS")
def test_forms_come_from_these_origins_only(session: str, production: Site) -> None:
    answer = production.stranger().log_in(PASSWORD, Origin="https://docs.example.com:9443")
    assert answer.status_code == 403


@pytest.mark.setting("SECRET_KEY")
def test_sessions_are_signed_with_the_key(session: str, installation: Place) -> None:
    key = session.partition(";")[0].partition("=")[2]
    data = installation.ask(f"SELECT session_data FROM django_session WHERE session_key = '{key}'")
    salt = "django.contrib.sessions.SessionStore"
    said = signing.loads(data, key=SECRET, salt=salt)
    assert said["_auth_user_id"]


@pytest.mark.setting("TIME_ZONE")
def test_times_are_those_of_the_place(session: str, production: Site) -> None:
    assert "2024-07-01 21:00:00" in production.ask("/admin/ingestion/run/").text


@pytest.mark.setting("LOGIN_ATTEMPTS")
@pytest.mark.setting("TRUSTED_PROXIES")
def test_so_many_wrong_passwords_lock_the_address_that_the_outermost_proxy_saw(
    production: Site,
) -> None:
    seen = ["9.9.9.9, 198.51.100.2, 203.0.113.7", "198.51.100.3, 203.0.113.7"]
    seen += ["8.8.8.8, 198.51.100.2, 203.0.113.8"]
    answers = [production.stranger().log_in("wrong", X_Forwarded_For=line) for line in seen]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


@pytest.fixture(scope="module")
def trial(installation: Place) -> Iterator[Site]:
    """A server on the local network that is no production."""
    given = {"PRODUCTION": "false", "DEBUG": "true", "HTTPS": "true"}
    site = serve(installation, "lan.example", ALLOWED_HOSTS="lan.example", **given)
    yield site
    end(site.process)


@pytest.mark.setting("PRODUCTION")
def test_a_trial_needs_no_secret_though_it_has_a_name(trial: Site) -> None:
    assert trial.ask("/admin/login/").status_code == 200


@pytest.mark.setting("DEBUG")
def test_an_error_is_shown_with_what_led_to_it(trial: Site) -> None:
    assert "DEBUG = True" in trial.ask("/nowhere").text


@pytest.mark.setting("HTTPS")
def test_plain_http_is_sent_to_https(trial: Site) -> None:
    answer = trial.ask("/admin/login/", X_Forwarded_Proto="http")
    assert answer.status_code == 301
    assert answer.headers["Location"] == "https://lan.example/admin/login/"


@pytest.mark.setting("STATE_DIR")
def test_the_secret_that_was_not_given_is_kept(trial: Site, installation: Place) -> None:
    assert (installation.folder / "state" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_serve_says_where_it_is_as_soon_as_it_answers(place: Place) -> None:
    address = f"127.0.0.1:{free_port()}"
    process = place.manage("serve", address)
    try:
        assert any(f"The admin is at http://{address}/" in line for line in process.stdout or ())
        assert httpx.get(f"http://{address}/health", trust_env=False).status_code == 200
    finally:
        end(process)


def test_serve_says_nothing_where_another_server_listens(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = place.manage("serve", f"127.0.0.1:{port}")
        out, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "The admin is at" not in out
    assert f"Connection in use: ('127.0.0.1', {port})" in errors


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_a_server_with_the_model_of_late_interaction_ends_in_order(
    place: Place, seconds: float
) -> None:
    """Whether it is just being opened or was opened: native code must not be cut off."""
    process = place.manage("serve", f"127.0.0.1:{free_port()}", LATE_INTERACTION="true")
    assert any("The admin is at" in line for line in process.stdout or ())
    time.sleep(seconds)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert errors.count("Worker exiting") == 2
    assert "was sent SIG" not in errors
