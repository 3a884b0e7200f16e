from __future__ import annotations

from django.contrib.admin import apps


class AdminConfig(apps.AdminConfig):
    """Django's admin, with the site of this product."""

    default_site = "ingestion.admin.site.Site"
