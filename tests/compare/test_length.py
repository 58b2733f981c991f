"""The win rate at equal length, against statsmodels, by hand, and by simulation."""

from __future__ import annotations

import numpy
import pytest
from numpy.typing import NDArray

from tunesmith.compare.length import fit, length_controlled

Array = NDArray[numpy.float64]


def made(seed: int, n: int, *, gain: float, pull: float) -> tuple[Array, Array]:
    """Outcomes (n,) and length differences (n,): quality speaks for tuned by `gain` logits, length by `pull`."""
    generator = numpy.random.default_rng(seed)
    differences = generator.normal(80, 100, n).round()
    chance = 1 / (1 + numpy.exp(-(gain + pull * numpy.tanh(differences / differences.std()))))
    outcomes = (generator.random(n) < chance).astype(float)
    outcomes[generator.random(n) < 0.15] = 0.5
    return outcomes, differences


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("seed", range(5))
def test_equals_statsmodels(seed: int) -> None:
    import statsmodels.api as sm

    outcomes, differences = made(seed, 60, gain=0.4, pull=1.0)
    measure = numpy.tanh(differences / differences.std())
    weights = numpy.random.default_rng(seed).integers(0, 4, (3, 60)).astype(float)
    found, is_penalised = fit(outcomes, measure, weights)
    assert not is_penalised.any()
    for row, own in zip(weights, found, strict=True):
        oracle = sm.GLM(
            outcomes, sm.add_constant(measure), family=sm.families.Binomial(), freq_weights=row
        ).fit(tol=1e-12)
        assert own == pytest.approx(oracle.params, abs=1e-6)
    whole = sm.GLM(outcomes, sm.add_constant(measure), family=sm.families.Binomial()).fit(tol=1e-12)
    rate = length_controlled(outcomes, differences, numpy.arange(60), confidence=0.95, draws=50, seed=1)
    assert rate.value == pytest.approx(1 / (1 + numpy.exp(-whole.params[0])), abs=1e-6)
    assert rate.slope == pytest.approx(whole.params[1], abs=1e-6)


def test_equal_lengths_leave_the_rate_as_it_is() -> None:
    outcomes = numpy.array([1.0, 1.0, 0.5, 0.0])
    found = length_controlled(outcomes, numpy.zeros(4), numpy.arange(4), confidence=0.95, draws=200, seed=1)
    assert found.value == pytest.approx(2.5 / 4)
    assert found.notes == ()


def test_a_judge_that_counts_words_is_seen_through() -> None:
    """The longer answer always wins, tuned is mostly longer: 80 % won, and about half of it at equal length."""
    differences = numpy.arange(-11.5, 48) * 10
    outcomes = (differences > 0).astype(float)
    found = length_controlled(outcomes, differences, numpy.arange(60), confidence=0.95, draws=500, seed=1)
    assert outcomes.mean() == 0.8
    assert found.value == pytest.approx(0.5, abs=0.1)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high
    assert "Firth" in found.notes[0]


def test_firths_penalty_on_separated_data_by_a_grid() -> None:
    """The penalised likelihood is l + ½ ln det I; its maximum is looked for on a grid."""
    outcomes, measure = (
        numpy.array([0.0, 0, 0, 1, 1, 1, 1]),
        numpy.array([-0.9, -0.4, -0.2, 0.1, 0.3, 0.5, 0.8]),
    )
    found, is_penalised = fit(outcomes, measure, numpy.ones((1, 7)))
    assert is_penalised.all()

    def penalised(intercept: float, slope: float) -> float:
        chance = 1 / (1 + numpy.exp(-(intercept + slope * measure)))
        spread = chance * (1 - chance)
        information = numpy.array([[spread.sum(), spread @ measure], [spread @ measure, spread @ measure**2]])
        fitted = outcomes * numpy.log(chance) + (1 - outcomes) * numpy.log(1 - chance)
        return float(fitted.sum() + 0.5 * numpy.log(numpy.linalg.det(information)))

    at = penalised(*found[0])
    for step in (0.01, 0.1, 1.0):
        for intercept, slope in ((step, 0), (-step, 0), (0, step), (0, -step), (step, step), (-step, step)):
            assert penalised(found[0, 0] + intercept, found[0, 1] + slope) < at


def test_what_cannot_be_told_apart_is_said() -> None:
    outcomes = numpy.array([1.0, 0.0, 1.0])
    same = length_controlled(outcomes, numpy.full(3, 9.0), numpy.arange(3), confidence=0.95, draws=50, seed=1)
    assert same.value is None
    assert "same amount" in same.notes[0]
    longer = length_controlled(
        numpy.array([1.0, 0, 1, 0, 1]),
        numpy.array([5.0, 9, 14, 20, 22]),
        numpy.arange(5),
        confidence=0.95,
        draws=50,
        seed=1,
    )
    assert longer.notes == ("tuned is longer in every item, so the rate at equal length is an extrapolation",)
    assert (
        length_controlled(
            numpy.empty(0), numpy.empty(0), numpy.empty(0, int), confidence=0.95, draws=9, seed=1
        ).value
        is None
    )


def test_no_gain_but_longer_answers_is_no_gain_and_a_gain_is_kept() -> None:
    """100 simulated judges that like length: raw rates are above one half, and those at equal length are not."""
    none = [made(seed, 150, gain=0.0, pull=1.2) for seed in range(100)]
    raw = numpy.mean([outcomes.mean() for outcomes, _ in none])
    assert raw > 0.6
    found = [
        length_controlled(outcomes, differences, numpy.arange(150), confidence=0.95, draws=200, seed=1)
        for outcomes, differences in none
    ]
    assert numpy.mean([one.value for one in found]) == pytest.approx(0.5, abs=0.02)
    covered = sum(one.low <= 0.5 <= one.high for one in found)  # type: ignore[operator]
    assert covered >= 89, "fewer than 89 of 100 happens once in 500 with true 95 % intervals"
    real = [made(seed, 150, gain=0.6, pull=1.2) for seed in range(30)]
    kept = [
        length_controlled(outcomes, differences, numpy.arange(150), confidence=0.95, draws=50, seed=1).value
        for outcomes, differences in real
    ]
    # ties in 15 of 100 items pull the rate of 1 / (1 + e^-0.6) = 0.646 towards one half: 0.85 * 0.646 + 0.15 * 0.5
    assert numpy.mean(kept) == pytest.approx(0.624, abs=0.03)  # type: ignore[type-var]


def test_sources_are_resampled_and_not_items() -> None:
    """Ten copies of each item in one source say no more than one copy."""
    outcomes, differences = made(3, 30, gain=0.3, pull=0.5)
    single = length_controlled(outcomes, differences, numpy.arange(30), confidence=0.95, draws=500, seed=1)
    clusters = numpy.repeat(numpy.arange(30), 10)
    tenfold = length_controlled(
        numpy.repeat(outcomes, 10),
        numpy.repeat(differences, 10),
        clusters,
        confidence=0.95,
        draws=500,
        seed=1,
    )
    assert (tenfold.value, tenfold.low, tenfold.high) == pytest.approx(
        (single.value, single.low, single.high)
    )
