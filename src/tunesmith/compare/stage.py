"""Compare: score rows in, one summary per system and metric and one verdict per tuned system and metric out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from tunesmith.compare.join import Items, Joined, Measured, join_scores, paired_quantity
from tunesmith.compare.resample import Estimate, estimate
from tunesmith.compare.verdict import (
    decide,
    equivalence_p_value,
    holm,
    interval,
    p_value,
    smallest_detectable,
)
from tunesmith.compare.wording import warn, words
from tunesmith.errors import InputError
from tunesmith.options import Options
from tunesmith.records import Comparison, Score, Summary, Verdict, system_under
from tunesmith.score.metric import Metric

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Mask = NDArray[numpy.bool_]

SAME_VALUE = 1e-9
"""Two values of one item that differ by less are the same."""


class CompareOptions(Options):
    primary: str | None = Field(
        default="rougeL",
        description="The metric that decides, named before the run; the others are corrected for being many.",
    )
    margin: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Smallest difference of the primary metric that matters, in its unit, named before the run; "
        "within it systems are equivalent. Empty: no verdict of equivalence.",
    )
    base: str = Field(default="base", description="The system that the others are compared with.")
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="Level of the intervals and of the verdicts."
    )
    draws: int = Field(default=10_000, ge=100, description="Bootstrap draws of whole sources.")
    seed: int = Field(default=20, ge=0, description="Seed of the draws.")
    max_failed: float = Field(
        default=0.05, ge=0, lt=1, description="Share of items that may fail before there is no verdict."
    )

    @model_validator(mode="after")
    def _margin_has_a_metric(self) -> CompareOptions:
        if self.margin is not None and self.primary is None:
            raise ValueError("margin has no effect without a primary metric: name one, or leave margin out")
        return self


DEFAULTS = CompareOptions()


def compare_systems(
    scores: Iterable[Score],
    metrics: Sequence[Metric],
    options: CompareOptions = DEFAULTS,
    *,
    baselines: Sequence[str] = (),
) -> Iterator[Summary | Comparison]:
    """Every system's value with its interval, then every other system against the base, the primary metric first.

    Items are paired by id and whole sources are resampled. The result does not depend on the order of the scores,
    except that systems keep the order in which they first appear.

    Args:
        baselines: further systems that the others are held against too, after the base; no verdict rests on them.

    Raises:
        InputError: the scores cannot be joined (see `join_scores`), or the base or the primary metric is not there.
    """
    yield from compare_under_settings({"": scores}, metrics, options, baselines=baselines)


def compare_under_settings(
    scores_of: Mapping[str, Iterable[Score]],
    metrics: Sequence[Metric],
    options: CompareOptions = DEFAULTS,
    *,
    baselines: Sequence[str] = (),
) -> Iterator[Summary | Comparison]:
    """`compare_systems` within each decoding setting: `tuned@warm` against `base@warm`, never against `base`.

    What is printed together is corrected together: Holm's rule goes over the comparisons of all settings. Only the main
    setting has a primary metric; whatever the others show is exploratory.

    Args:
        scores_of: scores by the name of their decoding setting; the main one's is empty. A metric may be left out under
            a setting, such as one that does not look at the answers.
        baselines: as in `compare_systems`.

    Raises:
        InputError: as `compare_systems`, for any of the settings.
    """
    pairs: list[_Pair] = []
    for setting, scores in scores_of.items():
        own = options
        if setting:
            named = {"base": system_under(options.base, setting), "primary": None, "margin": None}
            own = options.model_copy(update=named)
        joined = join_scores(scores, metrics)
        judged = [metric for metric in joined.metrics if not metric.is_descriptive]
        if len(joined.systems) > 1:
            _check_names(joined.systems, [metric.name for metric in judged], own)
        yield from _summaries(joined, own)
        if len(joined.systems) > 1:
            judged.sort(key=lambda metric: metric.name != options.primary)
            against = [own.base, *(name for name in joined.systems if name in baselines)]
            for first in against:
                measured = [
                    (joined.measured[first, metric.name], joined.measured[other, metric.name])
                    for metric in judged
                    for other in joined.systems
                    if other not in against
                ]
                beside = {} if first == own.base else {"primary": None, "margin": None}
                pairs += _test_pairs(measured, joined.items, own.model_copy(update=beside))
    yield from _comparisons(pairs, options)


def _check_names(systems: list[str], judged: list[str], options: CompareOptions) -> None:
    if options.base not in systems:
        raise InputError(
            f"there is no system {options.base!r} to compare with; there are: {', '.join(systems)}",
            where="compare.base",
            do="name one of them",
        )
    if options.primary is not None and options.primary not in judged:
        raise InputError(
            f"the primary metric {options.primary!r} is not among the scores: {', '.join(judged) or 'none'}",
            where="compare.primary",
            do="name one that is scored",
        )


def _summaries(joined: Joined, options: CompareOptions) -> Iterator[Summary]:
    measured = list(joined.measured.values())
    quantities = [joined.items.quantity(one.statistics, one.scored, one.metric.aggregate) for one in measured]
    estimates = estimate(quantities, draws=options.draws, seed=options.seed)
    for one, found in zip(measured, estimates, strict=True):
        value = _finite(found.value)
        span = interval(found, options.confidence, one.metric.bounds) if value is not None else None
        low, high = span or (None, None)
        yield Summary(
            system=one.system,
            metric=one.metric.name,
            value=value,
            low=low,
            high=high,
            n=int(one.scored.sum()),
            n_sources=joined.items.count_sources(one.scored),
            higher_is_better=one.metric.higher_is_better,
            signature=one.signature,
            status=dict(sorted(one.status.items())),
            floor=None if one.floor is None else _finite(float(one.metric.aggregate(one.floor))),
        )


@dataclass(frozen=True)
class _Pair:
    """Base and tuned on one metric, over the items that both could be scored on."""

    base: Measured
    tuned: Measured
    items: Items
    both: Mask
    found: Estimate
    is_primary: bool
    p: float | None
    margin: float | None
    p_equivalence: float | None
    """Of the primary metric with a margin."""

    @property
    def is_identical(self) -> bool:
        import numpy

        return numpy.array_equal(self.base.statistics[self.both], self.tuned.statistics[self.both])


@dataclass(frozen=True)
class _Corrected:
    """p-values after correction for being one of several."""

    everywhere: float | None
    """Over all metrics and systems."""
    deciding: float | None
    """What the verdict rests on."""
    p_equivalence: float | None


def _comparisons(pairs: Sequence[_Pair], options: CompareOptions) -> Iterator[Comparison]:
    everywhere = holm([pair.p for pair in pairs])
    among_primary = iter(holm([pair.p for pair in pairs if pair.is_primary]))
    equivalence = holm([pair.p_equivalence for pair in pairs])
    for pair, p, p_equivalence in zip(pairs, everywhere, equivalence, strict=True):
        # the primary metric was named before the run: it is corrected for several tuned systems, not for other metrics
        corrected = _Corrected(p, next(among_primary) if pair.is_primary else p, p_equivalence)
        yield _comparison(pair, options, corrected)


def _test_pairs(
    pairs: Sequence[tuple[Measured, Measured]], items: Items, options: CompareOptions
) -> list[_Pair]:
    paired = [paired_quantity(base, tuned, items) for base, tuned in pairs]
    quantities = [quantity for quantity, _ in paired]
    estimates = estimate(quantities, draws=options.draws, seed=options.seed, studentise=True)
    tested = []
    for (base, tuned), (_, counted), found in zip(pairs, paired, estimates, strict=True):
        is_primary = base.metric.name == options.primary
        margin = options.margin if is_primary else None
        p = p_equivalence = None
        if math.isfinite(found.value):
            p = p_value(found, draws=options.draws)
            p_equivalence = margin and equivalence_p_value(found, margin, draws=options.draws)
        tested.append(_Pair(base, tuned, items, counted, found, is_primary, p, margin, p_equivalence))
    return tested


def _comparison(pair: _Pair, options: CompareOptions, corrected: _Corrected) -> Comparison:
    items = pair.items
    metric, n = pair.base.metric, int(pair.both.sum())
    base_value, tuned_value = (_value(one, pair.both) for one in (pair.base, pair.tuned))
    difference, detectable, span = _finite(pair.found.value), None, None
    if difference is not None:
        span = interval(pair.found, options.confidence)
        detectable = smallest_detectable(pair.found, options.confidence)
    verdict: Verdict
    if difference is None or len(items.ids) - n > options.max_failed * len(items.ids):
        verdict = "invalid"
    elif pair.is_identical:
        verdict, span = "identical", (0.0, 0.0)
    else:
        verdict = decide(
            difference,
            corrected.deciding,
            alpha=1 - options.confidence,
            higher_is_better=metric.higher_is_better,
            margin=pair.margin,
            p_equivalence=corrected.p_equivalence,
            detectable=detectable,
        )
    low, high = span or (None, None)
    n_better, n_worse = _count_changes(pair)
    comparison = Comparison(
        metric=metric.name,
        base=pair.base.system,
        tuned=pair.tuned.system,
        base_value=base_value,
        tuned_value=tuned_value,
        difference=difference,
        low=low,
        high=high,
        p=pair.p,
        p_holm=corrected.everywhere,
        n=n,
        n_sources=items.count_sources(pair.both),
        smallest_detectable=detectable,
        n_better=n_better,
        n_worse=n_worse,
        is_primary=pair.is_primary,
        higher_is_better=metric.higher_is_better,
        verdict=verdict,
        words="",
        signature=pair.base.signature,
        standard_error=pair.found.standard_error,
        margin=pair.margin,
        p_equivalence=corrected.p_equivalence,
    )
    said = words(
        comparison, n_items=len(items.ids), confidence=options.confidence, deciding=corrected.deciding
    )
    return replace(
        comparison, words=said, warnings=tuple(warn(comparison, pair.found, pair.base, pair.tuned))
    )


def _value(one: Measured, counted: Mask) -> float | None:
    return (
        _finite(float(one.metric.aggregate(one.statistics[counted].sum(axis=0)))) if counted.any() else None
    )


def _count_changes(pair: _Pair) -> tuple[int, int]:
    """Items on which tuned is better and worse than base."""
    change = (pair.tuned.values - pair.base.values)[pair.both]
    if not pair.base.metric.higher_is_better:
        change = -change
    return int((change > SAME_VALUE).sum()), int((change < -SAME_VALUE).sum())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
