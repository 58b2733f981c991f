"""Classification: accuracy, macro precision, recall and F1, and Matthews' correlation, from one table of counts.

The labels are those of the references, so that no system's mistakes change what is averaged over. An answer that is no
label counts as wrong, as a predicted class of its own that no item has. Case and punctuation at the edges do not count.
Sources: Manning, Raghavan and Schütze 2008 (macro averages), Gorodkin 2004 (MCC of several classes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tunesmith.records import Prediction
from tunesmith.score.metric import Metric, Stats, answer_text, reference_texts
from tunesmith.score.stage import DEFAULTS, ScoreOptions

if TYPE_CHECKING:
    from tunesmith.score.metric import Array

EDGES = " \t\r\n\"'`“”‘’.,;:!?()[]{}<>*_"
MOST_LABELS = 100
"""The table grows with the square of the labels; more of them are texts and no labels."""


def accuracy(options: ScoreOptions = DEFAULTS) -> Metric:
    """Share of answers that are the right label."""
    return _metric("accuracy", _accuracy, "share-right")


def precision(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean over labels of: right answers among the answers with this label, 0 for a label never answered."""
    return _metric("precision", lambda table: _mean_over_labels(_ratios(table)[0]), "macro")


def recall(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean over labels of: right answers among the items with this label."""
    return _metric("recall", lambda table: _mean_over_labels(_ratios(table)[1]), "macro")


def f1(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean over labels of the harmonic mean of precision and recall."""
    return _metric("f1", lambda table: _mean_over_labels(_ratios(table)[2]), "macro")


def mcc(options: ScoreOptions = DEFAULTS) -> Metric:
    """Matthews' correlation between answered and right labels; 0 for a constant answer."""
    return _metric("mcc", _matthews, "gorodkin", lowest=-1.0)


def clean_class(text: str) -> str:
    """A label as it is compared: lower case, single spaces, no punctuation at the edges."""
    return " ".join(text.strip(EDGES).casefold().split())


def _metric(name: str, value: Callable[[Array], Array], how: str, lowest: float = 0.0) -> Metric:
    return Metric(
        name=name,
        higher_is_better=True,
        signature=f"{how}|labels:of-references|invalid:wrong|first-reference",
        stats=_statistics,
        aggregate=lambda totals: value(_tables(totals)),
        # the value of one item: is it right; a macro average of a single item means nothing
        item_value=lambda totals: _accuracy(_tables(totals)),
        bounds=(lowest, 1.0),
    )


def _statistics(predictions: Sequence[Prediction]) -> list[Stats | None]:
    """A row of the table for each prediction, all zeros but one: L right labels by L answered labels and "no label"."""
    right = [clean_class(reference_texts(prediction)[0]) for prediction in predictions]
    labels = sorted(set(right))
    if len(labels) > MOST_LABELS:
        return [None] * len(predictions)
    number = {label: index for index, label in enumerate(labels)}
    width = len(labels) + 1
    rows: list[Stats | None] = []
    for prediction, label in zip(predictions, right, strict=True):
        answered = number.get(clean_class(answer_text(prediction)), len(labels))
        row = [0.0] * (len(labels) * width)
        row[number[label] * width + answered] = 1.0
        rows.append(tuple(row))
    return rows


def _tables(totals: Array) -> Array:
    """Flat counts (..., L (L + 1)) as tables (..., L, L + 1)."""
    n_labels = round((1 + 4 * totals.shape[-1]) ** 0.5 - 1) // 2
    return totals.reshape(*totals.shape[:-1], n_labels, n_labels + 1)


def _right(table: Array) -> Array:
    """Counts on the diagonal (..., L)."""
    import numpy

    return numpy.asarray(numpy.diagonal(table, axis1=-2, axis2=-1))


def _accuracy(table: Array) -> Array:
    return _divide(_right(table).sum(axis=-1), table.sum(axis=(-2, -1)))


def _ratios(table: Array) -> tuple[Array, Array, Array]:
    """Precision, recall and F1 of each label, each (..., L); 0 where undefined."""
    import numpy

    right, answered, present = _right(table), table.sum(axis=-2)[..., :-1], table.sum(axis=-1)
    return tuple(  # type: ignore[return-value]
        numpy.nan_to_num(_divide(over, under))
        for over, under in ((right, answered), (right, present), (2 * right, answered + present))
    )


def _mean_over_labels(values: Array) -> Array:
    import numpy

    return numpy.asarray(values.mean(axis=-1))


def _matthews(table: Array) -> Array:
    import numpy

    right, total = _right(table).sum(axis=-1), table.sum(axis=(-2, -1))
    answered, present = table.sum(axis=-2), table.sum(axis=-1)
    both = (answered[..., :-1] * present).sum(axis=-1)
    spread_answered = total**2 - (answered**2).sum(axis=-1)
    spread_present = total**2 - (present**2).sum(axis=-1)
    return numpy.nan_to_num(_divide(right * total - both, numpy.sqrt(spread_answered * spread_present)))


def _divide(over: Array, under: Array) -> Array:
    import numpy

    return numpy.asarray(
        numpy.divide(over, under, out=numpy.full(numpy.shape(over), numpy.nan), where=under > 0)
    )
