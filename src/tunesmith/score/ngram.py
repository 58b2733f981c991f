"""BLEU and chrF by sacrebleu's own counting, kept as sums so that every resample is one matrix product.

Papers: Papineni et al. 2002 (BLEU), Post 2018 (sacrebleu and its signatures), Popović 2015 and 2017 (chrF, chrF++),
Chen and Cherry 2014 (smoothing of BLEU).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from tunesmith.records import Prediction
from tunesmith.score.metric import Metric, Stats, answer_text, mean_metric, ratio, reference_texts
from tunesmith.score.stage import DEFAULTS, ScoreOptions

if TYPE_CHECKING:
    from tunesmith.score.metric import Array

BLEU_ORDER = 4
CHRF_BETA = 2
SHORT_REFERENCE = 4
"""Below this many tokens in the middle reference, corpus BLEU is mostly 0 even for right answers: it needs 4-grams."""


def bleu(options: ScoreOptions = DEFAULTS) -> Metric:
    """Corpus BLEU, 0 to 100. The value of a single item is sentence BLEU with effective order, for plots only."""
    from sacrebleu.metrics.bleu import BLEU

    scorer = BLEU(tokenize=options.bleu_tokenizer, force=True)
    return Metric(
        name="bleu",
        higher_is_better=True,
        signature=_signature(scorer),
        stats=lambda predictions: _corpus_statistics(scorer, predictions),
        aggregate=bleu_from_counts,
        item_value=lambda counts: bleu_from_counts(counts, effective_order=True),
        bounds=(0.0, 100.0),
        cautions=_short_references,
    )


def sentence_bleu(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean over items of sacrebleu's sentence BLEU with effective order, 0 to 100. Not to be read as "BLEU"."""
    from sacrebleu.metrics.bleu import BLEU

    scorer = BLEU(tokenize=options.bleu_tokenizer, force=True, effective_order=True)

    def stats(predictions: Sequence[Prediction]) -> list[Stats | None]:
        import numpy

        counts = numpy.array(_corpus_statistics(scorer, predictions), dtype=float).reshape(
            len(predictions), -1
        )
        return [(float(value), 1.0) for value in bleu_from_counts(counts, effective_order=True)]

    return Metric(
        name="sentence_bleu",
        higher_is_better=True,
        signature=f"{_signature(scorer)}|agg:mean",
        stats=stats,
        aggregate=ratio,
        bounds=(0.0, 100.0),
    )


def nltk_bleu(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean of NLTK's sentence BLEU over whitespace tokens with smoothing method 1, 0 to 1: what many papers print."""
    import nltk
    from nltk.translate.bleu_score import SmoothingFunction
    from nltk.translate.bleu_score import sentence_bleu as sentence_score

    smoothing = SmoothingFunction().method1

    def value(prediction: Prediction) -> float:
        references = [reference.split() for reference in reference_texts(prediction)]
        return float(
            sentence_score(references, answer_text(prediction).split(), smoothing_function=smoothing)
        )

    return mean_metric(
        "nltk_bleu", value, signature=f"nltk:{nltk.__version__}|tok:whitespace|smooth:method1|agg:mean"
    )


def chrf(options: ScoreOptions = DEFAULTS) -> Metric:
    """Corpus chrF (characters only), 0 to 100."""
    return _chrf("chrf", word_order=0)


def chrf_plus_plus(options: ScoreOptions = DEFAULTS) -> Metric:
    """Corpus chrF++ (characters and up to two words), 0 to 100."""
    return _chrf("chrf++", word_order=2)


def _chrf(name: str, *, word_order: int) -> Metric:
    from sacrebleu.metrics.chrf import CHRF

    scorer = CHRF(word_order=word_order, beta=CHRF_BETA)
    return Metric(
        name=name,
        higher_is_better=True,
        signature=_signature(scorer),
        stats=lambda predictions: _corpus_statistics(scorer, predictions),
        aggregate=chrf_from_counts,
        bounds=(0.0, 100.0),
    )


def bleu_from_counts(counts: Array, *, effective_order: bool = False) -> Array:
    """BLEU with sacrebleu's "exp" smoothing from sums of its segment statistics.

    The arithmetic of `sacrebleu.metrics.BLEU.compute_bleu`, over any number of resamples at once.

    Args:
        counts: (..., 10): hypothesis length, reference length, matches for orders 1 to 4, n-grams for orders 1 to 4.
        effective_order: average over the orders the hypothesis is long enough for, as sentence scores need.

    Returns:
        values (...) on a scale from 0 to 100.
    """
    import numpy

    hypothesis, reference = counts[..., 0], counts[..., 1]
    matches, totals = counts[..., 2 : 2 + BLEU_ORDER], counts[..., 2 + BLEU_ORDER :]
    smoothing = numpy.ones(hypothesis.shape)
    log_sum = numpy.zeros(hypothesis.shape)
    order = numpy.zeros(hypothesis.shape)
    has_ngrams = numpy.ones(hypothesis.shape, dtype=bool)
    for n in range(BLEU_ORDER):
        has_ngrams = has_ngrams & (totals[..., n] > 0)
        unmatched = has_ngrams & (matches[..., n] == 0)
        # NIST smoothing: the k-th order without a match counts as half, a quarter, an eighth … of one match
        smoothing = numpy.where(unmatched, smoothing * 2, smoothing)
        numerator = numpy.where(unmatched, 1 / smoothing, matches[..., n])
        precision = numpy.where(has_ngrams, numerator / numpy.where(has_ngrams, totals[..., n], 1), 1.0)
        log_sum = log_sum + numpy.log(precision)
        order = order + has_ngrams
    is_zero = (matches.sum(axis=-1) == 0) | (~has_ngrams if not effective_order else False)
    length = numpy.where(hypothesis > 0, hypothesis, 1.0)
    brevity = numpy.where(hypothesis < reference, numpy.exp(numpy.minimum(1 - reference / length, 0)), 1.0)
    geometric_mean = numpy.exp(log_sum / (numpy.maximum(order, 1) if effective_order else BLEU_ORDER))
    return numpy.where(is_zero, 0.0, 100 * brevity * geometric_mean)


def chrf_from_counts(counts: Array) -> Array:
    """chrF from sums of sacrebleu's segment statistics: mean precision and recall over the orders that both texts have.

    Args:
        counts: (..., 3 x orders): for each order, n-grams of the hypothesis, of the reference, and in both.

    Returns:
        values (...) on a scale from 0 to 100.
    """
    import numpy

    triples = counts.reshape(*counts.shape[:-1], -1, 3)
    hypothesis, reference, matches = triples[..., 0], triples[..., 1], triples[..., 2]
    counted = (hypothesis > 0) & (reference > 0)
    order = numpy.maximum(counted.sum(axis=-1), 1)
    precision = numpy.where(counted, matches / numpy.maximum(hypothesis, 1), 0).sum(axis=-1) / order
    recall = numpy.where(counted, matches / numpy.maximum(reference, 1), 0).sum(axis=-1) / order
    weight = CHRF_BETA**2
    both = precision + recall
    denominator = numpy.where(both > 0, weight * precision + recall, 1.0)
    return numpy.where(both > 0, 100 * (1 + weight) * precision * recall / denominator, 0.0)


def _corpus_statistics(scorer: Any, predictions: Sequence[Prediction]) -> list[Stats | None]:
    """Segment statistics as sacrebleu counts them.

    sacrebleu's bootstrap asks for them by this private method; it has no public one that gives chrF's counts. It wants
    references as streams (first reference of every item, second of every item, …) with `None` where an item has fewer.
    """
    if not predictions:
        return []
    hypotheses = [answer_text(prediction) for prediction in predictions]
    streams = [list(stream) for stream in zip_longest(*(reference_texts(p) for p in predictions))]
    rows = scorer._extract_corpus_statistics(hypotheses, streams)
    return [tuple(float(count) for count in row) for row in rows]


def _signature(scorer: Any) -> str:
    """sacrebleu's own signature without `nrefs`, which belongs to the data and is added where the data is known."""
    scorer.num_refs = 1
    return str(scorer.get_signature()).removeprefix("nrefs:1|")


def _short_references(counts: Array) -> tuple[str, ...]:
    import numpy

    middle = float(numpy.median(counts[:, 1])) if len(counts) else SHORT_REFERENCE
    if middle >= SHORT_REFERENCE:
        return ()
    return (
        f"half of the references have at most {middle:.0f} tokens: BLEU counts runs of four tokens and is near 0 "
        "even for right answers; look at chrf and exact_match",
    )
