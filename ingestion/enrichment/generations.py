"""Which BBj generations a documentation topic is about.

Signals add up to a score, and a generation needs `THRESHOLD`. The tables follow BASIS's
documentation project: folders below Content, condition tags, and words of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

GENERATIONS = ("all", "character", "vpro5", "bbj_gui", "dwc")
UNTAGGED = "untagged"
AUTO = "auto"
THRESHOLD = 0.3

PATH_WEIGHT = 0.6
PATHS: dict[str, str] = {
    **dict.fromkeys(
        (
            "bbjobjects/",
            "bbjevents/",
            "bbjinterfaces/",
            "gridmethods/",
            "gridctrl/",
            "bui/",
            "appbuildingblocks/",
            "mnemonic/sysgui/",
            "commands/bbj-commands/",
            "commands/bbj-variables/",
        ),
        "bbj_gui",
    ),
    "dwc/": "dwc",
    "mnemonic/terminal/": "character",
    **dict.fromkeys(
        ("guibuild/", "formbuilder/", "resbuild/", "rescomp/", "resprops/", "ddbuild/"), "vpro5"
    ),
    **dict.fromkeys(
        (
            "commands/",
            "events/",
            "sendmsg/",
            "sysadmin/",
            "config/",
            "usr/",
            "dataserv/",
            "b3odbc/",
            "bbutil/",
            "util/",
            "eus/",
        ),
        "all",
    ),
}

CONDITIONS: dict[str, tuple[str, float]] = {
    "primary.guibuild_chm": ("vpro5", 0.5),
    "primary.resbuild_chm": ("vpro5", 0.5),
    "primary.ddbuild_chm": ("vpro5", 0.5),
    "primary.config_chm": ("all", 0.3),
    "primary.emhelp": ("all", 0.3),
    "primary.bdthelp": ("all", 0.3),
}
DEPRECATED = frozenset(("primary.deprecated", "primary.superseded"))

CONTENT_WEIGHT = 0.4
CONTENT: dict[str, tuple[str, ...]] = {
    "bbj_gui": ("process_events", "bbjapi()", "sysgui"),
    "dwc": ("dynamic web client", "DWC", "bbjwebcomponent", "web component"),
    "character": (
        "character mode",
        "character-mode",
        "green screen",
        "green-screen",
        "terminal emulation",
    ),
    "vpro5": ("visual pro/5", "vpro5", "vpro/5", "gui builder", "guibuilder", "resource compiler"),
}
_PARTS_OF_WORDS = frozenset(("sysgui", "bbjwebcomponent"))


def generations_of(
    path: str, conditions: Iterable[str], content: str, tag: str = AUTO
) -> tuple[str, ...]:
    """The generations of a topic, in the order of `GENERATIONS`, or `untagged`.

    `path` is relative to the project's Content folder, or to the root of the published site. `tag`
    is the source's generation for all its documents; it is added unless it is `auto` or empty.
    """
    totals = dict.fromkeys(GENERATIONS, 0.0)
    for generation, weight in _signals(path, conditions, content):
        totals[generation] += weight
    given = [name for name, total in totals.items() if total >= THRESHOLD] or [UNTAGGED]
    if tag and tag != AUTO and tag not in given:
        given.append(tag)
    return tuple(given)


def _signals(path: str, conditions: Iterable[str], content: str) -> Iterable[tuple[str, float]]:
    place = path.replace("\\", "/").lstrip("/").casefold()
    prefix = max((prefix for prefix in PATHS if place.startswith(prefix)), key=len, default=None)
    if prefix:
        yield PATHS[prefix], PATH_WEIGHT
    for condition in conditions:
        if condition.strip().casefold() in CONDITIONS:
            yield CONDITIONS[condition.strip().casefold()]
    for generation in _generations_in(content):
        yield generation, CONTENT_WEIGHT


def _generations_in(content: str) -> Iterator[str]:
    """The generations whose phrases occur as whole words, ignoring case except for capitals."""
    folded = content.casefold()
    for generation, phrases in CONTENT.items():
        if any(_occurs(p, content if p.isupper() else folded) for p in phrases):
            yield generation


def _occurs(phrase: str, text: str) -> bool:
    """Whether the phrase occurs as whole words; a plain search first, because patterns are slow."""
    if phrase not in text:
        return False
    return phrase in _PARTS_OF_WORDS or _pattern(phrase).search(text) is not None


@cache
def _pattern(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(phrase)}s?(?!\w)")


def is_deprecated(conditions: Iterable[str]) -> bool:
    """Whether a topic's own conditions mark it as deprecated or superseded."""
    return any(condition.strip().casefold() in DEPRECATED for condition in conditions)
