"""Floors: what a metric gives when each answer is held against the references of another item.

Two texts of one language and one topic are never quite unlike, so a similarity of 0.3 may mean nothing. The floor says
what nothing is worth on these very answers; a value counts by how far it is above.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from tunesmith.records import Prediction

SEED = 20


def with_other_references(predictions: Sequence[Prediction], *, seed: int = SEED) -> list[Prediction | None]:
    """Each prediction with the references of another item, in order; `None` where there is no other item.

    All systems are given the same other item, and the order of the predictions does not matter. The other item is of
    another source where there are several sources. Every item's references are used once, unless more than half of the
    items come from one source.
    """
    references = {prediction.id: prediction.references for prediction in predictions if prediction.references}
    other = other_items({one.id: one.source_id for one in predictions if one.id in references}, seed=seed)
    return [
        replace(prediction, references=references[other[prediction.id]]) if prediction.id in other else None
        for prediction in predictions
    ]


def other_items(source_of: dict[str, str], *, seed: int = SEED) -> dict[str, str]:
    """Another item for each item, of another source where there is one. Empty for fewer than two items."""
    if len(source_of) < 2:
        return {}
    groups: dict[str, list[str]] = {}
    for item in sorted(source_of):
        groups.setdefault(source_of[item], []).append(item)
    rng = random.Random(seed)
    names = sorted(groups)
    rng.shuffle(names)
    for items in groups.values():
        rng.shuffle(items)
    # with the items of a source side by side, a step as long as the largest source leaves every source
    line = [item for name in names for item in groups[name]]
    step = max(map(len, groups.values())) if len(groups) > 1 else 1
    found = {}
    for place, item in enumerate(line):
        to = place + step
        while len(groups) > 1 and source_of[line[to % len(line)]] == source_of[item]:
            to += 1
        found[item] = line[to % len(line)]
    return found
