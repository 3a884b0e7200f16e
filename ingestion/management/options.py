"""What several commands take, checked in one place, before anything begins."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

from django.core.management.base import CommandError

from sources.models import Source

HIGHEST_PORT = 65535


def known_sources(names: list[str]) -> list[str]:
    """The names, of which each is a source. Raises CommandError with the names that there are."""
    known = set(Source.objects.values_list("name", flat=True))
    if unknown := [name for name in names if name not in known]:
        raise CommandError(
            f"There is no source {', '.join(map(repr, unknown))}. "
            f"The sources are: {', '.join(sorted(known)) or 'none yet'}."
        )
    return names


def writable(path: Path) -> None:
    """Raise CommandError if the file cannot be written."""
    try:
        path.open("a").close()
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None


def at_least_one(text: str) -> int:
    return _between(text, 1, None)


def port(text: str) -> int:
    return _between(text, 1, HIGHEST_PORT)


def _between(text: str, least: int, most: int | None) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if number < least or (most is not None and number > most):
        bounds = f"at least {least}" + (f" and at most {most}" if most else "")
        raise ArgumentTypeError(f"{number} is out of range: use {bounds}")
    return number
