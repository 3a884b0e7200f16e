"""What was found, as a table; and where."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from bench.measures import Finding
from ingestion.processes import processors


def machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": processors.usable(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def line(finding: Finding) -> str:
    return f"{finding.name}: {ratio(finding)}  {finding.note}"


def ratio(finding: Finding) -> str:
    return f"{finding.ratio:.3g} {finding.unit}".strip()


def bound(finding: Finding) -> str:
    if finding.most is not None:
        return f"<= {finding.most:g}"
    return f">= {finding.least:g}" if finding.least is not None else ""


def table(findings: Iterable[Finding]) -> str:
    """As Markdown: the ratio, what it should be, and the figures behind it."""
    rows = [
        f"| {f.name} | {ratio(f)} | {bound(f)} | {'yes' if f.held else 'no'} | {f.note} |\n"
        for f in findings
    ]
    return "| | ratio | bound | held | |\n|---|---|---|---|---|\n" + "".join(rows)
