"""The section on labels: what the tuned classifier is held against, what it confuses, how each label fares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.records import Comparison, Prediction, Summary
from tunesmith.report.metrics import VERDICT_SIGNS
from tunesmith.report.section import Section
from tunesmith.report.study import (
    Study,
    comparison_places,
    confidence,
    metric_order,
    predictions_by_system,
    system_names,
)
from tunesmith.report.words import MISSING, count, interval, metric_name, number, places_for, share, signed

WHAT_IT_IS = {
    "majority": "Always the commonest label of the training rows.",
    "random head": "The base model with the untrained head that tuning starts from: one draw, and noise.",
    "base": "The untouched base model, with a logistic regression on its states learnt from the same training rows.",
    "tuned": "The tuned model.",
}
ORDER = ("majority", "random head", "base")
MOST_LABELS = 20
"""Beyond this a table of confusions cannot be read."""


def classification_section(study: Study) -> Section | None:
    labels = _labels(study)
    if not labels:
        return None
    answers = predictions_by_system(study)
    names = [name for name in ORDER if name in answers]
    names += [name for name in system_names(study) if name in answers and name not in names]
    metrics = [metric for metric in metric_order(study) if metric in ("f1", "accuracy")] or metric_order(
        study
    )[:2]
    matrices = [
        _matrix(name, labels, answers[name]) for name in names if name not in ("majority", "random head")
    ]
    return Section(
        "labels",
        "Labels",
        "labels.html.j2",
        {
            "lines": [_line(study, name, metrics) for name in names],
            "metrics": [metric_name(metric) for metric in metrics],
            "confidence": confidence(study),
            "labels": labels,
            "matrices": matrices if len(labels) <= MOST_LABELS else [],
            "per_label": [_of_label(label, labels, names, answers) for label in labels],
            "systems": [name for name in names if name not in ("majority", "random head")],
            "n": count(max(len(found) for found in answers.values())),
        },
    )


def _labels(study: Study) -> list[str]:
    """The labels in the order of the head; empty where nothing was classified."""
    return next((list(item.probabilities) for item in study.predictions if item.probabilities), [])


def _line(study: Study, system: str, metrics: Sequence[str]) -> dict[str, Any]:
    found = {(item.system, item.metric): item for item in study.summaries}
    against = next(
        (item for item in study.comparisons if item.base == system and item.metric == metrics[0]), None
    )
    return {
        "system": system,
        "what": WHAT_IT_IS.get(system, ""),
        "values": [_value(found.get((system, metric))) for metric in metrics],
        "against": _difference(against),
    }


def _value(summary: Summary | None) -> dict[str, str]:
    if summary is None:
        return {"value": MISSING, "interval": MISSING}
    places = places_for(summary.value, summary.low, summary.high)
    return {"value": number(summary.value, places), "interval": interval(summary.low, summary.high, places)}


def _difference(item: Comparison | None) -> dict[str, str] | None:
    if item is None:
        return None
    places = comparison_places(item)
    return {
        "tuned": item.tuned,
        "difference": signed(item.difference, places),
        "interval": interval(item.low, item.high, places),
        "verdict": item.verdict,
        "sign": VERDICT_SIGNS[item.verdict],
    }


def _counted(labels: Sequence[str], predictions: Sequence[Prediction]) -> Counter[tuple[str, str]]:
    """How often each right label was answered with each label; what is no label is left out."""
    right = {label.strip().casefold(): label for label in labels}
    pairs: Counter[tuple[str, str]] = Counter()
    for item in predictions:
        wanted = right.get(item.references[0].strip().casefold()) if item.references else None
        given = right.get(item.text.strip().casefold())
        if wanted is not None and given is not None:
            pairs[wanted, given] += 1
    return pairs


def _matrix(name: str, labels: Sequence[str], predictions: Sequence[Prediction]) -> dict[str, Any]:
    pairs = _counted(labels, predictions)
    rows = []
    for wanted in labels:
        whole = sum(pairs[wanted, given] for given in labels)
        cells = [
            {
                "size": count(pairs[wanted, given]),
                "share": share(pairs[wanted, given], whole),
                "part": pairs[wanted, given] / whole if whole else 0.0,
                "is_right": wanted == given,
            }
            for given in labels
        ]
        rows.append({"label": wanted, "cells": cells, "n": count(whole)})
    left_out = len(predictions) - sum(pairs.values())
    return {"system": name, "rows": rows, "left_out": count(left_out) if left_out else ""}


def _of_label(
    label: str, labels: Sequence[str], names: Sequence[str], answers: Mapping[str, Sequence[Prediction]]
) -> dict[str, Any]:
    """Precision, recall and F1 of one label for each system that is more than a floor."""
    cells, n = [], 0
    for name in names:
        if name in ("majority", "random head"):
            continue
        pairs = _counted(labels, answers[name])
        right = pairs[label, label]
        given = sum(pairs[wanted, label] for wanted in labels)
        n = sum(pairs[label, other] for other in labels)
        cells.append(
            {
                "precision": number(right / given if given else None, 3),
                "recall": number(right / n if n else None, 3),
                "f1": number(2 * right / (given + n) if given + n else None, 3),
            }
        )
    return {"label": label, "n": count(n), "cells": cells}
