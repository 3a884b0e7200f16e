from __future__ import annotations

from django.apps import AppConfig


class SingleSignOnConfig(AppConfig):
    name = "bbjrag.single_sign_on"

    def ready(self) -> None:
        """Register the system check; that is all that happens here."""
        from bbjrag.single_sign_on import checks  # noqa: F401, PLC0415
