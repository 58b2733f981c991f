"""Rows of other sets mixed into training, so that each is a stated share of the training set."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from tunesmith.errors import InputError
from tunesmith.prepare.options import DataOptions
from tunesmith.records import Example, content_id


def mixed_counts(own: int, shares: Sequence[float]) -> list[int]:
    """How many rows of each set make it its share of the whole.

    With B own rows and shares s_i, the whole has T = B / (1 - sum s_i) rows and set i gives s_i T of them.
    """
    total = own / (1 - sum(shares))
    return [round(share * total) for share in shares]


def draw(examples: Sequence[Example], n: int, options: DataOptions, *, skip: int = 0) -> list[Example]:
    """`n` of the examples, in an order that the seed decides and the file's order does not.

    More asked for means the same ones and further ones. Repeated examples get an id of their own.

    Args:
        skip: how many of that order are in use already.

    Raises:
        InputError: there are too few, and `repeat` is off.
    """
    order = sorted(examples, key=lambda example: content_id(str(options.seed), example.id))[skip:]
    if n > len(order) and not (options.repeat and order):
        raise InputError(
            f"it has {len(order):,} rows to mix in, and a share of {options.share:g} takes {n:,}",
            where=f"mix: {options.path}",
            do="lower the share, add rows, or set repeat: true to use rows more than once",
        )
    rounds = math.ceil(n / len(order)) if order else 0
    drawn = [
        dataclasses.replace(example, id=f"{example.id}~{round + 1}" if round else example.id)
        for round in range(rounds)
        for example in order
    ]
    return drawn[:n]
