"""How many items a test set needs, and what a test set of a given size can show.

For a paired difference with standard deviation s over items, m items per source and correlation r between the
differences of one source, the standard error over n items is s · √(deff / n) with the design effect
deff = 1 + (m − 1) r (Kish 1965). Power is that of a two-sided t test with one degree of freedom less than there are
sources. A pilot gives the standard error itself, for any metric, and it shrinks with √n.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tunesmith.compare.join import join_scores, paired_quantity
from tunesmith.compare.resample import estimate
from tunesmith.compare.stage import CompareOptions
from tunesmith.compare.verdict import POWER, detectable_in_errors
from tunesmith.errors import InputError
from tunesmith.records import Score
from tunesmith.score.metric import Metric

LARGEST = 10_000_000


@dataclass(frozen=True, slots=True)
class Spread:
    """How much the differences between two systems vary."""

    deviation: float
    """Standard deviation over items."""
    correlation: float = 0.0
    """Intraclass correlation: the share of the variance that lies between sources, 0 to 1."""
    per_source: float = 1.0
    """Items per source."""

    @property
    def design_effect(self) -> float:
        """How many items of this kind are worth one independent item."""
        return 1 + (self.per_source - 1) * self.correlation


def detectable_difference(n: int, spread: Spread, *, confidence: float = 0.95, power: float = POWER) -> float:
    """The smallest true difference that n items show with the given power.

    Raises:
        InputError: n items make fewer than two sources.
    """
    sources = n / spread.per_source
    if sources < 2:
        raise InputError(
            f"{n} items of {spread.per_source:g} per source are fewer than two sources", do="take more items"
        )
    error = spread.deviation * math.sqrt(spread.design_effect / n)
    return detectable_in_errors(sources - 1, confidence, power) * error


def needed_items(difference: float, spread: Spread, *, confidence: float = 0.95, power: float = POWER) -> int:
    """The fewest items that show a true difference of this size with the given power, in whole sources.

    Raises:
        InputError: the difference is 0, or so small that ten million items do not show it.
    """
    if difference == 0:
        raise InputError(
            "no number of items shows a difference of 0",
            where="difference",
            do="give the smallest that matters",
        )
    low, high = 1, 2  # sources; `high` is enough, `low` is not
    while _detectable(high, spread, confidence, power) > abs(difference):
        low, high = high, high * 2
        if high * spread.per_source > LARGEST:
            raise InputError(
                f"a difference of {difference:g} takes more than {LARGEST:,} items",
                where="difference",
                do="give a larger one",
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle)
            if _detectable(middle, spread, confidence, power) <= abs(difference)
            else (middle, high)
        )
    return math.ceil(high * spread.per_source)


def _detectable(sources: int, spread: Spread, confidence: float, power: float) -> float:
    return detectable_difference(
        math.ceil(sources * spread.per_source), spread, confidence=confidence, power=power
    )


def pilot_spread(scores: Iterable[Score], metric: Metric, options: CompareOptions, *, tuned: str) -> Spread:
    """The spread that a pilot's comparison shows, as if its sources were the items: dependence within them is in it.

    Raises:
        InputError: the scores cannot be joined, or the pilot has fewer than two sources or no spread at all.
    """
    joined = join_scores(scores, [metric])
    base = joined.measured.get((options.base, metric.name))
    other = joined.measured.get((tuned, metric.name))
    if base is None or other is None:
        raise InputError(
            f"there are no scores of {metric.name} for {options.base} and {tuned}", do="name two systems"
        )
    quantity, counted = paired_quantity(base, other, joined.items)
    [found] = estimate([quantity], draws=options.draws, seed=options.seed)
    if not found.standard_error:
        raise InputError(
            "the pilot's items show no spread", do="take a pilot of 30 items or more from several sources"
        )
    n = int(counted.sum())
    return Spread(found.standard_error * math.sqrt(n), 0.0, n / found.n_clusters)
