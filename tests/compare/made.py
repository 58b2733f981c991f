"""Scores made to order."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.records import Comparison, Score, Summary
from tunesmith.score.metric import Metric, ratio


def mean_of(name: str = "rougeL", **fields: object) -> Metric:
    """A metric that is the mean of its item values."""
    known: dict[str, object] = {"bounds": (0.0, 1.0), **fields}
    return Metric(name, known.pop("higher_is_better", True), "test", lambda rows: [], ratio, **known)  # type: ignore[arg-type]


def scores(
    system: str,
    values: Sequence[float | None],
    sources: Sequence[object] | None = None,
    metric: str = "rougeL",
) -> list[Score]:
    """One score per value; `None` is an item that failed. Without sources, every item is its own."""
    return [
        Score(
            id=f"item{i:04}",
            source_id=str(sources[i]) if sources is not None else f"source{i:04}",
            system=system,
            metric=metric,
            stats=None if value is None else (float(value), 1.0),
            value=value,
            status="error" if value is None else "ok",
        )
        for i, value in enumerate(values)
    ]


def comparisons(found: Sequence[Summary | Comparison]) -> list[Comparison]:
    return [record for record in found if isinstance(record, Comparison)]


def summaries(found: Sequence[Summary | Comparison]) -> list[Summary]:
    return [record for record in found if isinstance(record, Summary)]
