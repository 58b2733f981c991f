"""Files made anywhere in, JSON out: what `tunesmith score`, `compare`, `tally` and `estimate` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.compare.power import Spread, detectable_difference, needed_items, pilot_spread
from tunesmith.compare.seeds import spread_over_seeds
from tunesmith.compare.stage import CompareOptions, compare_systems
from tunesmith.compare.tally import mcnemar, read_verdicts, tally
from tunesmith.compare.verdict import POWER
from tunesmith.errors import InputError
from tunesmith.records import Comparison, Prediction, Score, Summary, as_row
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
        `{"scores": [{system, metric, value, low, high, n, clusters, higher_is_better, signature, status, floor,
        failed, is_valid}]}`; `floor` is the value when each answer is held against another item's references, and
        `is_valid` false where more items failed or could not be scored than `compare.max_failed` allows.

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
    summaries += constant_summaries(predictions, score, options)
    return {"scores": [score_row(summary, options) for summary in summaries]}


def compare_files(
    bases: Path | Sequence[Path],
    tuned: Path | Sequence[Path],
    score: ScoreOptions,
    compare: CompareOptions | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    are_seeds: bool = False,
) -> dict[str, Any]:
    """The verdict on files of predictions for the same items, joined by id: every tuned one against every base.

    The systems are called what the rows or the files are called, or `base` and `tuned` where that does not tell them
    apart. Without `compare`, no metric is the primary one and all are corrected for being many.

    Args:
        bases: one file, or trainings of the base's recipe with several seeds.
        tuned: one file or several.
        score: which metrics, and how.
        compare: draws, confidence, primary metric.
        columns: our column name to the files'.
        are_seeds: the tuned files (and the bases) are trainings of one recipe that differ in their seed.

    Returns:
        `{"comparisons": [{metric, base, tuned, base_value, tuned_value, difference, low, high, p, p_holm, n, clusters,
        smallest_detectable, n_better, n_worse, is_primary, higher_is_better, verdict, words, signature, warnings,
        standard_error, margin, p_equivalence}], "scores": [as in score_files]}`, of JSON types; with `are_seeds` also
        `"seeds"`, a `SeedSpread` of each metric.

    Raises:
        InputError: a file cannot be used or holds several systems, or the items or references differ.
    """
    of_base = [bases] if isinstance(bases, Path) else list(bases)
    of_tuned = [tuned] if isinstance(tuned, Path) else list(tuned)
    if len(of_base) > 1 and not are_seeds:
        raise InputError("several bases are trainings of one recipe", do="say so: they are seeds")
    metrics = open_metrics(score)
    names, predictions = read_systems([*of_base, *of_tuned], columns)
    if _need_references(metrics):
        check_references(of_base[0], [one for one in predictions if one.system == names[0]], columns=columns)
    base_names = names[: len(of_base)]
    options = compare or CompareOptions(primary=None)
    scores = _scored(predictions, metrics)
    summaries: dict[tuple[str, str], Summary] = {}
    comparisons: list[Comparison] = []
    for base in base_names:
        beside = [one for one in scores if one.system == base or one.system not in base_names]
        for record in compare_systems(beside, metrics, options.model_copy(update={"base": base})):
            if isinstance(record, Comparison):
                comparisons.append(record)
            else:
                summaries.setdefault((record.system, record.metric), record)
    rank = {name: place for place, name in enumerate(names)}
    found: dict[str, Any] = {
        "comparisons": [comparison_row(record) for record in comparisons],
        "scores": [
            score_row(summary, options)
            for summary in sorted(summaries.values(), key=lambda one: rank[one.system])
        ],
    }
    if are_seeds:
        measured = dict.fromkeys(record.metric for record in comparisons)
        found["seeds"] = [
            _seeds_row([one for one in comparisons if one.metric == metric], options) for metric in measured
        ]
    return found


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
    return list(compare_systems(_scored(predictions, metrics), metrics, options))


def _scored(predictions: Sequence[Prediction], metrics: Sequence[Metric]) -> list[Score]:
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
    return scores


def constant_summaries(
    predictions: Sequence[Prediction], score: ScoreOptions, compare: CompareOptions
) -> list[Summary]:
    """What always giving one label scores on the metrics of labels, the commonest label first; none without them."""
    names = [name for name in score.metrics if name in LABEL_METRICS]
    if not names:
        return []
    metrics = open_metrics(score.model_copy(update={"metrics": tuple(names)}))
    constant = constant_answers(predictions, score.labels)
    systems = dict.fromkeys(prediction.system for prediction in constant)
    found = []
    for system in list(systems)[:MOST_CONSTANT]:
        own = [prediction for prediction in constant if prediction.system == system]
        found += _summaries(_evaluated(own, metrics, compare))
    return found


def _need_references(metrics: Sequence[Metric]) -> bool:
    return any(metric.uses_references for metric in metrics)


def read_two_systems(
    base: Path, tuned: Path, columns: Mapping[str, str] | None = None
) -> tuple[tuple[str, str], list[Prediction], list[Prediction]]:
    """The names of two systems and their predictions for the same items; see `read_systems`."""
    (first, second), predictions = read_systems([base, tuned], columns)
    return (
        (first, second),
        [one for one in predictions if one.system == first],
        [one for one in predictions if one.system == second],
    )


def read_systems(
    paths: Sequence[Path], columns: Mapping[str, str] | None = None
) -> tuple[list[str], list[Prediction]]:
    """The names of the systems, one for each file, and their predictions for the same items, in that order.

    They are called what the rows or the files are called. Where that does not tell them apart, two are `base` and
    `tuned`; more are called after their files, or numbered.

    Raises:
        InputError: a file cannot be used or holds several systems, or the items or references differ.
    """
    found = [_one_system(path, columns) for path in paths]
    for path, predictions in zip(paths[1:], found[1:], strict=True):
        check_same_items(paths[0], found[0], path, predictions, columns=columns)
    names = _names_apart([predictions[0].system for predictions in found], paths)
    return names, [
        replace(one, system=name)
        for name, predictions in zip(names, found, strict=True)
        for one in predictions
    ]


def _names_apart(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    numbered = (
        ["base", "tuned"] if len(names) == 2 else ["base", *(f"tuned {n}" for n in range(1, len(names)))]
    )
    stems = [path.stem for path in paths] if len(names) > 2 else numbered
    return next(list(some) for some in (names, stems, numbered) if len(set(some)) == len(some))


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


def score_row(summary: Summary, options: CompareOptions) -> dict[str, Any]:
    """As `score_files` gives it."""
    row = as_row(summary)
    row["clusters"] = row.pop("n_sources")
    row["failed"] = sum(summary.status.values()) - summary.n
    row["is_valid"] = row["failed"] <= options.max_failed * sum(summary.status.values())
    return row


def comparison_row(comparison: Comparison) -> dict[str, Any]:
    """As `compare_files` gives it."""
    row = as_row(comparison)
    row["clusters"] = row.pop("n_sources")
    row["warnings"] = list(comparison.warnings)
    return row


def _seeds_row(comparisons: Sequence[Comparison], options: CompareOptions) -> dict[str, Any]:
    row = as_row(spread_over_seeds(comparisons, options.confidence))
    return row | {"bases": list(row["bases"]), "systems": list(row["systems"])}
