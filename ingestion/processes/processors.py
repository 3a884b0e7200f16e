"""How many processors this process may use."""

from __future__ import annotations

import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of a period, and its length


def usable(quota: Path = QUOTA) -> int:
    """The processors that this process may run on, or those that its container's quota is worth."""
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(processors, _allowed(quota) or processors))


def _allowed(quota: Path) -> int:
    """What a quota is worth, rounded down; 0 without one."""
    try:
        share, period = quota.read_text().split()
        return max(1, int(share) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return 0
