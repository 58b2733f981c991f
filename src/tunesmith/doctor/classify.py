"""What only a classifier's plan can get wrong: its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tunesmith.doctor.check import SHOWN, Check
from tunesmith.models.classifier import known_labels
from tunesmith.records import Row
from tunesmith.tasks.classify import ClassifyTask

_RARE = 10
"""A label with fewer than one row in so many of the commonest one's is worth weighing."""


def of_rows(
    task: ClassifyTask, train: Sequence[Row], held_out: Sequence[Row], base: str, *, weighed: bool
) -> list[Check]:
    """The label map with its counts, labels that the model cannot give, and what the head starts from."""
    return [_labels(task, train, weighed), *_unknown(task, train, held_out), _head(task, base)]


def _labels(task: ClassifyTask, train: Sequence[Row], weighed: bool) -> Check:
    counts = Counter(row.completion.strip() for row in train)
    known = task.head.labels
    words = ", ".join(f"{number} = {label!r} ({counts[label]:,} rows)" for number, label in enumerate(known))
    empty = [label for label in known if not counts[label]]
    if empty:
        return Check(
            "labels",
            "failed",
            f"{words}: no training row has the label {', '.join(map(repr, empty[:SHOWN]))}",
            "Take it out of train.labels, or give it rows: it would never be learnt.",
        )
    rare = [label for label in known if counts[label] * _RARE < max(counts.values())]
    if rare and not weighed:
        return Check(
            "labels",
            "note",
            f"{words}: {', '.join(map(repr, rare[:SHOWN]))} is rare",
            "Think of class_weights: balanced; F1 counts all labels alike.",
        )
    return Check("labels", "ok", words)


def _unknown(task: ClassifyTask, train: Sequence[Row], held_out: Sequence[Row]) -> list[Check]:
    found = []
    for rows, where, what in (
        (train, "training", "they are refused"),
        (held_out, "validation and test", "their answers can only be wrong"),
    ):
        counts = Counter(row.completion.strip() for row in rows)
        strange = {label: n for label, n in counts.items() if label not in task.head.labels}
        if strange:
            shown = ", ".join(f"{label!r} ({n})" for label, n in sorted(strange.items())[:SHOWN])
            words = f"{sum(strange.values()):,} of {len(rows):,} {where} rows have other labels: {shown}"
            found.append(
                Check(
                    "other labels",
                    "failed",
                    f"{words}; {what}",
                    "Mend the rows, map their labels with prepare.data.labels, or name all labels in train.labels.",
                )
            )
    return found or [Check("other labels", "ok", "every row has one of these labels")]


def _head(task: ClassifyTask, base: str) -> Check:
    states = {
        "mean": "the mean of the tokens",
        "last": "the last token",
        "own": "what the model's own class takes",
    }
    kept = known_labels(base) == task.head.labels
    head = "the base's own head, which knows these labels," if kept else "a new head, drawn from train.seed,"
    return Check("head", "ok", f"{head} reads {states[task.pooling]}")
