"""The figures of search that `make check` compares with those that are kept."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from ingestion.search import evaluation
from tests.scripts import kept_figures

ROOT = Path(__file__).parents[2]


@pytest.fixture
def kept() -> dict[str, Any]:
    return evaluation.read_report(kept_figures.DATA / "evaluation_sample.json")


def worse(kept: dict[str, Any], figure: str, by: float) -> dict[str, Any]:
    now = copy.deepcopy(kept)
    now["hybrid"]["scores"]["all"][figure] -= by
    return now


def test_the_same_figures_pass(kept: dict[str, Any]) -> None:
    assert kept_figures.judge(kept, kept) == 0


@pytest.mark.parametrize("figure", kept_figures.FIGURES)
def test_a_figure_that_fell_fails_beyond_the_margin(
    kept: dict[str, Any], figure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kept_figures.judge(worse(kept, figure, 0.019), kept) == 0
    assert kept_figures.judge(worse(kept, figure, 0.021), kept) == 1
    assert f"{figure} fell from" in capsys.readouterr().out


def test_the_questions_that_fell_are_named(
    kept: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    now = worse(kept, "mrr", 0.1)
    now["hybrid"]["questions"]["ON_NAV_NEXT"]["places"] = [[3, 900]]
    assert kept_figures.judge(now, kept) == 1
    assert "[1] -> [3] (0: not found): ON_NAV_NEXT" in capsys.readouterr().out


def test_the_kept_figures_are_of_the_questions_of_now(kept: dict[str, Any]) -> None:
    asked = evaluation.read_questions(kept_figures.DATA / "questions_sample.jsonl")
    assert set(kept["hybrid"]["questions"]) == {question.query for question in asked}


def test_make_check_compares_them() -> None:
    makefile = (ROOT / "Makefile").read_text()
    check = makefile[makefile.index("\ncheck:") :].split("\n\n")[0]
    assert "evaluate-sample" in check
