"""One run, several numbers of steps: each adapter is that of a run stopped there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows
from tunesmith.errors import InputError
from tunesmith.train.stage import Job, TrainOptions, train_adapter, train_step_counts


def make_job(base: Path, folder: Path, **changes: Any) -> Job:
    common = {"base": str(base), "dtype": "float32", "device": "cpu", "threads": 1, "lora_r": 4}
    shape = {"learning_rate": 5e-3, "per_device_train_batch_size": 4, "lr_scheduler_type": "constant"}
    options = TrainOptions.model_validate(common | shape | {"warmup_ratio": 0.0} | changes)
    return Job(make_rows(20), make_rows(6, split="validation"), folder, options)


def test_each_equals_the_run_stopped_there_to_the_bit(tiny_base: Path, tmp_path: Path) -> None:
    """5 steps to an epoch: 3 ends within one, where only that run validates."""
    job = make_job(tiny_base, tmp_path / "unused")
    logs = train_step_counts(job, {count: tmp_path / f"one-{count}" for count in (8, 3, 5)})
    assert list(logs) == [3, 5, 8]
    for count, log in logs.items():
        stopped = make_job(tiny_base, tmp_path / f"stopped-{count}", max_steps=count)
        alone = train_adapter(stopped.train, stopped.validation, stopped.folder, stopped.options)
        one, other = (
            (tmp_path / f"{way}-{count}" / "adapter_model.safetensors").read_bytes()
            for way in ("one", "stopped")
        )
        assert one == other
        assert log.validation_loss == alone.validation_loss
        # the sum of a step's losses is kept in float64 here and in float32 by transformers
        assert [loss for _, loss in log.train_loss] == pytest.approx(
            [loss for _, loss in alone.train_loss], abs=1e-6
        )
        assert (log.steps, log.best_step, log.total_tokens) == (count, alone.best_step, alone.total_tokens)
        assert log.notes == (f"taken after {count} steps from one run of 8",)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant_with_warmup"])
def test_schedules_that_know_the_end_are_refused(tiny_base: Path, tmp_path: Path, schedule: str) -> None:
    job = make_job(tiny_base, tmp_path, lr_scheduler_type=schedule, warmup_ratio=0.1)
    with pytest.raises(InputError, match="depends on how many steps"):
        train_step_counts(job, {2: tmp_path / "2", 4: tmp_path / "4"})
