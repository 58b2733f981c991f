"""The spread between trainings beside the spread between items, by hand and against scipy."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest
from scipy import stats

from tests.compare.made import comparisons, mean_of, scores
from tunesmith.compare.seeds import spread_over_seeds
from tunesmith.compare.stage import CompareOptions, compare_systems
from tunesmith.errors import InputError
from tunesmith.records import Comparison

RNG = numpy.random.default_rng(2)
BASE = RNG.uniform(0.2, 0.6, size=60)
NOISE = RNG.normal(0, 0.1, size=60)


def trained(*effects: float) -> list[Comparison]:
    """Trainings that are better than the base by these amounts on average, item by item with the same noise."""
    rows = scores("base", list(BASE))
    for number, effect in enumerate(effects):
        rows += scores(f"seed{number}", list(BASE + NOISE - NOISE.mean() + effect))
    return comparisons(list(compare_systems(rows, [mean_of(bounds=(None, None))])))


def test_trainings_and_items_are_told_apart() -> None:
    effects = (0.02, 0.05, 0.11)
    found = spread_over_seeds(trained(*effects))
    expected = stats.ttest_1samp(effects, 0).confidence_interval(0.95)
    assert found.difference == pytest.approx(0.06)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.seed_deviation == pytest.approx(numpy.std(effects, ddof=1))
    assert found.item_error == pytest.approx(NOISE.std(ddof=1) / 60**0.5, rel=0.03)
    assert (found.systems, found.n_better) == (("seed0", "seed1", "seed2"), 3)
    assert found.words.startswith(
        "3 trainings, 3 of them better than base: +0.060 rougeL on average (95% interval over"
    )
    assert "A training's luck moves it by 0.046, the choice of items by 0.01" in found.words
    assert found.words.endswith("From 3 trainings this is a rough figure.")


def test_one_training_has_no_spread() -> None:
    found = spread_over_seeds(trained(0.05))
    assert (found.low, found.seed_deviation) == (None, None)
    assert found.words == "1 training: +0.050 rougeL; no spread between trainings."


def test_worse_trainings_are_not_counted_as_better() -> None:
    assert spread_over_seeds(trained(0.05, -0.02)).n_better == 1
    lower = [replace(record, higher_is_better=False) for record in trained(0.05, -0.02, -0.04)]
    assert spread_over_seeds(lower).n_better == 2


def test_two_recipes_of_several_trainings_each_are_compared_by_welch() -> None:
    of_base, of_tuned = (0.0, 0.04), (0.05, 0.06, 0.13)
    found = []
    for number, effect in enumerate(of_base):
        rows = scores(f"base{number}", list(BASE + effect))
        for seed, other in enumerate(of_tuned):
            rows += scores(f"seed{seed}", list(BASE + NOISE - NOISE.mean() + other))
        options = CompareOptions(base=f"base{number}")
        found += comparisons(list(compare_systems(rows, [mean_of(bounds=(None, None))], options)))
    spread = spread_over_seeds(found)
    expected = stats.ttest_ind(of_tuned, of_base, equal_var=False).confidence_interval(0.95)
    assert spread.difference == pytest.approx(0.06)
    assert (spread.low, spread.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert spread.seed_deviation == pytest.approx(numpy.std(of_tuned, ddof=1))
    assert spread.base_deviation == pytest.approx(numpy.std(of_base, ddof=1))
    assert (spread.bases, spread.n_better) == (("base0", "base1"), 6)
    assert spread.words.startswith("3 trainings against 2 of the base, 6 of 6 pairs better: +0.060 rougeL")


def test_a_training_without_a_verdict_leaves_the_recipe_without_one() -> None:
    first, second = trained(0.05, 0.06)
    failed = replace(second, difference=None, verdict="invalid", words="No verdict on rougeL: 9 of 60 items.")
    spread = spread_over_seeds([first, failed])
    assert (spread.difference, spread.low) == (None, None)
    assert spread.words == "No verdict on rougeL over trainings: No verdict on rougeL: 9 of 60 items."


def test_what_does_not_belong_together() -> None:
    first, second = trained(0.05, 0.06)
    with pytest.raises(InputError, match="not compared on the same metric"):
        spread_over_seeds([first, replace(second, metric="bleu")])
    with pytest.raises(InputError, match="not every training was compared once with every base"):
        spread_over_seeds([first, replace(second, base="other")])
    with pytest.raises(InputError, match="not every training was compared once"):
        spread_over_seeds([first, first])
    with pytest.raises(InputError, match="no trainings"):
        spread_over_seeds([])
