"""Whether search answers as well as the kept figures say, on the sample data or real material.

    python -m tests.scripts.kept_figures sample [--keep]
    BBJRAG_CORPUS=... python -m tests.scripts.kept_figures corpus [--keep]

Ingests everything into an installation of its own, with the embedded model and the defaults of all
settings, and asks the questions; the real material without late interaction, which takes a quarter
of an hour to prepare. Exits with 1 if a figure over all questions fell by more than
MARGIN, and names the questions that fell. `--keep` keeps the figures instead.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django

from bbjrag import env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bbjrag.settings")
django.setup()

from ingestion.search import comparison, evaluation  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
STATE = ROOT / ".data" / "evaluation"
MANAGE = (sys.executable, "manage.py")
MODE = "hybrid"
FIGURES = ("mrr", "recall@10", "within 4000")
MARGIN = 0.02
# Name, parser, paths below BBJRAG_CORPUS, options.
CORPUS: tuple[tuple[str, str, str, dict[str, list[str]]], ...] = (
    ("laserfiche", "FlareParser", "flare/laserfiche-cloud", {}),
    ("statsdirect", "FlareParser", "flare/statsdirect", {}),
    ("mdx-dwc", "MdxParser", "mdx/dwc-course/docs", {}),
    ("mdx-beginner", "MdxParser", "mdx/bbj-beginner-course/docs", {}),
    ("mdx-strategy", "MdxParser", "mdx/bbj-ai-strategy/docs", {}),
    ("mdx-redux", "MdxParser", "mdx/redux-toolkit/docs", {}),
    ("bbj-source", "BbjSourceParser", "bbj-source", {}),
    ("pdf", "PdfParser", "pdf", {"exclude": ["damaged-*"]}),
    ("javadoc", "JavaDocParser", "javadoc", {}),
)


@dataclass(frozen=True)
class Material:
    """What is read and asked. `served` is a command before the one that reads it."""

    name: str
    questions: Path
    half: str
    served: tuple[str, ...]
    data_dir: str

    @property
    def kept(self) -> Path:
        return DATA / f"evaluation_{self.name}.json"


def material(name: str) -> Material:
    """Exits if the real material is asked for and BBJRAG_CORPUS does not name it."""
    if name == "sample":
        serve = (sys.executable, "sample_data/serve.py")
        return Material(name, DATA / "questions_sample.jsonl", "", serve, "")
    corpus = os.environ.get("BBJRAG_CORPUS", "")
    if not corpus:
        sys.exit("BBJRAG_CORPUS names no folder of real material.")
    return Material(name, DATA / "questions_passages.jsonl", "tune", (), corpus)


class Installation:
    """An empty one, which is made again each time: what is measured depends on the code alone."""

    def __init__(self, chosen: Material) -> None:
        self.chosen = chosen
        self.state = STATE / chosen.name
        kept = {name: value for name, value in os.environ.items() if name not in env.listed()}
        self.environment = kept | {
            "ENV_FILE": os.devnull,
            "STATE_DIR": str(self.state),
            "EMBEDDED_POSTGRES_SETTINGS": "fsync=off,synchronous_commit=off,full_page_writes=off",
            "LOG_LEVEL": "ERROR",
        }
        if chosen.data_dir:
            self.environment |= {"DATA_DIR": chosen.data_dir, "LATE_INTERACTION": "false"}

    def run(self, *command: str, well: tuple[int, ...] = (0,)) -> None:
        """Exits with what the command says if it ends otherwise than `well`."""
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        if done.returncode not in well:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def report(self) -> dict[str, Any]:
        """Read everything, ask, and say how well search answers."""
        self.run(*MANAGE, "migrate", "--verbosity", "0")
        # 1: some documents cannot be read, which is so of real material.
        self.run(*self.chosen.served, *MANAGE, "ingest_all", *self._sources(), well=(0, 1))
        saved = self.state / "report.json"
        self.run(*MANAGE, "late_interaction")
        asked = (str(self.chosen.questions), "--half", self.chosen.half)
        self.run(*MANAGE, "evaluate", *asked, "--mode", MODE, "--save", str(saved))
        return evaluation.read_report(saved)

    def _sources(self) -> Iterator[str]:
        """What chooses the sources to read; of the real material they are stored first."""
        if self.chosen.name == "sample":
            return
        file = self.state / "sources.json"
        rows = [
            {"name": name, "title": name, "parser": parser, "paths": [path], "options": options}
            for name, parser, path, options in CORPUS
        ]
        told = {"format": "bbjrag sources", "version": 1, "sources": rows}
        file.write_text(json.dumps(told))
        self.run(*MANAGE, "import_sources", "--apply", str(file))
        for name, *_ in CORPUS:
            yield from ("--source", name)


@contextmanager
def installation(chosen: Material) -> Iterator[Installation]:
    made = Installation(chosen)
    if made.state.exists():
        made.run(*MANAGE, "postgres", "stop")
    shutil.rmtree(made.state, ignore_errors=True)
    made.state.mkdir(parents=True)
    try:
        yield made
    finally:
        made.run(*MANAGE, "postgres", "stop")


def figures(report: Mapping[str, Any]) -> dict[str, float]:
    scores = report[MODE]["scores"][evaluation.ALL]
    return {name: scores[name] for name in FIGURES}


def fallen(now: Mapping[str, Any], kept: Mapping[str, Any]) -> list[str]:
    """A sentence for each figure that fell by more than MARGIN."""
    before, after = figures(kept), figures(now)
    return [
        f"{name} fell from {before[name]:.3f} to {after[name]:.3f}, by more than {MARGIN}."
        for name in FIGURES
        if before[name] - after[name] > MARGIN
    ]


def judge(now: Mapping[str, Any], kept: Mapping[str, Any]) -> int:
    """Print what changed; 1 if search answers worse than it did."""
    before = figures(kept)
    for name, value in figures(now).items():
        print(f"{name:12} {value:.3f} (kept: {before[name]:.3f})")
    problems = fallen(now, kept)
    for text in problems:
        print(text)
    for one in comparison.moved(now[MODE], kept[MODE]) if problems else ():
        if one.gain < 0:
            print(f"place {[*one.before]} -> {[*one.after]} (0: not found): {one.query}")
    return 1 if problems else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("material", choices=("sample", "corpus"))
    parser.add_argument("--keep", action="store_true", help="keep the figures of now")
    given = parser.parse_args(arguments)
    chosen = material(given.material)
    if not given.keep and not chosen.kept.exists():
        sys.exit(f"No figures of the {chosen.name} are kept yet: run make evaluate-sample-keep.")
    with installation(chosen) as made:
        report = made.report()
    if given.keep:
        chosen.kept.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n")
        print(f"Kept {figures(report)} in {chosen.kept.relative_to(ROOT)}.")
        return 0
    return judge(report, evaluation.read_report(chosen.kept))


if __name__ == "__main__":
    raise SystemExit(main())
