"""Answers that are copied, empty, of other items, different on a rerun, or not what was asked for; weak baselines."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from tunesmith.audit.constraints import violated_constraint
from tunesmith.audit.effects import effect_of
from tunesmith.audit.study import Answer, AuditedStudy, Finding, words_of
from tunesmith.records import Prediction
from tunesmith.score.metric import METRICS, Metric
from tunesmith.score.stage import ScoreOptions, open_metrics, score_predictions

SHORTEST_COPY = 5
"""Words. Shorter references are answered word for word by anyone who knows the answer."""
OFTEN = 0.05
"""Share of copied references from which they are more than a lucky hit or two."""
MOST_LABELS = 20
SHORTEST_BLEU = 4
"""Words in the middle reference. BLEU of shorter ones is noise under every definition."""
BLEU_SPREAD = 5.0
"""Points of 100 between definitions from which the definition is worth a finding."""
METRIC_COLUMN = re.compile("|".join(map(re.escape, METRICS)) + "|score|rouge|bert|f1|rating", re.IGNORECASE)


def look_at_outputs(study: AuditedStudy) -> Iterator[Finding]:
    """Findings about the predictions."""
    yield from _different_items(study)
    for system, answers in study.by_system.items():
        yield from _verbatim(study, system, answers)
        yield from _empty(study, system, answers)
        yield from _constraints(study, system, answers)
        yield from _reruns(system, answers)
    yield from _weak_baseline(study)
    yield from _definitions(study)


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
        effect = f"the systems were not given the same {len(everything)} items ({told}): their averages do not compare."
        ids = tuple(sorted(odd | changed))
        yield Finding(
            "different_items",
            "high" if len(ids) > 0.05 * len(everything) else "medium",
            len(ids),
            len(everything),
            ids,
            effect,
        )


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
            f"{len(long)} items"
            f"{f' ({others})' if others else ''}: a sign that it has seen "
            f"them.{effect_of(study, without=set(copied))}"
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
    empty = [answer for answer in answers if not answer.prediction.text.strip()]
    if empty:
        ids = tuple(answer.prediction.id for answer in empty)
        effect = (
            f"{system} gave no text for {len(empty)} of {len(answers)} items{_how_scored(empty, answers)}: left "
            f"out, or scored as "
            f"good, they flatter it.{effect_of(study, without=set(ids))}"
        )
        severity: Any = "high" if len(empty) > 0.05 * len(answers) else "medium"
        yield Finding("empty_outputs", severity, len(empty), len(answers), ids, effect)


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
            f"{len(differing)} of "
            f"{len(repeated)} items: dropout left on, sampling without a seed, or batches that matter. "
            f"Differences between "
            "settings no larger than this are noise."
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


def _weak_baseline(study: AuditedStudy) -> Iterator[Finding]:
    if len(study.systems) < 2:
        return
    base = study.systems[0]
    answers = [answer for answer in study.by_system[base] if answer.prediction.references]
    if not answers:
        return
    labels = Counter(" ".join(words_of(answer.prediction.references[0])) for answer in answers)
    n = len(answers)
    if len(labels) <= min(MOST_LABELS, n / 5):
        constant, count = labels.most_common(1)[0]
        right = sum(
            " ".join(words_of(a.prediction.text)) == " ".join(words_of(a.prediction.references[0]))
            for a in answers
        )
        if right <= count:
            effect = (
                f"{base} is right on {right} of {n} items and the constant answer {constant!r} on {count}: "
                f"beating it shows "
                "nothing. Compare with the constant answer, or with a frozen encoder and a trained head."
            )
            yield Finding("weak_baseline", "high", n - right, n, _wrong(answers), effect)
        return
    own, floor = _rouge(answers), _rouge(_answers_to_others(answers))
    if n > 1 and own <= floor:
        effect = (
            f"{base} scores rougeL {own:.3f}; answers to other questions score {floor:.3f}: a base that was "
            f"asked in a way it "
            "does not understand. Compare with the base prompted as it should be, and with few examples."
        )
        yield Finding("weak_baseline", "high", n, n, _wrong(answers), effect)


def _wrong(answers: Sequence[Answer]) -> tuple[str, ...]:
    return tuple(
        a.prediction.id
        for a in answers
        if words_of(a.prediction.text) not in [words_of(reference) for reference in a.prediction.references]
    )


def _answers_to_others(answers: Sequence[Answer]) -> list[Answer]:
    """Each item with the reference of the next one as its answer."""
    from dataclasses import replace

    following = [*answers[1:], answers[0]]
    return [
        Answer(replace(answer.prediction, text=other.prediction.references[0]))
        for answer, other in zip(answers, following, strict=True)
    ]


def _rouge(answers: Sequence[Answer]) -> float:
    first = {answer.prediction.id: answer.prediction for answer in reversed(answers)}
    return _value(open_metrics(ScoreOptions(metrics=("rougeL",)))[0], list(first.values()))


def _value(metric: Metric, predictions: Sequence[Prediction]) -> float:
    import numpy

    statistics = [
        score.stats for score in score_predictions(predictions, [metric]) if score.stats is not None
    ]
    return float(metric.aggregate(numpy.array(statistics).sum(axis=0))) if statistics else 0.0


def _definitions(study: AuditedStudy) -> Iterator[Finding]:
    """BLEU of every system under four definitions that papers use; does the order depend on which?"""
    values: dict[str, dict[str, float]] = {}
    for system, answers in study.by_system.items():
        first = {a.prediction.id: a.prediction for a in reversed(answers) if a.prediction.references}
        if first and median(len(p.references[0].split()) for p in first.values()) >= SHORTEST_BLEU:
            values[system] = bleu_definitions(list(first.values()))
    if not values:
        return
    orders = {tuple(sorted(values, key=lambda system: -values[system][name])) for name in BLEU_DEFINITIONS}
    spread = max(max(found.values()) - min(found.values()) for found in values.values())
    if len(orders) == 1 and spread < BLEU_SPREAD:
        return
    told = "; ".join(
        f"{system}: " + ", ".join(f"{name} {value:.1f}" for name, value in found.items())
        for system, found in values.items()
    )
    depends = len(values) > 1 and len(orders) > 1
    what = (
        "which system is best depends on the definition" if depends else "the value depends on the definition"
    )
    effect = f"BLEU of the same answers, times 100 ({told}): {what}. A BLEU without its definition does not compare."
    evidence = tuple(BLEU_DEFINITIONS)
    yield Finding(
        "definition_dependent", "medium" if depends else "low", len(orders), len(evidence), evidence, effect
    )


BLEU_DEFINITIONS = ("sacrebleu_corpus", "sacrebleu_sentence_mean", "nltk_sentence_mean", "nltk_corpus")


def bleu_definitions(predictions: Sequence[Prediction]) -> dict[str, float]:
    """BLEU times 100 by the four definitions met most often in papers."""
    from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu

    metrics = open_metrics(ScoreOptions(metrics=("bleu", "sentence_bleu", "nltk_bleu")))
    corpus, sentences, nltk_mean = (_value(metric, predictions) for metric in metrics)
    nltk_corpus = corpus_bleu(
        [[reference.split() for reference in one.references] for one in predictions],
        [one.text.split() for one in predictions],
        smoothing_function=SmoothingFunction().method1,
    )
    found = (corpus, sentences, 100 * nltk_mean, 100 * float(nltk_corpus))
    return dict(zip(BLEU_DEFINITIONS, found, strict=True))
