"""The processors that a process may use, also where a container has a share of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingestion.processes import processors


@pytest.mark.parametrize(
    ("quota", "worth"), [("150000 100000", 1), ("50000 100000", 1), ("max 100000", 0), ("", 0)]
)
def test_a_quota_is_rounded_down(tmp_path: Path, quota: str, worth: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    everything = len(os.sched_getaffinity(0))
    assert processors.usable(file) == (min(worth, everything) or everything)


def test_without_a_quota_all_count(tmp_path: Path) -> None:
    assert processors.usable(tmp_path / "missing") == len(os.sched_getaffinity(0))
