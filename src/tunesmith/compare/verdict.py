"""From an estimate to a verdict: interval, p-value, Holm's correction, smallest detectable difference, fixed words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tunesmith.compare.join import Measured
from tunesmith.compare.resample import Estimate
from tunesmith.records import Comparison, Verdict

POWER = 0.8
FEW_SOURCES = 20
OFTEN = 0.05
"""From this share of answers on, a status is worth a warning."""
SEEN_STATUS = {
    "error": "failed and are left out",
    "not scored": "could not be scored and are left out",
    "empty": "are empty; they count, with the lowest score",
    "truncated": "were cut off at the token limit",
}
FAILED = ("error", "not scored")


def interval(
    estimate: Estimate, confidence: float, bounds: tuple[float | None, float | None] = (None, None)
) -> tuple[float, float] | None:
    """value ± t · standard error, cut at the bounds; `None` where there is no spread to measure.

    When all clusters sit on the same bound (no answer right in any document), it is the exact binomial interval with
    one observation per cluster (Clopper and Pearson 1934) instead of an interval without width.
    """
    from scipy.stats import t

    if estimate.standard_error is None or estimate.degrees_of_freedom is None:
        return None
    lowest, highest = bounds
    if estimate.standard_error == 0:
        return _interval_at_bound(estimate.value, estimate.n_clusters, confidence, bounds)
    half = float(t.ppf((1 + confidence) / 2, estimate.degrees_of_freedom)) * estimate.standard_error
    low, high = estimate.value - half, estimate.value + half
    return (low if lowest is None else max(low, lowest), high if highest is None else min(high, highest))


def _interval_at_bound(
    value: float, n_clusters: int, confidence: float, bounds: tuple[float | None, float | None]
) -> tuple[float, float] | None:
    lowest, highest = bounds
    if lowest is None or highest is None or value not in bounds:
        return None
    reach = (highest - lowest) * (1 - ((1 - confidence) / 2) ** (1 / n_clusters))
    return (lowest, lowest + reach) if value == lowest else (highest - reach, highest)


def p_value(estimate: Estimate, *, draws: int) -> float | None:
    """Two-sided p-value of a difference against no difference.

    From the same t distribution as the interval, so that the two agree. Never below 1 / (draws + 1): resampling cannot
    show less. When every cluster has the very same difference there is no spread to measure it by; then the sign-flip
    test is exact: of all 2^G ways to swap the systems in whole clusters, two are as extreme.
    """
    from scipy.stats import t

    if estimate.standard_error is None or estimate.degrees_of_freedom is None:
        return None
    smallest = 1 / (draws + 1)
    if estimate.standard_error == 0:
        return 1.0 if estimate.value == 0 else max(2.0 ** (1 - estimate.n_clusters), smallest)
    statistic = abs(estimate.value) / estimate.standard_error
    return min(1.0, max(2 * float(t.sf(statistic, estimate.degrees_of_freedom)), smallest))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment (1979) over the p-values that there are."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        adjusted[index] = highest
    return adjusted


def smallest_detectable(estimate: Estimate, confidence: float, power: float = POWER) -> float | None:
    """The true difference that a two-sided test with this standard error finds with the given power.

    Solves P(|T| > t_crit) = power for the noncentrality of Student's t and multiplies it with the standard error.
    """
    if not estimate.standard_error or estimate.degrees_of_freedom is None:
        return None
    return detectable_in_errors(estimate.degrees_of_freedom, confidence, power) * estimate.standard_error


def detectable_in_errors(degrees_of_freedom: float, confidence: float, power: float = POWER) -> float:
    """Smallest detectable difference in units of its standard error: 2.8 with many clusters, more with few."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    critical = float(t.ppf((1 + confidence) / 2, degrees_of_freedom))

    def lacking(noncentrality: float) -> float:
        # the other tail adds less than 1e-6 at this power
        return float(nct.sf(critical, degrees_of_freedom, noncentrality)) - power

    return float(brentq(lacking, 0.1, 4 * critical + 10))


def decide(difference: float, p: float | None, *, alpha: float, higher_is_better: bool) -> Verdict:
    """Better or worse when p is below alpha, otherwise no evidence."""
    if p is None or p >= alpha or difference == 0:
        return "no evidence"
    return "better" if (difference > 0) == higher_is_better else "worse"


def words(comparison: Comparison, *, n_items: int, confidence: float, deciding: float | None) -> str:
    """The verdict as one sentence of fixed wording."""
    c = comparison
    items = f"{_count(c.n, 'item')} from {_count(c.n_sources, 'source')}"
    if c.verdict == "invalid":
        failed = n_items - c.n
        if failed:
            share = f"{failed} of {_count(n_items, 'item')} ({failed / n_items:.0%})"
            return f"No verdict on {c.metric}: {share} could not be scored for both systems."
        return f"No verdict on {c.metric}: its value is not a finite number."
    if c.verdict == "identical":
        return f"{c.tuned} and {c.base} are identical on {c.metric}: no difference in any of {items}."
    found = _difference_words(c, confidence)
    if c.verdict == "no evidence":
        corrected = deciding is not None and c.p is not None and c.p < 1 - confidence
        after = " after correction for several comparisons" if corrected else ""
        return (
            f"No evidence that {c.tuned} is better or worse than {c.base} on {c.metric}{after}: {found}, {items}"
            f"{_detectable_words(c)}."
        )
    return f"{c.tuned} is {c.verdict} than {c.base} on {c.metric}: {found}, {items}."


def _difference_words(c: Comparison, confidence: float) -> str:
    assert c.base_value is not None
    assert c.tuned_value is not None
    assert c.difference is not None
    scale = max(abs(c.base_value), abs(c.tuned_value))
    values = f"{show(c.tuned_value, scale)} against {show(c.base_value, scale)}"
    if c.low is None or c.high is None:
        return f"{values}, difference {show_signed(c.difference, scale)} (no interval: no spread between sources)"
    span = f"{show_signed(c.low, scale)} to {show_signed(c.high, scale)}"
    return f"{values}, difference {show_signed(c.difference, scale)} ({confidence:.0%} interval {span})"


def _detectable_words(c: Comparison) -> str:
    if c.smallest_detectable is None or c.base_value is None or c.tuned_value is None:
        return ""
    scale = max(abs(c.base_value), abs(c.tuned_value))
    return f"; this test would have seen {show(c.smallest_detectable, scale)} or more in {POWER:.0%} of cases"


def warn(comparison: Comparison, found: Estimate, base: Measured, tuned: Measured) -> Iterator[str]:
    """What a reader must know before believing the comparison."""
    if comparison.n_sources == 1 and comparison.n > 1:
        yield "all items come from one source: the interval speaks for further questions on it, not for other sources"
    elif 1 < comparison.n_sources < FEW_SOURCES:
        yield (
            f"only {comparison.n_sources} sources: intervals from so few are wide and rest on the sources being alike; "
            f"{FEW_SOURCES} or more are better"
        )
    if found.standard_error == 0 and comparison.difference:
        yield "every source shows the very same difference, so there is no interval; the p-value counts sources"
    for one in (base, tuned):
        n = sum(one.status.values())
        for status, meaning in SEEN_STATUS.items():
            count = one.status[status]
            if count and (status in FAILED or count > OFTEN * n):
                yield f"{count} of {n} answers of {one.system} {meaning}"
    yield from base.metric.cautions(base.statistics[base.scored])


def show(value: float, scale: float) -> str:
    """A number with the digits that fit values as large as `scale`: three decimals below 1, two below 10, then one."""
    return f"{value:.{_decimals(scale)}f}"


def show_signed(value: float, scale: float) -> str:
    """Like `show`, with its sign."""
    return f"{value:+.{_decimals(scale)}f}"


def _decimals(scale: float) -> int:
    size = abs(scale)
    if size >= 10 or not math.isfinite(size):
        return 1
    return 2 if size > 1 else 3


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
