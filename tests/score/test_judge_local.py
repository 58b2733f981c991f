"""A local model as judge: its likelihoods decide."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.score.judge_fakes import FakeAsker, pairs_of, prediction
from tests.tiny import save_tiny_model
from tunesmith.compare.labels import parse_label
from tunesmith.judging.remembered import remembered
from tunesmith.models.load import ComputeOptions
from tunesmith.records import Judgement
from tunesmith.score.judge import JudgeModel, JudgeOptions, grade_answers, judge_pairs, open_pair_judge
from tunesmith.score.judging.asking import Request
from tunesmith.score.judging.local import LocalAsker
from tunesmith.score.judging.pairs import Pair
from tunesmith.score.judging.pairwise import SCHEMA


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("judge"), context=4096)


CPU = ComputeOptions(device="cpu", dtype="float32")
MESSAGES = ({"role": "system", "content": "Compare."}, {"role": "user", "content": "one or two"})


def request(temperature: float = 0.0, seed: int = 0) -> Request:
    return Request(MESSAGES, {"temperature": temperature, "seed": seed, "max_tokens": 512}, SCHEMA)


def chances(reason: str) -> dict[str, float]:
    return {
        name: float(value) for name, value in (part.split() for part in reason.split(": ")[1].split(", "))
    }


def test_the_likeliest_verdict_by_the_models_own_arithmetic(folder: Path) -> None:
    """The chat is written out by hand and put through the bare model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    prompt = "<|begin|><|user|>\nCompare.\n\none or two<|end|>\n<|assistant|>\n"
    logs = {}
    for verdict in ("A", "B", "TIE"):
        first = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        rest = tokenizer(f'{{"verdict": "{verdict}"}}<|end|>', add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([first + rest])).logits[0].log_softmax(-1)
        logs[verdict] = sum(float(logits[len(first) + n - 1, token]) for n, token in enumerate(rest))
    total = sum(math.exp(log) for log in logs.values())
    (reply,) = LocalAsker(str(folder), CPU).ask([request()])
    said = json.loads(reply.text)
    assert said["verdict"] == max(logs, key=lambda verdict: logs[verdict])
    for verdict, chance in chances(said["reason"]).items():
        assert chance == pytest.approx(math.exp(logs[verdict]) / total, abs=6e-4)


def test_further_votes_are_drawn_by_chance_and_repeat_themselves(folder: Path) -> None:
    asker = LocalAsker(str(folder), CPU)
    asked = [request(2.0, seed) for seed in range(60)]
    drawn = [json.loads(reply.text)["verdict"] for reply in asker.ask(asked)]
    assert len(set(drawn)) > 1
    assert [json.loads(reply.text)["verdict"] for reply in asker.ask(asked[:10])] == drawn[:10]


def test_pairs_and_rubric_through_the_options(folder: Path) -> None:
    local = {"local": str(folder), "device": "cpu", "dtype": "float32"}
    options = JudgeOptions.model_validate({"judge": local, "controls": 1})
    found = [
        one for one in judge_pairs(pairs_of(("one", "two")), options, read_label=parse_label) if one.order
    ]
    assert {one.status for one in found} == {"ok"}
    assert {one.judge for one in found} == {str(folder)}
    rubric = JudgeOptions.model_validate({"judge": local, "mode": "rubric"})
    grades = list(grade_answers([prediction(0, "tuned", "text")], rubric, read_label=parse_label))
    assert [one.status for one in grades] == ["ok"] * 3
    assert {one.value for one in grades} <= {0.0, 0.5, 1.0}


def test_a_prompt_that_does_not_fit_is_no_verdict(folder: Path) -> None:
    options = JudgeOptions.model_validate({"judge": {"local": str(folder), "device": "cpu"}, "controls": 0})
    judge = open_pair_judge(options, read_label=parse_label)
    (short, long) = pairs_of(("one", "two"), ("water " * 3000, "heat"))
    found = list(judge.judge([short, long]))
    assert [one.status for one in found] == ["ok", "ok", "no reply", "no reply"]
    assert "tokens" in found[2].raw


def test_a_killed_judging_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    """What the journal holds is not computed again, and reads as it did; other weights are another judge."""
    local = JudgeModel.model_validate({"local": str(folder), "device": "cpu", "dtype": "float32"})
    options = JudgeOptions(judge=local, controls=0)
    pairs = pairs_of(("one", "two"), ("three", "four"), ("five", "six"))
    journal = tmp_path / "judge.sqlite"

    def judge(pairs: list[Pair], model: JudgeModel, *, may_compute: bool = True) -> list[Judgement]:
        with remembered(model, journal) as asker:
            if not may_compute:
                asker._asker = FakeAsker(never)
            return list(judge_pairs(pairs, options, asker=asker, read_label=parse_label))

    def never(request: Request) -> str:
        raise AssertionError("asked again")

    first = judge(pairs[:2], local)
    whole = judge(pairs, local)
    again = judge(pairs, local, may_compute=False)
    asked = [[one for one in found if one.order] for found in (first, whole, again)]
    assert [replace(one, judge="") for one in asked[2]] == [replace(one, judge="") for one in asked[1]]
    assert asked[1][:4] == asked[0]
    assert all(one.preference is not None for one in asked[2])
    other = local.model_copy(update={"dtype": "bfloat16"})
    with pytest.raises(AssertionError, match="asked again"):
        judge(pairs, other, may_compute=False)
