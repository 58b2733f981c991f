"""Answers that failed, are copied, empty, of other items, different on a rerun, or not what was asked for."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from tunesmith.audit.constraints import violated_constraint
from tunesmith.audit.effects import effect_of
from tunesmith.audit.study import Answer, AuditedStudy, Finding
from tunesmith.compare.wording import count
from tunesmith.records import Prediction
from tunesmith.score.metric import METRICS

SHORTEST_COPY = 5
"""Words. Shorter references are answered word for word by anyone who knows the answer."""
OFTEN = 0.05
"""Share of copied references from which they are more than a lucky hit or two."""
TOO_MANY_FAILED = 0.05
LONGEST_REASON = 80
METRIC_COLUMN = re.compile("|".join(map(re.escape, METRICS)) + "|score|rouge|bert|f1|rating", re.IGNORECASE)


def look_at_outputs(study: AuditedStudy) -> Iterator[Finding]:
    """Findings about the predictions."""
    yield from _different_items(study)
    for system, answers in study.by_system.items():
        yield from _failed(system, answers)
        yield from _verbatim(study, system, answers)
        yield from _empty(study, system, answers)
        yield from _constraints(study, system, answers)
        yield from _reruns(system, answers)


def _different_items(study: AuditedStudy) -> Iterator[Finding]:
    sets = {
        system: {answer.prediction.id for answer in answers} for system, answers in study.by_system.items()
    }
    if len(sets) < 2:
        return
    everything, common = set.union(*sets.values()), set.intersection(*sets.values())
    odd = everything - common
    references: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for answer in study.answers:
        references[answer.prediction.id].add(answer.prediction.references)
    changed = {id for id, several in references.items() if len(several) > 1}
    if odd or changed:
        parts = [
            f"{system} lacks {len(everything - ids)}" for system, ids in sets.items() if everything - ids
        ]
        parts += [f"{len(changed)} have different references"] if changed else []
        told = ", ".join(parts)
        same = count(len(everything), "item")
        effect = f"the systems were not given the same {same} ({told}): their averages do not compare."
        ids = tuple(sorted(odd | changed))
        yield Finding(
            "different_items",
            "high" if len(ids) > 0.05 * len(everything) else "medium",
            len(ids),
            len(everything),
            ids,
            effect,
        )


def _failed(system: str, answers: Sequence[Answer]) -> Iterator[Finding]:
    """Items without an answer because something broke; who averages over the others averages over the easier ones."""
    failed = [answer.prediction for answer in answers if answer.prediction.status == "error"]
    if failed:
        reasons = Counter(" ".join((one.error or "no reason given").split()) for one in failed)
        told = ", ".join(f"{reason[:LONGEST_REASON]} ({times})" for reason, times in reasons.most_common(3))
        too_many = len(failed) > TOO_MANY_FAILED * len(answers)
        what = (
            "with more than 5 % of the items no verdict can be drawn"
            if too_many
            else "they are in no average"
        )
        effect = f"{system} failed on {len(failed)} of {count(len(answers), 'item')}: {told}; {what}."
        ids = tuple(one.id for one in failed)
        yield Finding("failed_items", "high" if too_many else "low", len(failed), len(answers), ids, effect)


def _verbatim(study: AuditedStudy, system: str, answers: Sequence[Answer]) -> Iterator[Finding]:
    """Answers that equal a reference of some length, where the prompt does not show it."""
    long = [a for a in answers if any(len(r.split()) >= SHORTEST_COPY for r in a.prediction.references)]
    copied = [a.prediction.id for a in long if _is_copy(a.prediction)]
    if copied:
        others = ", ".join(
            f"{name} {sum(_is_copy(a.prediction) for a in rest)}"
            for name, rest in study.by_system.items()
            if name != system
        )
        effect = (
            f"{system} repeats a reference of {SHORTEST_COPY} words or more word for word on {len(copied)} of "
            f"{count(len(long), 'item')}{f' ({others})' if others else ''}: a sign that it has seen them."
            f"{effect_of(study, without=set(copied))}"
        )
        share = len(copied) / len(long)
        severity: Any = "high" if share > 0.2 else "medium" if share > OFTEN else "low"
        yield Finding("verbatim_reference", severity, len(copied), len(long), tuple(copied), effect)


def _is_copy(one: Prediction) -> bool:
    """Whether the answer is a longer reference to the letter, and cannot have been quoted from its own prompt."""
    words = one.text.split()
    if len(words) < SHORTEST_COPY or all(words != reference.split() for reference in one.references):
        return False
    # In open book the reference often stands in the passage: then quoting it is the task, not a sign of memory.
    prompt = " ".join(one.prompt.split()).casefold()
    return " ".join(words).rstrip(".").casefold() not in prompt


def _empty(study: AuditedStudy, system: str, answers: Sequence[Answer]) -> Iterator[Finding]:
    given = [answer for answer in answers if answer.prediction.status != "error"]
    empty = [answer for answer in given if not answer.prediction.text.strip()]
    if empty:
        ids = tuple(answer.prediction.id for answer in empty)
        effect = (
            f"{system} gave no text for {len(empty)} of {count(len(given), 'item')}{_how_scored(empty, given)}: left "
            f"out, or scored as good, they flatter it.{effect_of(study, without=set(ids))}"
        )
        severity: Any = "high" if len(empty) > 0.05 * len(given) else "medium"
        yield Finding("empty_outputs", severity, len(empty), len(given), ids, effect)


def _how_scored(empty: Sequence[Answer], answers: Sequence[Answer]) -> str:
    """The means of score columns that came with the file, over the empty answers and over the others."""
    rest = [answer for answer in answers if answer.prediction.text.strip()]
    told = []
    for name in dict.fromkeys(
        str(name) for answer in answers for name in answer.columns if METRIC_COLUMN.search(str(name))
    ):
        without, others = _mean(empty, name), _mean(rest, name)
        if others is not None:
            told.append(
                f"{name} {'left out' if without is None else format(without, '.3g')}, others {others:.3g}"
            )
    return f" (as scored in the file: {'; '.join(told)})" if told else ""


def _mean(answers: Sequence[Answer], column: str) -> float | None:
    values = [answer.columns.get(column) for answer in answers]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool) and v == v]
    return sum(numbers) / len(numbers) if numbers else None


def _constraints(study: AuditedStudy, system: str, answers: Sequence[Answer]) -> Iterator[Finding]:
    judged = [(answer.prediction.id, violated_constraint(answer)) for answer in answers]
    stated = [(id, words) for id, words in judged if words is not None]
    broken = [(id, words) for id, words in stated if words]
    if broken:
        others = ", ".join(
            f"{name} {sum(bool(violated_constraint(a)) for a in rest)} of {len(rest)}"
            for name, rest in study.by_system.items()
            if name != system
        )
        effect = (
            f"{system} breaks a constraint that the prompt states in {len(broken)} of {len(stated)} answers"
            f"{f' ({others})' if others else ''}, for instance {broken[0][0]}: {broken[0][1]}. "
            "A judgement of quality that does not check this rewards what was not asked for."
        )
        severity: Any = "medium" if len(broken) > 0.1 * len(stated) else "low"
        yield Finding(
            "constraint_violated", severity, len(broken), len(stated), tuple(id for id, _ in broken), effect
        )


def _reruns(system: str, answers: Sequence[Answer]) -> Iterator[Finding]:
    """Answers to one item by one system under equal settings that differ."""
    runs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for answer in answers:
        settings = answer.prediction.settings or answer.columns
        told = sorted((str(k), str(v)) for k, v in settings.items() if str(k) in DECODING)
        runs[answer.prediction.id, repr(told)].append(answer.prediction.text.strip())
    repeated = {key: texts for key, texts in runs.items() if len(texts) > 1}
    differing = sorted({id for (id, _), texts in repeated.items() if len(set(texts)) > 1})
    if differing:
        effect = (
            f"{system} was run {max(map(len, repeated.values()))} times with one setting and gave other texts on "
            f"{len(differing)} of {count(len(repeated), 'item')}: dropout left on, sampling without a seed, or batches "
            "that matter. Differences between settings no larger than this are noise."
        )
        yield Finding("rerun_differs", "medium", len(differing), len(repeated), tuple(differing), effect)


DECODING = frozenset(
    [
        "temperature",
        "top_k",
        "top_p",
        "num_beams",
        "do_sample",
        "seed",
        "max_new_tokens",
        "repetition_penalty",
        "setting",
    ]
)
