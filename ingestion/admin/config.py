from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import apps
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks


class AdminConfig(apps.SimpleAdminConfig):
    """Django's admin, with this project's site.

    Only the URLs and the checks load its pages, so that commands, and every process that a worker
    forks, start without them.
    """

    default_site = "ingestion.admin.site.Site"

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(check_pages, checks.Tags.admin)


def check_pages(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    admin.autodiscover()
    return check_admin_app(app_configs, **kwargs)
