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


def adapter(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


DECAY: dict[str, Any] = {"lr_scheduler_type": "warmup_stable_decay", "warmup_ratio": 0.03, "warmup_steps": 2}
THREE_STEPS = {"num_decay_steps": 3, "decay_type": "1-sqrt", "min_lr_ratio": 0.3}


@pytest.mark.parametrize(
    ("changes", "leaves", "cost"),
    [
        ({"lr_scheduler_kwargs": THREE_STEPS}, {5: 2, 7: 4, 11: 8}, 8 + 3 + 3 + 3),
        # two fifths of each number of steps, rounded up: 2, 3 and 5
        ({"decay_ratio": 0.4, "eval_steps": 2, "optim": "adafactor"}, {5: 3, 7: 4, 11: 6}, 6 + 2 + 3 + 5),
        # the first one has come to its end before the warm-up has, the second decays from the last warm step on
        ({"warmup_steps": 6, "decay_ratio": 0.5}, {5: 5, 7: 6, 11: 6}, 6 + 0 + 1 + 5),
    ],
)
def test_a_decay_is_a_branch_of_one_run(
    tiny_base: Path, tmp_path: Path, changes: dict[str, Any], leaves: dict[int, int], cost: int
) -> None:
    """Each adapter is that of the run of so many steps alone, to the bit, and the steps taken are counted."""
    steps: list[int] = []
    job = make_job(tiny_base, tmp_path / "unused", **DECAY | changes)
    stops = {count: tmp_path / f"one-{count}" for count in (11, 5, 7)}
    logs = train_step_counts(job, stops, progress=lambda done, total, what: steps.append(done))
    assert steps == list(range(1, cost + 1))
    assert list(logs) == [5, 7, 11]
    for count, log in logs.items():
        other = make_job(tiny_base, tmp_path / f"alone-{count}", max_steps=count, **DECAY | changes)
        alone = train_adapter(other.train, other.validation, other.folder, other.options)
        assert adapter(stops[count]) == adapter(other.folder)
        assert log.validation_loss == alone.validation_loss
        assert [loss for _, loss in log.train_loss] == pytest.approx(
            [loss for _, loss in alone.train_loss], abs=1e-6
        )
        assert (log.steps, log.best_step, log.total_tokens) == (count, alone.best_step, alone.total_tokens)
        assert log.operations == alone.operations
        note = f"taken after {leaves[count]} steps from one run of {max(leaves.values())}"
        if leaves[count] < count:
            note += (
                f", and decayed in {count - leaves[count]} steps of its own; all 3 together take {cost} steps"
            )
        assert log.notes == (note,)


def test_a_branch_without_a_stem_and_a_run_that_stops_early(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 4 steps all fall. The run at the constant rate is best at step 4 and ends at 8; of 20 steps none falls yet."""
    from tunesmith.train.together import JointTraining
    from tunesmith.train.trainer import AnswerTrainer

    shown = {2: 3.0, 4: 2.0, 6: 2.5, 8: 2.4}
    monkeypatch.setattr(
        AnswerTrainer, "validate", lambda self: {"loss": shown.get(self.state.global_step, 9.0)}
    )
    monkeypatch.setattr(
        JointTraining, "_validate", lambda _, run: {"eval_loss": shown.get(run.state.global_step, 9.0)}
    )
    changes = DECAY | {
        "warmup_steps": 0,
        "lr_scheduler_kwargs": {"num_decay_steps": 4},
        "eval_steps": 2,
        "early_stopping_patience": 2,
    }
    stops = {count: tmp_path / f"one-{count}" for count in (4, 7, 20)}
    logs = train_step_counts(make_job(tiny_base, tmp_path / "unused", **changes), stops)
    for count, log in logs.items():
        other = make_job(tiny_base, tmp_path / f"alone-{count}", max_steps=count, **changes)
        alone = train_adapter(other.train, other.validation, other.folder, other.options)
        assert adapter(stops[count]) == adapter(other.folder)
        assert (log.steps, log.best_step) == (alone.steps, alone.best_step)
    assert [(log.steps, log.best_step) for log in logs.values()] == [(4, 4), (7, 4), (8, 4)]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [2, 4, 8, 16])
def test_killed_in_the_run_or_in_a_branch_it_goes_on(tiny_base: Path, tmp_path: Path, at: int) -> None:
    """The 17 steps: 2, a branch of 3, 2, a branch of 3, 4, a branch of 3."""

    def progress(done: int, total: int | None, what: str) -> None:
        if done == at:
            raise Killed

    changes = DECAY | {"lr_scheduler_kwargs": THREE_STEPS, "save_steps": 1}
    job = make_job(tiny_base, tmp_path / "unused", **changes)
    whole = {count: tmp_path / f"whole-{count}" for count in (5, 7, 11)}
    killed = {count: tmp_path / f"killed-{count}" for count in (5, 7, 11)}
    expected = train_step_counts(job, whole)
    with pytest.raises(Killed):
        train_step_counts(job, killed, progress=progress)
    again: list[int] = []
    logs = train_step_counts(job, killed, progress=lambda done, total, what: again.append(done))
    assert again == list(range(at, 18))
    for count, log in logs.items():
        assert adapter(killed[count]) == adapter(whole[count])
        assert log.train_loss == expected[count].train_loss
        assert log.validation_loss == expected[count].validation_loss
        assert log.notes == expected[count].notes
    assert not (killed[5] / "checkpoints-together").exists()


def test_a_stop_too_short_for_its_decay_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    job = make_job(tiny_base, tmp_path, **DECAY | {"lr_scheduler_kwargs": THREE_STEPS})
    with pytest.raises(InputError, match="warm-up of 2 steps and num_decay_steps: 3 do not fit into 4 steps"):
        train_step_counts(job, {4: tmp_path / "4", 8: tmp_path / "8"})
    with pytest.raises(InputError, match="at least one number of steps"):
        train_step_counts(job, {})


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant_with_warmup", "warmup_stable_decay"])
def test_schedules_that_know_the_end_are_refused(tiny_base: Path, tmp_path: Path, schedule: str) -> None:
    job = make_job(tiny_base, tmp_path, lr_scheduler_type=schedule, warmup_ratio=0.1)
    with pytest.raises(InputError, match="depends on how many steps"):
        train_step_counts(job, {2: tmp_path / "2", 4: tmp_path / "4"})
