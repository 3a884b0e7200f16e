"""Numbers and times as people read them."""

from __future__ import annotations

from typing import Any

from django import template

from ingestion.admin import display

register = template.Library()
register.filter("ago", display.ago)
register.filter("duration", display.seconds)
register.filter("documents", display.documents)


@register.filter
def thousands(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


@register.filter
def unlocal(value: float) -> str:
    """A number as SVG reads it, whatever the language."""
    return f"{value:.2f}"
