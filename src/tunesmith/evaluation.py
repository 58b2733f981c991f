"""Files made anywhere in, JSON out: what `tunesmith score`, `compare`, `tally` and `estimate` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.compare.power import Spread, detectable_difference, needed_items, pilot_spread
from tunesmith.compare.stage import CompareOptions, compare_systems
from tunesmith.compare.tally import mcnemar, read_verdicts, tally
from tunesmith.compare.verdict import POWER
from tunesmith.errors import InputError
from tunesmith.records import Comparison, Prediction, Summary, as_row
from tunesmith.score.labels import LABEL_METRICS, constant_answers
from tunesmith.score.metric import Metric
from tunesmith.score.predictions import check_references, check_same_items, read_predictions
from tunesmith.score.stage import ScoreOptions, open_metrics, score_predictions

MOST_CONSTANT = 5
"""Labels, from the commonest on, of which it is shown what always giving them scores."""
USUAL_SIZES = (30, 50, 100, 200, 300, 500, 1000, 2000)


def score_files(
    paths: Sequence[Path],
    score: ScoreOptions,
    compare: CompareOptions | None = None,
    *,
    columns: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Every metric of every system in the files, with intervals.

    With a metric of labels, also of systems that always give one label, for scale.

    Returns:
        `{"scores": [{system, metric, value, low, high, n, clusters, higher_is_better, signature, status,
        floor}]}`; `floor` is the value when each answer is held against another item's references.

    Raises:
        InputError: a file cannot be used, two files hold the same system, or a metric can score nothing.
    """
    predictions: list[Prediction] = []
    origin: dict[str, Path] = {}
    needs_references = _need_references(open_metrics(score))
    for path in paths:
        found = read_predictions(path, columns=columns)
        if needs_references:
            check_references(path, found, columns=columns)
        for prediction in found:
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
    summaries += _constant_summaries(predictions, score, options)
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
    metrics = open_metrics(score)
    names, first, second = read_two_systems(base, tuned, columns)
    if _need_references(metrics):
        check_references(base, first, columns=columns)
    predictions = [*first, *second]
    options = (compare or CompareOptions(primary=None)).model_copy(update={"base": names[0]})
    found = _evaluated(predictions, metrics, options)
    return {
        "comparisons": [_comparison_row(record) for record in found if isinstance(record, Comparison)],
        "scores": [_score_row(summary) for summary in _summaries(found)],
    }


def tally_file(
    path: Path, *, base_label: str, tuned_label: str, column: str = "verdict", other: Path | None = None
) -> dict[str, Any]:
    """What `tally` makes of a file of raw verdicts; with a second file of the same items also `other` and `mcnemar`.

    Raises:
        InputError: a file, column or label cannot be used, or the two files are about different items.
    """
    items = read_verdicts(path, base_label=base_label, tuned_label=tuned_label, column=column)
    found = tally(items)
    if other is not None:
        second = read_verdicts(other, base_label=base_label, tuned_label=tuned_label, column=column)
        found |= {"other": tally(second), "mcnemar": mcnemar(items, second)}
    return found


def estimate_items(
    spread: Spread, difference: float | None = None, *, confidence: float = 0.95
) -> dict[str, Any]:
    """How many items show a difference, and what usual numbers of items show.

    Returns:
        `{deviation, correlation, items_per_source, power, confidence, needed: {difference, items} | null,
        table: [{items, detectable}]}`, of JSON types.
    """
    sizes = [n for n in USUAL_SIZES if n / spread.per_source >= 2]
    return {
        "deviation": spread.deviation,
        "correlation": spread.correlation,
        "items_per_source": spread.per_source,
        "power": POWER,
        "confidence": confidence,
        "needed": None
        if difference is None
        else {"difference": difference, "items": needed_items(difference, spread, confidence=confidence)},
        "table": [
            {"items": n, "detectable": detectable_difference(n, spread, confidence=confidence)} for n in sizes
        ],
    }


def estimate_from_pilot(
    base: Path,
    tuned: Path,
    metric: str,
    difference: float | None = None,
    *,
    columns: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What `estimate_items` says, with the spread measured on two files of predictions for the same few items."""
    first, second = _one_system(base, columns), _one_system(tuned, columns)
    check_same_items(base, first, tuned, second, columns=columns)
    predictions = [replace(one, system="base") for one in first] + [
        replace(one, system="tuned") for one in second
    ]
    [opened] = open_metrics(ScoreOptions(metrics=(metric,)))
    spread = pilot_spread(score_predictions(predictions, [opened]), opened, CompareOptions(), tuned="tuned")
    return {"metric": metric, "pilot_items": len(first), **estimate_items(spread, difference)}


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


def _constant_summaries(
    predictions: Sequence[Prediction], score: ScoreOptions, options: CompareOptions
) -> list[Summary]:
    """What always giving one label scores on the metrics of labels, the commonest label first."""
    names = [name for name in score.metrics if name in LABEL_METRICS]
    if not names:
        return []
    metrics = open_metrics(score.model_copy(update={"metrics": tuple(names)}))
    constant = constant_answers(predictions, score.labels)
    systems = dict.fromkeys(prediction.system for prediction in constant)
    found = []
    for system in list(systems)[:MOST_CONSTANT]:
        own = [prediction for prediction in constant if prediction.system == system]
        found += _summaries(_evaluated(own, metrics, options))
    return found


def _need_references(metrics: Sequence[Metric]) -> bool:
    return any(metric.uses_references for metric in metrics)


def read_two_systems(
    base: Path, tuned: Path, columns: Mapping[str, str] | None = None
) -> tuple[tuple[str, str], list[Prediction], list[Prediction]]:
    """The names of two systems and their predictions for the same items.

    They are called what the rows or the files are called, or `base` and `tuned` where that does not tell them apart.

    Raises:
        InputError: a file cannot be used or holds several systems, or the items or references differ.
    """
    first, second = _one_system(base, columns), _one_system(tuned, columns)
    check_same_items(base, first, tuned, second, columns=columns)
    names = (first[0].system, second[0].system)
    if names[0] == names[1]:
        names = ("base", "tuned")
    return (
        names,
        [replace(one, system=names[0]) for one in first],
        [replace(one, system=names[1]) for one in second],
    )


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
