"""From an estimate to a verdict: interval, p-values, Holm's correction, smallest detectable difference."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.compare.resample import Estimate
from tunesmith.records import Verdict

POWER = 0.8
"""The share of cases in which a true difference should be found, for smallest detectable differences and plans."""


def interval(
    estimate: Estimate, confidence: float, bounds: tuple[float | None, float | None] = (None, None)
) -> tuple[float, float] | None:
    """value ± t · standard error, cut at the bounds; `None` where there is no spread to measure.

    Where the draws were studentised, either end is the farther of the two.

    When all clusters sit on the same bound (no answer right in any document), it is the exact binomial interval with
    one observation per cluster (Clopper and Pearson 1934) instead of an interval without width.
    """
    from scipy.stats import t

    if estimate.standard_error is None or estimate.degrees_of_freedom is None:
        return None
    lowest, highest = bounds
    if estimate.standard_error == 0:
        return _interval_at_bound(estimate.value, estimate.n_clusters, confidence, bounds)
    down = up = float(t.ppf((1 + confidence) / 2, estimate.degrees_of_freedom)) * estimate.standard_error
    if estimate.studentised is not None:
        down, up = (
            max(pair) for pair in zip((down, up), estimate.studentised.reach(confidence), strict=True)
        )
    low, high = estimate.value - down, estimate.value + up
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

    From the same distributions as the interval, so that the two agree. Never below 1 / (draws + 1): resampling cannot
    show less. When every cluster has the very same difference there is no spread to measure it by; then the sign-flip
    test is exact: of all 2^G ways to swap the systems in whole clusters, two are as extreme.
    """
    if estimate.standard_error is None or estimate.degrees_of_freedom is None:
        return None
    smallest = 1 / (draws + 1)
    if estimate.standard_error == 0:
        return 1.0 if estimate.value == 0 else max(2.0 ** (1 - estimate.n_clusters), smallest)
    return min(1.0, max(smallest, *(2 * min(tails) for tails in _tails(estimate, 0.0))))


def _tails(estimate: Estimate, true: float) -> list[tuple[float, float]]:
    """How likely a value is as low, and as high, as this one if `true` is true: by t, and by studentised draws."""
    from scipy.stats import t

    assert estimate.standard_error
    assert estimate.degrees_of_freedom is not None
    distance = estimate.value - true
    in_errors, freedom = distance / estimate.standard_error, estimate.degrees_of_freedom
    tails = [(float(t.cdf(in_errors, freedom)), float(t.sf(in_errors, freedom)))]
    if estimate.studentised is not None:
        tails.append(estimate.studentised.tails(distance))
    return tails


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


def equivalence_p_value(estimate: Estimate, margin: float, *, draws: int) -> float | None:
    """p-value of "the difference is as large as the margin": small means that it is smaller, either way.

    Two one-sided tests, against +margin and against -margin (Schuirmann 1987), of which the larger p counts. It is
    doubled, so that it is below 1 - confidence exactly where the printed two-sided interval lies within the margin:
    sterner than the usual pair of tests at the full level, and never at odds with the interval beside it. `None`
    without a spread to measure by.
    """
    if not estimate.standard_error or estimate.degrees_of_freedom is None:
        return None
    below = max(lower for lower, _ in _tails(estimate, margin))
    above = max(upper for _, upper in _tails(estimate, -margin))
    return min(1.0, max(2 * below, 2 * above, 1 / (draws + 1)))


def decide(
    difference: float,
    p: float | None,
    *,
    alpha: float,
    higher_is_better: bool,
    margin: float | None = None,
    p_equivalence: float | None = None,
    detectable: float | None = None,
) -> Verdict:
    """The verdict on a difference of two systems that are not identical.

    With a margin, the smallest difference that matters: `equivalent` where the difference is shown to be smaller (even
    if it is not nothing), and `too small`, about the test set, where nothing is shown and a difference of the margin
    would have been missed in more than one case of five. Otherwise better or worse when p is below alpha.
    """
    if margin is not None and p_equivalence is not None and p_equivalence < alpha:
        return "equivalent"
    if p is None or p >= alpha or difference == 0:
        if margin is not None and detectable is not None and detectable > margin:
            return "too small"
        return "no evidence"
    return "better" if (difference > 0) == higher_is_better else "worse"
