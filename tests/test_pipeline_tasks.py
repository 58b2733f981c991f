"""Plans whose task is not a language model: from finished rows to a report, and what such a plan may not ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny_tasks import make_labelled, save_tiny_classifier_base, save_tiny_seq2seq
from tunesmith.config import parse_plan
from tunesmith.errors import PlanError
from tunesmith.pipeline import run_plan
from tunesmith.plan import Plan
from tunesmith.records import Comparison, Prediction, Summary
from tunesmith.store import read_rows

CLASSIFY = """
name: tiny
task: classify
prepare:
  data: {path: train.jsonl, labels: {0: cold, 1: warm}}
  test_data: {path: test.jsonl, labels: {0: cold, 1: warm}}
  leaks: allow
train: {base: model, max_steps: 6, learning_rate: 0.005, dtype: float32, device: cpu, threads: 1}
generate: {dtype: float32, device: cpu, threads: 1}
compare: {draws: 200}
"""
SEQ2SEQ = """
name: tiny
task: seq2seq
prepare: {data: rows.jsonl, split: {test: 0.3, validation: 0.2}, leaks: allow}
train:
  base: model
  max_steps: 4
  max_length: 24
  max_target_length: 16
  dtype: float32
  device: cpu
  threads: 1
generate: {max_new_tokens: 6, num_beams: 2, dtype: float32, device: cpu, threads: 1}
score: {metrics: [rougeL, perplexity]}
compare: {draws: 200}
"""


def plan_of(text: str) -> Plan:
    return parse_plan(text, (), Plan, name="plan.yaml")


def test_a_classifier_from_rows_to_report(tmp_path: Path) -> None:
    save_tiny_classifier_base(tmp_path / "model", "sentence-bert")
    for split, n in (("train", 40), ("test", 24)):
        rows = [
            {"text": f"{row.prompt} {split} {index}", "label": int(row.completion == "warm")}
            for index, row in enumerate(make_labelled(n))
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    plan = plan_of(CLASSIFY.replace("base: model", f"base: {tmp_path / 'model'}"))
    folder = run_plan(plan, tmp_path, tmp_path / "runs/tiny")
    names = ["majority", "random head", "base", "tuned"]
    predictions = list(read_rows(folder / "generate/base.jsonl", Prediction))
    assert {item.system for item in predictions} == set(names[:3])
    summaries = list(read_rows(folder / "compare/summaries.jsonl", Summary))
    assert {(item.system, item.metric) for item in summaries} >= {(name, "f1") for name in names}
    majority = next(item for item in summaries if (item.system, item.metric) == ("majority", "accuracy"))
    assert majority.value == 0.5  # by hand: every other test row is cold
    comparisons = list(read_rows(folder / "compare/comparisons.jsonl", Comparison))
    assert [(item.base, item.tuned) for item in comparisons if item.metric == "f1"] == [
        ("base", "tuned"),
        ("majority", "tuned"),
        ("random head", "tuned"),
    ]
    assert [(item.base, item.metric) for item in comparisons if item.is_primary] == [("base", "f1")]
    assert {item.n for item in comparisons} == {24}
    page = (folder / "report/report.html").read_text(encoding="utf-8")
    for words in ("random head", "majority", "Which labels are confused: tuned", "answered cold", "logistic"):
        assert words in page


def test_an_encoder_decoder_from_rows_to_report(tmp_path: Path) -> None:
    save_tiny_seq2seq(tmp_path / "model", "flan-t5")
    rows = [
        {
            "document": f"{row.prompt} number {index} {'and so on ' * (index % 5)}",
            "summary": f"{row.completion} it is",
        }
        for index, row in enumerate(make_labelled(24))
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan = plan_of(SEQ2SEQ.replace("base: model", f"base: {tmp_path / 'model'}"))
    assert (plan.train.truncate, plan.generate.truncate) == ("prompt_right", "prompt_right")
    folder = run_plan(plan, tmp_path, tmp_path / "runs/tiny")
    log = json.loads((folder / "train/log.json").read_text(encoding="utf-8"))
    assert log["steps"] == 4
    for system in ("base", "tuned"):
        found = list(read_rows(folder / f"generate/{system}.jsonl", Prediction))
        assert len(found) > 4
        assert all(item.reference_tokens and (item.n_new_tokens or 0) <= 6 for item in found)
    comparisons = list(read_rows(folder / "compare/comparisons.jsonl", Comparison))
    assert {item.metric for item in comparisons} == {"rougeL", "perplexity"}
    assert (folder / "report/report.html").is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("score: {metrics: [bleu, f1]}", "bleu says nothing about labels"),
        ("generate: {num_beams: 4}", "generate.num_beams has no effect with task: classify"),
        ("judge: {}", "judge compares texts"),
        ("train: {max_target_length: 8}", "max_target_length has no effect with task: classify"),
    ],
)
def test_what_makes_no_sense_for_labels_is_said(text: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan_of(f"task: classify\nprepare: {{data: a.jsonl}}\n{text}\n")


def test_defaults_of_a_task() -> None:
    plan = plan_of("task: classify\nprepare: {data: a.jsonl}\n")
    assert plan.train.base == "builtin-encoder"
    assert (plan.train.metric_for_best_model, plan.compare.primary) == ("f1", "f1")
    assert plan.score.metrics == ("f1", "accuracy", "precision", "recall", "mcc")
    again = Plan.model_validate(plan.model_dump(mode="json"))
    assert again == plan
    named = plan_of(
        "task: classify\nprepare: {data: a.jsonl}\ntrain: {labels: [b, a]}\nscore: {metrics: accuracy}"
    )
    assert (named.score.labels, named.compare.primary) == (("b", "a"), "accuracy")
    with pytest.raises(PlanError, match="no model for task: seq2seq comes with tunesmith"):
        plan_of("task: seq2seq\nprepare: {data: a.jsonl}\n")
    with pytest.raises(PlanError, match="class_weights has no effect with task: causal"):
        plan_of("prepare: {data: a.jsonl}\ntrain: {class_weights: balanced}\n")
