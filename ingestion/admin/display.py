"""How values are shown in the admin: states, times, links. Everything is escaped."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.timesince import timesince

from ingestion.documents import counted
from ingestion.parsers import permalinks
from sources.models import Source

SHORT = 10  # characters of a commit's name


def badge(state: str, label: str) -> str:
    return format_html('<span class="state state-{}">{}</span>', state, label)


def ago(when: datetime | None) -> str:
    """How long ago, in a word or two, with the exact time as its title."""
    if when is None:
        return "-"
    exact = formats.date_format(timezone.localtime(when), "Y-m-d H:i:s")
    if (timezone.now() - when).total_seconds() < 60:
        return format_html('<time title="{}">just now</time>', exact)
    return format_html('<time title="{}">{} ago</time>', exact, timesince(when, depth=1))


def seconds(value: float | None) -> str:
    """A duration that people can read: 40 ms, 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if value is None:
        return "-"
    if value < 0.1:
        return f"{value * 1000:.0f} ms"
    if value < 10:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def documents(number: int) -> str:
    return counted(number, "document")


def records_link(model: str, pk: Any = None, text: Any = None, **filters: Any) -> str:
    """A link to one row's page, or to the list of rows that the filters choose."""
    if pk is not None:
        url = reverse(f"admin:ingestion_{model}_change", args=[pk])
        return format_html('<a href="{}">{}</a>', url, text or f"{model.capitalize()} {pk}")
    url = reverse(f"admin:ingestion_{model}_changelist")
    shown = f"{text:,}" if isinstance(text, int) else text
    return format_html('<a href="{}?{}">{}</a>', url, urlencode(filters), shown)


def commit(name: str, source: Source | None) -> str:
    """A commit by the beginning of its name, with a link if the host of its source is known."""
    if not name:
        return "-"
    shown = format_html('<code title="{}">{}</code>', name, name[:SHORT])
    url = permalinks.commit_link(source.repository, name) if source else ""
    return (
        format_html('<a href="{}" rel="noopener noreferrer">{}</a>', url, shown) if url else shown
    )
