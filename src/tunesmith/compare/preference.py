"""How strongly a judge prefers one system, where it told how likely each verdict was: nothing is lost to ties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunesmith.compare.resample import Quantity, cluster_sums, estimate
from tunesmith.compare.verdict import interval


def graded_preference(
    told: Sequence[tuple[str, float]], *, confidence: float, draws: int, seed: int
) -> dict[str, Any]:
    """Mean preference for the tuned system over items, with an interval from resampled sources.

    Args:
        told: of each item its source and how likely the judge was to prefer tuned, a tie as half, as the mean of both
            orders: what position alone does cancels out.
        confidence: of the interval.
        draws: resamples.
        seed: of the resampling.

    Returns:
        `value`, `low`, `high` (0 to 1; null where they cannot be had) and `n` items.
    """
    import numpy

    if not told:
        return {"value": None, "low": None, "high": None, "n": 0}
    names = {name: number for number, name in enumerate(dict.fromkeys(source for source, _ in told))}
    # of one source only, the items are what can be resampled
    numbers = [index if len(names) == 1 else names[source] for index, (source, _) in enumerate(told)]
    clusters = numpy.array(numbers, dtype=numpy.intp)
    rows = numpy.array([[value, 1.0] for _, value in told], dtype=float)
    n_clusters = max(numbers) + 1
    sizes = numpy.bincount(clusters, minlength=n_clusters).astype(float)
    quantity = Quantity(
        cluster_sums(rows, clusters, n_clusters), sizes, lambda sums: sums[..., 0] / sums[..., 1]
    )
    (found,) = estimate([quantity], draws=draws, seed=seed)
    span = interval(found, confidence, (0.0, 1.0))
    low, high = span if span else (None, None)
    return {"value": found.value, "low": low, "high": high, "n": len(told)}
