"""What the addresses of lists may filter by: what the lists and our own pages offer, nothing else.

Django lets an address filter by any column and any lookup. A regular expression in one keeps the
database busy for minutes, and one that is not valid is an error of the server.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Any]
else:
    Admin = admin.ModelAdmin

# How Django's filters end their links; "id" and the like come before "exact" for a relation.
ENDINGS = ("", "exact", "isnull", "isempty", "gte", "lt", "id__exact")
# And what the links over a list end with, if it is divided by date.
PARTS_OF_DATES = ("year", "month", "day", "gte", "lt")


def number_in(text: str, digits: int = 18) -> int | None:
    """The number that a part of an address or form is, of at most so many digits; None if it is
    none."""
    fits = text.isascii() and text.isdecimal() and len(text) <= digits
    return int(text) if fits else None


class OfferedLookups(Admin):
    """A list that filters by its `list_filter`, its `date_hierarchy`, and what links of other pages
    filter by besides, its `linked_lookups`."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        known = lookup in self._offered(request) and "\x00" not in value
        return known and super().lookup_allowed(lookup, value, request)

    def _offered(self, request: HttpRequest) -> set[str]:
        offered = [_parameters(shown) for shown in self.get_list_filter(request)]
        if self.date_hierarchy:
            offered.append({joined(self.date_hierarchy, part) for part in PARTS_OF_DATES})
        linked: Iterable[str] = getattr(self, "linked_lookups", ())
        return set(linked).union(*offered)


def limited(page: type[admin.ModelAdmin[Any]]) -> type[admin.ModelAdmin[Any]]:
    """The same page, whose list filters by nothing but what is offered."""
    return type(page.__name__, (OfferedLookups, page), {"__module__": page.__module__})


def joined(field: str, ending: str) -> str:
    return f"{field}{LOOKUP_SEP}{ending}" if ending else field


def _parameters(shown: Any) -> set[str]:
    """Of one entry of a `list_filter`: a field, a field with its filter, or a filter alone."""
    if isinstance(shown, type):
        return {shown.parameter_name}  # type: ignore[attr-defined]
    field = shown if isinstance(shown, str) else shown[0]
    return {joined(field, ending) for ending in ENDINGS}
