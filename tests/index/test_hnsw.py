"""The build of a profile's vector index takes the memory it needs, and says where there is less."""

from __future__ import annotations

import logging

import pytest
from django.db import connection

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
    assert build(profile, "1GB") == "96MB"  # 32 for each of three processes
    assert hnsw.memory_kb(1_000_000, 256) // 1024 == 1206
    assert not caplog.records


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
        cursor.execute("ALTER TABLE ingestion_chunk SET (parallel_workers = 2)")
    build(profile, "2047GB")  # more than any machine has
    assert hnsw.exists(profile)
    assert "is built by one process" in caplog.text
