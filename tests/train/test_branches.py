"""One run, several numbers of steps, of jobs that cannot be trained with others: branches off its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.train.test_step_counts import DECAY, THREE_STEPS, Killed, adapter, make_job
from tunesmith.train.stage import train_adapter, train_step_counts

BRANCHES: dict[str, dict[str, Any]] = {
    "dropout, constant": {"lora_dropout": 0.1, "lr_scheduler_type": "constant", "warmup_ratio": 0.0},
    "dropout, decay": DECAY | {"warmup_steps": 1, "lora_dropout": 0.1, "lr_scheduler_kwargs": THREE_STEPS},
    "decay inside the warm-up": DECAY | {"lora_dropout": 0.1, "warmup_steps": 6, "decay_ratio": 0.6},
    "early end": DECAY
    | {"method": "dora", "eval_steps": 1, "early_stopping_patience": 1, "learning_rate": 0.1},
    "whole model": DECAY | {"method": "full", "lora_r": 16, "decay_ratio": 0.4, "learning_rate": 1e-3},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BRANCHES)
def test_what_trains_alone_branches_off_checkpoints(tiny_base: Path, tmp_path: Path, name: str) -> None:
    """To the bit again: random numbers of dropout, the best weights so far and what was validated go along."""
    changes = BRANCHES[name]
    calls: list[int] = []
    stops = {count: tmp_path / f"one-{count}" for count in (9, 4, 7)}
    job = make_job(tiny_base, tmp_path / "unused", **changes)
    logs = train_step_counts(job, stops, progress=lambda done, total, what: calls.append(done))
    weights = "model" if name == "whole model" else "adapter_model"
    leaves = {steps: min(job.options.departs_at(steps), steps - 1) for steps in (4, 7)}
    cost = 9 + sum(steps - left for steps, left in leaves.items())
    for count, log in logs.items():
        other = make_job(tiny_base, tmp_path / f"alone-{count}", max_steps=count, **changes)
        alone = train_adapter(other.train, other.validation, other.folder, other.options)
        ours, theirs = (
            (folder / f"{weights}.safetensors").read_bytes() for folder in (stops[count], other.folder)
        )
        assert ours == theirs
        assert (log.train_loss, log.validation_loss) == (alone.train_loss, alone.validation_loss)
        assert (log.steps, log.best_step, log.resumed_from_step) == (alone.steps, alone.best_step, None)
        assert log.notes[0].endswith(f"all 3 together take {cost} steps")
        assert not (stops[count] / "checkpoints").exists()
    if name == "early end":
        assert logs[9].steps < 9
    else:
        assert len(calls) == cost


@pytest.mark.parametrize("at", [1, 4, 7, 13])
def test_branches_off_checkpoints_go_on(tiny_base: Path, tmp_path: Path, at: int) -> None:
    """15 steps: 1, a branch of 3, 3, a branch of 3, 5."""
    job = make_job(
        tiny_base,
        tmp_path / "unused",
        **DECAY
        | {"warmup_steps": 0, "lora_dropout": 0.1, "lr_scheduler_kwargs": THREE_STEPS, "save_steps": 1},
    )
    calls: list[int] = []

    def progress(done: int, total: int | None, what: str) -> None:
        calls.append(done)
        if len(calls) == at:
            raise Killed

    whole = {count: tmp_path / f"whole-{count}" for count in (4, 7, 9)}
    killed = {count: tmp_path / f"killed-{count}" for count in (4, 7, 9)}
    expected = train_step_counts(job, whole)
    with pytest.raises(Killed):
        train_step_counts(job, killed, progress=progress)
    again: list[int] = []
    logs = train_step_counts(job, killed, progress=lambda done, total, what: again.append(done))
    assert len(again) == 15 - (at - 1)  # the step of the kill is done anew, and no other
    for count, log in logs.items():
        assert adapter(killed[count]) == adapter(whole[count])
        assert log.train_loss == expected[count].train_loss
