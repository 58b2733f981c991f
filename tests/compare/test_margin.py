"""A margin named before the run: equivalent, too small, and what becomes of the other verdicts."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest
from scipy import stats

from tests.compare.made import comparisons, mean_of, scores
from tunesmith.compare.resample import Estimate
from tunesmith.compare.stage import CompareOptions, compare_systems
from tunesmith.compare.verdict import decide, equivalence_p_value
from tunesmith.records import Comparison, Score

RNG = numpy.random.default_rng(4)
BASE = RNG.uniform(0.2, 0.6, size=200)
NOISE = RNG.normal(0, 0.1, size=200)
NOISE -= NOISE.mean()


def compared(effect: float, margin: float | None, n: int = 200, copies: int = 1) -> list[Comparison]:
    rows: list[Score] = scores("base", list(BASE[:n]))
    noise = NOISE[:n] - NOISE[:n].mean()
    for number in range(copies):
        rows += scores(f"tuned{number or ''}", list(BASE[:n] + noise + effect))
    options = CompareOptions(margin=margin)
    return comparisons(list(compare_systems(rows, [mean_of(bounds=(None, None))], options)))


def test_p_is_that_of_two_one_sided_t_tests_doubled() -> None:
    [found] = compared(0.004, 0.03)
    d = NOISE + 0.004
    sides = (
        stats.ttest_1samp(d, 0.03, alternative="less").pvalue,
        stats.ttest_1samp(d, -0.03, alternative="greater").pvalue,
    )
    assert found.p_equivalence == pytest.approx(
        2 * max(sides), rel=0.2
    )  # the bootstrap's error has one of its own


def test_p_is_statsmodels() -> None:
    from statsmodels.stats.weightstats import DescrStatsW

    d = NOISE + 0.012
    expected = DescrStatsW(d).ttost_mean(-0.03, 0.03)[0]
    exact = Estimate(d.mean(), d.std(ddof=1) / 200**0.5, 199, 200)
    assert equivalence_p_value(exact, 0.03, draws=10**6) == pytest.approx(2 * expected)


def test_equivalent_where_the_interval_lies_within_the_margin_and_only_there() -> None:
    # standard error 0.1 / sqrt(200) = 0.007, so the interval reaches 0.014 to each side
    for effect in (0, 0.004, -0.01, 0.013, -0.017, 0.02):
        [found] = compared(effect, 0.025)
        assert found.low is not None
        assert found.high is not None
        lies_within = found.low > -0.025 and found.high < 0.025
        assert (found.verdict == "equivalent") == lies_within


def test_a_difference_that_is_there_and_does_not_matter_is_equivalent() -> None:
    [found] = compared(0.02, 0.2)
    assert found.p is not None
    assert found.p < 0.05
    assert (found.verdict, found.margin) == ("equivalent", 0.2)
    [without] = compared(0.02, None)
    assert (without.verdict, without.margin, without.p_equivalence) == ("better", None, None)


def test_too_small_where_a_difference_of_the_margin_would_be_missed() -> None:
    [few] = compared(0.01, 0.03, n=20)
    assert few.smallest_detectable is not None
    assert few.smallest_detectable > 0.03
    assert few.verdict == "too small"
    [many] = compared(0.0135, 0.025)  # 2.8 standard errors are 0.02: it would have been seen
    assert many.verdict == "no evidence"
    [clear] = compared(0.5, 0.03, n=20)
    assert clear.verdict == "better"


def test_fixed_words() -> None:
    [equal] = compared(0, 0.05)
    assert equal.words == (
        f"tuned and base are equivalent on rougeL: {equal.tuned_value:.3f} against {equal.base_value:.3f}, difference "
        f"{equal.difference:+.3f} (95% interval {equal.low:+.3f} to {equal.high:+.3f}), within the margin of 0.05 that "
        "was named beforehand, 200 items from 200 sources."
    )
    [small] = compared(0, 0.001)
    assert small.words == (
        f"The test set is too small to tell tuned from base on rougeL: {small.tuned_value:.3f} against "
        f"{small.base_value:.3f}, difference {small.difference:+.3f} (95% interval {small.low:+.3f} to "
        f"{small.high:+.3f}), 200 items from 200 sources; this test would have seen {small.smallest_detectable:.3f} or "
        "more in 80% of cases, and the margin that was named beforehand is 0.001."
    )


def test_several_systems_are_corrected_for() -> None:
    [alone] = compared(0, 0.0165)
    assert alone.verdict == "equivalent"
    many = compared(0, 0.0165, copies=6)
    assert alone.p_equivalence is not None
    assert {found.verdict for found in many} == {"too small"}
    assert many[0].p_equivalence == pytest.approx(6 * alone.p_equivalence, rel=0.1)


def test_other_metrics_have_no_margin() -> None:
    rows = [
        replace(row, metric=name)
        for name in ("rougeL", "other")
        for row in scores("base", list(BASE)) + scores("tuned", list(BASE + NOISE))
    ]
    found = comparisons(
        list(compare_systems(rows, [mean_of(), mean_of("other")], CompareOptions(margin=0.05)))
    )
    assert [(one.metric, one.verdict, one.margin) for one in found] == [
        ("rougeL", "equivalent", 0.05),
        ("other", "no evidence", None),
    ]


def test_a_margin_says_nothing_where_nothing_can_be_measured() -> None:
    def verdict(base: list[float], tuned: list[float]) -> Comparison:
        rows = scores("base", list(base)) + scores("tuned", list(tuned))
        [found] = comparisons(list(compare_systems(rows, [mean_of()], CompareOptions(margin=0.5))))
        return found

    one = verdict([0.2], [0.3])
    assert (one.verdict, one.p_equivalence, one.smallest_detectable) == ("no evidence", None, None)
    same = verdict([0.2, 0.4], [0.2, 0.4])
    assert (same.verdict, same.p_equivalence) == ("identical", None)
    constant = verdict([0.2] * 4, [0.3] * 4)
    assert (constant.verdict, constant.p_equivalence) == ("no evidence", None)


def test_a_margin_needs_a_primary_metric() -> None:
    with pytest.raises(ValueError, match="margin has no effect without a primary metric"):
        CompareOptions(primary=None, margin=0.1)
    with pytest.raises(ValueError, match="greater than 0"):
        CompareOptions(margin=0)


def test_false_claims_of_equivalence_at_the_margin_are_rare() -> None:
    """A true difference of just the margin is called equivalent in at most one case of forty."""
    rng = numpy.random.default_rng(9)
    claimed = 0
    for _ in range(2000):
        d = rng.normal(0.1, 0.2, size=40)
        found = Estimate(float(d.mean()), float(d.std(ddof=1)) / 40**0.5, 39, 40)
        p = equivalence_p_value(found, 0.1, draws=10_000)
        claimed += (
            decide(found.value, None, alpha=0.05, higher_is_better=True, margin=0.1, p_equivalence=p)
            == "equivalent"
        )
    assert claimed <= 0.035 * 2000
