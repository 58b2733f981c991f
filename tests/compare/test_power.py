"""Sizes of test sets against the textbook, statsmodels, and simulation."""

from __future__ import annotations

import numpy
import pytest
from scipy.stats import ttest_1samp
from statsmodels.stats.power import TTestPower

from tests.compare.made import comparisons, mean_of, scores
from tunesmith.compare.power import Spread, detectable_difference, needed_items, pilot_spread
from tunesmith.compare.stage import CompareOptions, compare_systems
from tunesmith.errors import InputError


@pytest.mark.parametrize(("n", "expected"), [(50, 0.40), (100, 0.28), (200, 0.20), (500, 0.13), (1000, 0.09)])
def test_the_usual_table(n: int, expected: float) -> None:
    assert detectable_difference(n, Spread(1.0)) == pytest.approx(expected, abs=0.006)


def test_accuracy_with_a_fifth_of_the_items_discordant() -> None:
    # a difference of -1, 0 or 1 that is 0 in four fifths of the items has standard deviation sqrt(0.2)
    assert detectable_difference(200, Spread(0.2**0.5)) == pytest.approx(0.089, abs=0.001)


@pytest.mark.parametrize("effect", [0.15, 0.3, 1.2])
def test_needed_items_are_statsmodels(effect: float) -> None:
    expected = TTestPower().solve_power(effect_size=effect, alpha=0.05, power=0.8)
    assert needed_items(effect, Spread(1.0)) == int(numpy.ceil(expected))
    assert needed_items(-2 * effect, Spread(2.0)) == int(numpy.ceil(expected))


def test_items_of_one_source_are_worth_less() -> None:
    # 1 + (5 - 1) 0.5 = 3 times as many, and a little more because degrees of freedom count sources
    alone, together = needed_items(0.2, Spread(1.0)), needed_items(0.2, Spread(1.0, 0.5, 5))
    assert together % 5 == 0
    assert 3 * alone <= together <= 3.1 * alone
    assert needed_items(0.2, Spread(1.0, 1.0, 5)) >= 5 * alone


@pytest.mark.parametrize(
    ("effect", "spread"), [(0.3, Spread(1.0, 0.4, 4)), (0.5, Spread(1.0, 0.8, 10)), (0.25, Spread(1.0))]
)
def test_the_promised_power_is_there(effect: float, spread: Spread) -> None:
    rng = numpy.random.default_rng(4)
    size = round(spread.per_source)
    n_sources = needed_items(effect, spread) // size
    runs = 3000
    shared = rng.normal(size=(runs, n_sources, 1)) * spread.correlation**0.5
    own = rng.normal(size=(runs, n_sources, size)) * (1 - spread.correlation) ** 0.5
    means = (effect + shared + own).mean(
        axis=2
    )  # with equal sizes the clustered test is the t test of source means
    found = (ttest_1samp(means, 0, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.03)


def test_a_pilot_tells_what_it_could_have_shown_itself() -> None:
    rng = numpy.random.default_rng(8)
    sources = [f"doc{i // 5}" for i in range(150)]
    shared = numpy.repeat(rng.normal(0, 0.1, size=30), 5)
    base = rng.uniform(0.2, 0.6, size=150)
    rows = scores("base", list(base), sources) + scores(
        "tuned", list(base + shared + rng.normal(0, 0.05, 150)), sources
    )
    spread = pilot_spread(rows, mean_of(), CompareOptions(), tuned="tuned")
    [comparison] = comparisons(list(compare_systems(rows, [mean_of()])))
    assert spread.per_source == 5
    assert detectable_difference(150, spread) == pytest.approx(comparison.smallest_detectable)
    # the true standard error is sqrt((0.1² + 0.05² / 5) / 30)
    assert spread.deviation / 150**0.5 == pytest.approx(((0.01 + 0.0005) / 30) ** 0.5, rel=0.3)


def test_a_pilot_without_spread() -> None:
    rows = scores("base", [0.1, 0.2]) + scores("tuned", [0.1, 0.2])
    with pytest.raises(InputError, match="no spread"):
        pilot_spread(rows, mean_of(), CompareOptions(), tuned="tuned")
    with pytest.raises(InputError, match="no scores of rougeL for base and other"):
        pilot_spread(rows, mean_of(), CompareOptions(), tuned="other")


def test_what_cannot_be_answered() -> None:
    with pytest.raises(InputError, match="difference of 0"):
        needed_items(0, Spread(1.0))
    with pytest.raises(InputError, match="more than 10,000,000 items"):
        needed_items(1e-6, Spread(1.0))
    with pytest.raises(InputError, match="fewer than two sources"):
        detectable_difference(9, Spread(1.0, 0.1, 5))
