"""Guessing passwords, at the real login page: by address, by network, by account."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client, RequestFactory

from bbjrag.login_throttle import login_origin

pytestmark = pytest.mark.django_db

PASSWORD = "right-horse-battery"


@pytest.fixture(autouse=True)
def manager(settings: Any) -> Any:
    settings.AXES_FAILURE_LIMIT = 3
    return get_user_model().objects.create_superuser("manager", password=PASSWORD)


def log_in(password: str, address: str, client: Client | None = None, **more: str) -> int:
    """The status: 200 for a wrong password, 302 for the right one, 429 for: wait."""
    form = {"username": "manager", "password": password, **more}
    answer = (client or Client()).post(
        "/admin/login/?next=/admin/", form, REMOTE_ADDR=address, secure=True
    )
    return int(answer.status_code)


def guess_from(networks: int) -> list[int]:
    return [log_in("guess", f"2001:db8:0:{number:x}::1") for number in range(networks)]


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:aaaa:bbbb:cccc:dddd", "2001:db8:1:2::"),
        ("2001:db8:1:2::1%eth0", "2001:db8:1:2::"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::1", "::"),
        ("unknown", None),
        ("203.0.113.9:1234", None),
        ("", None),
    ],
)
def test_what_counts_as_one_address(address: str, origin: str | None) -> None:
    assert login_origin(RequestFactory().get("/", REMOTE_ADDR=address)) == origin


def test_the_addresses_of_one_network_count_together() -> None:
    guesses = [log_in("guess", f"2001:db8::{number:x}:1") for number in range(1, 6)]
    assert guesses == [200, 200, 429, 429, 429]
    assert log_in(PASSWORD, "2001:db8::9") == 429
    assert log_in(PASSWORD, "2001:db8:0:1::9") == 302, "the network beside it"


@pytest.mark.parametrize("address", ["unknown", "203.0.113.9:1234"])
def test_an_address_that_is_none_counts_too(address: str) -> None:
    assert [log_in("guess", address) for _ in range(4)] == [200, 200, 429, 429]


def test_many_networks_cannot_guess_at_one_account() -> None:
    assert guess_from(20) == 15 * [200] + 5 * [429]
    assert log_in(PASSWORD, "203.0.113.9") == 429, "not even with the right one, then"
    other = get_user_model().objects.create_superuser("other", password=PASSWORD)
    assert log_in(PASSWORD, "203.0.113.9", username=other.username) == 302


def test_the_owner_is_not_locked_out_of_a_browser_that_logged_in_before() -> None:
    owner = Client()
    assert log_in(PASSWORD, "203.0.113.9", owner) == 302
    cookie = owner.cookies["known_browser"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (
        True,
        "Lax",
        "/admin/login/",
    )
    assert "manager" not in cookie.value
    owner.logout()
    owner.cookies["known_browser"] = cookie.value
    guess_from(20)
    assert log_in(PASSWORD, "2001:db8:1::1", owner) == 302, "from another address, too"
    assert [log_in("guess", "2001:db8:2::1", owner) for _ in range(4)] == [200, 200, 429, 429]


def test_a_cookie_helps_with_its_own_account_only_and_not_if_it_is_forged() -> None:
    get_user_model().objects.create_superuser("other", password=PASSWORD)
    other = Client()
    assert log_in(PASSWORD, "203.0.113.9", other, username="other") == 302
    cookie = other.cookies["known_browser"].value
    guess_from(20)
    for value in (cookie, "manager", cookie.replace(":", "x"), ""):
        browser = Client()
        browser.cookies["known_browser"] = value
        assert log_in(PASSWORD, "203.0.113.10", browser) == 429


def test_a_wrong_password_gives_no_cookie() -> None:
    browser = Client()
    log_in("guess", "203.0.113.9", browser)
    assert "known_browser" not in browser.cookies


def test_the_wait_ends_though_the_guessing_goes_on() -> None:
    guess_from(20)
    guess_from(20)
    assert AccessAttempt.objects.count() == 15, "what is refused does not count"
    old = AccessAttempt.objects.order_by("attempt_time").first()
    assert old is not None
    started = old.attempt_time - timedelta(minutes=16)
    AccessAttempt.objects.filter(username="manager").update(attempt_time=started)
    assert log_in(PASSWORD, "203.0.113.9") == 302


def test_an_operator_unlocks_an_account_at_once() -> None:
    guess_from(20)
    call_command("axes_reset_username", "manager")
    assert log_in(PASSWORD, "203.0.113.9") == 302
