"""What a finding does to the conclusion: the difference between the systems with the items in question and without."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache

from tunesmith.audit.study import AuditedStudy
from tunesmith.compare.stage import CompareOptions, compare_systems
from tunesmith.compare.wording import show, show_signed
from tunesmith.errors import InputError
from tunesmith.records import Comparison, Prediction, Summary
from tunesmith.score.stage import ScoreOptions, open_metrics, score_predictions

DRAWS = 2000
METRIC = "rougeL"


def effect_of(study: AuditedStudy, *, without: Collection[str]) -> str:
    """A sentence that begins with a space, or nothing where there is nothing to compare."""
    with_them = _outcome(_common(study, frozenset()))
    if with_them is None:
        return ""
    rest = _outcome(_common(study, frozenset(without)))
    if rest is None:
        return f" No item is left without them (with them {with_them})."
    return f" With them {with_them}; without them {rest}."


def _common(study: AuditedStudy, without: frozenset[str]) -> tuple[Prediction, ...]:
    """The first answer of each system to the items that all systems answered and that have a reference."""
    answered = [{answer.prediction.id for answer in answers} for answers in study.by_system.values()]
    if not answered:
        return ()
    ids = set.intersection(*answered) - without
    references = {id: study.items[id].prediction.references for id in ids}
    kept: dict[tuple[str, str], Prediction] = {}
    for system in study.systems:
        for answer in study.by_system[system]:
            one = answer.prediction
            if one.id in ids and references[one.id]:
                kept.setdefault((system, one.id), replace(one, references=references[one.id]))
    return tuple(kept.values())


@lru_cache(maxsize=32)
def _cached(key: tuple[tuple[str, str, str, str, tuple[str, ...]], ...]) -> str | None:
    rows = [
        Prediction(id, source, system, "", text, references, "ok")
        for system, id, source, text, references in key
    ]
    metrics = open_metrics(ScoreOptions(metrics=(METRIC,)))
    systems = list(dict.fromkeys(row.system for row in rows))
    options = CompareOptions(primary=METRIC, base=systems[0], draws=DRAWS)
    try:
        found = list(compare_systems(score_predictions(rows, metrics), metrics, options))
    except InputError:  # items of two sources and the like: another finding's business
        return None
    compared = [record for record in found if isinstance(record, Comparison)]
    if not compared:
        return _alone([record for record in found if isinstance(record, Summary)])
    return ", ".join(_difference(record) for record in compared)


def _outcome(predictions: tuple[Prediction, ...]) -> str | None:
    if not predictions:
        return None
    return _cached(
        tuple((one.system, one.id, one.source_id, one.text, one.references) for one in predictions)
    )


def _alone(summaries: list[Summary]) -> str | None:
    value = summaries[0].value
    return None if value is None else f"{METRIC} is {show(value, value)} on {summaries[0].n} items"


def _difference(c: Comparison) -> str:
    assert c.difference is not None
    scale = max(abs(c.base_value or 0), abs(c.tuned_value or 0))
    span = (
        ""
        if c.low is None or c.high is None
        else f" ({show_signed(c.low, scale)} to {show_signed(c.high, scale)})"
    )
    amount = f"{show_signed(c.difference, scale)} {c.metric}{span}"
    return f"{c.tuned} differs from {c.base} by {amount} on {c.n} items, {c.verdict}"
