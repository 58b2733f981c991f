"""What score_predictions keeps, counts and refuses."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.score.pairs import prediction
from tunesmith.errors import InputError
from tunesmith.records import Prediction
from tunesmith.score.metric import METRICS, Metric
from tunesmith.score.stage import ScoreOptions, open_metrics, score_predictions

CHEAP = tuple(name for name in METRICS if name not in ("cosine", "bertscore", "fluency"))


def test_every_prediction_and_metric_gets_a_row_in_order() -> None:
    rows = [
        prediction("the pump", "the pump", id="a"),
        prediction("", "the pump", id="b"),
        prediction("the", "the pump", id="c", status="truncated"),
        prediction("ignored", "the pump", id="d", status="error", error="out of memory"),
    ]
    scores = list(score_predictions(rows, open_metrics(ScoreOptions(metrics="rouge1,bleu"))))
    assert [(s.metric, s.id) for s in scores] == [(m, i) for m in ("rouge1", "bleu") for i in "abcd"]
    assert [s.status for s in scores[:4]] == ["ok", "empty", "truncated", "error"]
    assert [s.value for s in scores[:4]] == [1, 0, pytest.approx(2 / 3), None]
    assert scores[3].stats is None
    assert scores[4].signature.startswith("nrefs:1|case:mixed")


@pytest.mark.parametrize("name", CHEAP)
def test_an_empty_answer_is_kept_with_a_finite_value(name: str) -> None:
    rows = [prediction("", "the pump is outside", reference_nll=3.0, reference_tokens=4)]
    [score] = score_predictions(rows, open_metrics(ScoreOptions(metrics=name)))
    assert score.stats is not None
    if name not in ("perplexity", "bits_per_byte"):
        assert (score.status, score.value) == ("empty", 0)


def test_nothing_to_score_is_nothing() -> None:
    assert list(score_predictions([], open_metrics(ScoreOptions(metrics="bleu")))) == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([prediction("a", id="7"), prediction("b", id="7")], "two predictions for 7"),
        (
            [prediction("a", "x", id="7"), prediction("a", "y", id="7", system="tuned")],
            "different references for 7",
        ),
        ([prediction("a", (), id="7")], "no reference for 7"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(rows: list[Prediction], message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(score_predictions(rows, open_metrics(ScoreOptions(metrics="bleu"))))


def test_no_reference_is_needed_by_metrics_that_use_none() -> None:
    [score] = score_predictions([prediction("a b", ())], open_metrics(ScoreOptions(metrics="repetition")))
    assert score.value == 0


def test_a_metric_that_is_wrong_about_its_rows_is_a_bug() -> None:
    broken = Metric("broken", True, "", stats=lambda rows: [], aggregate=lambda totals: totals[..., 0])
    with pytest.raises(ValueError, match="0 statistics for 1 predictions"):
        list(score_predictions([prediction("a")], [broken]))
    nan = Metric(
        "nan", True, "", stats=lambda rows: [(float("nan"),)], aggregate=lambda totals: totals[..., 0]
    )
    with pytest.raises(ValueError, match="not a finite number"):
        list(score_predictions([prediction("a")], [nan]))


def test_names_come_as_text_or_list_and_rouge_is_four() -> None:
    four = ("rouge1", "rouge2", "rougeL", "rougeLsum")
    assert ScoreOptions(metrics="rouge, bleu,rouge1").metrics == (*four, "bleu")
    assert ScoreOptions(metrics=["bleu", "rouge"]).metrics == ("bleu", *four)


def test_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"(?s)no metric 'rouge-l'.*rougeL"):
        open_metrics(ScoreOptions(metrics="rouge-l"))


def test_importing_the_stage_loads_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "numpy", "nltk", "sacrebleu", "scipy"]
    loaded = f"print([module for module in {heavy} if module in sys.modules])"
    code = f"import sys, tunesmith.score.stage, tunesmith.compare.stage; {loaded}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
