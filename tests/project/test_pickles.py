"""Who can write to the database, but lacks the SECRET_KEY, runs no code in web or worker."""

from __future__ import annotations

import os
import pickle
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from ingestion.monitoring import health
from ingestion.worker.cluster import Cluster
from tests.support.reading import nothing_left_behind, until


class Proof:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    return tmp_path / "proof"


@pytest.fixture
def poison(proof: Path) -> str:
    """A pickle as Django's cache and django-q2's results keep it."""
    return b64encode(pickle.dumps(Proof(proof))).decode()


def cached_rows() -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT cache_key, value FROM django_cache ORDER BY cache_key")
        return list(cursor.fetchall())


@pytest.mark.django_db
def test_a_pickle_in_the_cache_is_not_read_by_a_page(
    admin_client: Client, poison: str, proof: Path
) -> None:
    cache.clear()
    page = admin_client.get(reverse("admin:pulse"))
    health.embedder()
    health.upgrades()
    kept = [key for key, _ in cached_rows()]
    assert {key.partition(":health:")[2] for key in kept} >= {"embedder", "upgrades"}
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_cache SET value = %s", [poison])
    again = admin_client.get(reverse("admin:pulse"))
    assert page.status_code == again.status_code == 200
    assert not proof.exists()
    health.embedder()
    health.upgrades()
    assert poison not in [value for key, value in cached_rows() if ":health:" in key]


@pytest.mark.django_db
def test_rows_of_an_earlier_release_count_as_missing(poison: str) -> None:
    old = b64encode(pickle.dumps({"state": "ok", "text": "before", "asked": timezone.now()}))
    with connection.cursor() as cursor:
        for version in (1, 2):
            cursor.execute(
                "INSERT INTO django_cache VALUES (%s, %s, now() + interval '1 day')"
                " ON CONFLICT (cache_key) DO UPDATE SET value = excluded.value",
                [f":{version}:{health.EMBEDDER}", old.decode()],
            )
    assert cache.get(health.EMBEDDER) is None
    assert health.embedder().text != "before"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A process of the worker, as `manage.py worker` forks it."""
    OrmQ.objects.all().delete()
    cluster = Cluster(1)
    cluster.start()
    yield cluster
    cluster.stop()
    nothing_left_behind()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("function", ["ingestion.tasks.canary", "ingestion.tasks.nothing"])
@pytest.mark.parametrize("save", [False, True])
def test_a_pickle_among_the_results_is_not_read_by_the_worker(
    cluster: Cluster, poison: str, proof: Path, function: str, save: bool
) -> None:
    """django-q2 read all of them when a task had failed, or was to be kept."""
    ended = timezone.now() - timedelta(minutes=1)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_q_task"
            " (id, name, func, args, kwargs, result, started, stopped, success, attempt_count)"
            " VALUES ('a', 'known', 'x', %s, %s, %s, %s, %s, true, 1)",
            [poison, poison, poison, ended, ended],
        )
    async_task(function, task_name="known", save=save)
    until(lambda: not OrmQ.objects.exists())
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_q_task")
        kept = cursor.fetchone()
    assert not proof.exists()
    assert kept == (1,), "results are not kept"
    assert cluster.alive
