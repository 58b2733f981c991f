"""Systems that know nothing, for scale: answers to other questions, and always the same answer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tunesmith.records import Prediction

SHUFFLED = "answers to other questions"
CONSTANT = "most frequent answer"
MOST_LABELS = 20
"""Answers that few are labels, and a constant answer is worth knowing."""


def floor_predictions(predictions: Sequence[Prediction], *, seed: int = 0) -> list[Prediction]:
    """The reference of another item as the answer to each (of another source where there is one); and, where the
    references are labels, the most frequent one as the answer to all.

    Args:
        predictions: of any number of systems; each item is taken once.
        seed: of the shuffle.
    """
    items = sorted(
        {one.id: one for one in reversed(predictions) if one.references}.values(), key=lambda one: one.id
    )
    if len(items) < 2:
        return []
    floors = [
        _answered(item, other, SHUFFLED) for item, other in zip(items, _others(items, seed), strict=True)
    ]
    frequency = Counter(item.references[0] for item in items)
    if len(frequency) <= min(MOST_LABELS, len(items) / 5):
        answer = min(frequency, key=lambda text: (-frequency[text], text))
        floors += [_answered(item, answer, CONSTANT) for item in items]
    return floors


def _others(items: Sequence[Prediction], seed: int) -> list[str]:
    """For each item the first reference of another one, drawn among those of other sources."""
    rng = random.Random(seed)
    found = []
    for item in items:
        far = [other for other in items if other.source_id != item.source_id]
        found.append(rng.choice(far or [other for other in items if other.id != item.id]).references[0])
    return found


def _answered(item: Prediction, text: str, system: str) -> Prediction:
    return replace(
        item,
        text=text,
        system=system,
        status="ok",
        error=None,
        finish_reason=None,
        n_new_tokens=None,
        latency_ms=None,
        reference_nll=None,
        reference_tokens=None,
        settings={},
    )
