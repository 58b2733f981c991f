"""What a metric is: statistics per item that add up, and one function that turns their sum into a value.

Because the statistics add up, intervals, paired comparison and the report table need nothing more from a metric: the
bootstrap is a product of a matrix of weights with the matrix of statistics. To add a metric, write one function that
returns a `Metric`, and name it in `METRICS` (or in an entry point of another package).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith.records import Prediction

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Array = NDArray[numpy.float64]

Stats = tuple[float, ...]

METRICS: dict[str, str] = {
    "bleu": "tunesmith.score.ngram:bleu",
    "sentence_bleu": "tunesmith.score.ngram:sentence_bleu",
    "nltk_bleu": "tunesmith.score.ngram:nltk_bleu",
    "chrf": "tunesmith.score.ngram:chrf",
    "chrf++": "tunesmith.score.ngram:chrf_plus_plus",
    "rouge1": "tunesmith.score.rouge:rouge1",
    "rouge2": "tunesmith.score.rouge:rouge2",
    "rougeL": "tunesmith.score.rouge:rouge_l",
    "rougeLsum": "tunesmith.score.rouge:rouge_l_sum",
    "meteor": "tunesmith.score.meteor:meteor",
    "cosine": "tunesmith.score.semantic:cosine",
    "bertscore": "tunesmith.score.semantic:bertscore",
    "perplexity": "tunesmith.score.likelihood:perplexity",
    "bits_per_byte": "tunesmith.score.likelihood:bits_per_byte",
    "fluency": "tunesmith.score.fluency:fluency",
    "exact_match": "tunesmith.score.answers:exact_match",
    "token_f1": "tunesmith.score.answers:token_f1",
    "accuracy": "tunesmith.score.labels:accuracy",
    "precision": "tunesmith.score.labels:precision",
    "recall": "tunesmith.score.labels:recall",
    "f1": "tunesmith.score.labels:f1",
    "mcc": "tunesmith.score.labels:mcc",
    "length_ratio": "tunesmith.score.texts:length_ratio",
    "copies_reference": "tunesmith.score.texts:copies_reference",
    "copies_prompt": "tunesmith.score.texts:copies_prompt",
    "repetition": "tunesmith.score.texts:repetition",
}
"""Name to "module:function". Each function takes `ScoreOptions` (or nothing) and returns a fresh `Metric`."""


def _no_cautions(statistics: Array) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Metric:
    """How to measure texts, and how to add the measurements up."""

    name: str
    higher_is_better: bool
    signature: str
    """Library, version and options that make the number; `score_predictions` adds the number of references."""
    stats: Callable[[Sequence[Prediction]], list[Stats | None]]
    """Statistics of each prediction, in order; `None` for one that cannot be scored. It is given the predictions of
    all systems at once, so that an encoder can batch them and meets each reference once."""
    aggregate: Callable[[Array], Array]
    """Sums of statistics (..., k) to values (...). NaN where the sum holds nothing to divide by."""
    item_value: Callable[[Array], Array] | None = None
    """Statistics of single items (n, k) to their values (n,), where that is not `aggregate`."""
    bounds: tuple[float | None, float | None] = (None, None)
    """The lowest and the highest value there is; no interval goes beyond."""
    uses_references: bool = True
    uses_text: bool = True
    """False for a metric that does not look at the predicted text, as the perplexity of the reference."""
    is_descriptive: bool = False
    """True for a metric that says what the texts are like and not how good they are: it is summed up, not judged."""
    cautions: Callable[[Array], tuple[str, ...]] = _no_cautions
    """Statistics of all items (n, k) to sentences about when this number misleads."""

    @property
    def compares(self) -> bool:
        """Whether it holds texts against references, so that the references of other items make a floor."""
        return self.uses_references and self.uses_text and not self.is_descriptive

    def item_values(self, statistics: Array) -> Array:
        """Values of single items (n,) from their statistics (n, k)."""
        return (self.item_value or self.aggregate)(statistics)


def ratio(totals: Array) -> Array:
    """First statistic over second, NaN where the second is 0. Shape (..., k) to (...)."""
    import numpy

    numerator, denominator = totals[..., 0], totals[..., 1]
    missing = numpy.full(numpy.shape(numerator), numpy.nan)
    return numpy.asarray(numpy.divide(numerator, denominator, out=missing, where=denominator > 0))


def mean_metric(
    name: str,
    value: Callable[[Prediction], float],
    *,
    signature: str,
    higher_is_better: bool = True,
    bounds: tuple[float | None, float | None] = (0.0, 1.0),
    uses_references: bool = True,
    is_descriptive: bool = False,
) -> Metric:
    """The mean over items of a value of each item."""
    return Metric(
        name=name,
        higher_is_better=higher_is_better,
        signature=signature,
        stats=lambda predictions: [(float(value(prediction)), 1.0) for prediction in predictions],
        aggregate=ratio,
        bounds=bounds,
        uses_references=uses_references,
        is_descriptive=is_descriptive,
    )


def answer_text(prediction: Prediction) -> str:
    """The predicted text as all metrics see it: stripped at both ends, otherwise untouched. Missing text is empty."""
    return (prediction.text or "").strip()


def reference_texts(prediction: Prediction) -> list[str]:
    """The references as all metrics see them: stripped at both ends, otherwise untouched."""
    return [reference.strip() for reference in prediction.references]
