"""An answer is used again only where everything it depends on is the same."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows, save_tiny_model
from tunesmith.generate.stage import GenerateOptions, answer_keys, generate_predictions
from tunesmith.train.stage import TrainOptions, train_adapter

ROWS = make_rows(4, split="test")
KEYS: dict[str, Any] = {"dtype": "float32", "device": "cpu", "max_new_tokens": 4}


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    return train(base, tmp_path / "tuned", seed=1)


def train(base: Path, folder: Path, seed: int) -> Path:
    options = TrainOptions(
        base=str(base), dtype="float32", device="cpu", learning_rate=2e-2, max_steps=3, seed=seed
    )
    train_adapter(make_rows(16), [], folder, options)
    return folder


def keys(base: Path, adapter: Path, rows: Any = ROWS, **options: Any) -> dict[tuple[str, str], str]:
    checked = GenerateOptions.model_validate(KEYS | options)
    return answer_keys(rows, str(base), {"base": None, "tuned": adapter}, checked)


def test_keys_are_those_of_the_predictions(base: Path, adapter: Path) -> None:
    options = GenerateOptions.model_validate(KEYS | {"settings": {"beams": {"num_beams": 2}}})
    systems = {"base": None, "tuned": adapter}
    rows = [*ROWS, dataclasses.replace(ROWS[0], id="too long", prompt="heat pump " * 300)]
    found = list(generate_predictions(rows, str(base), systems, options))
    assert {(item.system, item.id): item.key for item in found} == answer_keys(
        rows, str(base), systems, options
    )
    assert len({item.key for item in found}) == len(found) == 20


def test_a_retrained_adapter_in_the_same_folder_is_asked_again(base: Path, adapter: Path) -> None:
    options = GenerateOptions.model_validate(KEYS)
    systems = {"base": None, "tuned": adapter}
    before = list(generate_predictions(ROWS, str(base), systems, options))
    done = {item.key for item in before}
    assert list(generate_predictions(ROWS, str(base), systems, options, done=done)) == []
    shutil.rmtree(adapter)
    train(base, adapter, seed=2)
    again = list(generate_predictions(ROWS, str(base), systems, options, done=done))
    assert {(item.system, item.id) for item in again} == {("tuned", row.id) for row in ROWS}
    losses = {item.id: item.reference_nll for item in before if item.system == "tuned"}
    assert all(item.reference_nll != losses[item.id] for item in again)


@pytest.mark.parametrize(
    "changed",
    [
        {"dtype": "bfloat16"},
        {"max_new_tokens": 5},
        {"num_beams": 2},
        {"repetition_penalty": 1.2},
        {"do_sample": True},
        {"do_sample": True, "seed": 1},
    ],
)
def test_other_conditions_have_other_keys(base: Path, adapter: Path, changed: dict[str, Any]) -> None:
    usual = keys(base, adapter)
    other = keys(base, adapter, **changed)
    assert usual.keys() == other.keys()
    assert not set(usual.values()) & set(other.values())


def test_seeds_have_keys_of_their_own(base: Path, adapter: Path) -> None:
    found = [set(keys(base, adapter, do_sample=True, seed=seed).values()) for seed in (0, 1)]
    assert not found[0] & found[1]


def test_what_changes_no_answer_keeps_the_key(base: Path, adapter: Path) -> None:
    usual = keys(base, adapter)
    assert keys(base, adapter, batch_size=2, threads=1, dtype="float32") == usual
    sampled = keys(base, adapter, do_sample=True)
    assert keys(base, adapter, do_sample=True, temperature=1.0) == sampled


def test_another_template_or_base_has_other_keys(base: Path, adapter: Path, tmp_path: Path) -> None:
    usual = keys(base, adapter)
    template = base / "chat_template.jinja"
    template.write_text(
        template.read_text(encoding="utf-8").replace("<|end|>", "<|end|>\n"), encoding="utf-8"
    )
    assert not set(keys(base, adapter).values()) & set(usual.values())
    other = save_tiny_model(tmp_path / "other", seed=5)
    options = GenerateOptions.model_validate(KEYS)
    assert not set(answer_keys(ROWS, str(other), {"base": None}, options).values()) & set(usual.values())


def test_another_reference_or_prompt_has_another_key(base: Path, adapter: Path) -> None:
    usual = keys(base, adapter)
    rows = [
        dataclasses.replace(ROWS[0], completion="water"),
        dataclasses.replace(ROWS[1], prompt="water?"),
        *ROWS[2:],
    ]
    other = keys(base, adapter, rows)
    assert {id for (system, id), key in other.items() if key != usual[system, id]} == {ROWS[0].id, ROWS[1].id}
