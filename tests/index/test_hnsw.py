"""The build of a profile's vector index takes the memory it needs, and says where there is less."""

from __future__ import annotations

import logging

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ingestion.index import hnsw
from ingestion.models import EmbeddingProfile
from tests.support.indexed import document, index

pytestmark = pytest.mark.django_db


def build(profile: EmbeddingProfile, allowed: str) -> str:
    """The memory that the build was given, where the server allows so much."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SELECT set_config('maintenance_work_mem', %s, true)", [allowed])
        assert hnsw.build(profile)
        cursor.execute("SHOW maintenance_work_mem")
        return str(cursor.fetchone()[0])


def test_a_build_takes_what_it_needs(caplog: pytest.LogCaptureFixture) -> None:
    profile = index(document("Files", "The verb EXTRACT locks a record."))
    with connection.cursor() as cursor:
        cursor.execute("SHOW max_parallel_maintenance_workers")
        processes = 1 + int(cursor.fetchone()[0])
    assert build(profile, "1GB") == f"{32 * processes}MB"
    assert hnsw.memory_kb(1_000_000, 256) // 1024 == 1206
    assert not caplog.records


def test_a_build_takes_as_many_processes_as_the_server_allows() -> None:
    profile = index(document("Files", "The verb EXTRACT locks a record."))
    build(profile, "1GB")
    with connection.cursor() as cursor, CaptureQueriesContext(connection) as asked:
        cursor.execute(f"DROP INDEX {profile.index_name}")
        cursor.execute("SET LOCAL max_parallel_maintenance_workers = 5")
        hnsw.build(profile)
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = 'ingestion_chunk'")
        assert cursor.fetchone()[0] is None
    assert any("parallel_workers = 5" in query["sql"] for query in asked)


def test_a_large_build_takes_more(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = index(document("Files", "The verb EXTRACT locks a record."))
    monkeypatch.setattr(hnsw, "BYTES_OF_A_NODE", 200 * 1024 * 1024)
    assert build(profile, "1GB") == "232MB"


def test_a_build_with_too_little_memory_says_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    profile = index(document("Files", "The verb EXTRACT locks a record."))
    with caplog.at_level(logging.WARNING):
        assert build(profile, "16MB") == "16MB"
    assert "set the server's maintenance_work_mem to 33 MB (it has 16)" in caplog.text


def test_a_build_that_several_processes_have_no_room_for_is_left_to_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a container, which has 64 MB of shared memory unless it asks for more."""
    profile = index(document("Files", "The verb EXTRACT locks a record."))
    monkeypatch.setattr(hnsw, "BYTES_OF_A_NODE", 1 << 50)
    with connection.cursor() as cursor:
        cursor.execute("SHOW dynamic_shared_memory_type")
        if cursor.fetchone()[0] != "posix":
            pytest.skip("the server keeps shared memory elsewhere than in /dev/shm")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    build(profile, "2047GB")  # more than any machine has
    assert hnsw.exists(profile)
    assert "is built by one process" in caplog.text
