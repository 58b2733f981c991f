"""What grades come to: each system's mean with its interval, differences where systems answered the same items, and
what could not be graded.

A grade is a metric like any other: means, intervals and the paired test are `compare`'s.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunesmith.compare.doubts import grade_doubts
from tunesmith.compare.judged import MOST_VALUES
from tunesmith.compare.stage import CompareOptions, compare_systems
from tunesmith.errors import InputError
from tunesmith.evaluation import comparison_row, score_row
from tunesmith.records import Comparison, Grade, Summary
from tunesmith.score.judging.pointwise import grade_metrics, grade_name, grade_scores
from tunesmith.score.judging.prompts import Mode

VALUE_DRAWS = 2_000
"""Bootstrap draws for each value of an attribute."""


def graded_summary(
    grades: Sequence[Grade], *, compared: bool = True, contestants: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Everything a report says about grades, of JSON types only.

    Args:
        grades: of one judge, on any systems. The first system is the base of the comparisons.
        compared: with differences; a run leaves them to its step `compare`.
        contestants: role to model name, to warn of a judge of the same family.

    Returns:
        `judge`; `scores` [{mode, criterion, and as in `evaluation.score_files`}], `status` there counting why an answer
        has no grade; `comparisons` as in `evaluation.compare_files`; `left_out` [{base, tuned, n}]: items that only one
        of the two answered; `ungraded` [{id, system, metric, status, text}];
        `attributes` [{attribute, value, system, metric, n, mean, low, high}], `attributes_left_out` [name];
        `warnings` [sentence].

    Raises:
        InputError: there is no grade, or an answer was graded twice, by two judges or in different words.
    """
    _check(grades)
    criteria = _criteria(grades)
    names = {grade_name(mode, criterion): (mode, criterion) for mode, criterion in criteria}
    statuses: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for grade in grades:
        statuses[grade.system, grade_name(grade.mode, grade.criterion)][grade.status] += 1
    scores = []
    options = CompareOptions(primary=None)
    for summary in _summaries(grades, criteria):
        mode, criterion = names[summary.metric]
        status = dict(sorted(statuses[summary.system, summary.metric].items()))
        scores.append(
            {"mode": mode, "criterion": criterion} | score_row(summary, options) | {"status": status}
        )
    found: dict[str, Any] = {"judge": grades[0].judge, "scores": scores}
    if compared:
        found |= _comparisons(grades, criteria)
    found["ungraded"] = [
        {
            "id": grade.id,
            "system": grade.system,
            "metric": grade_name(grade.mode, grade.criterion),
            "status": grade.status,
            "text": grade.raw,
        }
        for grade in grades
        if grade.value is None
    ]
    found |= _by_attribute(grades, criteria)
    found["warnings"] = list(grade_doubts(grades[0].judge, _values(grades), scores, contestants or {}))
    return found


def _check(grades: Sequence[Grade]) -> None:
    if not grades:
        raise InputError("there are no grades", do="grade at least one answer")
    judges = sorted({grade.judge for grade in grades})
    if len(judges) > 1:
        raise InputError(f"the grades are of several judges: {', '.join(judges)}", do="sum up each by itself")
    hashes = {(grade.mode, grade.prompt_hash) for grade in grades}
    if len(hashes) > len({mode for mode, _ in hashes}):
        raise InputError(
            "the judge was asked in different words for different answers",
            do="grade all answers with one prompt",
        )
    counts = Counter((grade.system, grade.id, grade.mode, grade.criterion) for grade in grades)
    (system, id, _, criterion), most = counts.most_common(1)[0]
    if most > 1:
        raise InputError(
            f"item {id} of {system} was graded {most} times on {criterion}", do="keep one grade per answer"
        )


def _criteria(grades: Sequence[Grade]) -> list[tuple[Mode, str]]:
    return list(dict.fromkeys((grade.mode, grade.criterion) for grade in grades))


def _summaries(grades: Sequence[Grade], criteria: Sequence[tuple[Mode, str]]) -> Iterator[Summary]:
    """Each system by itself: only differences need common items."""
    for system in dict.fromkeys(grade.system for grade in grades):
        own = grade_scores(grade for grade in grades if grade.system == system)
        for record in compare_systems(own, grade_metrics(criteria), CompareOptions(primary=None)):
            if isinstance(record, Summary):
                yield record


def _comparisons(grades: Sequence[Grade], criteria: Sequence[tuple[Mode, str]]) -> dict[str, Any]:
    """Every system against the first one over the items that both answered; one correction for all of one item set."""
    scores = list(grade_scores(grades))
    ids: dict[str, set[str]] = defaultdict(set)
    for score in scores:
        ids[score.system].add(score.id)
    base, *others = ids
    groups: dict[frozenset[str], list[str]] = defaultdict(list)
    left_out = []
    for other in others:
        shared = frozenset(ids[base] & ids[other])
        if shared:
            groups[shared].append(other)
        if odd := len(ids[base] ^ ids[other]):
            left_out.append({"base": base, "tuned": other, "n": odd})
    rows = []
    options = CompareOptions(primary=None, base=base)
    for shared, group in groups.items():
        held = [score for score in scores if score.id in shared and score.system in (base, *group)]
        found = compare_systems(held, grade_metrics(criteria), options)
        rows += [comparison_row(record) for record in found if isinstance(record, Comparison)]
    return {"comparisons": rows, "left_out": left_out}


def _values(grades: Sequence[Grade]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = defaultdict(list)
    for grade in grades:
        # an empty answer is 0 without the judge's doing
        if grade.value is not None and grade.status == "ok":
            values[grade_name(grade.mode, grade.criterion)].append(grade.value)
    return values


def _by_attribute(grades: Sequence[Grade], criteria: Sequence[tuple[Mode, str]]) -> dict[str, Any]:
    """Means by value of each attribute that has several values."""
    rows, left_out = [], []
    options = CompareOptions(primary=None, draws=VALUE_DRAWS)
    for attribute in sorted({name for grade in grades for name in grade.attributes}):
        groups: dict[tuple[str, str], list[Grade]] = defaultdict(list)
        for grade in grades:
            if attribute in grade.attributes:
                groups[grade.attributes[attribute], grade.system].append(grade)
        values = {value for value, _ in groups}
        if len(values) > MOST_VALUES:
            left_out.append(attribute)
        if not 1 < len(values) <= MOST_VALUES:
            continue
        for (value, system), group in sorted(groups.items(), key=lambda item: item[0][0]):
            for found in compare_systems(grade_scores(group), grade_metrics(criteria), options):
                if isinstance(found, Summary):
                    rows.append(
                        {
                            "attribute": attribute,
                            "value": value,
                            "system": system,
                            "metric": found.metric,
                            "n": found.n,
                            "mean": found.value,
                            "low": found.low,
                            "high": found.high,
                        }
                    )
    return {"attributes": rows, "attributes_left_out": left_out}
