"""The cache in the database."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from bbjrag.json_cache import JSONCache

pytestmark = pytest.mark.django_db


def test_it_works() -> None:
    cache.set("a", {"state": "ok", "since": 1.5, "names": ["x", None]})
    cache.set_many({"b": 1, "c": "ü\x00\ud800"})
    assert cache.get("a") == {"state": "ok", "since": 1.5, "names": ["x", None]}
    assert cache.get_many(["b", "c", "d"]) == {"b": 1, "c": "ü\x00\ud800"}
    assert cache.get("d", "default") == "default"
    assert cache.has_key("b")
    cache.delete("b")
    assert not cache.has_key("b")
    cache.clear()
    assert cache.get("a") is None


def test_values_expire() -> None:
    cache.set("past", 1, timeout=0)
    cache.set("forever", 2, timeout=None)
    assert cache.get("past") is None
    assert cache.get("forever") == 2
    assert not cache.touch("past")
    assert cache.touch("forever", timeout=0)
    assert cache.get("forever") is None


def test_add_replaces_only_what_expired() -> None:
    assert cache.add("a", 1)
    assert not cache.add("a", 2)
    assert cache.get("a") == 1
    cache.touch("a", timeout=-1)
    assert cache.add("a", 3)
    assert cache.get("a") == 3


def test_a_value_that_json_cannot_hold_is_an_error() -> None:
    with pytest.raises(TypeError, match="datetime"):
        cache.set("a", timezone.now())


@pytest.mark.parametrize("text", ["", "gASVBQAAAAAAAACMAXiULg==", "{", "[" * 100_000])
def test_what_cannot_be_read_is_missing(text: str) -> None:
    cache.set("a", 1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_cache SET value = %s", [text])
    assert cache.get("a") is None


def test_a_full_cache_loses_what_expires_first() -> None:
    options: dict[str, Any] = {"OPTIONS": {"MAX_ENTRIES": 10, "CULL_FREQUENCY": 5}}
    small = JSONCache("django_cache", options)
    small.clear()
    for number in range(12):
        small.set(str(number), number, timeout=100 + number)
    assert [number for number in range(12) if small.get(str(number)) is None] == [0, 1]


def test_a_row_that_cannot_be_written_is_not_an_error() -> None:
    cache.set("a", 1)
    assert not JSONCache("no_such_table", {}).add("a", 1)
    assert cache.get("a") == 1, "the transaction around it goes on"
