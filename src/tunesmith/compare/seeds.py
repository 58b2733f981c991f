"""Several trainings of one recipe: how much of a difference is the training's luck, and how much the choice of items.

An interval over items says what other items would give *this* adapter. Another training seed gives another adapter,
and an interval over items says nothing about that. So the two are told apart: the standard deviation between trainings
of the difference to the base, and the standard error over items; and a t interval over trainings for the recipe. Where
the base is a recipe too, trained several times, both sides' luck is in the interval (Welch 1947).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.compare.wording import count, show, show_signed
from tunesmith.errors import InputError
from tunesmith.records import Comparison

FEW_SEEDS = 3


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """One metric of one recipe, trained several times, against one base (or several trainings of it)."""

    metric: str
    bases: tuple[str, ...]
    systems: tuple[str, ...]
    """The trainings."""
    difference: float | None
    """Mean over trainings of tuned minus base; `None` where one of the comparisons has no verdict."""
    low: float | None
    """Interval of that mean over trainings, by t; `None` with one training or no spread."""
    high: float | None
    seed_deviation: float | None
    """Standard deviation of the difference between trainings of the recipe."""
    base_deviation: float | None
    """The same between trainings of the base; `None` with one base, which is then taken as it is."""
    item_error: float | None
    """Mean standard error of the difference over items, of one training."""
    n_better: int
    """Pairs of a base and a training whose difference has the sign of better."""
    words: str


def spread_over_seeds(comparisons: Sequence[Comparison], confidence: float = 0.95) -> SeedSpread:
    """What several trainings of one recipe say together.

    Args:
        comparisons: of one metric, one for each training (and, with several bases, for each base and training).
        confidence: of the interval.

    Raises:
        InputError: there is none, they are about different metrics, or a base and a training were not compared.
    """
    if not comparisons:
        raise InputError("there are no trainings to compare", do="give the comparisons of one recipe's seeds")
    first = comparisons[0]
    for other in comparisons:
        if (other.metric, other.signature) != (first.metric, first.signature):
            raise InputError(
                f"{first.tuned} and {other.tuned} were not compared on the same metric",
                do="compare all trainings in one go",
            )
    bases, systems = (
        tuple(dict.fromkeys(names))
        for names in ((c.base for c in comparisons), (c.tuned for c in comparisons))
    )
    found = {(c.base, c.tuned): c for c in comparisons}
    if len(found) != len(comparisons) or len(found) != len(bases) * len(systems):
        raise InputError(
            "not every training was compared once with every base", do="compare all trainings in one go"
        )
    spread = SeedSpread(first.metric, bases, systems, None, None, None, None, None, None, 0, "")
    without = [c for c in comparisons if c.difference is None or c.verdict == "invalid"]
    if without:
        said = f"No verdict on {first.metric} over trainings: {without[0].words}"
        return replace(spread, words=said)
    return _measured(spread, found, confidence)


def _measured(spread: SeedSpread, found: dict[tuple[str, str], Comparison], confidence: float) -> SeedSpread:
    first = next(iter(found.values()))
    differences = {pair: c.difference for pair, c in found.items() if c.difference is not None}
    # a base's own part in the differences is what is left when they are averaged over the trainings, and the other way
    of_systems = [
        statistics.fmean(differences[base, name] for base in spread.bases) for name in spread.systems
    ]
    of_bases = [statistics.fmean(differences[base, name] for name in spread.systems) for base in spread.bases]
    mean = statistics.fmean(of_systems)
    half = _half_width(of_systems, of_bases, confidence)
    errors = [c.standard_error for c in found.values() if c.standard_error is not None]
    measured = replace(
        spread,
        difference=mean,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
        seed_deviation=_deviation(of_systems),
        base_deviation=_deviation(of_bases),
        item_error=statistics.fmean(errors) if errors else None,
        n_better=sum(value != 0 and (value > 0) == first.higher_is_better for value in differences.values()),
    )
    scale = max(abs(first.base_value or 0), abs(first.tuned_value or 0))
    return replace(measured, words=_words(measured, mean, scale, confidence))


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _half_width(of_systems: Sequence[float], of_bases: Sequence[float], confidence: float) -> float | None:
    """Half the t interval of the mean over trainings, with Welch's degrees of freedom for two recipes."""
    from scipy.stats import t

    if len(of_systems) < 2:
        return None
    sides = [side for side in (of_systems, of_bases) if len(side) > 1]
    parts = [(statistics.variance(side) / len(side), len(side) - 1) for side in sides]
    variance = sum(part for part, _ in parts)
    if not variance:
        return None
    freedom = variance**2 / sum(part**2 / df for part, df in parts)
    return float(t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(variance)


def _words(spread: SeedSpread, mean: float, scale: float, confidence: float) -> str:
    n, k = len(spread.systems), len(spread.bases)
    amount = f"{show_signed(mean, scale)} {spread.metric}"
    if spread.low is None or spread.high is None or spread.seed_deviation is None:
        return f"{count(n, 'training')}: {amount}; no spread between trainings."
    span = f"{show_signed(spread.low, scale)} to {show_signed(spread.high, scale)}"
    if k == 1:
        who = f"{n} trainings, {spread.n_better} of them better than {spread.bases[0]}"
    else:
        who = f"{n} trainings against {k} of the base, {spread.n_better} of {n * k} pairs better"
    luck = f"A training's luck moves it by {show(spread.seed_deviation, scale)}"
    if spread.base_deviation is not None:
        luck += f", the base's by {show(spread.base_deviation, scale)}"
    if spread.item_error is not None:
        luck += f", the choice of items by {show(spread.item_error, scale)}"
    fewest = min(n, k) if k > 1 else n
    few = f" From {fewest} trainings this is a rough figure." if fewest <= FEW_SEEDS else ""
    return f"{who}: {amount} on average ({confidence:.0%} interval over trainings {span}). {luck}.{few}"
