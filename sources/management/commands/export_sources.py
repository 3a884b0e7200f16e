from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from sources.models import Source
from sources.moving import exported


class Command(BaseCommand):
    help = "Prints all sources as JSON, which import_sources reads."

    def handle(self, *args: Any, **options: Any) -> str:
        return exported(Source.objects.order_by("name"))
