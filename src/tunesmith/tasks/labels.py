"""The labels of a classification: which there are, in which order, and what each counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from tunesmith.errors import GateError, InputError
from tunesmith.records import Row

ClassWeights = Literal["balanced"] | dict[str, float]
MOST_FOUND = 50
"""More different completions than this are taken for free text, unless the labels are named."""


def find_labels(
    rows: Sequence[Row], given: Sequence[str] | None, known: Sequence[str] = ()
) -> tuple[str, ...]:
    """The labels in their order: those given; the order the model knows them in; else by number, or by name.

    Args:
        rows: training rows, the label as completion.
        given: the labels a person named.
        known: the labels that the model's head was trained on.

    Raises:
        GateError: there is only one label, so there is nothing to learn.
        InputError: there are too many to be labels, or one is named twice.
    """
    if given:
        named = tuple(label.strip() for label in given)
        if len(set(named)) < len(named) or not all(named):
            raise InputError(
                "a label is named twice, or is empty", where="train.labels", do="Name each label once."
            )
        labels = named
    else:
        found = {row.completion.strip() for row in rows}
        if len(found) > MOST_FOUND:
            raise InputError(
                f"the completions are {len(found)} different texts, too many to be labels",
                where="train.labels",
                do="Name the labels in train.labels, or take task: causal for free answers.",
            )
        labels = tuple(known) if set(known) == found else tuple(sorted(found, key=_order))
    if len(labels) < 2:
        raise GateError(
            f"there is only one label ({labels[0]!r})" if labels else "there are no labels",
            where="train.labels",
            do="Training needs rows of two labels or more: look at prepare/train.jsonl.",
        )
    return labels


def _order(label: str) -> tuple[int, float, str]:
    """Numbers by their value (`2` before `10`), then words by name."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)


def weigh_labels(
    labels: Sequence[str], rows: Sequence[Row], weights: ClassWeights | None
) -> tuple[float, ...] | None:
    """What a row of each label counts, scaled so that training rows count 1 on average; `None` for all alike.

    `balanced` is scikit-learn's: rows / (labels x rows of the label), for the labels that have rows.

    Raises:
        InputError: a weight is for no label, a label has none, or a weight is not above 0.
    """
    if weights is None:
        return None
    counts = Counter(row.completion.strip() for row in rows)
    total = sum(counts[label] for label in labels)
    if weights == "balanced":
        there = [label for label in labels if counts[label]]
        return tuple(total / (len(there) * counts[label]) if counts[label] else 1.0 for label in labels)
    wrong = sorted(set(weights) ^ set(labels))
    if wrong or not all(weight > 0 for weight in weights.values()):
        raise InputError(
            f"the labels are {', '.join(labels)}, and the weights are for {', '.join(weights)}"
            if wrong
            else "a class weight is not above 0",
            where="train.class_weights",
            do="Give each label one weight above 0, or take `balanced`.",
        )
    mean = sum(weights[label] * counts[label] for label in labels) / max(total, 1)
    return tuple(weights[label] / mean for label in labels)
