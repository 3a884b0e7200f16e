"""manage.py single_sign_on: links accounts that nobody can link in the admin, and removes links."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Links an account to the provider's of the same person, or removes the link."

    def add_arguments(self, parser: CommandParser) -> None:
        wish = parser.add_mutually_exclusive_group(required=True)
        wish.add_argument(
            "--link",
            nargs=2,
            metavar=("NAME", "SUBJECT"),
            help='the name here, and the claim "sub" of the provider',
        )
        wish.add_argument("--unlink", metavar="NAME", help="the name here")

    def handle(self, *args: Any, link: list[str] | None, unlink: str | None, **options: Any) -> str:
        if not settings.OIDC_ISSUER:
            raise CommandError("OIDC_ISSUER is not set, so there is no single sign-on.")
        return _link(*link) if link else _unlink(str(unlink))


def _link(name: str, subject: str) -> str:
    accounts = import_module("bbjrag.single_sign_on.accounts")
    user = _person(name)
    other = accounts.linked(subject)
    if other is not None and other.pk != user.pk:
        raise CommandError(
            f"{subject} is linked to {other}: manage.py single_sign_on --unlink {other}"
        )
    accounts.link(user, subject)
    return f"Linked: {name} signs in at {settings.OIDC_LABEL} as {subject}."


def _unlink(name: str) -> str:
    removed = import_module("bbjrag.single_sign_on.accounts").unlink(_person(name))
    return f"Removed the link of {name}." if removed else f"{name} has no link. Nothing to remove."


def _person(name: str) -> Any:
    user = get_user_model().objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"Nobody is called {name}: give the name as it is typed at login.")
    return user
