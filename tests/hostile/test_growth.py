"""No text, from any source or in any query, costs more than in proportion to its size."""

from __future__ import annotations

import re

import pytest

from tests.hostile.growth import quickest, steep
from tests.hostile.inputs import SEEDS, TARGETS, Seed, Target

SIZES = (500, 2_000, 8_000)
FULL_SIZES = (16_000, 64_000, 256_000)


def planted(text: str) -> object:
    return re.search(r"<!--.*?-->", text, re.DOTALL)


def test_a_quadratic_pattern_is_found() -> None:
    target = Target("planted", planted)
    seeds = [Seed("a"), Seed("<!--"), Seed("-->")]
    [found] = steep(target, seeds, (1_000, 4_000, 16_000))
    assert found.seed == Seed("<!--")
    assert found.exponent > 1.8


@pytest.mark.parametrize("unclosed", ["![", "[", "[["])
def test_brackets_that_nothing_closes_cost_about_what_other_signs_cost(unclosed: str) -> None:
    """Growth alone does not show it: for each bracket, the next hundred were looked at again."""
    [page] = [target for target in TARGETS if target.name == "an MDX page"]
    other = quickest(page, Seed("!("), 16_000)
    assert quickest(page, Seed(unclosed), 16_000) < 5 * other


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_time_grows_in_proportion(target: Target) -> None:
    assert steep(target, [seed for seed in SEEDS if seed.after == "!x"], SIZES) == []


@pytest.mark.faults
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_time_grows_in_proportion_at_full_size(target: Target) -> None:
    assert steep(target, SEEDS, FULL_SIZES) == []
