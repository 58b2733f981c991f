"""Decoding settings: each system against the base under the same setting, all corrected as one family."""

from __future__ import annotations

import numpy
import pytest

from tests.compare.made import comparisons, mean_of, scores, summaries
from tunesmith.compare.stage import CompareOptions, compare_systems, compare_under_settings
from tunesmith.compare.verdict import holm
from tunesmith.errors import InputError
from tunesmith.records import Score

RNG = numpy.random.default_rng(5)
BASE, WARM = RNG.uniform(0.2, 0.6, size=(2, 80))
TUNED, WARM_TUNED = BASE + RNG.normal(0.03, 0.1, size=80), WARM + RNG.normal(0.01, 0.1, size=80)
OTHER = [mean_of(), mean_of("bleu"), mean_of("chars", is_descriptive=True)]


def of(system: str, values: object, metrics: tuple[str, ...] = ("rougeL", "bleu")) -> list[Score]:
    return [one for name in metrics for one in scores(system, list(values), metric=name)]  # type: ignore[call-overload]


MAIN = of("base", BASE) + of("tuned", TUNED)
UNDER_WARM = of("base@warm", WARM) + of("tuned@warm", WARM_TUNED)


def test_each_setting_is_compared_within_itself() -> None:
    found = list(compare_under_settings({"": MAIN, "warm": UNDER_WARM}, OTHER))
    pairs = [(one.metric, one.base, one.tuned, one.is_primary) for one in comparisons(found)]
    assert pairs == [
        ("rougeL", "base", "tuned", True),
        ("bleu", "base", "tuned", False),
        ("rougeL", "base@warm", "tuned@warm", False),
        ("bleu", "base@warm", "tuned@warm", False),
    ]
    assert [one.difference for one in comparisons(found)] == pytest.approx(
        [(TUNED - BASE).mean()] * 2 + [(WARM_TUNED - WARM).mean()] * 2
    )
    assert {one.system for one in summaries(found)} == {"base", "tuned", "base@warm", "tuned@warm"}


def test_holm_goes_over_everything_that_is_printed() -> None:
    found = comparisons(list(compare_under_settings({"": MAIN, "warm": UNDER_WARM}, OTHER)))
    alone = comparisons(list(compare_systems(MAIN, OTHER)))
    raw = sorted(one.p for one in found if one.p is not None)
    assert len(raw) == 4
    smallest = min(found, key=lambda one: one.p or 1.0)
    assert smallest.p_holm == pytest.approx(min(1.0, 4 * raw[0]))
    assert [one.p_holm for one in found] == holm([one.p for one in found])
    # the primary metric was named before the run: its verdict stays what it is without the settings
    assert (found[0].p, found[0].verdict) == (alone[0].p, alone[0].verdict)
    assert found[1].p == alone[1].p
    assert (found[1].p_holm or 0) > (alone[1].p_holm or 1)


def test_more_than_five_percent_failed_under_one_setting_is_invalid_there_alone() -> None:
    failing = [None] * 5 + list(WARM_TUNED[5:])  # 5 of 80 are 6.25 %
    under = of("base@warm", WARM) + of("tuned@warm", failing)
    found = comparisons(list(compare_under_settings({"": MAIN, "warm": under}, OTHER)))
    assert [one.verdict == "invalid" for one in found] == [False, False, True, True]
    assert "5 of 80 items (6%) could not be scored" in found[2].words
    fewer = of("base@warm", WARM) + of("tuned@warm", [None] * 4 + list(WARM_TUNED[4:]))  # exactly 5 %
    found = comparisons(list(compare_under_settings({"": MAIN, "warm": fewer}, OTHER)))
    assert [one.verdict == "invalid" for one in found] == [False] * 4
    assert found[2].difference == pytest.approx((WARM_TUNED - WARM)[4:].mean())
    assert found[2].n == 76


def test_a_setting_may_lack_a_metric_and_has_no_margin() -> None:
    under = of("base@warm", WARM, ("bleu",)) + of("tuned@warm", WARM_TUNED, ("bleu",))
    options = CompareOptions(margin=0.2)
    found = comparisons(list(compare_under_settings({"": MAIN, "warm": under}, OTHER, options)))
    assert [(one.metric, one.tuned, one.margin) for one in found] == [
        ("rougeL", "tuned", 0.2),
        ("bleu", "tuned", None),
        ("bleu", "tuned@warm", None),
    ]


def test_a_setting_without_its_base_is_named() -> None:
    under = of("one@warm", WARM) + of("tuned@warm", WARM_TUNED)
    with pytest.raises(InputError, match="no system 'base@warm'"):
        list(compare_under_settings({"": MAIN, "warm": under}, OTHER))
