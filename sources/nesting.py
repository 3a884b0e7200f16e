"""How deeply JSON is nested. Python follows it by recursion, and fails at a thousand levels."""

from __future__ import annotations

from typing import Any

MOST_LEVELS = 20  # options of parsers take three
TOO_DEEP = f"It is nested more than {MOST_LEVELS} levels deep: take the inner levels out."


def is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MOST_LEVELS + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
