"""BLEU and chrF against sacrebleu's and NLTK's own functions."""

from __future__ import annotations

import math

import numpy
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from tests.score.pairs import prediction, predictions, text_pairs
from tunesmith.score.metric import Metric
from tunesmith.score.ngram import (
    bleu,
    bleu_from_counts,
    chrf,
    chrf_from_counts,
    chrf_plus_plus,
    nltk_bleu,
    sentence_bleu,
)
from tunesmith.score.stage import ScoreOptions

PAIRS = text_pairs()


def corpus_value(metric: Metric, pairs: list[tuple[str, str]]) -> float:
    statistics = numpy.array(metric.stats(predictions(pairs)), dtype=float)
    return float(metric.aggregate(statistics.sum(axis=0)))


@pytest.mark.parametrize("tokenizer", ["13a", "intl", "char"])
def test_corpus_bleu_is_sacrebleus(tokenizer: str) -> None:
    oracle = BLEU(tokenize=tokenizer)
    expected = oracle.corpus_score([a.strip() for a, _ in PAIRS], [[r.strip() for _, r in PAIRS]])
    metric = bleu(ScoreOptions(bleu_tokenizer=tokenizer))
    assert len(PAIRS) >= 200
    assert corpus_value(metric, PAIRS) == pytest.approx(expected.score, abs=1e-9)
    assert f"nrefs:1|{metric.signature}" == str(oracle.get_signature())


def test_value_of_one_item_is_sacrebleus_sentence_score() -> None:
    oracle = BLEU(effective_order=True)
    metric = bleu()
    values = metric.item_values(numpy.array(metric.stats(predictions(PAIRS)), dtype=float))
    expected = [oracle.sentence_score(a.strip(), [r.strip()]).score for a, r in PAIRS]
    assert values == pytest.approx(expected, abs=1e-9)
    assert corpus_value(sentence_bleu(), PAIRS) == pytest.approx(numpy.mean(expected), abs=1e-9)


@pytest.mark.parametrize(("make", "word_order"), [(chrf, 0), (chrf_plus_plus, 2)])
def test_chrf_is_sacrebleus(make: object, word_order: int) -> None:
    oracle = CHRF(word_order=word_order)
    expected = oracle.corpus_score([a.strip() for a, _ in PAIRS], [[r.strip() for _, r in PAIRS]])
    metric = make()  # type: ignore[operator]
    assert corpus_value(metric, PAIRS) == pytest.approx(expected.score, abs=1e-9)
    values = metric.item_values(numpy.array(metric.stats(predictions(PAIRS)), dtype=float))
    expected_items = [oracle.sentence_score(a.strip(), [r.strip()]).score for a, r in PAIRS]
    assert values == pytest.approx(expected_items, abs=1e-9)
    assert f"nrefs:1|{metric.signature}" == str(oracle.get_signature())


def test_several_references_some_items_with_fewer() -> None:
    pairs = [(a, (r, PAIRS[i - 1][1]) if i % 3 else (r,)) for i, (a, r) in enumerate(PAIRS) if a.strip()]
    streams = [[r[0].strip() for _, r in pairs], [r[1].strip() if len(r) > 1 else None for _, r in pairs]]
    hypotheses = [a.strip() for a, _ in pairs]
    for metric, oracle in ((bleu(), BLEU()), (chrf(), CHRF()), (chrf_plus_plus(), CHRF(word_order=2))):
        value = metric.aggregate(numpy.array(metric.stats(predictions(pairs)), dtype=float).sum(axis=0))
        assert value == pytest.approx(oracle.corpus_score(hypotheses, streams).score, abs=1e-9)


def test_values_from_counts_for_thousands_of_resamples_at_once() -> None:
    rng = numpy.random.default_rng(1)
    totals = numpy.sort(rng.integers(0, 40, size=(3000, 4)))[:, ::-1]
    matches = rng.integers(0, totals + 1) * rng.integers(0, 2, size=(3000, 4))
    lengths = numpy.stack([totals[:, 0], rng.integers(1, 50, size=3000)], axis=1)
    counts = numpy.hstack([lengths, matches, totals]).astype(float)
    for effective in (False, True):
        expected = [
            BLEU.compute_bleu(
                row[2:6].astype(int).tolist(), row[6:].astype(int).tolist(), int(row[0]), int(row[1]),
                smooth_method="exp", effective_order=effective,
            ).score
            for row in counts
        ]  # fmt: skip
        assert bleu_from_counts(counts, effective_order=effective) == pytest.approx(expected, abs=1e-9)
    scorer = CHRF()
    triples = rng.integers(0, 30, size=(3000, 6, 3))
    triples[..., 2] = numpy.minimum(triples[..., 2], triples[..., :2].min(axis=-1))
    flat = triples.reshape(3000, 18).astype(float)
    expected = [scorer._compute_f_score(row.tolist()) for row in flat]
    assert chrf_from_counts(flat) == pytest.approx(expected, abs=1e-9)


def test_bleu_by_hand() -> None:
    # answer "a b c d e", reference "a b c d f": 4/5, 3/4, 2/3, 1/2, no brevity penalty
    expected = 100 * math.exp((math.log(4 / 5) + math.log(3 / 4) + math.log(2 / 3) + math.log(1 / 2)) / 4)
    assert corpus_value(bleu(), [("a b c d e", "a b c d f")]) == pytest.approx(expected)


def test_nltk_bleu_is_the_mean_that_papers_print() -> None:
    from nltk.translate.bleu_score import SmoothingFunction
    from nltk.translate.bleu_score import sentence_bleu as oracle

    method = SmoothingFunction().method1
    expected = [oracle([r.split()], a.split(), smoothing_function=method) for a, r in PAIRS]
    assert corpus_value(nltk_bleu(), PAIRS) == pytest.approx(numpy.mean(expected), abs=1e-12)


def test_short_references_are_pointed_out() -> None:
    metric = bleu()
    short = numpy.array(metric.stats([prediction("yes", "yes")]), dtype=float)
    long = numpy.array(metric.stats([prediction("yes", "a reference of five words")]), dtype=float)
    assert "at most 1 tokens" in metric.cautions(short)[0]
    assert metric.cautions(long) == ()
