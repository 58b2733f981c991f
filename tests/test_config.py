from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from tunesmith.config import dotted, load_plan, parse_plan
from tunesmith.errors import InputError, PlanError
from tunesmith.options import Options


class Endpoint(Options):
    url: str
    model: str = "m"


class Train(Options):
    learning_rate: float = Field(2e-4, gt=0)
    lr_scheduler_type: Literal["linear", "cosine"] = "linear"
    lora_r: int = 16


class Plan(Options):
    name: str = "study"
    train: Train = Train()
    teacher: str | Endpoint = "builtin"
    metrics: list[Literal["bleu", "rougeL"]] = ["bleu"]


def parse(text: str, *overrides: str) -> Plan:
    return parse_plan(text, overrides, Plan, name="plan.yaml")


def problems(text: str, *overrides: str) -> list[str]:
    with pytest.raises(PlanError) as caught:
        parse(text, *overrides)
    return caught.value.problems


def test_numbers_as_people_write_them() -> None:
    assert parse("train: {learning_rate: 1e-4}").train.learning_rate == 1e-4
    assert parse("train: {learning_rate: 2.0e-5}").train.learning_rate == 2e-5


def test_overrides_win_and_may_be_any_yaml() -> None:
    plan = parse("train: {lora_r: 4}", "train.lora_r=8", "metrics=[bleu, rougeL]", "teacher={url: http://x}")
    assert plan.train.lora_r == 8
    assert plan.metrics == ["bleu", "rougeL"]
    assert plan.teacher == Endpoint(url="http://x")


def test_five_mistakes_are_told_at_once_with_line_and_suggestion() -> None:
    found = problems(
        """
name: x
train:
  lr_schedual: cosine
  learning_rate: -1
  lora_r: many
metrics: [bleu, rouge-l]
teacher: {model: m}
"""
    )
    assert found == [
        "line 4: train.lr_schedual: unknown key; did you mean lr_scheduler_type?",
        "line 5: train.learning_rate: should be greater than 0, not -1",
        "line 6: train.lora_r: should be a valid integer, unable to parse string as an integer, not 'many'",
        "line 7: metrics[1]: 'rouge-l' is not one of 'bleu' or 'rougeL'",
        "line 8: teacher.url: is required",
    ]


def test_an_override_is_blamed_on_the_command_line() -> None:
    assert problems("", "train.lora_q=3") == [
        "command line: train.lora_q: unknown key; did you mean lora_r?",
    ]
    assert problems("", "train") == ["command line: 'train' is not of the form key.path=value"]
    assert problems("name: x", "name.y=3") == [
        "command line: name is a single value, so name.y cannot be set in it"
    ]


def test_a_key_given_twice_is_a_mistake() -> None:
    assert problems("train: {lora_r: 4}\ntrain: {lora_r: 8}\n") == ["line 2: train is given twice"]


def test_a_plan_cannot_run_code() -> None:
    with pytest.raises(PlanError, match="not allowed in a plan"):
        parse("name: !!python/object/apply:os.system ['true']")


def test_broken_yaml_names_the_line() -> None:
    with pytest.raises(PlanError, match=r"plan\.yaml:2"):
        parse("name: x\n  train: [")


def test_a_list_is_no_plan() -> None:
    with pytest.raises(PlanError, match="mapping"):
        parse("- a\n- b")


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such plan file"):
        load_plan(tmp_path / "none.yaml", [], Plan)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(InputError, match="cannot be read"):
        load_plan(tmp_path / "latin.yaml", [], Plan)
    with pytest.raises(InputError, match="cannot be read"):
        load_plan(tmp_path, [], Plan)


def test_dotted() -> None:
    assert dotted(("score", "metrics", 1)) == "score.metrics[1]"
