"""Measure how fast this installation is, on this machine, against what cannot be spared.

    python -m bench [quick|standard|full] [--only loads,workers] [--json FILE]

Everything runs below .data/bench (or BENCH_DIR) with a database of its own; the material is made,
nothing is downloaded. quick takes under two minutes, standard (7,000 topics) under twenty, full
hours. Exits with 1 when a bound is missed by more than --slack times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import place  # isort: skip  # sets the environment that the settings are read from

import django
import psutil

django.setup()

from bench import ingest  # noqa: E402
from bench.measures import MEASURES, SIZES, Finding  # noqa: E402


def main() -> None:
    given = _arguments()
    ingest.prepare()
    findings: list[Finding] = []
    for name in given.only.split(","):
        for finding in MEASURES[name](SIZES[given.size]):
            findings.append(finding)
            sys.stderr.write(f"{line(finding)}\n")
    sys.stdout.write(table(findings))
    facts = {"machine": machine(), "size": given.size}
    found = [asdict(finding) | {"held": finding.held} for finding in findings]
    given.json.write_text(json.dumps(facts | {"findings": found}, indent=1, default=str))
    sys.stdout.write(f"\n{given.json}\n")
    sys.exit(0 if all(finding.within(given.slack) for finding in findings) else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("size", nargs="?", choices=SIZES, default="standard")
    parser.add_argument("--only", default=",".join(MEASURES), help=", ".join(MEASURES))
    parser.add_argument("--json", type=Path, default=place.FOLDER / "result.json")
    parser.add_argument("--slack", type=float, default=3.0)
    return parser.parse_args()


def machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
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


def table(findings: list[Finding]) -> str:
    """As Markdown: the ratio, what it should be, and the figures behind it."""
    rows = [
        f"| {f.name} | {ratio(f)} | {bound(f)} | {'yes' if f.held else 'no'} | {f.note} |\n"
        for f in findings
    ]
    return "| | ratio | bound | held | |\n|---|---|---|---|---|\n" + "".join(rows)


if __name__ == "__main__":
    main()
