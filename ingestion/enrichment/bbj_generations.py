"""Which BBj generations a program's code is written for, by the features it uses."""

from __future__ import annotations

import re

MARKS: dict[str, tuple[str, ...]] = {
    "bbj_gui": (
        r"\bBBjAPI\s*\(\s*\)",
        r"\b(?:get|open)?SysGui\b",
        r"\bprocess_events\b",
        r"\badd(?:Window|Button)\s*\(",
        r"\bsetCallback\s*\(",
        r"\bBBjTopLevelWindow\b",
    ),
    "dwc": (
        r"\bBBjHtmlView\b",
        r"\bBBjWebComponent\b",
        r"\bsetCss\w*\s*\(",
        r"\baddStyle\s*\(",
        r"\bBBjNavigator\b",
        r"\bgetWebManager\b",
        r"(?<![A-Za-z0-9])dwc-[a-z]",
    ),
}
FALLBACK = "all"

_PATTERNS = {
    generation: re.compile("|".join(marks), re.IGNORECASE) for generation, marks in MARKS.items()
}


def bbj_generations(code: str) -> tuple[str, ...]:
    """Each generation whose features occur in `code` (a program without its remarks), else `all`.

    A DWC program is a GUI program too, so both may be given.
    """
    found = tuple(name for name, pattern in _PATTERNS.items() if pattern.search(code))
    return found or (FALLBACK,)
