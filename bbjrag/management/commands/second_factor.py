"""manage.py second_factor --remove NAME: the way back for somebody who lost the device."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Removes the second factor and the recovery codes of a person, who lost the device."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--remove", metavar="NAME", required=True, help="the name at login")

    def handle(self, *args: Any, remove: str, **options: Any) -> str:
        if settings.SECOND_FACTOR == "off":
            raise CommandError("SECOND_FACTOR is off, so nobody is asked for one.")
        user = get_user_model().objects.filter(username=remove).first()
        if user is None:
            raise CommandError(f"Nobody is called {remove}: give the name as it is typed at login.")
        authenticators = apps.get_app_config("mfa").get_model("Authenticator")._default_manager
        if not authenticators.filter(user_id=user.pk).delete()[0]:
            return f"{remove} has no second factor. Nothing to remove."
        return f"Removed: {remove} logs in with the password alone, and can set up another one."
