"""Jobs share a base in memory when it is the same for all of them, and passes when they can be the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows
from tunesmith.models.load import ComputeOptions
from tunesmith.records import TrainingLog
from tunesmith.train.keys import base_key, passes_key
from tunesmith.train.stage import Job, TrainOptions, train_adapter, train_adapters

PLAIN = TrainOptions(base="somewhere", device="cpu")
OF_THE_BASE: list[dict[str, Any]] = [
    {"base": "elsewhere"},
    {"continue_from": "runs/first"},
    {"added_tokens": ["<one>"]},
    {"dtype": "bfloat16"},
    {"device": "cuda"},
    {"trust_remote_code": True},
    {"load_in_4bit": True},
    {"method": "qlora"},
    {"method": "full"},  # float32 where dtype is auto
    {"attn_implementation": "eager"},
    {"use_liger_kernel": False},
]
OF_FOUR_BITS: list[dict[str, Any]] = [
    {"bnb_4bit_quant_type": "fp4"},
    {"bnb_4bit_use_double_quant": False},
    {"bnb_4bit_compute_dtype": "float32"},
]


def changed(options: TrainOptions, changes: dict[str, Any]) -> TrainOptions:
    return TrainOptions.model_validate(options.model_dump(exclude_unset=True) | changes)


@pytest.mark.parametrize("changes", OF_THE_BASE, ids=str)
def test_what_makes_another_base(changes: dict[str, Any]) -> None:
    assert base_key(changed(PLAIN, changes)) != base_key(PLAIN)


@pytest.mark.parametrize("changes", OF_FOUR_BITS, ids=str)
def test_what_makes_another_base_in_four_bits(changes: dict[str, Any]) -> None:
    four = changed(PLAIN, {"load_in_4bit": True})
    assert base_key(changed(four, changes)) != base_key(four)


def test_two_names_of_four_bits_are_one_base() -> None:
    assert base_key(changed(PLAIN, {"load_in_4bit": True})) == base_key(changed(PLAIN, {"method": "qlora"}))


def test_every_option_of_loading_is_part_of_it() -> None:
    """A new option of how models are loaded has to be thought of here."""
    tried = {name for changes in (*OF_THE_BASE, *OF_FOUR_BITS) for name in changes}
    assert set(ComputeOptions.model_fields) - tried == {"threads"}


@pytest.mark.parametrize("changes", [{"threads": 2}, {"save_steps": 5}, {"save_total_limit": 1}], ids=str)
def test_what_is_the_same_for_all_jobs_of_a_pass(changes: dict[str, Any]) -> None:
    assert base_key(changed(PLAIN, changes)) == base_key(PLAIN)
    assert passes_key(changed(PLAIN, changes)) != passes_key(PLAIN)


@pytest.mark.parametrize(
    "changes", [{"lora_r": 4}, {"seed": 3}, {"max_steps": 5}, {"optim": "adafactor"}], ids=str
)
def test_what_is_each_jobs_own(changes: dict[str, Any]) -> None:
    assert passes_key(changed(PLAIN, changes)) == passes_key(PLAIN)


def test_bases_that_differ_are_loaded_each(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter in bfloat16, then in float32 on the base as it is, on an adapter, with a token of its own, and on the
    base again: one base is in memory at a time, and each ends with the weights of its run alone."""
    from tunesmith.models import lineage

    common = {"base": str(tiny_base), "device": "cpu", "threads": 1, "max_steps": 2, "lora_r": 4}
    rows = make_rows(8)
    first = TrainOptions.model_validate(common | {"dtype": "float32"})
    train_adapter(rows, [], tmp_path / "first", first)
    changes: list[dict[str, Any]] = [
        {"dtype": "bfloat16"},
        {"dtype": "float32", "lora_dropout": 0.1},
        {"dtype": "float32", "continue_from": str(tmp_path / "first")},
        {"dtype": "float32", "added_tokens": ["<one>"]},
        {"dtype": "float32"},
    ]
    loads: list[str] = []
    load = lineage.load_merged

    def counted(*arguments: Any) -> Any:
        loads.append(arguments[2].dtype)
        return load(*arguments)

    monkeypatch.setattr(lineage, "load_merged", counted)

    def jobs(folder: Path) -> list[Job]:
        return [
            Job(rows, [], folder / str(at), TrainOptions.model_validate(common | change))
            for at, change in enumerate(changes)
        ]

    for log in train_adapters(jobs(tmp_path / "one-call")):
        assert isinstance(log, TrainingLog)
    assert loads == ["bfloat16", "float32", "float32", "float32", "float32"]
    for job in jobs(tmp_path / "alone"):
        train_adapter(job.train, [], job.folder, job.options)
        ours, theirs = (
            (tmp_path / way / job.folder.name / "adapter_model.safetensors").read_bytes()
            for way in ("one-call", "alone")
        )
        assert ours == theirs
