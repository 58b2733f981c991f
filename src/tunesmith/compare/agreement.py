"""How far raters agree: share, Cohen's kappa and Krippendorff's alpha, with intervals from resampled sources.

All three are computed from tables of counts that add up over items, so that an interval takes one product of a matrix
of weights with the tables. Values equal scikit-learn's `cohen_kappa_score` and the package `krippendorff` (tests).

References: Cohen 1960 and 1968 (kappa, weighted kappa); Krippendorff 2011 (alpha, coincidences, ordinal distance).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

from tunesmith.compare.resample import Estimate, Quantity, cluster_sums, estimate
from tunesmith.compare.verdict import interval

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Array = NDArray[numpy.float64]

DRAWS = 10_000
SEED = 20
Value = Callable[["Array"], "Array"]


@dataclass(frozen=True)
class RatedItem:
    """One item with what each rater said of it."""

    source_id: str
    ratings: Mapping[str, str]
    """Rater to category; who did not rate it is not in it."""


def agreement(
    items: Sequence[RatedItem],
    first: str,
    second: str,
    categories: Sequence[str],
    *,
    is_ordinal: bool = False,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = SEED,
) -> dict[str, Any]:
    """How far two raters agree on the items that both rated.

    Args:
        items: in any order.
        first: a rater.
        second: the other.
        categories: all that can be said, from low to high where they have an order.
        is_ordinal: whether they have; then `weighted_kappa` counts a near miss as half of a far one.
        confidence: of the intervals.
        draws: resamples of whole sources.
        seed: of the resampling.

    Returns:
        `n` items; `share`, `kappa` and, for ordinal categories, `weighted_kappa` {value, low, high}; `table`
        {category of the first: {category of the second: count}}. A number that cannot be had is null: kappa when both
        always say the same thing.
    """
    both = [item for item in items if first in item.ratings and second in item.ratings]
    place = {category: number for number, category in enumerate(categories)}
    rows = [_one_hot(place[item.ratings[first]], place[item.ratings[second]], len(place)) for item in both]
    values: dict[str, tuple[Value, tuple[float, float]]] = {
        "share": (lambda sums: _share(sums, len(place)), (0.0, 1.0)),
        "kappa": (lambda sums: _kappa(sums, len(place), linear=False), (-1.0, 1.0)),
    }
    if is_ordinal:
        values["weighted_kappa"] = (lambda sums: _kappa(sums, len(place), linear=True), (-1.0, 1.0))
    found = _estimated(both, rows, values, confidence, draws, seed)
    table = {one: dict.fromkeys(categories, 0) for one in categories}
    for item in both:
        table[item.ratings[first]][item.ratings[second]] += 1
    return {"n": len(both), **found, "table": table}


def alpha(
    items: Sequence[RatedItem],
    categories: Sequence[str],
    *,
    is_ordinal: bool = False,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = SEED,
) -> dict[str, Any]:
    """Krippendorff's alpha over all raters, nominal or ordinal; items with one rating say nothing and are left out.

    Returns:
        `n` items, `raters`, `value`, `low`, `high`. The value is null when only one category was ever used.
    """
    import numpy

    held = [item for item in items if len(item.ratings) > 1]
    place = {category: number for number, category in enumerate(categories)}
    k = len(place)
    rows = []
    for item in held:
        table = numpy.zeros((k, k))
        said = [place[category] for category in item.ratings.values()]
        for one, other in permutations(said, 2):
            table[one, other] += 1 / (len(said) - 1)
        rows.append(table.ravel())
    found = _estimated(
        held,
        rows,
        {"alpha": (lambda sums: _alpha(sums, k, is_ordinal), (-1.0, 1.0))},
        confidence,
        draws,
        seed,
    )
    raters = {rater for item in held for rater in item.ratings}
    return {"n": len(held), "raters": len(raters), **found["alpha"]}


def _one_hot(row: int, column: int, k: int) -> Array:
    import numpy

    table = numpy.zeros(k * k)
    table[row * k + column] = 1.0
    return table


def _estimated(
    items: Sequence[RatedItem],
    rows: Sequence[Array],
    values: Mapping[str, tuple[Value, tuple[float, float]]],
    confidence: float,
    draws: int,
    seed: int,
) -> dict[str, dict[str, float | None]]:
    """Value and interval of each quantity; the rows (n, k·k) are added up by source."""
    import numpy

    if not items:
        return {name: {"value": None, "low": None, "high": None} for name in values}
    names = {name: number for number, name in enumerate(sorted({item.source_id for item in items}))}
    one_source = len(names) == 1
    clusters = numpy.array(
        [number if one_source else names[item.source_id] for number, item in enumerate(items)]
    )
    n_clusters = len(items) if one_source else len(names)
    sums = cluster_sums(numpy.array(rows), clusters, n_clusters)
    sizes = numpy.bincount(clusters, minlength=n_clusters).astype(float)
    estimates = estimate(
        [Quantity(sums, sizes, value) for value, _ in values.values()], draws=draws, seed=seed
    )
    return {
        name: _row(found, confidence, bounds)
        for (name, (_, bounds)), found in zip(values.items(), estimates, strict=True)
    }


def _row(found: Estimate, confidence: float, bounds: tuple[float, float]) -> dict[str, float | None]:
    if not math.isfinite(found.value):  # nothing to divide by
        return {"value": None, "low": None, "high": None}
    low, high = interval(found, confidence, bounds) or (None, None)
    if low is None or high is None or not math.isfinite(low + high):
        # without one of the sources only one category is left: there is no saying how far the value could be off
        low = high = None
    return {"value": found.value, "low": low, "high": high}


def _tables(sums: Array, k: int) -> Array:
    return sums.reshape(*sums.shape[:-1], k, k)


def _share(sums: Array, k: int) -> Array:
    import numpy

    tables = _tables(sums, k)
    agreed: Array = numpy.trace(tables, axis1=-2, axis2=-1) / tables.sum(axis=(-2, -1))
    return agreed


def _kappa(sums: Array, k: int, *, linear: bool) -> Array:
    """1 − observed / expected disagreement; linear weights count categories apart."""
    import numpy

    tables = _tables(sums, k)
    steps = numpy.abs(numpy.subtract.outer(numpy.arange(k), numpy.arange(k))).astype(float)
    weights = steps if linear else (steps > 0).astype(float)
    total = tables.sum(axis=(-2, -1))
    by_chance = tables.sum(axis=-1)[..., :, None] * tables.sum(axis=-2)[..., None, :]
    with numpy.errstate(divide="ignore", invalid="ignore"):
        observed = (weights * tables).sum(axis=(-2, -1)) / total
        expected = (weights * by_chance).sum(axis=(-2, -1)) / total**2
        value: Array = numpy.where(expected > 0, 1 - observed / expected, numpy.nan)
    return value


def _alpha(sums: Array, k: int, is_ordinal: bool) -> Array:
    """1 − observed / expected disagreement of the coincidences; ordinal distance from the margins."""
    import numpy

    tables = _tables(sums, k)
    margins = tables.sum(axis=-1)
    n = margins.sum(axis=-1)
    if is_ordinal:
        # squared number of ratings between two categories, each end counted half (Krippendorff 2011)
        reach = numpy.cumsum(margins, axis=-1) - margins / 2
        distance = (reach[..., :, None] - reach[..., None, :]) ** 2
    else:
        distance = numpy.broadcast_to(1.0 - numpy.eye(k), tables.shape)
    pairs = margins[..., :, None] * margins[..., None, :]
    with numpy.errstate(divide="ignore", invalid="ignore"):
        observed = (distance * tables).sum(axis=(-2, -1)) / n
        expected = (distance * pairs).sum(axis=(-2, -1)) / (n * (n - 1))
        value: Array = numpy.where(expected > 0, 1 - observed / expected, numpy.nan)
    return value
