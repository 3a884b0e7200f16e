from __future__ import annotations

from django.apps import AppConfig


class IngestionConfig(AppConfig):
    name = "ingestion"
    verbose_name = "Index and runs"

    def ready(self) -> None:
        """Register the system checks; that is all that happens here."""
        from ingestion import checks  # noqa: F401, PLC0415
