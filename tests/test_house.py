"""What the tests themselves stand on: an empty database, and an order that keeps what is shared."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import TransactionTestCase

from tests.support import distribution, emptying
from tests.support.indexed import document, index


def empty() -> None:
    """As after a test that commits."""
    getattr(TransactionTestCase, emptying.TEARDOWN)(TransactionTestCase("run"))


@pytest.mark.django_db(transaction=True)
def test_nothing_is_left_of_a_test_that_commits() -> None:
    for _ in range(2):  # by a flush at first, in some test
        User.objects.create_superuser("ada")
        index(document("a", "A window holds controls."))
        empty()
        assert emptying.filled() == []
        assert Permission.objects.filter(codename="add_user").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_permission_that_a_test_deleted_is_back() -> None:
    empty()
    Permission.objects.filter(codename="add_user").delete()
    empty()
    assert Permission.objects.filter(codename="add_user").count() == 1


def test_a_part_of_the_work_is_what_follows_one_another_of_a_module() -> None:
    tests = ["a.py::1", "a.py::2[x::y]", "b.py::1", "a.py::3"]
    tests += ["tests/journeys/c.py::1", "tests/journeys/d.py::1"]
    parts = [distribution.parts(tests)[test] for test in tests]
    assert parts[0] == parts[1]
    assert parts[4] == parts[5]
    assert len(set(parts)) == 4
