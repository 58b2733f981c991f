"""Classification: accuracy, and precision, recall and F1 over all labels alike (macro), and Matthews correlation.

The labels are fixed: those the option names, or every text that stands as a reference. An answer that is none of them
is wrong and takes part as a class of its own, `invalid`, which precision, recall and F1 do not average over; dropping
such answers, or averaging over whatever a model happened to say, would make two models' numbers different things.
Values equal scikit-learn's with `labels=<fixed>`, `average="macro"` and `zero_division=0`.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tunesmith.errors import InputError
from tunesmith.records import Prediction
from tunesmith.score.metric import Metric, Stats, answer_text, ratio, reference_texts
from tunesmith.score.stage import DEFAULTS, ScoreOptions

if TYPE_CHECKING:
    from tunesmith.score.metric import Array

LABEL_METRICS = ("accuracy", "precision", "recall", "f1", "mcc")
MAX_FOUND_LABELS = 50
"""More different references than this are taken for free text, unless `score.labels` names them."""
COUNTS_PER_LABEL = 3
"""Answers that are right, answers, and references, of each label: all that the five metrics need of the confusion
matrix, and far fewer numbers."""
AROUND = string.whitespace + ".,:;!?'\"`()[]{}*_“”‘’«»。、！？"
"""What may stand around a label. Not the signs: `-1` and `1`, or `C` and `C++`, are two labels."""
SIGNATURE_OF_READING = "lower|ends-stripped|invalid:wrong"


def accuracy(options: ScoreOptions = DEFAULTS) -> Metric:
    """Share of answers that are the label of the item."""
    return _metric("accuracy", _accuracy, options)


def precision(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean over labels of the share of a label's answers that are right; 0 for a label that is never answered."""
    return _metric("precision", _precision, options)


def recall(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean over labels of the share of a label's items that are answered with it; 0 for a label without items."""
    return _metric("recall", _recall, options)


def f1(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean over labels of F1; 0 for a label that is neither answered nor has items."""
    return _metric("f1", _f1, options)


def mcc(options: ScoreOptions = DEFAULTS) -> Metric:
    """Matthews correlation over all labels and `invalid` (Gorodkin 2004), -1 to 1; 0 for any constant answer."""
    return _metric("mcc", _mcc, options, bounds=(-1.0, 1.0))


def _metric(
    name: str,
    aggregate: Callable[[Array], Array],
    options: ScoreOptions,
    bounds: tuple[float | None, float | None] = (0.0, 1.0),
) -> Metric:
    fixed = "given:" + ",".join(options.labels) if options.labels else "from-references"
    averaged = "" if name in ("accuracy", "mcc") else "macro|zero_division:0|"
    return Metric(
        name=name,
        higher_is_better=True,
        signature=f"{averaged}labels:{fixed}|{SIGNATURE_OF_READING}",
        stats=lambda predictions: label_statistics(predictions, options.labels),
        aggregate=aggregate,
        # an item by itself is right or wrong; an average over labels says nothing about it
        item_value=_accuracy,
        bounds=bounds,
        cautions=_majority,
    )


def label_statistics(predictions: Sequence[Prediction], labels: Sequence[str]) -> list[Stats | None]:
    """Of each prediction (3 x labels): 1 at its label if it is right, at what it answers, and at what is right.

    Where an item has several references, an answer equal to one of them is right; otherwise the first one counts.

    Raises:
        InputError: a reference is not one of the labels, or there are too many different ones to be labels.
    """
    known = label_set(predictions, labels)
    place = {clean_class(label): index for index, label in enumerate(known)}
    rows: list[Stats | None] = []
    for prediction in predictions:
        expected = [_place(place, reference, prediction.id) for reference in reference_texts(prediction)]
        answer = place.get(clean_class(answer_text(prediction)))
        truth = answer if answer in expected else expected[0]
        assert truth is not None
        row = [0.0] * (COUNTS_PER_LABEL * len(known))
        row[2 * len(known) + truth] = 1.0
        if answer is not None:
            row[len(known) + answer] = 1.0
        if answer == truth:
            row[truth] = 1.0
        rows.append(tuple(row))
    return rows


def label_set(predictions: Sequence[Prediction], labels: Sequence[str] = ()) -> list[str]:
    """The labels as they are written: `labels`, or the references, the most frequent spelling of each, by name.

    Raises:
        InputError: two labels differ only in case or punctuation, or the references are no labels.
    """
    if labels:
        read = Counter(map(clean_class, labels))
        same = [label for label in labels if read[clean_class(label)] > 1 or not clean_class(label)]
        if same:
            raise InputError(
                f"labels that cannot be told apart: {', '.join(map(repr, same))}",
                where="score.labels",
                do="give labels that differ in more than case and punctuation",
            )
        return list(labels)
    spellings: dict[str, Counter[str]] = {}
    for prediction in predictions:
        for reference in reference_texts(prediction):
            spellings.setdefault(clean_class(reference), Counter())[reference] += 1
    if len(spellings) > MAX_FOUND_LABELS:
        raise InputError(
            f"the references are {len(spellings)} different texts, too many to be labels",
            where="score.metrics",
            do=f"leave out {', '.join(LABEL_METRICS)}, or name the labels in score.labels",
        )
    # the most frequent spelling; of equally frequent ones the first by name, so that order of rows does not matter
    return [min(spellings[key], key=lambda text: (-spellings[key][text], text)) for key in sorted(spellings)]


def clean_class(text: str) -> str:
    """A text as labels are compared: lower case, single spaces, no quotes and stops at the edges.

    A text of nothing else stays as it is: `?` and `!` may be labels.
    """
    spaced = " ".join(text.split())
    return (spaced.strip(AROUND) or spaced).casefold()


def constant_answers(predictions: Sequence[Prediction], labels: Sequence[str] = ()) -> list[Prediction]:
    """What a system without a model scores: one system per label that always gives it, the commonest label first.

    Returns:
        for each label the predictions over all items, system `always LABEL`, with ` (majority)` for the commonest.
    """
    items = {prediction.id: prediction for prediction in predictions}
    known = label_set(predictions, labels)
    counts = Counter(clean_class(item.references[0]) for item in items.values() if item.references)
    ordered = sorted(known, key=lambda label: -counts[clean_class(label)])
    found = []
    for label in ordered:
        system = f"always {label}" + (" (majority)" if label == ordered[0] else "")
        found += [
            Prediction(item.id, item.source_id, system, item.prompt, label, item.references, status="ok")
            for item in items.values()
        ]
    return found


def _place(place: dict[str, int], reference: str, item: str) -> int:
    found = place.get(clean_class(reference))
    if found is None:
        raise InputError(
            f"the reference of item {item} is {reference!r}, which is not among the labels",
            where="score.labels",
            do="name every label that a reference has",
        )
    return found


def _counts(totals: Array) -> tuple[Array, Array, Array]:
    """Right answers, answers and references by label, each (..., labels), out of sums (..., 3 x labels)."""
    by_label = totals.reshape(*totals.shape[:-1], COUNTS_PER_LABEL, -1)
    return by_label[..., 0, :], by_label[..., 1, :], by_label[..., 2, :]


def _mean_of_shares(parts: Array, wholes: Array) -> Array:
    """Mean over labels of part over whole, 0 where there is no whole."""
    import numpy

    shares = numpy.divide(parts, wholes, out=numpy.zeros(numpy.shape(parts)), where=wholes > 0)
    return numpy.asarray(shares.mean(axis=-1))


def _accuracy(totals: Array) -> Array:
    import numpy

    right, _, references = _counts(totals)
    return ratio(numpy.stack([right.sum(axis=-1), references.sum(axis=-1)], axis=-1))


def _precision(totals: Array) -> Array:
    right, answers, references = _counts(totals)
    return _where_any(_mean_of_shares(right, answers), references)


def _recall(totals: Array) -> Array:
    right, _, references = _counts(totals)
    return _where_any(_mean_of_shares(right, references), references)


def _f1(totals: Array) -> Array:
    right, answers, references = _counts(totals)
    return _where_any(_mean_of_shares(2 * right, answers + references), references)


def _mcc(totals: Array) -> Array:
    import numpy

    right, answers, references = _counts(totals)
    n = references.sum(axis=-1)
    invalid = n - answers.sum(axis=-1)
    together = right.sum(axis=-1) * n - (answers * references).sum(axis=-1)
    of_answers = n**2 - (answers**2).sum(axis=-1) - invalid**2
    of_references = n**2 - (references**2).sum(axis=-1)
    # rounding of weighted sums may leave a hair where the spread is 0
    spread = numpy.sqrt(numpy.maximum(of_answers, 0)) * numpy.sqrt(numpy.maximum(of_references, 0))
    known = spread > 1e-9 * numpy.maximum(n, 1) ** 2
    value = numpy.divide(together, spread, out=numpy.zeros(numpy.shape(n)), where=known)
    return _where_any(value, references)


def _where_any(values: Array, references: Array) -> Array:
    """NaN where there is not one item."""
    import numpy

    return numpy.where(references.sum(axis=-1) > 0, values, numpy.nan)


def _majority(statistics: Array) -> tuple[str, ...]:
    references = _counts(statistics.sum(axis=0))[2] if len(statistics) else statistics
    if not references.size:
        return ()
    share = float(references.max() / references.sum())
    return (
        f"always giving the commonest of the {references.size} labels would be right in {share:.0%} of the items",
    )
