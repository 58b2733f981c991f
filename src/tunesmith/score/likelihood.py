"""How likely a system finds the reference: perplexity per token, and bits per byte.

Both read what `generate` measured (the summed negative log-likelihood of the first reference and its end token, prompt
not counted), so they say nothing about the predicted text. Perplexity is per token of the model's own tokenizer and is
comparable between systems that share it; bits per byte is comparable between all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunesmith.records import Prediction
from tunesmith.score.metric import Metric, Stats, ratio
from tunesmith.score.stage import DEFAULTS, ScoreOptions

if TYPE_CHECKING:
    from tunesmith.score.metric import Array


def perplexity(options: ScoreOptions = DEFAULTS) -> Metric:
    """exp of the mean negative log-likelihood over all reference tokens of all items (not a mean of perplexities)."""
    return Metric(
        name="perplexity",
        higher_is_better=False,
        signature="first-reference-tokens+end|exp(sum nll / sum tokens)|per:token",
        stats=_token_statistics,
        aggregate=exp_of_mean,
        bounds=(1.0, None),
        uses_references=False,
        uses_text=False,
    )


def bits_per_byte(options: ScoreOptions = DEFAULTS) -> Metric:
    """Negative log-likelihood of the references in bits over their length in UTF-8 bytes."""
    return Metric(
        name="bits_per_byte",
        higher_is_better=False,
        signature="first-reference-tokens+end|sum nll / ln 2 / sum bytes|per:utf8-byte",
        stats=_byte_statistics,
        aggregate=ratio,
        bounds=(0.0, None),
        uses_text=False,
    )


def _token_statistics(predictions: Sequence[Prediction]) -> list[Stats | None]:
    return [
        None
        if p.reference_nll is None or not p.reference_tokens
        else (p.reference_nll, float(p.reference_tokens))
        for p in predictions
    ]


def _byte_statistics(predictions: Sequence[Prediction]) -> list[Stats | None]:
    rows: list[Stats | None] = []
    for prediction in predictions:
        size = len(prediction.references[0].encode("utf-8", "surrogatepass"))
        known = prediction.reference_nll is not None and size > 0
        rows.append(((prediction.reference_nll or 0.0) / math.log(2), float(size)) if known else None)
    return rows


def exp_of_mean(totals: Array) -> Array:
    """exp of first statistic over second: perplexity out of a summed negative log-likelihood and a number of tokens."""
    import numpy

    # a model that gives the reference next to no chance overflows: infinite is then the right answer
    with numpy.errstate(over="ignore"):
        return numpy.exp(ratio(totals))
