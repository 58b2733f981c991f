"""Verdicts against hand arithmetic, scipy, statsmodels and sacrebleu, and what is refused."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy
import pytest
from scipy import stats

from tests.compare.made import comparisons, mean_of, scores, summaries
from tests.score.pairs import predictions, text_pairs
from tunesmith.compare.stage import CompareOptions, compare_systems
from tunesmith.errors import InputError
from tunesmith.records import Score
from tunesmith.score.ngram import bleu
from tunesmith.score.rouge import rouge_l
from tunesmith.score.stage import score_predictions

RNG = numpy.random.default_rng(11)
BASE = RNG.uniform(0.2, 0.6, size=120)
BETTER = numpy.clip(BASE + RNG.normal(0.05, 0.1, size=120), 0, 1)
SOURCES = [f"doc{i // 4:02}" for i in range(120)]


def both(base: object, tuned: object, sources: object = None) -> list[Score]:
    return scores("base", list(base), sources) + scores("tuned", list(tuned), sources)  # type: ignore[call-overload,arg-type]


def test_without_clusters_it_is_the_paired_t_test() -> None:
    slightly = BASE + (BETTER - BASE) / 2 - 0.01
    expected = stats.ttest_rel(slightly, BASE)
    low, high = expected.confidence_interval(0.95)
    [found] = comparisons(list(compare_systems(both(BASE, slightly), [mean_of()])))
    assert found.difference == pytest.approx((slightly - BASE).mean())
    # the bootstrap's standard error has a Monte Carlo error of 1 / sqrt(2 * 10000)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))
    assert 0.0001 < expected.pvalue < 0.05
    assert found.p == pytest.approx(expected.pvalue, rel=0.15)
    assert (found.n, found.n_sources, found.verdict) == (120, 120, "better")
    assert (found.n_better, found.n_worse) == ((slightly > BASE).sum(), (slightly < BASE).sum())


def test_p_is_never_smaller_than_the_draws_can_show() -> None:
    [found] = comparisons(list(compare_systems(both(BASE, BASE + 0.1 + BETTER / 100), [mean_of()])))
    assert found.p == 1 / 10_001


def test_with_clusters_it_is_the_cluster_robust_error() -> None:
    import statsmodels.api

    effect = numpy.repeat(RNG.normal(0, 0.08, size=30), 4)  # documents differ, so their items agree
    tuned = numpy.clip(BASE + effect + RNG.normal(0.02, 0.02, size=120), 0, 1)
    groups = numpy.repeat(numpy.arange(30), 4)
    fit = statsmodels.api.OLS(tuned - BASE, numpy.ones(120)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "df_correction": True}, use_t=True
    )
    low, high = fit.conf_int()[0]
    [found] = comparisons(list(compare_systems(both(BASE, tuned, SOURCES), [mean_of()])))
    assert (found.low, found.high) == (pytest.approx(low, abs=0.001), pytest.approx(high, abs=0.001))
    [by_item] = comparisons(list(compare_systems(both(BASE, tuned), [mean_of()])))
    assert found.low is not None
    assert by_item.low is not None
    assert by_item.low - found.low > 0.01  # as if 120 documents had been asked: far too sure


def test_corpus_bleu_agrees_with_sacrebleus_paired_bootstrap() -> None:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.significance import PairedTest

    pairs = [(a.strip(), r.strip()) for a, r in text_pairs(140, long=60) if len(r.split()) > 6]
    tuned = [" ".join(w for i, w in enumerate(a.split()) if i % 7) for a, _ in pairs]  # a little worse
    references = [[r for _, r in pairs]]
    systems = [("base", [a for a, _ in pairs]), ("tuned", tuned)]
    oracle = PairedTest(systems, {"BLEU": BLEU()}, references, test_type="bs", n_samples=2000)()[1]["BLEU"]
    rows = predictions(pairs) + predictions(list(zip(tuned, references[0], strict=True)), system="tuned")
    rows = [replace(row, source_id=row.id) for row in rows]
    found = list(compare_systems(score_predictions(rows, [bleu()]), [bleu()], CompareOptions(primary="bleu")))
    [comparison] = comparisons(found)
    assert (comparison.base_value, comparison.tuned_value) == tuple(pytest.approx(r.score) for r in oracle)
    assert comparison.p == pytest.approx(oracle[1].p_value, abs=0.02)
    for summary, result in zip(summaries(found), oracle, strict=True):
        assert summary.low is not None
        assert summary.high is not None
        # sacrebleu's interval is of the percentile kind, from other draws
        assert (summary.high - summary.low) / 2 == pytest.approx(result.ci, rel=0.1)
    assert comparison.verdict == "worse"


def test_row_order_does_not_matter_and_the_seed_does_a_little() -> None:
    rows = both(BASE, BETTER, SOURCES)
    first = list(compare_systems(rows, [mean_of()]))
    shuffled = rows.copy()
    random.Random(1).shuffle(shuffled)
    shuffled.sort(key=lambda row: row.system)  # systems keep their order of appearance
    assert list(compare_systems(shuffled, [mean_of()])) == first
    other = list(compare_systems(rows, [mean_of()], CompareOptions(seed=21)))
    assert other != first
    assert comparisons(other)[0].low == pytest.approx(comparisons(first)[0].low, abs=0.002)


def test_lower_is_better_turns_the_verdict_round() -> None:
    metric = mean_of("perplexity", higher_is_better=False, bounds=(None, None))
    rows = [replace(row, metric="perplexity") for row in both(BASE, BETTER)]
    [found] = comparisons(list(compare_systems(rows, [metric], CompareOptions(primary="perplexity"))))
    assert found.verdict == "worse"
    assert (found.n_better, found.n_worse) == ((BETTER < BASE).sum(), (BETTER > BASE).sum())
    assert "tuned is worse than base on perplexity" in found.words


def test_fixed_words() -> None:
    [found] = comparisons(list(compare_systems(both([0.25] * 3 + [0.5] * 3, [0.5] * 6), [mean_of()])))
    # differences 1/4 three times and 0 three times: mean 1/8, standard error 1/8 / sqrt(5), t(5) 2.571
    assert found.words == (
        "No evidence that tuned is better or worse than base on rougeL: 0.500 against 0.375, difference +0.125 "
        f"(95% interval {found.low:+.3f} to {found.high:+.3f}), 6 items from 6 sources; this test would have seen "
        f"{found.smallest_detectable:.3f} or more in 80% of cases."
    )
    assert found.high == pytest.approx(0.125 + 2.571 * 0.125 / 5**0.5, rel=0.02)
    assert found.warnings == (
        "only 6 sources: intervals from so few are wide and rest on the sources being alike; 20 or more are better",
    )


def test_strongly_skewed_sources_are_warned_of() -> None:
    """Nine sources differ by nothing and one by 1: m3 / m2^1.5 = (.1 (.9)^3 - .9 (.1)^3) / (.09)^1.5 = 8/3."""
    [found] = comparisons(list(compare_systems(both([0.0] * 10, [1.0] + [0.0] * 9), [mean_of()])))
    (skewed,) = (warning for warning in found.warnings if "skewed" in warning)
    assert "(skewness +2.7)" in skewed
    even = comparisons(list(compare_systems(both([0.5] * 10, [0.0, 1.0] * 5), [mean_of()])))
    assert not any("skewed" in warning for warning in even[0].warnings)


class TestDegenerate:
    def test_all_the_same_is_identical(self) -> None:
        [found] = comparisons(list(compare_systems(both(BASE, BASE), [mean_of()])))
        assert (found.verdict, found.difference, found.low, found.high, found.p) == ("identical", 0, 0, 0, 1)
        assert (
            found.words
            == "tuned and base are identical on rougeL: no difference in any of 120 items from 120 sources."
        )

    def test_one_item(self) -> None:
        found = list(compare_systems(both([0.2], [0.9]), [mean_of()]))
        [comparison] = comparisons(found)
        assert (comparison.verdict, comparison.low, comparison.p) == ("no evidence", None, None)
        assert summaries(found)[0].low is None

    def test_the_same_difference_everywhere_is_judged_by_the_number_of_sources(self) -> None:
        [few] = comparisons(list(compare_systems(both([0] * 5, [1] * 5), [mean_of()])))
        assert (few.p, few.verdict, few.low) == (2 / 32, "no evidence", None)
        [more] = comparisons(list(compare_systems(both([0] * 6, [1] * 6), [mean_of()])))
        assert (more.p, more.verdict) == (2 / 64, "no evidence" if 2 / 64 >= 0.05 else "better")
        assert any("the very same difference" in warning for warning in more.warnings)

    def test_opposite_differences_that_cancel(self) -> None:
        [found] = comparisons(list(compare_systems(both([0, 1] * 10, [1, 0] * 10), [mean_of()])))
        assert (found.verdict, found.difference, found.p) == ("no evidence", 0, 1)

    def test_nothing_right_anywhere_has_an_interval_all_the_same(self) -> None:
        [summary] = summaries(list(compare_systems(scores("base", [0.0] * 10), [mean_of()])))
        # 1 - 0.025 ** (1 / 10), Clopper and Pearson's for 0 of 10
        assert (summary.low, summary.high) == (0, pytest.approx(0.3085, abs=1e-4))

    def test_one_source_is_resampled_by_item_and_says_so(self) -> None:
        [found] = comparisons(list(compare_systems(both(BASE, BETTER, ["one"] * 120), [mean_of()])))
        assert found.n_sources == 1
        assert "all items come from one source" in found.warnings[0]
        assert found.low is not None

    def test_a_value_that_is_not_finite_gives_no_verdict(self) -> None:
        metric = mean_of(bounds=(None, None))
        endless = replace(metric, aggregate=lambda totals: numpy.full(totals.shape[:-1], numpy.inf))
        [found] = comparisons(list(compare_systems(both(BASE, BETTER), [endless])))
        assert (found.verdict, found.difference, found.p) == ("invalid", None, None)


class TestFailed:
    def test_a_few_are_left_out_of_both_systems_and_counted(self) -> None:
        tuned: list[float | None] = [*BETTER]
        tuned[7] = None
        found = list(compare_systems(both(BASE, tuned, SOURCES), [mean_of()]))
        [comparison] = comparisons(found)
        assert comparison.n == 119
        assert comparison.base_value == pytest.approx(numpy.delete(BASE, 7).mean())
        assert "1 of 120 answers of tuned failed and are left out" in comparison.warnings
        assert [(s.n, s.status) for s in summaries(found)] == [
            (120, {"ok": 120}),
            (119, {"error": 1, "ok": 119}),
        ]

    def test_more_than_one_in_twenty_is_no_verdict(self) -> None:
        tuned: list[float | None] = [*BETTER]
        tuned[:6] = [None] * 6
        [exactly] = comparisons(list(compare_systems(both(BASE, tuned), [mean_of()])))
        assert exactly.verdict == "better"
        tuned[6] = None
        [found] = comparisons(list(compare_systems(both(BASE, tuned), [mean_of()])))
        assert found.verdict == "invalid"
        assert (
            found.words == "No verdict on rougeL: 7 of 120 items (6%) could not be scored for both systems."
        )

    def test_all(self) -> None:
        found = list(compare_systems(both(BASE, [None] * 120), [mean_of()]))
        assert comparisons(found)[0].verdict == "invalid"
        assert summaries(found)[1].value is None


class TestManyComparisons:
    def make(self, primary: str | None) -> dict[tuple[str, str], object]:
        rng = numpy.random.default_rng(5)
        rows, metrics = [], []
        for index in range(8):
            base = rng.uniform(0.3, 0.6, size=40)
            tuned = base + rng.normal(0.02 if index == 0 else 0, 0.05, size=40)
            name = "rougeL" if index == 0 else f"metric{index}"
            metrics.append(mean_of(name))
            rows += scores("base", list(base), metric=name) + scores("tuned", list(tuned), metric=name)
        found = comparisons(list(compare_systems(rows, metrics, CompareOptions(primary=primary))))
        return {(record.tuned, record.metric): record for record in found}

    def test_holm_is_statsmodels_holm(self) -> None:
        from statsmodels.stats.multitest import multipletests

        found = list(self.make("rougeL").values())
        expected = multipletests([record.p for record in found], method="holm")[1]  # type: ignore[attr-defined]
        assert [record.p_holm for record in found] == pytest.approx(list(expected))  # type: ignore[attr-defined]

    def test_only_a_primary_metric_named_before_needs_no_correction(self) -> None:
        named = self.make("rougeL")["tuned", "rougeL"]
        unnamed = self.make(None)["tuned", "rougeL"]
        assert named.p == unnamed.p < 0.05 < named.p_holm  # type: ignore[attr-defined]
        assert (named.verdict, named.is_primary) == ("better", True)  # type: ignore[attr-defined]
        assert (unnamed.verdict, unnamed.is_primary) == ("no evidence", False)  # type: ignore[attr-defined]
        assert "after correction for several comparisons" in unnamed.words  # type: ignore[attr-defined]

    def test_the_primary_metric_is_corrected_for_several_tuned_systems(self) -> None:
        base = scores("base", list(BASE))
        slightly = BASE + numpy.where(numpy.arange(120) % 2, 0.1, -0.066)
        one = both(BASE, slightly)
        [alone] = comparisons(list(compare_systems(one, [mean_of()])))
        many = base + [row for i in range(6) for row in scores(f"tuned{i}", list(slightly))]
        found = comparisons(list(compare_systems(many, [mean_of()])))
        assert alone.verdict == "better"
        assert [record.tuned for record in found] == [f"tuned{i}" for i in range(6)]
        assert {record.verdict for record in found} == {"no evidence"}

    def test_primary_comes_first_and_descriptions_get_no_verdict(self) -> None:
        rows = [
            replace(row, metric=name) for name in ("length", "other", "rougeL") for row in both(BASE, BETTER)
        ]
        metrics = [mean_of("length", is_descriptive=True), mean_of("other"), mean_of("rougeL")]
        found = list(compare_systems(rows, metrics))
        assert [record.metric for record in comparisons(found)] == ["rougeL", "other"]
        assert {record.metric for record in summaries(found)} == {"length", "other", "rougeL"}


class TestRefused:
    def refuse(self, rows: list[Score], message: str, options: CompareOptions | None = None) -> None:
        with pytest.raises(InputError, match=message):
            list(compare_systems(rows, [mean_of()], options or CompareOptions()))

    def test_different_items(self) -> None:
        self.refuse(both(BASE, BETTER)[:-2], r"tuned has no rougeL for 2 of 120 items: item0118, item0119")

    def test_an_item_twice(self) -> None:
        self.refuse(
            both(BASE, BETTER) + scores("tuned", [0.5]), "item0000 has two scores of rougeL for tuned"
        )

    def test_an_item_in_two_sources(self) -> None:
        rows = scores("base", [0.1, 0.2], ["a", "b"]) + scores("tuned", [0.1, 0.2], ["a", "c"])
        self.refuse(rows, "item0001 belongs to 'b' and, for tuned, to 'c'")

    def test_two_ways_of_computing_one_metric(self) -> None:
        rows = both(BASE, BETTER)
        rows[-1] = replace(rows[-1], signature="syn:off")
        self.refuse(rows, "rougeL was computed in different ways: syn:off / test")
        rows = [replace(row, signature=f"made for {row.system}") for row in rows]
        self.refuse(rows, "rougeL was computed in different ways: made for base / made for tuned")

    def test_nothing(self) -> None:
        self.refuse([], "no scores to compare")

    def test_no_such_base_or_primary(self) -> None:
        self.refuse(both(BASE, BETTER), "no system 'bose'", CompareOptions(base="bose"))
        self.refuse(both(BASE, BETTER), "primary metric 'bleu' is not among", CompareOptions(primary="bleu"))

    def test_a_metric_that_one_system_lacks(self) -> None:
        rows = both(BASE, BETTER) + scores("base", list(BASE), metric="other")
        with pytest.raises(InputError, match="tuned has no scores of other"):
            list(compare_systems(rows, [mean_of(), mean_of("other")]))


def test_one_system_alone_gets_summaries() -> None:
    found = list(compare_systems(scores("tuned", list(BASE)), [mean_of()]))
    assert [(type(record).__name__, record.metric) for record in found] == [("Summary", "rougeL")]


def test_intervals_stay_within_what_the_metric_can_be() -> None:
    values = [1.0] * 11 + [0.4]
    [summary] = summaries(list(compare_systems(scores("base", values), [mean_of()])))
    assert summary.high == 1.0
    assert summary.low is not None
    assert 0.7 < summary.low < 1


def test_statuses_and_cautions_become_warnings() -> None:
    pairs = [("これは" if i % 2 else "", "これはペンです") for i in range(40)]
    rows = predictions(pairs) + predictions(pairs, system="tuned")
    found = compare_systems(score_predictions(rows, [rouge_l()]), [rouge_l()])
    [comparison] = comparisons(list(found))
    assert any("20 of 40 answers of base are empty" in warning for warning in comparison.warnings)
    assert any("ROUGE reads only the letters" in warning for warning in comparison.warnings)
