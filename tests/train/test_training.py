"""What training learns from, what it keeps, and when it refuses."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows
from tunesmith.errors import GateError, InputError, MissingError, TunesmithError
from tunesmith.models.load import load_model, quiet, weights_sha256
from tunesmith.records import TrainingLog, as_row, from_row
from tunesmith.tasks.base import open_task
from tunesmith.train.stage import FailedJob, Job, TrainOptions, train_adapter, train_adapters

Options = Callable[..., TrainOptions]


@pytest.fixture
def options(tiny_base: Path) -> Options:
    def make(**changes: Any) -> TrainOptions:
        settings = {
            "base": str(tiny_base),
            "dtype": "float32",
            "device": "cpu",
            "lora_r": 4,
            "learning_rate": 5e-3,
            "num_train_epochs": 2,
            "warmup_ratio": 0.1,
        }
        return TrainOptions.model_validate(settings | changes)

    return make


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "adapter_model.safetensors"))


def largest_difference(one: Path, other: Path) -> float:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert len(first) == 28  # A and B of 7 layers in 2 blocks
    return max((first[name] - second[name]).abs().max().item() for name in first)


def test_learns_and_writes_down_how(options: Options, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None, str]] = []
    train, validation = make_rows(20), make_rows(6, split="validation")
    folder = tmp_path / "tuned"
    log = train_adapter(train, validation, folder, options(), progress=lambda *report: seen.append(report))
    assert (log.steps, log.epochs) == (6, 2.0)  # 20 rows are 3 steps of 8
    assert [step for step, _ in log.train_loss] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in log.validation_loss] == [3, 6]
    assert log.validation_loss[1][1] < log.validation_loss[0][1] < math.log(325) + 3
    task = open_task("causal", options().base, options())
    rendered: list[Any] = [task.render(row) for row in train]
    assert log.total_tokens == 2 * sum(len(row.input_ids) for row in rendered)
    assert log.trained_tokens == 2 * sum(row.n_trained for row in rendered)
    assert log.first_example[1] == (f"{train[0].completion}<|end|>", True)
    assert log.trainable_parameters == sum(part.numel() for part in weights(folder).values())
    assert (log.dtype, log.device, log.n_truncated, log.refused) == ("float32", "cpu", 0, ())
    assert log.seconds > 0
    assert log.peak_memory_mb > 50
    assert seen[-1][:2] == (6, 6)
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "tunesmith.json",
    ]
    assert from_row(TrainingLog, json.loads(json.dumps(as_row(log)))) == log


def test_plain_peft_loads_the_adapter(options: Options, tmp_path: Path, tiny_base: Path) -> None:
    """The oracle is peft: the adapter it loads gives the validation loss that training reported."""
    import peft
    import torch

    validation = make_rows(6, split="validation")
    log = train_adapter(make_rows(20), validation, tmp_path, options())
    with quiet():
        model = peft.PeftModel.from_pretrained(
            load_model(str(tiny_base), dtype="float32", device="cpu"), tmp_path
        )
    assert model.peft_config["default"].base_model_name_or_path == str(tiny_base)
    task = open_task("causal", str(tiny_base), options())
    batch = task.collate([row for row in map(task.render, validation) if not hasattr(row, "reason")])  # type: ignore[misc]
    with torch.no_grad():
        output = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels)
    best = min(loss for _, loss in log.validation_loss)
    assert output.loss.item() == pytest.approx(best, abs=1e-5)


def test_the_first_step_has_the_loss_of_the_base(options: Options, tmp_path: Path, tiny_base: Path) -> None:
    """A fresh adapter does nothing, so the loss of one step over all rows is transformers' loss of the base."""
    import torch

    rows = make_rows(8)
    log = train_adapter(rows, [], tmp_path, options(max_steps=1))
    task = open_task("causal", str(tiny_base), options())
    batch = task.collate([row for row in map(task.render, rows) if not hasattr(row, "reason")])  # type: ignore[misc]
    with torch.no_grad():
        output = load_model(str(tiny_base), dtype="float32", device="cpu")(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels
        )
    assert log.train_loss == ((1, pytest.approx(output.loss.item(), abs=1e-5)),)


def test_eight_times_one_equals_one_times_eight(options: Options, tmp_path: Path) -> None:
    rows = make_rows(20)  # answers of different lengths, and a short last step
    shapes = [(8, 1), (1, 8), (3, 3), (9, 1)]
    logs = []
    for batch, accumulation in shapes:
        shape = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        changed = options(**shape, optim="adafactor")
        logs.append(train_adapter(rows, [], tmp_path / f"{batch}x{accumulation}", changed))
    assert largest_difference(tmp_path / "8x1", tmp_path / "1x8") < 1e-5
    assert largest_difference(tmp_path / "3x3", tmp_path / "9x1") < 1e-5
    assert largest_difference(tmp_path / "8x1", tmp_path / "9x1") > 1e-4
    for one, other in ((0, 1), (2, 3)):
        for (_, first), (_, second) in zip(logs[one].train_loss, logs[other].train_loss, strict=True):
            assert first == pytest.approx(second, abs=1e-5)


def test_same_seed_same_weights(options: Options, tmp_path: Path) -> None:
    rows = make_rows(12)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_adapter(rows, [], tmp_path / name, options(seed=seed, lora_dropout=0.2))
    assert largest_difference(tmp_path / "a", tmp_path / "b") == 0
    assert largest_difference(tmp_path / "a", tmp_path / "c") > 1e-4


@pytest.mark.parametrize("method", ["dora", "rslora"])
def test_other_adapters(options: Options, tmp_path: Path, method: str) -> None:
    log = train_adapter(make_rows(8), [], tmp_path, options(method=method, max_steps=2))
    config = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["use_dora"] == (method == "dora")
    assert config["use_rslora"] == (method == "rslora")
    assert log.steps == 2


def test_gradient_checkpointing_changes_nothing(options: Options, tmp_path: Path) -> None:
    rows = make_rows(8)
    train_adapter(rows, [], tmp_path / "a", options())
    train_adapter(rows, [], tmp_path / "b", options(gradient_checkpointing=True))
    assert largest_difference(tmp_path / "a", tmp_path / "b") < 1e-6


def test_whole_model(options: Options, tmp_path: Path, tiny_base: Path) -> None:
    log = train_adapter(
        make_rows(8), [], tmp_path, options(method="full", lora_r=16, max_steps=2, dtype="auto")
    )
    assert log.dtype == "float32"
    assert log.trainable_parameters == log.total_parameters
    assert weights_sha256(tmp_path) != weights_sha256(tiny_base)
    load_model(str(tmp_path))


def test_best_weights_are_kept_and_patience_ends_the_run(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.train.trainer import AnswerTrainer

    train, validation = make_rows(20), make_rows(6, split="validation")
    steady = {"lr_scheduler_type": "constant", "warmup_ratio": 0.0, "eval_steps": 2}

    def run(name: str, **changes: Any) -> TrainingLog:
        losses = iter([3.0, 2.0, 4.0, 2.0, 2.5, 2.4, 2.3, 2.2, 2.1])
        monkeypatch.setattr(AnswerTrainer, "validate", lambda _: {"loss": next(losses)})
        return train_adapter(train, validation, tmp_path / name, options(**steady, **changes))

    patient = run("patient", max_steps=18, early_stopping_patience=3)
    assert (patient.best_step, patient.steps) == (4, 10)
    assert patient.validation_loss == ((2, 3.0), (4, 2.0), (6, 4.0), (8, 2.0), (10, 2.5))
    run("four", max_steps=4)
    assert largest_difference(tmp_path / "patient", tmp_path / "four") == 0
    last = run("last", max_steps=18, load_best_model_at_end=False)
    assert (last.best_step, last.steps) == (None, 18)
    assert largest_difference(tmp_path / "patient", tmp_path / "last") > 1e-3


def test_refuses_when_nothing_would_be_trained(options: Options, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="no training rows") as caught:
        train_adapter([], [], tmp_path, options())
    assert caught.value.exit_code == 3
    with pytest.raises(GateError, match=r"the prompt has .* tokens"):
        train_adapter(make_rows(4), [], tmp_path, options(max_length=8))


@pytest.mark.parametrize(("keep", "message"), [("none", "no token would be trained"), ("all", "every token")])
def test_refuses_wrong_labels(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str, message: str
) -> None:
    from tunesmith.tasks.base import IGNORED
    from tunesmith.tasks.causal import CausalTask

    render = CausalTask.render

    def wrong(self: CausalTask, row: Any) -> Any:
        right: Any = render(self, row)
        labels = right.input_ids if keep == "all" else (IGNORED,) * len(right.input_ids)
        return dataclasses.replace(right, labels=labels)

    monkeypatch.setattr(CausalTask, "render", wrong)
    with pytest.raises(GateError, match=message):
        train_adapter(make_rows(4), [], tmp_path, options())


def test_long_rows_are_refused_and_counted(options: Options, tmp_path: Path) -> None:
    rows = make_rows(20)
    log = train_adapter(rows, [], tmp_path / "a", options(max_length=26, max_steps=1, max_lost_answers=1))
    assert 0 < len(log.refused) < 20
    assert {refused.check for refused in log.refused} == {"too_long"}
    cut = train_adapter(
        rows,
        [],
        tmp_path / "b",
        options(max_length=26, max_steps=1, truncate="prompt_left", max_lost_answers=1),
    )
    assert cut.n_truncated + len(cut.refused) == len(log.refused)
    assert cut.n_truncated > 0


def test_a_loss_that_is_no_number_names_the_rows(options: Options, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="not a number at step") as caught:
        train_adapter(
            make_rows(8), [], tmp_path, options(learning_rate=1e30, max_grad_norm=0, warmup_ratio=0.0)
        )
    assert caught.value.where is not None
    assert "train-00" in caught.value.where


def test_unknown_target_modules_name_the_layers(options: Options, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gate_proj") as caught:
        train_adapter(make_rows(8), [], tmp_path, options(target_modules=["attention"]))
    assert caught.value.where == "train.target_modules"


def test_full_disk(options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(MissingError, match="the disk has 1 MiB left"):
        train_adapter(make_rows(8), [], tmp_path, options())


def test_memory_that_runs_out_halves_the_batch(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from tunesmith.train.layout import EndToEnd

    losses = EndToEnd.losses

    def small_device(self: EndToEnd, model: Any, inputs: Any) -> Any:
        if len(inputs["row_ids"]) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return losses(self, model, inputs)

    rows = make_rows(16)
    train_adapter(rows, [], tmp_path / "roomy", options(optim="adafactor"))
    monkeypatch.setattr(EndToEnd, "losses", small_device)
    log = train_adapter(rows, [], tmp_path / "small", options(optim="adafactor"))
    assert [note.partition(";")[0] for note in log.notes] == [
        "memory ran out with 8 rows at once",
        "memory ran out with 4 rows at once",
    ]
    assert largest_difference(tmp_path / "roomy", tmp_path / "small") < 1e-5


def test_a_failing_job_is_set_aside(options: Options, tmp_path: Path) -> None:
    rows = make_rows(16)
    # dropout keeps them from being trained together (test_together.py), so each is exactly as it is alone
    changes: list[dict[str, Any]] = [
        {"seed": 1},
        {"learning_rate": 1e30, "max_grad_norm": 0},
        {"seed": 2, "lora_r": 8},
    ]
    jobs = [
        Job(rows, [], tmp_path / str(at), options(lora_dropout=0.1, **change))
        for at, change in enumerate(changes)
    ]
    first, failed, last = train_adapters(jobs)
    assert isinstance(failed, FailedJob)
    assert "not a number" in str(failed.error)
    assert isinstance(first, TrainingLog)
    assert isinstance(last, TrainingLog)
    for at, log in ((0, first), (2, last)):
        alone = train_adapter(rows, [], tmp_path / f"alone-{at}", jobs[at].options)
        assert largest_difference(tmp_path / str(at), tmp_path / f"alone-{at}") == 0
        assert alone.train_loss == log.train_loss


def test_nothing_is_printed(options: Options, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train_adapter(make_rows(8), make_rows(2, split="validation"), tmp_path, options(max_steps=2))
    assert capfd.readouterr() == ("", "")


def test_options_without_effect_are_refused() -> None:
    with pytest.raises(ValueError, match="warmup_ratio has no effect"):
        TrainOptions(lr_scheduler_type="constant", warmup_ratio=0.1)
    with pytest.raises(ValueError, match="lora_rank"):
        TrainOptions.model_validate({"lora_rank": 4})
