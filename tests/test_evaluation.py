"""Files in, the JSON of `tunesmith score` and `tunesmith compare` out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from rouge_score.rouge_scorer import RougeScorer

from tests.score.pairs import text_pairs
from tunesmith.compare.power import Spread
from tunesmith.compare.stage import CompareOptions
from tunesmith.errors import InputError
from tunesmith.evaluation import compare_files, estimate_from_pilot, estimate_items, score_files, tally_file
from tunesmith.score.stage import ScoreOptions

PAIRS = text_pairs(80, words=(3, 8, 20), long=60)
OPTIONS = ScoreOptions(metrics="bleu,rougeL,length_ratio")


def rows(answers: list[str], **more: Any) -> list[dict[str, Any]]:
    return [
        {"id": i, "prediction": answer, "reference": reference, "source_id": f"doc{i // 3}", **more}
        for i, (answer, (_, reference)) in enumerate(zip(answers, PAIRS, strict=True))
    ]


def written(path: Path, content: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    return path


@pytest.fixture
def weak(tmp_path: Path) -> Path:
    return written(tmp_path / "weak.jsonl", rows([answer for answer, _ in PAIRS]))


@pytest.fixture
def strong(tmp_path: Path) -> Path:
    answers = [reference if i % 2 else answer for i, (answer, reference) in enumerate(PAIRS)]
    return written(tmp_path / "strong.jsonl", rows(answers)[::-1])


def test_scores_of_files(weak: Path, strong: Path) -> None:
    found = score_files([weak, strong], OPTIONS)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    rouge = next(row for row in found["scores"] if (row["system"], row["metric"]) == ("weak", "rougeL"))
    oracle = RougeScorer(["rougeL"], use_stemmer=True)
    expected = [oracle.score(reference, answer.strip())["rougeL"].fmeasure for answer, reference in PAIRS]
    assert rouge["value"] == pytest.approx(sum(expected) / len(PAIRS))
    assert rouge["low"] < rouge["value"] < rouge["high"]
    assert (rouge["n"], rouge["clusters"], rouge["status"]) == (80, 27, {"empty": 2, "ok": 78})
    assert rouge["signature"].startswith("nrefs:1|rouge-score:")
    assert [(row["system"], row["metric"]) for row in found["scores"]] == [
        (system, metric) for system in ("weak", "strong") for metric in OPTIONS.metrics
    ]


def test_systems_need_not_share_items_to_be_scored(tmp_path: Path, weak: Path) -> None:
    few = written(tmp_path / "few.jsonl", rows([answer for answer, _ in PAIRS])[:5])
    assert [row["n"] for row in score_files([weak, few], ScoreOptions(metrics="rougeL"))["scores"]] == [80, 5]


def test_floors_show_what_knowing_nothing_is_worth(weak: Path) -> None:
    [row] = score_files([weak], ScoreOptions(metrics="rougeL"))["scores"]
    assert 0 < row["floor"] < row["value"] / 2


def test_constant_answers_stand_beside_metrics_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "sorted.jsonl"
    answers = {"1": "yes", "2": "no", "3": "no", "4": "Yes."}
    right = {"1": "yes", "2": "yes", "3": "no", "4": "yes"}
    rows = [{"id": id, "prediction": answers[id], "reference": right[id]} for id in answers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    scores = score_files([path], ScoreOptions(metrics="accuracy,exact_match,mcc"))["scores"]
    assert [(row["system"], row["metric"], row["value"]) for row in scores] == [
        ("sorted", "accuracy", 0.75),
        ("sorted", "exact_match", 0.75),
        ("sorted", "mcc", pytest.approx(1 / math.sqrt(3))),
        ("always yes (majority)", "accuracy", 0.75),
        ("always yes (majority)", "mcc", 0),
        ("always no", "accuracy", 0.25),
        ("always no", "mcc", 0),
    ]


def test_comparison_of_files(weak: Path, strong: Path) -> None:
    found = compare_files(weak, strong, OPTIONS)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [row["metric"] for row in found["comparisons"]] == ["bleu", "rougeL"]
    for row in found["comparisons"]:
        assert (row["base"], row["tuned"], row["verdict"], row["n"], row["clusters"]) == (
            "weak",
            "strong",
            "better",
            80,
            27,
        )
        assert row["p"] <= row["p_holm"] < 0.05
        assert row["smallest_detectable"] > 0
        assert row["difference"] == pytest.approx(row["tuned_value"] - row["base_value"])
    assert len(found["scores"]) == 6


def test_a_primary_metric_comes_first(weak: Path, strong: Path) -> None:
    found = compare_files(weak, strong, OPTIONS, CompareOptions(primary="rougeL"))
    assert [(row["metric"], row["is_primary"]) for row in found["comparisons"]] == [
        ("rougeL", True),
        ("bleu", False),
    ]


def test_files_of_one_name_are_base_and_tuned(tmp_path: Path, weak: Path) -> None:
    (tmp_path / "b").mkdir()
    other = written(tmp_path / "b" / "weak.jsonl", rows([answer for answer, _ in PAIRS]))
    [found] = compare_files(weak, other, ScoreOptions(metrics="rougeL"))["comparisons"]
    assert (found["base"], found["tuned"], found["verdict"]) == ("base", "tuned", "identical")


class TestRefused:
    def test_different_items(self, tmp_path: Path, weak: Path) -> None:
        short = written(tmp_path / "short.jsonl", rows([answer for answer, _ in PAIRS])[:-1])
        with pytest.raises(InputError, match=r"weak\.jsonl:80: .*short\.jsonl \(79 items\) lacks item 79 of"):
            compare_files(weak, short, OPTIONS)

    def test_different_references(self, tmp_path: Path, weak: Path) -> None:
        changed = rows([answer for answer, _ in PAIRS])
        changed[3]["reference"] = "another"
        with pytest.raises(
            InputError, match=r"changed\.jsonl:4: .*weak\.jsonl has another reference for item 3"
        ):
            compare_files(weak, written(tmp_path / "changed.jsonl", changed), OPTIONS)

    def test_several_systems_in_one_file(self, tmp_path: Path, weak: Path) -> None:
        both = rows([answer for answer, _ in PAIRS], system="a") + rows(
            [answer for answer, _ in PAIRS], system="b"
        )
        with pytest.raises(InputError, match="several systems: a, b"):
            compare_files(weak, written(tmp_path / "both.jsonl", both), OPTIONS)

    def test_one_system_in_two_files(self, tmp_path: Path, weak: Path) -> None:
        again = written(tmp_path / "again.jsonl", rows([answer for answer, _ in PAIRS], system="weak"))
        with pytest.raises(InputError, match=r"system 'weak' is in .*weak\.jsonl as well"):
            score_files([weak, again], OPTIONS)

    def test_a_metric_without_what_it_needs(self, weak: Path) -> None:
        with pytest.raises(InputError, match=r"(?s)perplexity can score none of the items.*reference_nll"):
            score_files([weak], ScoreOptions(metrics="perplexity"))


def test_tally_of_files(tmp_path: Path) -> None:
    content = [{"id": i, "verdict": "tuned" if i < 15 else '"Base"'} for i in range(20)]
    path = written(tmp_path / "verdicts.jsonl", content)
    found = tally_file(path, base_label="base", tuned_label="tuned")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["wins"], found["losses"], found["unparsed"]) == (15, 5, 0)
    other = written(tmp_path / "other.jsonl", [{**row, "verdict": "base"} for row in content])
    both = tally_file(path, base_label="base", tuned_label="tuned", other=other)
    assert (both["other"]["losses"], both["mcnemar"]["first_only"]) == (20, 15)
    assert both["mcnemar"]["p"] == pytest.approx(2 / 2**15)


def test_how_many_items(weak: Path, strong: Path) -> None:
    plain = estimate_items(Spread(0.12), 0.024)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["needed"] == {"difference": 0.024, "items": 199}  # (2.8 * 0.12 / 0.024)² and a little for t
    assert [row["items"] for row in plain["table"]] == [30, 50, 100, 200, 300, 500, 1000, 2000]
    pilot = estimate_from_pilot(weak, strong, "rougeL", 0.05)
    assert (pilot["metric"], pilot["pilot_items"]) == ("rougeL", 80)
    [comparison] = compare_files(weak, strong, ScoreOptions(metrics="rougeL"))["comparisons"]
    expected = 80 * (comparison["smallest_detectable"] / 0.05) ** 2
    assert pilot["needed"]["items"] == pytest.approx(expected, rel=0.1)
