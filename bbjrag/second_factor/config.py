from __future__ import annotations

from ingestion.admin import config


class AdminConfig(config.AdminConfig):
    """The admin, whose login may ask for a code."""

    default_site = "bbjrag.second_factor.site.Site"
