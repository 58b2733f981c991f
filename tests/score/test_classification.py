"""Classification metrics against scikit-learn, and constant answers."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef, precision_score, recall_score

from tests.score.pairs import prediction, predictions
from tunesmith.errors import InputError
from tunesmith.score.labels import accuracy, clean_class, constant_answers, f1, mcc, precision, recall
from tunesmith.score.metric import Metric
from tunesmith.score.stage import ScoreOptions, score_predictions

LABELS = ["negative", "neutral", "positive"]


def drawn(seed: int, n: int = 200) -> tuple[list[str], list[str]]:
    """Answers and right labels; some answers are no label, and one label is rarely answered."""
    rng = numpy.random.default_rng(seed)
    right = list(rng.choice(LABELS, size=n, p=[0.6, 0.3, 0.1]))
    answers = [r if rng.random() < 0.6 else str(rng.choice([*LABELS[:2], "I do not know"])) for r in right]
    return answers, right


def value(metric: Metric, answers: list[str], right: list[str]) -> float:
    statistics = numpy.array(metric.stats(predictions(list(zip(answers, right, strict=True)))), dtype=float)
    return float(metric.aggregate(statistics.sum(axis=0)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_values_are_scikit_learns(seed: int) -> None:
    answers, right = drawn(seed)
    options = {"labels": LABELS, "average": "macro", "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert value(precision(), answers, right) == pytest.approx(
            precision_score(right, answers, **options), abs=1e-12
        )
        assert value(recall(), answers, right) == pytest.approx(
            recall_score(right, answers, **options), abs=1e-12
        )
        assert value(f1(), answers, right) == pytest.approx(f1_score(right, answers, **options), abs=1e-12)
    assert value(mcc(), answers, right) == pytest.approx(matthews_corrcoef(right, answers), abs=1e-12)
    assert value(accuracy(), answers, right) == numpy.mean(
        [a == r for a, r in zip(answers, right, strict=True)]
    )


def test_an_answer_off_the_menu_does_not_change_what_is_averaged_over() -> None:
    # F1 of a: P 1, R 1/2 -> 2/3; of b: P 1, R 1 -> 1; the third class that was answered is nobody's
    assert value(f1(), ["a", "c", "b"], ["a", "a", "b"]) == pytest.approx((2 / 3 + 1) / 2)


def test_a_constant_answer() -> None:
    answers, right = ["negative"] * 200, drawn(1)[1]
    assert value(mcc(), answers, right) == 0
    assert value(recall(), answers, right) == pytest.approx(1 / 3)


def test_all_resamples_at_once() -> None:
    answers, right = drawn(4, 60)
    metric = f1()
    statistics = numpy.array(metric.stats(predictions(list(zip(answers, right, strict=True)))), dtype=float)
    weights = numpy.random.default_rng(0).multinomial(60, [1 / 60] * 60, size=50)
    together = metric.aggregate(weights @ statistics)
    assert together == pytest.approx([float(metric.aggregate(row @ statistics)) for row in weights])


def test_labels_are_compared_without_case_and_marks() -> None:
    assert clean_class(' "Positive." ') == "positive"
    assert value(accuracy(), ["**Positive**", "negative!"], ["positive", "Negative"]) == 1


def test_texts_are_no_labels() -> None:
    rows = [prediction(f"a {i}", f"a {i}", id=str(i)) for i in range(60)]
    with pytest.raises(InputError, match="60 different texts, too many to be labels"):
        list(score_predictions(rows, [f1()]))
    # named, they are
    options = ScoreOptions(labels=[row.references[0] for row in rows])
    assert float(f1(options).aggregate(numpy.array(f1(options).stats(rows)).sum(axis=0))) == 1


def test_a_label_without_items_counts_as_scikit_learn_counts_it() -> None:
    answers, right = ["a", "b", "c", ""], ["a", "a", "b", "b"]
    named = ScoreOptions(labels="a,b,c,d")
    options = {"labels": ["a", "b", "c", "d"], "average": "macro", "zero_division": 0}
    for metric, oracle in ((precision, precision_score), (recall, recall_score), (f1, f1_score)):
        assert value(metric(named), answers, right) == pytest.approx(
            oracle(right, answers, **options), abs=1e-12
        )
    assert value(mcc(named), answers, right) == pytest.approx(matthews_corrcoef(right, answers), abs=1e-12)
    # and differently from the macro average over the labels of the references
    assert value(f1(named), answers, right) == value(f1(), answers, right) / 2


def test_any_of_several_references_is_right_and_the_first_counts_otherwise() -> None:
    rows = [
        prediction("b", ("a", "b"), id="1"),
        prediction("c", ("a", "b"), id="2"),
        prediction("c", "c", id="3"),
    ]
    # right: b, then a (missed), then c; answered: b, c, c
    statistics = numpy.array(recall().stats(rows)).sum(axis=0)
    assert float(accuracy().aggregate(statistics)) == pytest.approx(2 / 3)
    assert float(recall().aggregate(statistics)) == pytest.approx((0 + 1 + 1) / 3)
    assert float(precision().aggregate(statistics)) == pytest.approx((0 + 1 + 1 / 2) / 3)
    assert recall().item_values(numpy.array(recall().stats(rows))).tolist() == [1, 0, 1]


def test_signs_are_labels_and_marks_alone_stay() -> None:
    assert [clean_class(text) for text in ("-1", "1.", "C++", "?", " ! ")] == ["-1", "1", "c++", "?", "!"]


@pytest.mark.parametrize(
    ("labels", "reference", "message"),
    [
        (("yes", "Yes."), "yes", "cannot be told apart: 'yes', 'Yes.'"),
        (("yes", "no"), "perhaps", "reference of item 1 is 'perhaps', which is not among the labels"),
    ],
)
def test_labels_that_do_not_fit(labels: tuple[str, ...], reference: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        accuracy(ScoreOptions(labels=labels)).stats([prediction("yes", reference)])


def test_the_share_of_the_commonest_label_is_said() -> None:
    rows = [prediction("x", "yes" if i % 4 else "no", id=str(i)) for i in range(8)]
    [said] = f1().cautions(numpy.array(f1().stats(rows)))
    assert said == "always giving the commonest of the 2 labels would be right in 75% of the items"


def test_constant_answers_are_systems_and_the_commonest_label_is_the_majority() -> None:
    rows = [prediction("x", "yes" if i % 3 else "no", id=f"{i:02}") for i in range(30)]
    found = constant_answers([*rows, replace(rows[0], system="tuned")])
    assert list(dict.fromkeys(one.system for one in found)) == ["always yes (majority)", "always no"]
    shares = [score.value for score in score_predictions(found, [accuracy()])]
    assert (sum(shares[:30]), sum(shares[30:])) == (20, 10)
