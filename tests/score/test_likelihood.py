"""Perplexity and bits per byte, by hand."""

from __future__ import annotations

import math

import numpy
import pytest

from tests.score.pairs import prediction
from tunesmith.score.likelihood import bits_per_byte, perplexity
from tunesmith.score.stage import score_predictions


def test_perplexity_is_over_all_tokens_and_not_a_mean_of_perplexities() -> None:
    # 2 tokens of probability 1/4 and 6 of probability 1/2: exp((2 ln 4 + 6 ln 2) / 8) = 2 ** (10 / 8)
    rows = [
        prediction("", reference_nll=2 * math.log(4), reference_tokens=2),
        prediction("", reference_nll=6 * math.log(2), reference_tokens=6),
    ]
    statistics = numpy.array(perplexity().stats(rows), dtype=float)
    assert float(perplexity().aggregate(statistics.sum(axis=0))) == pytest.approx(2 ** (10 / 8))
    assert perplexity().item_values(statistics) == pytest.approx([4, 2])


def test_bits_per_byte_counts_utf8() -> None:
    # "né" has 3 bytes; 6 ln 2 nats are 6 bits
    [row] = bits_per_byte().stats([prediction("", "né", reference_nll=6 * math.log(2), reference_tokens=2)])
    assert row == (pytest.approx(6), 3)


def test_no_likelihood_is_not_scored_and_an_empty_answer_is_no_matter() -> None:
    rows = [
        prediction("", id="1", reference_nll=1.0, reference_tokens=1),
        prediction("text", id="2"),
        prediction("text", id="3", reference_nll=1.0, reference_tokens=0),
    ]
    scores = list(score_predictions(rows, [perplexity()]))
    assert [score.status for score in scores] == ["ok", "not scored", "not scored"]
    assert [score.value for score in scores] == [pytest.approx(math.e), None, None]


def test_hopeless_references_do_not_warn() -> None:
    values = perplexity().aggregate(numpy.array([[1e6, 2.0], [0.0, 0.0]]))
    assert math.isinf(values[0])
    assert math.isnan(values[1])
