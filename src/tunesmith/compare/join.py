"""Score rows of several systems side by side: the same items, in one order, or a message that names what differs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith.compare.resample import Quantity, cluster_sums
from tunesmith.errors import InputError
from tunesmith.records import Score
from tunesmith.score.metric import Metric

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Array = NDArray[numpy.float64]
    Mask = NDArray[numpy.bool_]

SHOWN_IDS = 5
Table = dict[tuple[str, str], dict[str, Score]]
"""(system, metric) to item id to score."""


@dataclass(frozen=True)
class Items:
    """The items that all systems answered, sorted by source and id, and the cluster that each is resampled with."""

    ids: list[str]
    clusters: NDArray[numpy.intp]
    """(n,): number of each item's cluster, from 0."""
    n_clusters: int
    """Sources; or items, when all come from one source and nothing else can be resampled."""
    n_sources: int

    def count_sources(self, counted: Mask) -> int:
        """Sources among the counted items (n,)."""
        if self.n_sources == 1:
            return int(counted.any())
        return len(set(self.clusters[counted].tolist()))

    def quantity(self, rows: Array, counted: Mask, value: Callable[[Array], Array]) -> Quantity:
        """What `value` makes of the statistics (n, k) of the counted items (n,), ready to be resampled by cluster."""
        import numpy

        sizes = numpy.bincount(self.clusters[counted], minlength=self.n_clusters).astype(float)
        sums = cluster_sums(numpy.where(counted[:, None], rows, 0.0), self.clusters, self.n_clusters)
        return Quantity(sums, sizes, value)


@dataclass(frozen=True)
class Measured:
    """One metric of one system over all items, in the order of the items."""

    system: str
    metric: Metric
    signature: str
    statistics: Array
    """(n, k): zeros where an item could not be scored."""
    scored: Mask
    """(n,)"""
    values: Array
    """(n,): NaN where an item has no value."""
    status: Counter[str]
    floor: Array | None
    """(k,): sum of the statistics of the answers held against other items' references, if there are any."""


@dataclass(frozen=True)
class Joined:
    items: Items
    systems: list[str]
    """In the order of first appearance."""
    metrics: list[Metric]
    """Those that have scores, in the order asked for."""
    measured: dict[tuple[str, str], Measured]
    """By (system, metric name)."""


def join_scores(scores: Iterable[Score], metrics: Sequence[Metric]) -> Joined:
    """Pairs the scores of all systems by item.

    Raises:
        InputError: there are no scores, an item is scored twice, a system lacks items or a metric that another has, an
            item belongs to two sources, or one metric was computed in two ways.
    """
    table = _table(scores)
    systems = list(dict.fromkeys(system for system, _ in table))
    present = {metric for _, metric in table}
    named = [metric for metric in metrics if metric.name in present]
    if not systems or not named:
        raise InputError(
            "there are no scores to compare", do="score at least one prediction with one of the metrics"
        )
    items = _items(table)
    measured = {
        (system, metric.name): _measured(system, metric, table, items)
        for metric in named
        for system in systems
    }
    for metric in named:
        _check_signatures(metric.name, {measured[system, metric.name].signature for system in systems})
    return Joined(items, systems, named, measured)


def paired_quantity(base: Measured, tuned: Measured, items: Items) -> tuple[Quantity, Mask]:
    """Tuned minus base on one metric, over the items that both could be scored on; and which those are (n,)."""
    import numpy

    counted = base.scored & tuned.scored
    aggregate, width = base.metric.aggregate, base.statistics.shape[1]
    rows = numpy.hstack([base.statistics, tuned.statistics])
    return items.quantity(
        rows, counted, lambda s: aggregate(s[..., width:]) - aggregate(s[..., :width])
    ), counted


def _table(scores: Iterable[Score]) -> Table:
    table: Table = {}
    for score in scores:
        rows = table.setdefault((score.system, score.metric), {})
        if score.id in rows:
            raise InputError(
                f"item {score.id} has two scores of {score.metric} for {score.system}",
                do="keep one row per item",
            )
        rows[score.id] = score
    return table


def _items(table: Table) -> Items:
    import numpy

    source_of: dict[str, str] = {}
    for rows in table.values():
        for score in rows.values():
            if source_of.setdefault(score.id, score.source_id) != score.source_id:
                raise InputError(
                    f"item {score.id} belongs to {source_of[score.id]!r} and, for {score.system}, to "
                    f"{score.source_id!r}",
                    do="give an item the same source_id in every system",
                )
    _check_same_items(table, set(source_of))
    ordered = sorted(source_of, key=lambda item: (source_of[item], item))
    names = sorted(set(source_of.values()))
    if len(names) == 1:
        return Items(ordered, numpy.arange(len(ordered)), n_clusters=len(ordered), n_sources=1)
    number = {name: index for index, name in enumerate(names)}
    clusters = numpy.array([number[source_of[item]] for item in ordered], dtype=numpy.intp)
    return Items(ordered, clusters, n_clusters=len(names), n_sources=len(names))


def _check_same_items(table: Table, everything: set[str]) -> None:
    for (system, metric), rows in table.items():
        missing = sorted(everything - rows.keys())
        if missing:
            shown = ", ".join(missing[:SHOWN_IDS]) + (", …" if len(missing) > SHOWN_IDS else "")
            raise InputError(
                f"{system} has no {metric} for {len(missing)} of {len(everything)} items: {shown}",
                do="compare systems on the same items: generate or score the missing ones",
            )


def _measured(system: str, metric: Metric, table: Table, items: Items) -> Measured:
    import numpy

    if (system, metric.name) not in table:
        raise InputError(
            f"{system} has no scores of {metric.name}", do="score all systems with the same metrics"
        )
    rows = [table[system, metric.name][item] for item in items.ids]
    signatures = {row.signature or metric.signature for row in rows}
    _check_signatures(metric.name, signatures)
    known = [row.stats for row in rows if row.stats is not None]
    floors = [row.floor for row in rows if row.floor is not None]
    nothing = (0.0,) * (len(known[0]) if known else 1)
    return Measured(
        system=system,
        metric=metric,
        signature=min(signatures),
        statistics=numpy.array([nothing if row.stats is None else row.stats for row in rows], dtype=float),
        scored=numpy.array([row.stats is not None for row in rows]),
        values=numpy.array([math.nan if row.value is None else row.value for row in rows]),
        status=Counter(row.status for row in rows),
        floor=numpy.array(floors, dtype=float).sum(axis=0) if floors else None,
    )


def _check_signatures(metric: str, signatures: set[str]) -> None:
    if len(signatures) > 1:
        raise InputError(
            f"{metric} was computed in different ways: {' / '.join(sorted(signatures))}",
            do="score all systems again with the same versions and options",
        )
