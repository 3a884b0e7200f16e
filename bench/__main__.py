"""Measure how fast this installation is, on this machine, against what cannot be spared.

    python -m bench [quick|standard|full] [--topics N] [--only loads,workers] [--json FILE]
                    [--against CHECKOUT]

Everything runs below .data/bench (or BENCH_DIR) with a database of its own; the material is made,
nothing is downloaded. quick takes under two minutes, standard (7,000 topics) fifteen, full an hour
and more. Exits with 1 when a bound is missed by more than --slack times.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import django

from bench import workspace

workspace.enter()
django.setup()

from bench import ingest  # noqa: E402
from bench.measures import MEASURES, SIZES, Finding, Size  # noqa: E402
from bench.report import line, machine, table  # noqa: E402


def main() -> None:
    given = _arguments()
    ingest.prepare()
    findings: list[Finding] = []
    size = _size(given)
    for name in given.only.split(",") if given.only else size.measures:
        for finding in MEASURES[name](size):
            findings.append(finding)
            sys.stderr.write(f"{line(finding)}\n")
            _keep(given, findings)  # at once: a long measure may be broken off
    sys.stdout.write(f"{table(findings)}\n{given.json}\n")
    sys.exit(0 if all(finding.within(given.slack) for finding in findings) else 1)


def _keep(given: argparse.Namespace, findings: list[Finding]) -> None:
    facts = {"machine": machine(), "size": given.size, "topics": _size(given).topics}
    found = [asdict(finding) | {"held": finding.held} for finding in findings]
    given.json.write_text(json.dumps(facts | {"findings": found}, indent=1, default=str))


def _size(given: argparse.Namespace) -> Size:
    size = replace(SIZES[given.size], against=given.against)
    return replace(size, topics=given.topics) if given.topics else size


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("size", nargs="?", choices=SIZES, default="standard")
    parser.add_argument("--only", default="", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--json", type=Path, default=workspace.FOLDER / "result.json")
    parser.add_argument("--topics", type=int, help="of the main measures, instead of the size's")
    parser.add_argument("--against", type=Path, help="another checkout, for the measure cpu")
    parser.add_argument("--slack", type=float, default=3.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
