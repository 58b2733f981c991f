"""Verdicts and warnings in words: one sentence of fixed wording for each, and how their numbers are printed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tunesmith.compare.join import Measured
from tunesmith.compare.resample import Estimate
from tunesmith.compare.verdict import POWER
from tunesmith.records import Comparison

FEW_SOURCES = 20
SKEWED, SKEWED_SOURCES = 1.0, 100
"""From this skewness on, and below this many sources, the t interval may say too much."""
OFTEN = 0.05
"""From this share of answers on, a status is worth a warning."""
SEEN_STATUS = {
    "error": "failed and are left out",
    "not scored": "could not be scored and are left out",
    "empty": "are empty; they count, with the lowest score",
    "truncated": "were cut off at the token limit",
}
FAILED = ("error", "not scored")


def words(comparison: Comparison, *, n_items: int, confidence: float, deciding: float | None) -> str:
    """The verdict as one sentence of fixed wording."""
    c = comparison
    items = f"{count(c.n, 'item')} from {count(c.n_sources, 'source')}"
    if c.verdict == "invalid":
        failed = n_items - c.n
        if failed:
            share = f"{failed} of {count(n_items, 'item')} ({failed / n_items:.0%})"
            return f"No verdict on {c.metric}: {share} could not be scored for both systems."
        return f"No verdict on {c.metric}: its value is not a finite number."
    if c.verdict == "identical":
        return f"{c.tuned} and {c.base} are identical on {c.metric}: no difference in any of {items}."
    found = _difference_words(c, confidence)
    corrected = deciding is not None and c.p is not None and c.p < 1 - confidence <= deciding
    after = " after correction for several comparisons" if corrected else ""
    if c.verdict == "equivalent":
        within = f"within the margin of {c.margin:g} that was named beforehand"
        return f"{c.tuned} and {c.base} are equivalent on {c.metric}: {found}, {within}, {items}."
    if c.verdict == "too small":
        return (
            f"The test set is too small to tell {c.tuned} from {c.base} on {c.metric}{after}: {found}, {items}"
            f"{_detectable_words(c)}, and the margin that was named beforehand is {c.margin:g}."
        )
    if c.verdict == "no evidence":
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
    if found.skewness is not None and abs(found.skewness) >= SKEWED and found.n_clusters < SKEWED_SOURCES:
        yield (
            f"the sources' differences are strongly skewed (skewness {found.skewness:+.1f}): a few sources differ far "
            "more than the rest, and intervals from so few sources may be too short; look at single sources, or take "
            "more"
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


def count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
