"""Scores that say less than they seem to: over a weak baseline, or under one definition of BLEU among several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

from tunesmith.audit.effects import USUAL_METRIC, study_metric
from tunesmith.audit.study import Answer, AuditedStudy, Finding, labels_of, words_of
from tunesmith.records import Prediction
from tunesmith.score.labels import LABEL_METRICS
from tunesmith.score.metric import Metric
from tunesmith.score.stage import ScoreOptions, open_metrics, score_predictions

SHORTEST_BLEU = 4
"""Words in the middle reference. BLEU of shorter ones is noise under every definition."""
BLEU_SPREAD = 5.0
"""Points of 100 between definitions from which the definition is worth a finding."""
ALL_OR_NOTHING = {"exact_match", *LABEL_METRICS}
"""Metrics by which any answer in other words is worth as much as one to another question."""


def look_at_scores(study: AuditedStudy) -> Iterator[Finding]:
    """Findings about what the predictions' scores can show."""
    yield from _weak_baseline(study)
    yield from _definitions(study)


def _weak_baseline(study: AuditedStudy) -> Iterator[Finding]:
    if len(study.systems) < 2:
        return
    base = study.systems[0]
    answers = [answer for answer in study.by_system[base] if answer.prediction.references]
    if not answers:
        return
    n, labels = len(answers), labels_of(answers)
    if labels:
        constant, times = labels.most_common(1)[0]
        right = sum(
            " ".join(words_of(a.prediction.text)) == " ".join(words_of(a.prediction.references[0]))
            for a in answers
        )
        if right <= times:
            effect = (
                f"{base} is right on {right} of {n} items and the constant answer {constant!r} on {times}: beating it "
                "shows nothing. Compare with the constant answer, or with a frozen encoder and a trained head."
            )
            yield Finding("weak_baseline", "high", n - right, n, _wrong(answers), effect)
        return
    name = study_metric(study)
    if name in ALL_OR_NOTHING:
        name = USUAL_METRIC
    own, floor = _score(name, answers), _score(name, _answers_to_others(answers))
    if n > 1 and own <= floor:
        effect = (
            f"{base} scores {name} {own:.3f}; answers to other questions score {floor:.3f}: a base that was "
            "asked in a way it does not understand. Compare with the base prompted as it should be, and with few "
            "examples."
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
    following = [*answers[1:], answers[0]]
    return [
        Answer(replace(answer.prediction, text=other.prediction.references[0]))
        for answer, other in zip(answers, following, strict=True)
    ]


def _score(name: str, answers: Sequence[Answer]) -> float:
    first = {answer.prediction.id: answer.prediction for answer in reversed(answers)}
    return _value(open_metrics(ScoreOptions(metrics=(name,)))[0], list(first.values()))


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
