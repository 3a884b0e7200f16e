"""What may be seen: the one place where a token's limits are made.

Search, documents, terms and statistics ask here which sources they may draw from. It is set for the
request or the command (`granted`), and without it they raise NoAccess: who forgets it shows
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Literal, ParamSpec, TypeVar, get_args

from django.db.models import Q

from ingestion.models import ApiToken

Given = ParamSpec("Given")
Answer = TypeVar("Answer")
Right = Literal["search", "read", "run"]
RIGHTS: tuple[Right, ...] = get_args(Right)


class NoAccess(RuntimeError):
    """Nobody said what may be seen: a bug."""


@dataclass(frozen=True, slots=True)
class Access:
    """The keys of the sources that may be seen, None for all; what may be done with them; and the
    token that gives it, if one does."""

    sources: tuple[int, ...] | None
    rights: frozenset[Right]
    token: ApiToken | None = None

    def may(self, right: Right) -> bool:
        return right in self.rights

    def within(self, path: str) -> Q:
        """The condition on a query whose field or relation `path` leads to the source."""
        return Q() if self.sources is None else Q(**{f"{path}__in": self.sources})


EVERYTHING = Access(None, frozenset(RIGHTS))
_current: ContextVar[Access] = ContextVar("access")


def of_token(token: ApiToken) -> Access:
    """The access that a token gives. One whose sources are all deleted sees nothing."""
    chosen = None if token.every_source else token.sources.order_by("pk").values_list("pk")
    rights = frozenset(right for right in RIGHTS if getattr(token, f"may_{right}"))
    return Access(None if chosen is None else tuple(pk for (pk,) in chosen), rights, token)


@contextmanager
def granted(access: Access) -> Iterator[None]:
    """Let what runs inside, in this thread or task, see what this access allows."""
    before = _current.set(access)
    try:
        yield
    finally:
        _current.reset(before)


@contextmanager
def everything() -> Iterator[None]:
    """For commands, and for pages of the admin, which show all sources to everybody."""
    with granted(EVERYTHING):
        yield


def trusted(call: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """A call by code of this installation: it sees everything unless an access was granted."""

    @wraps(call)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        with granted(_current.get(EVERYTHING)):
            return call(*args, **kwargs)

    return called


def current() -> Access:
    """The access that was granted. Raises NoAccess if none was."""
    found = _current.get(None)
    if found is None:
        raise NoAccess("Nobody said which sources may be seen here: use `access.granted`.")
    return found
