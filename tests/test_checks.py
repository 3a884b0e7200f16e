"""What the database check accepts, and what it says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.checks import Tags
from django.core.checks.registry import registry
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper

from ingestion import checks


@pytest.mark.parametrize(
    ("offered", "installed"),
    [("0.8.4", None), ("0.8.5", "0.8.5"), ("0.10.0", "0.9"), ("1.0", None), (None, "0.8.4")],
)
def test_it_works(offered: str | None, installed: str | None) -> None:
    assert checks.pgvector_errors(offered, installed) == []


def test_a_server_without_pgvector_is_refused_with_the_ways_out() -> None:
    (error,) = checks.pgvector_errors(None, None)
    assert error.id == checks.NO_PGVECTOR
    assert "pgvector/pgvector:0.8.5-pg18" in str(error)
    assert "unset DATABASE_URL" in str(error)


@pytest.mark.parametrize("offered", ["0.8.3", "0.8", "0.7.10", "0.5.1"])
def test_an_old_server_is_refused_by_its_version(offered: str) -> None:
    (error,) = checks.pgvector_errors(offered, offered)
    assert error.id == checks.OLD_SERVER
    assert f"pgvector {offered};" in error.msg


def test_an_old_extension_on_a_new_server_is_told_how_to_update() -> None:
    (error,) = checks.pgvector_errors("0.8.5", "0.8.0")
    assert error.id == checks.OLD_DATABASE
    assert "ALTER EXTENSION vector UPDATE" in str(error)


@pytest.mark.django_db
def test_the_database_in_use_passes() -> None:
    assert checks.pgvector_check(databases=["default"]) == []


@pytest.mark.django_db
def test_a_database_that_does_not_answer_is_said_to_be_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = {**connections["default"].settings_dict, "HOST": str(tmp_path), "OPTIONS": {}}
    wrapper = DatabaseWrapper(elsewhere, alias="elsewhere")
    monkeypatch.setattr(checks, "connections", {"elsewhere": wrapper})
    (error,) = checks.pgvector_check(databases=["elsewhere"])
    assert error.id == checks.UNREACHABLE
    assert str(tmp_path) in error.msg
    assert "unset it" in str(error)


def test_no_database_is_asked_unless_it_is_named() -> None:
    assert checks.pgvector_check(databases=None) == []


def test_migrate_and_check_run_it() -> None:
    assert checks.pgvector_check in registry.get_checks(include_deployment_checks=False)
    assert Tags.database in checks.pgvector_check.tags
