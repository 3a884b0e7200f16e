"""Decide whether documents that vanished at their source may be removed without approval."""

from __future__ import annotations

from collections.abc import Collection

from django.conf import settings

from ingestion.parsers.base import SourceConfig
from ingestion.parsers.files import address_of


def reason_to_ask(config: SourceConfig, vanished: Collection[str], stored: Collection[str]) -> str:
    """Why the removal of the `vanished` of the `stored` addresses needs approval; empty if not.

    It does if they are many, or all documents of one of several paths, as when a folder is not
    mounted.
    """
    summary = f"{len(vanished)} of {len(stored)} documents vanished"
    if emptied := _emptied(config, frozenset(vanished), stored):
        return f"{summary}, all of {', '.join(emptied)} among them"
    share = settings.REMOVAL_GATE_SHARE
    many = len(vanished) >= settings.REMOVAL_GATE_DOCUMENTS and len(vanished) > share * len(stored)
    return summary if many else ""


def _emptied(config: SourceConfig, vanished: Collection[str], stored: Collection[str]) -> list[str]:
    """The paths, of several, of which nothing is left. (If a single one is empty, the reading
    reports it.)"""
    if len(config.paths) < 2 or not vanished:
        return []
    emptied = []
    for path in config.paths:
        below = address_of(config, path)
        there = [url for url in stored if url.startswith(below)]
        if there and all(url in vanished for url in there):
            emptied.append(path)
    return emptied
