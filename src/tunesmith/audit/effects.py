"""What a finding does to the conclusion: the difference between the systems with the items in question and without."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache

from tunesmith.audit.study import AuditedStudy, labels_of, settings_in
from tunesmith.compare.stage import CompareOptions, compare_systems
from tunesmith.compare.wording import count, show, show_signed
from tunesmith.errors import InputError
from tunesmith.records import Comparison, Prediction, Summary
from tunesmith.score.labels import LABEL_METRICS
from tunesmith.score.stage import ScoreOptions, open_metrics, score_predictions

DRAWS = 2000
USUAL_METRIC = "rougeL"
OF_TEXTS = (
    *("rougeL", "rouge1", "rouge2", "rougeLsum", "bleu", "sentence_bleu", "nltk_bleu", "chrf", "chrf++"),
    *("meteor", "exact_match", "token_f1", "accuracy", "f1", "precision", "recall", "mcc"),
)
"""Metrics in which an effect can be stated from the texts alone, within seconds."""
SPELLINGS = {"acc": "accuracy", "em": "exact_match", "sacrebleu": "bleu", "macro_f1": "f1", "f1_macro": "f1"}


def study_metric(study: AuditedStudy) -> str:
    """The metric in which effects are stated: the study's own where it can be told, else ROUGE-L.

    The primary metric of a plan of ours comes first, then the first metric that the plan reports a number of or that
    the predictions have a column for; answers that are labels are judged by accuracy.
    """
    compare = study.plan.get("compare")
    primary = compare.get("primary") if isinstance(compare, Mapping) else None
    reported = (name for name, value in settings_in(study.plan) if isinstance(value, int | float))
    columns = (str(name) for answer in study.answers[:1] for name in answer.columns)
    named = (_as_metric(str(name)) for name in (primary, *reported, *columns) if name)
    are_labels = bool(labels_of(list(study.items.values())))
    for metric in named:
        if metric and (are_labels or metric not in LABEL_METRICS):
            return metric
    return "accuracy" if are_labels else USUAL_METRIC


def _as_metric(name: str) -> str | None:
    plain = re.sub(r"[\s-]", "_", name.strip().casefold())
    plain = SPELLINGS.get(plain, plain)
    return next((one for one in OF_TEXTS if one.casefold().replace("_", "") == plain.replace("_", "")), None)


def effect_of(study: AuditedStudy, *, without: Collection[str]) -> str:
    """A sentence that begins with a space, or nothing where there is nothing to compare."""
    metric = study_metric(study)
    with_them = _outcome(metric, _common(study, frozenset()))
    if with_them is None:
        return ""
    rest = _outcome(metric, _common(study, frozenset(without)))
    if rest is None:
        return f" No item is left without them (with them {with_them})."
    return f" With them {with_them}; without them {rest}."


def _common(study: AuditedStudy, without: frozenset[str]) -> tuple[Prediction, ...]:
    """The first answer of each system to the items with a reference that all systems answered without failing."""
    answered = [{answer.prediction.id for answer in answers} for answers in study.by_system.values()]
    if not answered:
        return ()
    failed = {one.prediction.id for one in study.answers if one.prediction.status == "error"}
    ids = set.intersection(*answered) - without - failed
    references = {id: study.items[id].prediction.references for id in ids}
    kept: dict[tuple[str, str], Prediction] = {}
    for system in study.systems:
        for answer in study.by_system[system]:
            one = answer.prediction
            if one.id in ids and references[one.id]:
                kept.setdefault((system, one.id), replace(one, references=references[one.id]))
    return tuple(kept.values())


@lru_cache(maxsize=32)
def _cached(metric: str, key: tuple[tuple[str, str, str, str, tuple[str, ...]], ...]) -> str | None:
    rows = [
        Prediction(id, source, system, "", text, references, "ok")
        for system, id, source, text, references in key
    ]
    metrics = open_metrics(ScoreOptions(metrics=(metric,)))
    systems = list(dict.fromkeys(row.system for row in rows))
    options = CompareOptions(primary=metric, base=systems[0], draws=DRAWS)
    try:
        found = list(compare_systems(score_predictions(rows, metrics), metrics, options))
    except InputError:  # items of two sources and the like: another finding's business
        return None
    compared = [record for record in found if isinstance(record, Comparison)]
    if not compared:
        return _alone([record for record in found if isinstance(record, Summary)])
    return ", ".join(_difference(record) for record in compared)


def _outcome(metric: str, predictions: tuple[Prediction, ...]) -> str | None:
    if not predictions:
        return None
    return _cached(
        metric,
        tuple((one.system, one.id, one.source_id, one.text, one.references) for one in predictions),
    )


def _alone(summaries: list[Summary]) -> str | None:
    value = summaries[0].value
    if value is None:
        return None
    return f"{summaries[0].metric} is {show(value, value)} on {count(summaries[0].n, 'item')}"


def _difference(c: Comparison) -> str:
    if c.difference is None:
        return f"{c.tuned} and {c.base} have no {c.metric}"
    scale = max(abs(c.base_value or 0), abs(c.tuned_value or 0))
    span = (
        ""
        if c.low is None or c.high is None
        else f" ({show_signed(c.low, scale)} to {show_signed(c.high, scale)})"
    )
    amount = f"{show_signed(c.difference, scale)} {c.metric}{span}"
    return f"{c.tuned} differs from {c.base} by {amount} on {count(c.n, 'item')}, {c.verdict}"
