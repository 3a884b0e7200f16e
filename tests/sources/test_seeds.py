"""The row that a later version brings: it adds itself and breaks nothing."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from ingestion.models import Document
from sources.models import Source

pytestmark = pytest.mark.django_db


@pytest.fixture
def data_dir(tmp_path: Path, settings: Any) -> Path:
    Source.objects.filter(name="javadoc").delete()
    settings.DATA_DIR = tmp_path
    return tmp_path


def seed() -> Source:
    migration = import_module("sources.migrations.0005_seed_javadoc")
    migration.seed(apps, SimpleNamespace(connection=connection))
    return Source.objects.get(name="javadoc")


def read_before() -> None:
    now = timezone.now()
    Document.objects.create(
        source=Source.objects.get(name="flare"),
        url="flare://Content/a.htm",
        first_seen=now,
        last_seen=now,
        changed_at=now,
    )


def test_it_works(data_dir: Path) -> None:
    row = seed()
    assert (row.title, row.parser, row.paths) == ("BBj API (JavaDoc)", "JavaDocParser", ["javadoc"])
    assert row.enabled


def test_an_installation_in_use_gets_it_disabled_if_its_folder_is_missing(data_dir: Path) -> None:
    read_before()
    assert not seed().enabled


def test_an_installation_in_use_gets_it_enabled_if_its_folder_is_there(data_dir: Path) -> None:
    read_before()
    (data_dir / "javadoc").mkdir()
    assert seed().enabled


def test_a_source_of_that_name_is_left_alone(data_dir: Path) -> None:
    Source.objects.create(name="javadoc", title="Mine", parser="MdxParser", paths=["docs"])
    assert (seed().title, seed().parser) == ("Mine", "MdxParser")
