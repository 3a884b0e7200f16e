from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import connection

from bbjrag.oidc import SUPERUSER


@register(Tags.database)
def check_roles(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Whether the roles that OIDC_ROLES gives are there."""
    if not databases or "auth_group" not in connection.introspection.table_names():
        return []
    here = {SUPERUSER, *Group.objects.values_list("name", flat=True)}
    missing = sorted(set(settings.OIDC_ROLES.values()) - here)
    return [_missing(name, sorted(here)) for name in missing]


def _missing(name: str, here: list[str]) -> CheckMessage:
    return Warning(
        f"OIDC_ROLES gives the role {name}, which there is not.",
        hint=f"Use one of {', '.join(here)}; or make it below People and roles.",
        id="bbjrag.W001",
    )
