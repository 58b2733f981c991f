"""Adapters trained together over one base end as those trained alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows
from tunesmith.records import TrainingLog
from tunesmith.train.stage import FailedJob, Job, TrainOptions, train_adapter, train_adapters

CHANGES: list[dict[str, Any]] = [
    {"seed": 1, "learning_rate": 2e-3, "max_steps": 7},
    {"seed": 2, "lora_r": 8, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
    {
        "seed": 3,
        "target_modules": ["q_proj", "down_proj"],
        "lr_scheduler_type": "linear",
        "max_grad_norm": 0.1,
    },
    {"seed": 4, "optim": "adafactor", "lora_alpha": 4, "eval_steps": 2, "method": "rslora"},
]


def settings(base: Path, **changes: Any) -> TrainOptions:
    common = {"base": str(base), "dtype": "float32", "device": "cpu", "threads": 1, "lora_r": 4}
    shape = {"learning_rate": 5e-3, "num_train_epochs": 2, "per_device_train_batch_size": 4}
    return TrainOptions.model_validate(common | shape | changes)


def make_jobs(base: Path, folder: Path) -> list[Job]:
    """Different data too: each job leaves some rows out."""
    return [
        Job(make_rows(20)[at:], make_rows(6, split="validation"), folder / str(at), settings(base, **change))
        for at, change in enumerate(CHANGES)
    ]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "adapter_model.safetensors"))


def test_each_has_the_losses_of_its_run_alone(tiny_base: Path, tmp_path: Path) -> None:
    together = list(train_adapters(make_jobs(tiny_base, tmp_path / "together")))
    for at, (job, log) in enumerate(zip(make_jobs(tiny_base, tmp_path / "alone"), together, strict=True)):
        alone = train_adapter(job.train, job.validation, job.folder, job.options)
        assert isinstance(log, TrainingLog)
        assert "one of 4 adapters trained together" in log.notes[0]
        assert alone.notes == ()
        assert (log.steps, log.epochs, log.best_step) == (alone.steps, alone.epochs, alone.best_step)
        for one, other in ((log.train_loss, alone.train_loss), (log.validation_loss, alone.validation_loss)):
            assert [step for step, _ in one] == [step for step, _ in other]
            assert [loss for _, loss in one] == pytest.approx([loss for _, loss in other], abs=2e-5)
        assert (log.trained_tokens, log.total_tokens) == (alone.trained_tokens, alone.total_tokens)
        assert (log.trainable_parameters, log.total_parameters) == (
            alone.trainable_parameters,
            alone.total_parameters,
        )
        ours, theirs = weights(tmp_path / "together" / str(at)), weights(tmp_path / "alone" / str(at))
        assert ours.keys() == theirs.keys()
        assert (
            min(ours[name].abs().max().item() for name in ours if "lora_B" in name) > 1e-3
        )  # zero at the start
        assert max((ours[name] - theirs[name]).abs().max().item() for name in ours) < 2e-3
        files = [
            sorted(path.name for path in (tmp_path / way / str(at)).iterdir())
            for way in ("together", "alone")
        ]
        assert files[0] == files[1]
        configs = [
            json.loads((tmp_path / way / str(at) / "adapter_config.json").read_text(encoding="utf-8"))
            for way in ("together", "alone")
        ]
        assert {**configs[0], "target_modules": 0} == {**configs[1], "target_modules": 0}
        assert sorted(configs[0]["target_modules"]) == sorted(configs[1]["target_modules"])


@pytest.mark.slow
def test_in_bfloat16_losses_differ_by_its_rounding(tmp_path: Path) -> None:
    """The built-in model, whose products are large enough that their size changes how they are rounded. The page says
    what was measured; twice as much is allowed. Alone in batches of one row, the same run differs as much."""
    changes = {"learning_rate": 5e-4, "dtype": "bfloat16", "lora_r": 8, "max_steps": 6}
    one_row = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
    validation = make_rows(6, split="validation")

    def job(at: int, way: str, **more: Any) -> Job:
        options = TrainOptions.model_validate(
            {**settings(Path("builtin"), seed=at, **changes).model_dump(exclude_unset=True), **more}
        )
        return Job(make_rows(24)[at:], validation, tmp_path / way / str(at), options)

    def furthest(one: Any, other: Any) -> float:
        pairs = zip(
            one.train_loss + one.validation_loss, other.train_loss + other.validation_loss, strict=True
        )
        return max(abs(ours - theirs) for (_, ours), (_, theirs) in pairs)

    together: list[Any] = list(train_adapters([job(at, "together") for at in range(3)]))
    alone = [train_adapter(*in_order(job(at, "alone"))) for at in range(2)]
    for log, other in zip(together[:2], alone, strict=True):
        assert log.dtype == other.dtype == "bfloat16"
        assert log.train_loss[0][1] == pytest.approx(other.train_loss[0][1], abs=5e-3)
        assert furthest(log, other) < 0.03
    cut = train_adapter(*in_order(job(0, "cut", **one_row)))
    print("together", [furthest(*pair) for pair in zip(together[:2], alone, strict=True)])
    print("in batches of one row", furthest(cut, alone[0]))
    assert 0 < furthest(cut, alone[0]) < 0.03
    learnt = weights(tmp_path / "together" / "0")
    assert max(part.abs().max().item() for name, part in learnt.items() if "lora_B" in name) > 1e-3


def test_rows_of_all_jobs_share_a_pass(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base goes forward as often as the longest job has batches, not as often as all jobs together."""
    from tunesmith.train.layout import EndToEnd

    passes: list[int] = []
    losses = EndToEnd.losses

    def counted(self: EndToEnd, model: Any, inputs: Any) -> Any:
        passes.append(len(inputs["row_ids"]))
        return losses(self, model, inputs)

    monkeypatch.setattr(EndToEnd, "losses", counted)
    jobs = [Job(make_rows(20), [], tmp_path / str(at), settings(tiny_base, seed=at)) for at in range(3)]
    list(train_adapters(jobs))
    assert passes == [12] * 10  # 2 epochs of 5 steps; 3 jobs of 4 rows


def test_a_failing_job_is_set_aside_and_the_rest_go_on(tiny_base: Path, tmp_path: Path) -> None:
    jobs = make_jobs(tiny_base, tmp_path / "with")
    broken = settings(tiny_base, learning_rate=1e30, max_grad_norm=0, warmup_ratio=0.0, seed=9)
    empty = settings(tiny_base, max_length=8)
    mixed = [
        jobs[0],
        Job(make_rows(20), [], tmp_path / "broken", broken),
        Job(make_rows(4), [], tmp_path / "empty", empty),
        *jobs[1:],
    ]
    first, nan, nothing, *rest = train_adapters(mixed)
    assert isinstance(nan, FailedJob)
    assert "not a number at step 2" in str(nan.error)
    assert "train-0" in str(nan.error.where)
    assert isinstance(nothing, FailedJob)
    assert "nothing to train on" in str(nothing.error)
    for log, job in zip([first, *rest], make_jobs(tiny_base, tmp_path / "alone"), strict=True):
        alone = train_adapter(job.train, job.validation, job.folder, job.options)
        assert isinstance(log, TrainingLog)
        assert [loss for _, loss in log.train_loss] == pytest.approx(
            [loss for _, loss in alone.train_loss], abs=2e-5
        )


def test_what_cannot_share_is_trained_by_itself_and_says_so(tiny_base: Path, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [{"lora_dropout": 0.1}, {}, {"method": "dora"}, {"seed": 5}]
    jobs = [
        Job(make_rows(8), [], tmp_path / str(at), settings(tiny_base, max_steps=2, **change))
        for at, change in enumerate(changes)
    ]
    logs = [log for log in train_adapters(jobs) if isinstance(log, TrainingLog)]
    assert [log.notes[0].partition(";")[0].partition(", sharing")[0] for log in logs] == [
        "trained by itself, not together with others: lora_dropout",
        "one of 2 adapters trained together",
        "trained by itself, not together with others: method: dora",
        "one of 2 adapters trained together",
    ]


def test_memory_that_runs_out_makes_smaller_passes(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from tunesmith.train.layout import EndToEnd

    losses = EndToEnd.losses

    def small_device(self: EndToEnd, model: Any, inputs: Any) -> Any:
        if len(inputs["row_ids"]) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return losses(self, model, inputs)

    def jobs(folder: Path) -> list[Job]:
        return [Job(make_rows(20), [], folder / str(at), settings(tiny_base, seed=at)) for at in range(2)]

    roomy = list(train_adapters(jobs(tmp_path / "roomy")))
    monkeypatch.setattr(EndToEnd, "losses", small_device)
    small = list(train_adapters(jobs(tmp_path / "small")))
    for one, other in zip(roomy, small, strict=True):
        assert isinstance(one, TrainingLog)
        assert isinstance(other, TrainingLog)
        assert any("memory ran out; went on with 2 rows at once" in note for note in other.notes)
        assert [loss for _, loss in one.train_loss] == pytest.approx(
            [loss for _, loss in other.train_loss], abs=2e-5
        )


def run_shape(logs: list[Any]) -> list[tuple[Any, ...]]:
    return [(log.steps, log.best_step, [step for step, _ in log.validation_loss]) for log in logs]


def test_one_that_stops_early_stops_as_alone_and_the_rest_go_on(tiny_base: Path, tmp_path: Path) -> None:
    """The second job's rate is so high that its validation loss rises after step 4: it ends two validations later, and
    keeps the weights of that step."""
    patience = {"eval_steps": 2, "early_stopping_patience": 2, "num_train_epochs": 4}
    high = {"learning_rate": 0.05, "lr_scheduler_type": "constant", "warmup_ratio": 0.0}
    changes: list[dict[str, Any]] = [
        {"seed": 1, "learning_rate": 1e-4} | patience,
        {"seed": 2} | high | patience,
        {"seed": 3, "num_train_epochs": 4},
    ]

    def jobs(folder: Path) -> list[Job]:
        validation = make_rows(6, split="validation")
        return [
            Job(make_rows(20), validation, folder / str(at), settings(tiny_base, **change))
            for at, change in enumerate(changes)
        ]

    logs: list[Any] = list(train_adapters(jobs(tmp_path / "together")))
    alone = [train_adapter(*each) for each in map(in_order, jobs(tmp_path / "alone"))]
    assert run_shape(logs) == run_shape(alone)
    assert [(log.steps, log.best_step) for log in logs] == [(20, 20), (8, 4), (20, 20)]
    for at, (log, other) in enumerate(zip(logs, alone, strict=True)):
        assert [loss for _, loss in log.validation_loss] == pytest.approx(
            [loss for _, loss in other.validation_loss], rel=1e-4
        )
        ours, theirs = weights(tmp_path / "together" / str(at)), weights(tmp_path / "alone" / str(at))
        scale = max(theirs[name].abs().max().item() for name in theirs)
        assert max((ours[name] - theirs[name]).abs().max().item() for name in ours) < 2e-3 * scale


def in_order(job: Job) -> tuple[Any, ...]:
    return job.train, job.validation, job.folder, job.options


def test_what_it_took_is_shared_out(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock and a meter that go on by one with each look, two jobs of the same rows take the same, and all
    together is what the clock showed at the end."""
    from tunesmith.records import Energy
    from tunesmith.train import together

    looks = {"clock": 0, "meter": 0}

    class Meter:
        def __init__(self, device: Any) -> None:
            pass

        def energy(self) -> Energy:
            return Energy(float(looks["meter"]), True, "guessed")

    charge = together.JointTraining._charge

    def counted(self: Any, members: Any, counts: Any) -> None:
        looks["meter"] += 30
        charge(self, members, counts)

    monkeypatch.setattr(together, "EnergyMeter", Meter)
    monkeypatch.setattr(together.JointTraining, "_charge", counted)
    jobs = [
        Job(
            make_rows(8), make_rows(4, split="validation")[:n], tmp_path / str(n), settings(tiny_base, seed=5)
        )
        for n in (0, 4)
    ]
    logs: list[Any] = list(train_adapters(jobs))
    # Four passes of 30 joules each, half of it for each job, and two validations of the second job alone.
    assert [log.energy.joules for log in logs] == [60.0, 60.0 + 2 * 30]
    assert looks["meter"] == 180
    for log in logs:
        assert log.energy.estimated
        assert log.energy.how == "guessed; shared out by tokens among the jobs of a pass"
        assert "energy are its share of the passes by tokens" in log.notes[0]
    alone = train_adapter(jobs[0].train, [], tmp_path / "alone", jobs[0].options)
    assert (logs[0].operations, logs[0].rows_per_step) == (alone.operations, alone.rows_per_step)
    assert logs[0].matrix_speed == logs[1].matrix_speed > 0
    assert 0 < logs[0].share_of_matrix_speed < 1


SCRIPT = """
import os, signal, sys
from pathlib import Path
from tests.train.test_together import make_jobs
from tunesmith.train import checkpoints
from tunesmith.train.stage import train_adapters

checkpoints.SECONDS_BETWEEN = 0
kill_at, seen = int(sys.argv[3]), []

def progress(done, total, what):
    seen.append(done)
    if len(seen) == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

jobs = make_jobs(Path(sys.argv[1]), Path(sys.argv[2]))
print([log.resumed_from_step for log in train_adapters(jobs, progress=progress)])
"""


@pytest.mark.slow
def test_kill_dash_nine(tiny_base: Path, tmp_path: Path) -> None:
    """A checkpoint after every pass; killed at the 17th of 37 steps and started again: the same files to the bit."""
    root = Path(__file__).resolve().parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")]),
        "OMP_NUM_THREADS": "1",
    }

    def run(kill_at: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tiny_base), str(tmp_path / "killed"), str(kill_at)],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env=environment,
        )

    killed = run(17)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = run(-1)
    assert again.returncode == 0, again.stderr
    assert "None" not in again.stdout
    list(train_adapters(make_jobs(tiny_base, tmp_path / "whole")))
    for at in range(4):
        names = ("adapter_model.safetensors",)
        for name in names:
            one, other = (tmp_path / way / str(at) / name for way in ("killed", "whole"))
            assert one.read_bytes() == other.read_bytes()
        assert not (tmp_path / "killed" / str(at) / "checkpoints-together").exists()
