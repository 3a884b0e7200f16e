"""Which test process gets which tests: each module goes to one, so that what its tests share (a
server, a browser, an installation) is started once.

What starts processes of its own and uses no database of the tests comes first, as it takes longest;
what takes a moment comes last, and fills up what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

DATABASE = {"db", "transactional_db", "live_server"}
TOGETHER = ("tests/journeys/",)  # whose modules share a site, which takes longer than they do


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """pytest-django has put those with a database first, those that commit at their end."""
    return sorted(items, key=lambda item: not (_is_slow(item) and not _uses_the_database(item)))


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _uses_the_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("django_db"):
        return True
    return not DATABASE.isdisjoint(getattr(item, "fixturenames", ()))


class ByModule(LoadScopeScheduling):  # type: ignore[misc]
    """A part of the work is what follows one another of a module: the order above must hold in each
    process, and a module may have tests in several places of it."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self.parts: dict[str, str] = {}
        config.option.loadscopereorder = False

    def schedule(self) -> None:
        if not self.parts:
            self.parts = parts(next(iter(self.registered_collections.values())))
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self.parts[nodeid]


def parts(nodeids: Sequence[str]) -> dict[str, str]:
    """The name of the part that each test belongs to."""
    found: dict[str, str] = {}
    number, last = 0, ""
    for nodeid in nodeids:
        place = _place(nodeid)
        number += place != last
        last = place
        found[nodeid] = f"{number}: {place}"
    return found


def _place(nodeid: str) -> str:
    module = nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if module.startswith(folder)), module)
