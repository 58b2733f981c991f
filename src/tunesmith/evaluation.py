"""Scores and comparisons of files made anywhere: what `tunesmith score` and `tunesmith compare` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.compare.stage import CompareOptions, compare_systems
from tunesmith.errors import InputError
from tunesmith.records import Comparison, Prediction, Summary, as_row
from tunesmith.score.metric import Metric
from tunesmith.score.predictions import read_predictions
from tunesmith.score.stage import ScoreOptions, open_metrics, score_predictions


def score_files(
    paths: Sequence[Path],
    score: ScoreOptions,
    compare: CompareOptions | None = None,
    *,
    columns: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Every metric of every system in the files, with intervals.

    Returns:
        `{"scores": [{system, metric, value, low, high, n, clusters, higher_is_better, signature, status}]}`

    Raises:
        InputError: a file cannot be used, two files hold the same system, or a metric can score nothing.
    """
    predictions: list[Prediction] = []
    origin: dict[str, Path] = {}
    for path in paths:
        for prediction in read_predictions(path, columns=columns):
            if origin.setdefault(prediction.system, path) != path:
                raise InputError(
                    f"system {prediction.system!r} is in {origin[prediction.system]} as well",
                    where=str(path),
                    do="give each row its `system`, or the files different names",
                )
            predictions.append(prediction)
    options = compare or CompareOptions()
    summaries: list[Summary] = []
    # each system by itself: scoring needs no common items, only comparing does
    for system in dict.fromkeys(prediction.system for prediction in predictions):
        own = [prediction for prediction in predictions if prediction.system == system]
        summaries += _summaries(_evaluated(own, open_metrics(score), options))
    return {"scores": [_score_row(summary) for summary in summaries]}


def compare_files(
    base: Path,
    tuned: Path,
    score: ScoreOptions,
    compare: CompareOptions | None = None,
    *,
    columns: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The verdict on two files of predictions for the same items, joined by id.

    The systems are called what the rows or the files are called, or `base` and `tuned` where that does not tell them
    apart. Without `compare`, no metric is the primary one and all are corrected for being many.

    Returns:
        `{"comparisons": [{metric, base, tuned, base_value, tuned_value, difference, low, high, p, p_holm, n, clusters,
        smallest_detectable, n_better, n_worse, is_primary, higher_is_better, verdict, words, signature, warnings}],
        "scores": [as in score_files]}`, of JSON types.

    Raises:
        InputError: a file cannot be used or holds several systems, or the items or references differ.
    """
    first, second = _one_system(base, columns), _one_system(tuned, columns)
    names = (first[0].system, second[0].system)
    if names[0] == names[1]:
        names = ("base", "tuned")
    predictions = [replace(one, system=names[0]) for one in first] + [
        replace(one, system=names[1]) for one in second
    ]
    options = (compare or CompareOptions(primary=None)).model_copy(update={"base": names[0]})
    found = _evaluated(predictions, open_metrics(score), options)
    return {
        "comparisons": [_comparison_row(record) for record in found if isinstance(record, Comparison)],
        "scores": [_score_row(summary) for summary in _summaries(found)],
    }


def _evaluated(
    predictions: Sequence[Prediction], metrics: Sequence[Metric], options: CompareOptions
) -> list[Summary | Comparison]:
    scores = list(score_predictions(predictions, metrics))
    for metric in metrics:
        statuses = {score.status for score in scores if score.metric == metric.name}
        if statuses == {"not scored"}:
            raise InputError(
                f"{metric.name} can score none of the items",
                do="leave it out"
                if metric.uses_text
                else "give every row reference_nll and reference_tokens, or leave it out",
            )
    return list(compare_systems(scores, metrics, options))


def _one_system(path: Path, columns: Mapping[str, str] | None) -> list[Prediction]:
    predictions = read_predictions(path, columns=columns)
    systems = list(dict.fromkeys(prediction.system for prediction in predictions))
    if len(systems) > 1:
        raise InputError(
            f"this file holds several systems: {', '.join(systems)}",
            where=str(path),
            do="keep one system per file",
        )
    return predictions


def _summaries(found: Sequence[Summary | Comparison]) -> list[Summary]:
    return [record for record in found if isinstance(record, Summary)]


def _score_row(summary: Summary) -> dict[str, Any]:
    row = as_row(summary)
    row["clusters"] = row.pop("n_sources")
    return row


def _comparison_row(comparison: Comparison) -> dict[str, Any]:
    row = as_row(comparison)
    row["clusters"] = row.pop("n_sources")
    row["warnings"] = list(comparison.warnings)
    return row
