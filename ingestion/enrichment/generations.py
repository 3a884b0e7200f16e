"""Which BBj generations a documentation topic is about.

Signals add up; a generation whose total reads `THRESHOLD` or more is given. The tables are those of
BASIS's documentation project: folders below Content, condition tags, and words of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

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
CONTENT: dict[str, re.Pattern[str]] = {
    "bbj_gui": re.compile(r"\bPROCESS_EVENTS\b|\bBBjAPI\s*\(\s*\)|SysGUI", re.IGNORECASE),
    "dwc": re.compile(
        r"\bDWC\b|(?i:\bDynamic\s+Web\s+Client\b|\bBBjWebComponent|\bweb\s+components?\b)"
    ),
    "character": re.compile(
        r"\bcharacter[ -]mode\b|\bgreen[ -]screens?\b|\bterminal\s+emulation\b", re.IGNORECASE
    ),
    "vpro5": re.compile(
        r"\bVisual\s+PRO/5|\bVPRO/?5\b|\bGUI\s?Builder\b|\bResource\s+Compiler\b", re.IGNORECASE
    ),
}


def generations_of(
    path: str, conditions: Iterable[str], content: str, tag: str = AUTO
) -> tuple[str, ...]:
    """The generations of a topic, in the order of `GENERATIONS`; `untagged` where nothing tells.

    `path` is relative to the project's Content folder, or to the root of the published site. `tag`
    is what the source says of all its documents, and is added unless it is `auto` or empty.
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
    for generation, pattern in CONTENT.items():
        if pattern.search(content):
            yield generation, CONTENT_WEIGHT


def is_deprecated(conditions: Iterable[str]) -> bool:
    """Whether a topic's own conditions say that it is deprecated or superseded."""
    return any(condition.strip().casefold() in DEPRECATED for condition in conditions)
