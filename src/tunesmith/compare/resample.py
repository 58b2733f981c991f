"""How far a value could be off: resampling of whole sources, for anything that is computed from sums.

Questions about one document are not independent, so what is drawn anew is documents (clusters), never items. Two
standard errors are taken and the larger one used: the spread of the bootstrap values times sqrt(G / (G - 1)), and the
jackknife over clusters (leave one out). With a few clusters of unequal size each alone is somewhat too small.

The interval is value ± t · standard error, where t has one degree of freedom less than the *effective* number of
clusters, (sum of sizes)² / sum of squared sizes (Kish 1965), which is close to the degrees of freedom of Bell and
McCaffrey (2002) for a mean. A percentile interval would be far too short: with 5 clusters it misses 16 to 24 times in
100 instead of 5 times. `tests/compare/test_simulation.py` holds the error rates of what is done here.

Student's t takes what clusters contribute for symmetric. Where a verdict hangs on it and they are skewed, each draw is
studentised as well: its distance from the value in units of its own standard error (bootstrap-t, Efron 1979; Hall
1988), which knows skewness, and the wider of the two intervals counts. A draw's standard error is that of the
linearised value (delta method). With even contributions that would only cost power, with few clusters a good deal.

References: Koehn 2004 (paired bootstrap); Cameron and Miller 2015, Imbens and Kolesár 2016, MacKinnon, Nielsen and Webb
2023 (few and unequal clusters); Miller 2024, arXiv 2411.00640 (clusters in evaluations of language models).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Array = NDArray[numpy.float64]

DRAWN_AT_ONCE = 4_000_000
"""Cluster choices held in memory at a time."""
STUDENTISED_FROM, STUDENTISED_SKEWNESS = 10, 0.5
"""Clusters, and skewness of what they contribute, from which on draws are studentised."""
SMALLEST_SPREAD = 0.25
"""Least standard error of a draw, in units of the value's own: a draw of nearly equal clusters would divide by next to
nothing, and one such draw in forty would be the end of the interval."""


@dataclass(frozen=True)
class Quantity:
    """Something that is computed from statistics summed over clusters."""

    sums: Array
    """(G, k): statistics of each cluster. All quantities of one call have the same clusters in the same order."""
    sizes: Array
    """(G,): items in each cluster."""
    value: Callable[[Array], Array]
    """Summed statistics (..., k) to values (...)."""


@dataclass(frozen=True)
class Estimate:
    value: float
    standard_error: float | None
    """`None` with fewer than two clusters."""
    degrees_of_freedom: float | None
    n_clusters: int
    """Clusters that have items."""
    skewness: float | None = None
    """Third standardised moment of what the clusters contribute to the value (by leaving each out); 0 where they spread
    evenly to both sides, `None` with fewer than three clusters or without spread."""
    studentised: Studentised | None = None


@dataclass(frozen=True)
class Studentised:
    """How far the values of draws lie from the value, in standard errors of each draw."""

    error: float
    """Standard error of the value, measured as those of the draws."""
    drawn: Array = field(repr=False, compare=False)
    """(draws,), ascending."""

    def tails(self, distance: float) -> tuple[float, float]:
        """The shares of draws as far down, and as far up, as a value `distance` above what is held to be true."""
        import numpy

        in_errors, n = distance / self.error, len(self.drawn)
        below = int(numpy.searchsorted(self.drawn, in_errors, side="right"))
        above = n - int(numpy.searchsorted(self.drawn, in_errors, side="left"))
        return below / n, above / n

    def reach(self, confidence: float) -> tuple[float, float]:
        """How far below and above the value the interval goes: what `tails` calls likely enough, on either side."""
        n = len(self.drawn)
        rank = max(1, math.ceil((1 - confidence) / 2 * n - 1e-9))
        return float(self.drawn[n - rank]) * self.error, -float(self.drawn[rank - 1]) * self.error


def cluster_sums(rows: Array, clusters: NDArray[numpy.intp], n_clusters: int) -> Array:
    """Sums of the rows (n, k) of each cluster (G, k); `clusters` (n,) numbers each row's cluster from 0."""
    import numpy

    sums = numpy.zeros((n_clusters, rows.shape[1]))
    numpy.add.at(sums, clusters, rows)
    return sums


def estimate(
    quantities: Sequence[Quantity], *, draws: int, seed: int, studentise: bool = False
) -> list[Estimate]:
    """Value, standard error and degrees of freedom of each quantity, all from the same draws of clusters.

    Args:
        studentise: measure each draw's own standard error, too, where the clusters are skewed.
    """
    import numpy

    if not quantities:
        return []
    n_clusters = len(quantities[0].sizes)
    values: list[list[Array]] = [[] for _ in quantities]
    errors: list[list[Array]] = [[] for _ in quantities]
    skewed = [studentise and _is_skewed(quantity) for quantity in quantities]
    if n_clusters > 1:
        for weights in bootstrap_weights(n_clusters, draws=draws, seed=seed):
            for kept, beside, quantity, is_skewed in zip(values, errors, quantities, skewed, strict=True):
                if not quantity.sizes.any():
                    continue
                sums = weights @ quantity.sums
                kept.append(_values(quantity, sums))
                if is_skewed:
                    beside.append(_linear_errors(quantity, sums, weights))
    found = []
    for quantity, kept, beside in zip(quantities, values, errors, strict=True):
        drawn = numpy.concatenate(kept) if kept else numpy.empty(0)
        one = _estimate(quantity, drawn)
        if beside and one.standard_error:
            one = replace(one, studentised=_studentised(quantity, drawn, numpy.concatenate(beside)))
        found.append(one)
    return found


def bootstrap_weights(n_clusters: int, *, draws: int, seed: int) -> Iterator[Array]:
    """How often each cluster is drawn when as many are drawn as there are, with replacement: blocks of (rows, G)."""
    import numpy

    generator = numpy.random.default_rng(seed)
    at_once = max(1, DRAWN_AT_ONCE // n_clusters)
    for start in range(0, draws, at_once):
        rows = min(at_once, draws - start)
        chosen = generator.integers(n_clusters, size=(rows, n_clusters))
        chosen += numpy.arange(rows)[:, None] * n_clusters
        counts = numpy.bincount(chosen.ravel(), minlength=rows * n_clusters)
        yield counts.reshape(rows, n_clusters).astype(float)


def _values(quantity: Quantity, sums: Array) -> Array:
    import numpy

    with numpy.errstate(
        invalid="ignore"
    ):  # infinite minus infinite is told as "not a finite number" further on
        return quantity.value(sums)


def _estimate(quantity: Quantity, drawn: Array) -> Estimate:
    import numpy

    n_clusters = int((quantity.sizes > 0).sum())
    if not n_clusters:
        return Estimate(math.nan, None, None, 0)
    value = float(_values(quantity, quantity.sums.sum(axis=0)))
    drawn = drawn[numpy.isfinite(drawn)]
    if n_clusters < 2 or len(drawn) < 2:
        return Estimate(value, None, None, n_clusters)
    left_out = _left_out(quantity)
    jackknife = math.sqrt((n_clusters - 1) / n_clusters * float(((left_out - left_out.mean()) ** 2).sum()))
    bootstrap = float(drawn.std(ddof=1)) * math.sqrt(n_clusters / (n_clusters - 1))
    standard_error = max(jackknife, bootstrap)
    if standard_error <= 1e-12 * max(1.0, abs(value)):  # nothing but rounding
        standard_error = 0.0
    degrees = effective_clusters(quantity.sizes) - 1
    return Estimate(value, standard_error, degrees, n_clusters, _skewness(-left_out))


def _left_out(quantity: Quantity) -> Array:
    """The value without each of the clusters that have items."""
    return _values(quantity, quantity.sums.sum(axis=0) - quantity.sums[quantity.sizes > 0])


def _is_skewed(quantity: Quantity) -> bool:
    if (quantity.sizes > 0).sum() < STUDENTISED_FROM:
        return False
    return abs(_skewness(-_left_out(quantity)) or 0) >= STUDENTISED_SKEWNESS


def _studentised(quantity: Quantity, drawn: Array, errors: Array) -> Studentised | None:
    import numpy

    total = quantity.sums.sum(axis=0)
    every = (quantity.sizes > 0).astype(float)
    error = float(_linear_errors(quantity, total[None, :], every[None, :])[0])
    with numpy.errstate(invalid="ignore"):
        distances = (drawn - float(_values(quantity, total))) / numpy.maximum(errors, SMALLEST_SPREAD * error)
    # a draw without any spread cannot be studentised
    distances = distances[numpy.isfinite(distances) & (errors > 1e-9 * error)]
    if not error or not math.isfinite(error) or len(distances) < 2:
        return None
    return Studentised(error, numpy.sort(distances))


def _linear_errors(quantity: Quantity, sums: Array, weights: Array) -> Array:
    """Standard errors (B,) of the values of summed statistics (B, k) of draws with these weights of clusters (B, G):
    sqrt(G / (G - 1) · Σ w u²), where u is what a cluster adds to the value, to first order."""
    import numpy

    adds = _slopes(quantity, sums) @ quantity.sums.T
    n_clusters = weights.sum(axis=1, keepdims=True)
    with numpy.errstate(invalid="ignore"):
        adds -= (weights * adds).sum(axis=1, keepdims=True) / n_clusters
        errors: Array = numpy.sqrt(
            (weights * adds**2).sum(axis=1) * n_clusters[:, 0] / (n_clusters[:, 0] - 1)
        )
    return errors


def _slopes(quantity: Quantity, sums: Array) -> Array:
    """Derivatives of the value by each of the summed statistics (B, k), by central differences.

    Statistics that are never negative, such as counts, keep their sign: they are changed by a share of themselves.
    """
    import numpy

    slopes = numpy.zeros_like(sums)
    for column in range(sums.shape[1]):
        own = quantity.sums[:, column]
        step = 1e-4 * (numpy.abs(sums[:, column]) if (own >= 0).all() else numpy.abs(own).mean())
        step = numpy.broadcast_to(step, len(sums))
        higher, lower = sums.copy(), sums.copy()
        higher[:, column] += step
        lower[:, column] -= step
        change = _values(quantity, higher) - _values(quantity, lower)
        numpy.divide(change, 2 * step, out=slopes[:, column], where=step > 0)
    return slopes


def _skewness(values: Array) -> float | None:
    """m3 / m2^1.5 of the values (G,)."""
    if len(values) < 3:
        return None
    from_mean = values - values.mean()
    variance = float((from_mean**2).mean())
    if variance <= 1e-24 * max(1.0, float((values**2).mean())):  # nothing but rounding
        return None
    return float((from_mean**3).mean() / variance**1.5)


def effective_clusters(sizes: Array) -> float:
    """Number of equal clusters that weigh as much as these: (sum of sizes)² / sum of squared sizes (Kish 1965)."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())
