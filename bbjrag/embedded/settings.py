"""The settings of the embedded server, which depend on the memory of the machine."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

MEGABYTE = 1024 * 1024
INDEX_MEGABYTES = 2048
"""At most, to build a vector index in: enough for 1.7 million vectors of 256 dimensions, 800,000 of
1024. A build takes of it what it needs (see ingestion.index.hnsw)."""

# One file for each day of the week, overwritten after a week. Failed statements are left out
# because they may contain a document.
LOGGING = {
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_checkpoints": "off",
    "log_min_error_statement": "fatal",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


MOST_BUILDERS = 16
"""Processes of a build beside its own: more wait for each other."""


def default_settings(memory: int, processors: int = 2) -> dict[str, str]:
    """Server settings for one machine with `memory` bytes that mainly does other things."""
    for_index = _share(memory, INDEX_MEGABYTES)
    builders = max(1, min(processors - 1, MOST_BUILDERS))
    settings = {
        "shared_buffers": f"{_share(memory, 256)}MB",
        "maintenance_work_mem": f"{for_index}MB",
        "max_parallel_maintenance_workers": str(builders),
        "max_parallel_workers": str(max(8, builders)),
        "max_worker_processes": str(8 + builders),
        "effective_cache_size": f"{max(memory // 2 // MEGABYTE, 64)}MB",
        "work_mem": "16MB",
        "max_connections": "100",
        "max_wal_size": "2GB",
        # There is no replica, so what one would need is not written.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "checkpoint_timeout": "10min",
        # The planner overrates the cost of vector queries: compiling takes longer than running.
        "jit": "off",
        "timezone": "UTC",
        "default_text_search_config": "pg_catalog.english",
        **LOGGING,
    }
    if _shared_memory_is_below(2 * for_index):
        settings["dynamic_shared_memory_type"] = "sysv"
    return settings


def memory_limit() -> int:
    """Bytes of memory that this machine or container has."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limit = min(limit, int(Path(path).read_text()))
    return limit


def _share(memory: int, most: int) -> int:
    """An eighth of the memory in megabytes, at least 16 and at most `most`."""
    return max(16, min(most, memory // 8 // MEGABYTE))


def _shared_memory_is_below(megabytes: int) -> bool:
    """Whether /dev/shm, where a parallel build keeps an index, is smaller (containers get 64)."""
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return sys.platform == "linux"
    return found.f_blocks * found.f_frsize < megabytes * MEGABYTE
