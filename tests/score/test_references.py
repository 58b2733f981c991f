"""Several references per item, for every metric that reads references."""

from __future__ import annotations

import numpy
import pytest
from nltk.translate.bleu_score import SmoothingFunction
from nltk.translate.bleu_score import sentence_bleu as nltk_sentence_bleu
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from tests.score.pairs import prediction
from tunesmith.score.metric import METRICS
from tunesmith.score.stage import ScoreOptions, open_metrics, score_predictions

ANSWER = "the pump stands outside in the rain"
REFERENCES = ("a pump is outside", "the pump stands outside", "bananas are sweet")
MERGED = {"bleu", "sentence_bleu", "nltk_bleu"}
"""They count what any reference has, and can exceed the best single one."""
FIRST = {"perplexity", "bits_per_byte", "length_ratio"}
WITHOUT = {"fluency", "copies_prompt", "repetition"}


def value(name: str, references: tuple[str, ...], answer: str = ANSWER) -> float:
    row = prediction(answer, references, reference_nll=7.0, reference_tokens=3)
    [score] = score_predictions([row], open_metrics(ScoreOptions(metrics=name)))
    assert score.value is not None
    return score.value


@pytest.mark.parametrize("name", sorted(set(METRICS) - MERGED - FIRST - WITHOUT))
def test_the_best_reference_counts_wherever_it_stands(name: str) -> None:
    if name in ("accuracy", "precision", "recall", "f1", "mcc"):
        assert value(name, ("no", "yes"), "yes") == value(name, ("yes", "no"), "yes") == 1
        return
    best = max(value(name, (reference,)) for reference in REFERENCES)
    assert value(name, REFERENCES) == pytest.approx(best, abs=1e-6)
    assert value(name, REFERENCES[::-1]) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("name", sorted(FIRST))
def test_the_first_reference_counts(name: str) -> None:
    assert value(name, REFERENCES) == value(name, REFERENCES[:1])


def test_bleu_merges_references_as_its_libraries_do() -> None:
    assert value("sentence_bleu", REFERENCES) == pytest.approx(
        BLEU(effective_order=True).sentence_score(ANSWER, list(REFERENCES)).score, abs=1e-9
    )
    expected = nltk_sentence_bleu(
        [text.split() for text in REFERENCES], ANSWER.split(), smoothing_function=SmoothingFunction().method1
    )
    assert value("nltk_bleu", REFERENCES) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "oracle"), [("bleu", BLEU()), ("chrf", CHRF()), ("chrf++", CHRF(word_order=2))]
)
def test_corpus_scores_where_items_have_one_to_three_references(name: str, oracle: BLEU | CHRF) -> None:
    items = [(ANSWER, REFERENCES), ("a pump", REFERENCES[:1]), ("sweet bananas are sweet", REFERENCES[1:])]
    rows = [prediction(answer, references, id=answer) for answer, references in items]
    [metric] = open_metrics(ScoreOptions(metrics=name))
    scores = list(score_predictions(rows, [metric]))
    total = numpy.array([score.stats for score in scores]).sum(axis=0)
    streams = [[r[k] if k < len(r) else None for _, r in items] for k in range(3)]
    expected = oracle.corpus_score([answer for answer, _ in items], streams).score
    assert float(metric.aggregate(total)) == pytest.approx(expected, abs=1e-9)
    assert scores[0].signature.startswith("nrefs:var|")
