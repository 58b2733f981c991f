"""ROUGE against rouge_score itself."""

from __future__ import annotations

import numpy
import pytest
from rouge_score.rouge_scorer import RougeScorer

from tests.score.pairs import prediction, predictions, text_pairs
from tunesmith.score.rouge import rouge1, rouge2, rouge_l, rouge_l_sum
from tunesmith.score.stage import ScoreOptions

PAIRS = text_pairs()
SHORTER = text_pairs(60, long=100)
MADE = {"rouge1": rouge1, "rouge2": rouge2, "rougeL": rouge_l, "rougeLsum": rouge_l_sum}


@pytest.mark.parametrize("stem", [True, False])
def test_every_item_has_rouge_scores_value(stem: bool) -> None:
    pairs = PAIRS
    assert len(pairs) >= 200
    oracle = RougeScorer(list(MADE), use_stemmer=stem)
    expected = [oracle.score(reference.strip(), answer.strip()) for answer, reference in pairs]
    several_lines = [i for i, (answer, _) in enumerate(pairs) if "\n" in answer.strip()]
    assert len(several_lines) > 5
    for name, make in MADE.items():
        rows = make(ScoreOptions(rouge_stemmer=stem)).stats(predictions(pairs))
        assert [row[0] for row in rows if row] == [
            pytest.approx(e[name].fmeasure, abs=1e-12) for e in expected
        ]


def test_best_of_several_references() -> None:
    pairs = [(answer, (reference, SHORTER[i - 1][1])) for i, (answer, reference) in enumerate(SHORTER)]
    oracle = RougeScorer(list(MADE), use_stemmer=True)
    expected = [oracle.score_multi([r.strip() for r in references], a.strip()) for a, references in pairs]
    for name, make in MADE.items():
        rows = make().stats(predictions(pairs))
        assert [row[0] for row in rows if row] == [
            pytest.approx(e[name].fmeasure, abs=1e-12) for e in expected
        ]


def test_by_hand() -> None:
    # 4 of 5 answer words and 4 of 6 reference words in order: P 4/5, R 4/6, F 8/11
    [row] = rouge_l().stats([prediction("the cat sat on mats", "the cat was sat on it")])
    assert row is not None
    assert row[0] == pytest.approx(8 / 11)


def test_a_script_it_cannot_read_is_pointed_out() -> None:
    metric = rouge1()
    japanese = metric.stats([prediction("これはペンです", "これはペンです"), prediction("a", "a")])
    statistics = numpy.array(japanese, dtype=float)
    assert statistics[0, 0] == 0
    assert "50% of the references" in metric.cautions(statistics)[0]
    assert metric.cautions(statistics[1:]) == ()


def test_signature_says_whether_words_are_stemmed() -> None:
    assert "stem:porter" in rouge1().signature
    assert "stem:no" in rouge1(ScoreOptions(rouge_stemmer=False)).signature
