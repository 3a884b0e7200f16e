"""Empty the database after a test that commits, in place of Django's flush.

The flush truncates all tables and stores content types and permissions again: a quarter of a
second after each of hundreds of tests. Here only tables that hold something are truncated; if a
test changed content types or permissions, it is left to the flush.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import TransactionTestCase

KEPT = ("auth_permission", "django_content_type")
TEARDOWN = "_fixture_teardown"


def replace_the_flush(patch: pytest.MonkeyPatch) -> None:
    flush: Callable[[TransactionTestCase], None] = getattr(TransactionTestCase, TEARDOWN)
    after_a_flush: list[str] = []

    def empty(case: TransactionTestCase) -> None:
        if after_a_flush == _kept():
            _truncate(filled())
        else:
            flush(case)
            after_a_flush[:] = _kept()

    patch.setattr(TransactionTestCase, TEARDOWN, empty)


def _kept() -> list[str]:
    """All that the kept tables hold."""
    return _column(
        " UNION ALL ".join(
            f"SELECT coalesce(string_agg({name}::text, '' ORDER BY id), '') FROM {name}"
            for name in KEPT
        )
    )


def filled() -> list[str]:
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return _column(
        " UNION ALL ".join(
            f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})"
            for name in names
            if name not in KEPT
        )
    )


def _truncate(names: list[str]) -> None:
    """With the tables that refer to them, which are to be empty too."""
    if names:
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(names)} CASCADE")


def _column(sql: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [value for (value,) in cursor.fetchall()]
