"""Numbers and times as people read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django import template
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from ingestion.admin import changes, display

_COMMAND = re.compile(r"`([^`\n]{1,200})`")

register = template.Library()
register.filter("ago", display.ago)
register.filter("duration", display.seconds)
register.filter("documents", display.documents)
register.filter("at_host_of", display.commit)
register.filter("changes", changes.of_entry)
register.filter("how", changes.how)


@register.filter
def thousands(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


@register.filter
def with_code(text: str) -> SafeString:
    """A message in HTML, with what stands between backticks as code."""
    return mark_safe(_COMMAND.sub(r"<code>\1</code>", conditional_escape(text)))


@register.filter
def unlocal(value: float) -> str:
    """A number as SVG reads it, whatever the language."""
    return f"{value:.2f}"


@register.filter
def labelled(cells: Iterable[str], headers: Iterable[Mapping[str, Any]]) -> Iterator[SafeString]:
    """The cells of a row of an admin's list, each with the name of its column, which a narrow
    window shows beside it. The first cell of a row, a link to its page, goes without."""
    for cell, header in zip(cells, headers, strict=True):
        label = "" if "action-checkbox" in cell else capfirst(header["text"])
        named = format_html('<td data-label="{}"', label) if label else "<td"
        yield mark_safe(cell.replace("<td", named, 1) if cell.lstrip().startswith("<td") else cell)
