"""Several trainings of one recipe: how much of a difference is the training's luck, and how much the choice of items.

An interval over items says what other items would give *this* adapter. Another training seed gives another adapter,
and an interval over items says nothing about that. So the two are told apart: the standard deviation between trainings
of the difference to the base, and the standard error over items; and a t interval over trainings for the recipe.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.compare.verdict import detectable_in_errors, show, show_signed
from tunesmith.errors import InputError
from tunesmith.records import Comparison

FEW_SEEDS = 3


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """One metric of one recipe, trained several times, against one base on the same items."""

    metric: str
    base: str
    systems: tuple[str, ...]
    """The trainings."""
    difference: float
    """Mean over trainings of tuned minus base."""
    low: float | None
    """Interval of that mean over trainings, by t; `None` with one training or no spread."""
    high: float | None
    seed_deviation: float | None
    """Standard deviation of the difference between trainings."""
    item_error: float | None
    """Mean standard error of the difference over items, of one training."""
    n_better: int
    """Trainings whose difference has the sign of better."""
    words: str


def spread_over_seeds(comparisons: Sequence[Comparison], confidence: float = 0.95) -> SeedSpread:
    """What several trainings of one recipe say together.

    Args:
        comparisons: of one metric and one base, one for each training.
        confidence: of the interval, and of the comparisons' own.

    Raises:
        InputError: there is none, they are about different metrics, bases or items, or one has no difference.
    """
    if not comparisons:
        raise InputError("there are no trainings to compare", do="give the comparisons of one recipe's seeds")
    first = comparisons[0]
    for other in comparisons:
        if (other.metric, other.base, other.n, other.signature) != (
            first.metric,
            first.base,
            first.n,
            first.signature,
        ):
            raise InputError(
                f"{first.tuned} and {other.tuned} were not compared with the same base on the same metric and items",
                do="compare all trainings in one go",
            )
    differences = [record.difference for record in comparisons if record.difference is not None]
    if len(differences) < len(comparisons):
        raise InputError(
            "one of the trainings has no difference to the base", do="leave it out, or score it again"
        )
    mean = statistics.fmean(differences)
    deviation = statistics.stdev(differences) if len(differences) > 1 else None
    half = _half_width(deviation, len(differences), confidence)
    spread = SeedSpread(
        metric=first.metric,
        base=first.base,
        systems=tuple(record.tuned for record in comparisons),
        difference=mean,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
        seed_deviation=deviation,
        item_error=_item_error(comparisons, confidence),
        n_better=sum(value != 0 and (value > 0) == first.higher_is_better for value in differences),
        words="",
    )
    scale = max(abs(first.base_value or 0), abs(first.tuned_value or 0))
    return replace(spread, words=_words(spread, scale, confidence))


def _half_width(deviation: float | None, n: int, confidence: float) -> float | None:
    from scipy.stats import t

    if not deviation:
        return None
    return float(t.ppf((1 + confidence) / 2, n - 1)) * deviation / math.sqrt(n)


def _item_error(comparisons: Sequence[Comparison], confidence: float) -> float | None:
    """From the smallest detectable difference, which is the standard error times about 2.8 (more with few sources)."""
    errors = [
        record.smallest_detectable / detectable_in_errors(_clusters(record) - 1, confidence)
        for record in comparisons
        if record.smallest_detectable is not None
    ]
    return statistics.fmean(errors) if errors else None


def _clusters(record: Comparison) -> int:
    """What was resampled: sources, or the items of a single source."""
    return record.n_sources if record.n_sources > 1 else max(2, record.n)


def _words(spread: SeedSpread, scale: float, confidence: float) -> str:
    n = len(spread.systems)
    trainings = "1 training" if n == 1 else f"{n} trainings"
    amount = f"{show_signed(spread.difference, scale)} {spread.metric}"
    if spread.low is None or spread.high is None or spread.seed_deviation is None:
        return f"{trainings}: {amount}; no spread between trainings."
    span = f"{show_signed(spread.low, scale)} to {show_signed(spread.high, scale)}"
    items = "" if spread.item_error is None else f", the choice of items by {show(spread.item_error, scale)}"
    few = f" From {n} trainings this is a rough figure." if n <= FEW_SEEDS else ""
    return (
        f"{trainings}, {spread.n_better} of them better than {spread.base}: {amount} on average "
        f"({confidence:.0%} interval over trainings {span}). "
        f"A training's luck moves it by {show(spread.seed_deviation, scale)}{items}.{few}"
    )
