"""Parts of the training set of any size, each inside every larger one, each holding its share of each stratum."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.errors import InputError
from tunesmith.records import Row


def nested_subset(rows: Sequence[Row], size: float | int) -> list[Row]:
    """The first rows by `Row.rank`, in the order in which they stand.

    Args:
        rows: the training rows of `prepare`, each with a rank.
        size: a share of them up to 1.0 (at least one row), or with a whole number so many rows.

    Raises:
        InputError: there are fewer rows than asked for, or a row has no rank.
    """
    if any(row.rank is None for row in rows):
        raise InputError("a row has no rank, so there is no order to take it in", do="run prepare again")
    n = subset_size(len(rows), size)
    if n > len(rows):
        raise InputError(
            f"{n:,} training rows are asked for, and there are {len(rows):,}", do="ask for fewer"
        )
    order = sorted(rank for row in rows if (rank := row.rank) is not None)
    last = order[n - 1] if n else -1
    return [row for row in rows if row.rank is not None and row.rank <= last]


def subset_size(n_rows: int, size: float | int) -> int:
    """How many rows a share or a number of them is. `1` is one row, `1.0` all of them."""
    if isinstance(size, int):
        return size
    return min(n_rows, max(1, round(size * n_rows)))
