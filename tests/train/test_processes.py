"""Two processes over gloo train as one does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows
from tunesmith.errors import InputError
from tunesmith.records import TrainingLog, from_row
from tunesmith.train import distributed
from tunesmith.train.batches import BatchPlan
from tunesmith.train.stage import TrainOptions, train_adapter

SCRIPT = """
import json, sys
from pathlib import Path
from tests.tiny import make_rows
from tunesmith.records import as_row
from tunesmith.train import trainer
from tunesmith.train.distributed import leave, world
from tunesmith.train.stage import TrainOptions, train_adapter

folder, runs = Path(sys.argv[1]), json.loads(sys.argv[2])

class Stopped(BaseException):
    pass

seen = {}
before = trainer.AnswerTrainer.compute_loss
def look(self, model, *rest, **more):
    held = [weight.to_local() if hasattr(weight, "to_local") else weight for weight in self.model.parameters()]
    whole = sum(weight.numel() for weight in self.model.parameters())
    seen.update(wrapper=type(model).__name__, share=round(sum(part.numel() for part in held) / whole, 2))
    return before(self, model, *rest, **more)
trainer.AnswerTrainer.compute_loss = look

for name, options, stop in runs:
    def progress(done, total, what):
        if done == stop:
            raise Stopped
    try:
        log = train_adapter(make_rows(20), make_rows(6, split="validation"), folder / name,
                            TrainOptions.model_validate(options), progress=progress)
    except Stopped:
        continue
    (folder / f"{name}-{world().rank}.json").write_text(json.dumps({"log": as_row(log), "seen": seen}))
leave()
"""


def options(base: Path, **more: Any) -> dict[str, Any]:
    return (
        {
            "base": str(base),
            "dtype": "float32",
            "device": "cpu",
            "threads": 1,
            "lora_r": 4,
            "learning_rate": 5e-3,
            "num_train_epochs": 2,  # 20 rows and 8 a step: the third step of each epoch holds 4, all for one process
            "per_device_train_batch_size": 4,
            "eval_steps": 2,
            "save_steps": 1,
        }
        | more
    )


WHOLE_MODEL: dict[str, Any] = {"method": "full", "lora_r": 16, "learning_rate": 1e-3, "max_steps": 3}


@pytest.fixture(scope="module")
def together(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one launch of two processes leaves: a run, one that was stopped at the fourth step and taken up, the same
    with weights that are shared out, and a whole model shared out."""
    folder = tmp_path_factory.mktemp("processes")
    copies = options(tiny_base)
    shares, whole = copies | {"fsdp": True}, copies | WHOLE_MODEL | {"fsdp": True}
    runs = [("copies", copies, -1), ("again", copies, 4), ("again", copies, -1)]
    runs += [("shares", shares, -1), ("shares-again", shares, 4), ("shares-again", shares, -1)]
    runs += [("whole", whole, -1)]
    root = Path(__file__).resolve().parents[2]
    script = folder / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(port)]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *where, str(script), str(folder), json.dumps(runs)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")]),
            "OMP_NUM_THREADS": "1",
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def alone(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingLog]:
    """One process with the same rows in a step: 4 at once, twice."""
    folder = tmp_path_factory.mktemp("one") / "tuned"
    settings = TrainOptions.model_validate(options(tiny_base, gradient_accumulation_steps=2))
    return folder, train_adapter(make_rows(20), make_rows(6, split="validation"), folder, settings)


def log_of(folder: Path, name: str, rank: int = 0) -> TrainingLog:
    return from_row(
        TrainingLog, json.loads((folder / f"{name}-{rank}.json").read_text(encoding="utf-8"))["log"]
    )


def seen(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}-0.json").read_text(encoding="utf-8"))["seen"]
    return found


def largest_difference(one: Path, other: Path, name: str = "adapter_model") -> float:
    from safetensors.torch import load_file

    first, second = (load_file(folder / f"{name}.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    return max((first[part] - second[part]).abs().max().item() for part in first)


@pytest.mark.parametrize("name", ["copies", "again", "shares", "shares-again"])
def test_losses_and_weights_are_those_of_one_process(
    together: Path, alone: tuple[Path, TrainingLog], name: str
) -> None:
    """To rounding: sums are taken in another order. AdamW's first steps have the size of the learning rate whatever the
    gradient is, so a gradient near 0 can move a weight by more than rounding; 1e-3 is a fifth of one such step."""
    folder, one = alone
    log = log_of(together, name)
    assert (log.processes, log.rows_per_step, log.steps) == (2, 8, 6)
    assert [step for step, _ in log.train_loss] == [step for step, _ in one.train_loss]
    assert [loss for _, loss in log.train_loss] == pytest.approx(
        [loss for _, loss in one.train_loss], abs=2e-5
    )
    assert [loss for _, loss in log.validation_loss] == pytest.approx(
        [loss for _, loss in one.validation_loss], abs=2e-5
    )
    assert log.total_tokens == one.total_tokens
    assert log.operations == one.operations
    assert largest_difference(together / name, folder) < 1e-3


@pytest.mark.parametrize("way", ["copies", "shares"])
def test_a_run_taken_up_again_ends_with_the_same_weights(together: Path, way: str) -> None:
    again = {"copies": "again", "shares": "shares-again"}[way]
    files = [together / folder / "adapter_model.safetensors" for folder in (way, again)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert log_of(together, again).resumed_from_step == 3
    assert not (together / again / "checkpoints").exists()


def test_each_process_has_a_copy_or_a_share(together: Path) -> None:
    assert seen(together, "copies") == {"wrapper": "DistributedDataParallel", "share": 1.0}
    assert seen(together, "shares") == {"wrapper": "FSDPWhole", "share": 0.5}


def test_a_whole_model_that_is_shared_out(together: Path, tiny_base: Path, tmp_path: Path) -> None:
    settings = options(tiny_base, gradient_accumulation_steps=2) | WHOLE_MODEL
    rows, validation = make_rows(20), make_rows(6, split="validation")
    one = train_adapter(rows, validation, tmp_path, TrainOptions.model_validate(settings))
    log = log_of(together, "whole")
    assert seen(together, "whole") == {"wrapper": "FSDPWhole", "share": 0.5}
    for ours, theirs in ((log.train_loss, one.train_loss), (log.validation_loss, one.validation_loss)):
        assert [loss for _, loss in ours] == pytest.approx([loss for _, loss in theirs], abs=2e-5)
    assert largest_difference(together / "whole", tmp_path, "model") < 1e-4


def test_every_process_knows_what_all_took(together: Path) -> None:
    first, second = (log_of(together, "copies", rank) for rank in (0, 1))
    assert first.energy is not None
    assert first.energy == second.energy
    assert first.matrix_speed == second.matrix_speed


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("n_rows", [24, 29, 25])
def test_rows_are_dealt_out_once(processes: int, n_rows: int) -> None:
    lengths = [10 + 7 * row % 13 for row in range(n_rows)]
    plans = [BatchPlan(lengths, 2, 2, 7, processes=processes, rank=rank) for rank in range(processes)]
    one = BatchPlan(lengths, 2, 2 * processes, 7)
    assert plans[0].rows_per_step == one.rows_per_step == 4 * processes
    for epoch in (0, 1):
        dealt = [list(plan.batches(epoch)) for plan in plans]
        assert {len(batches) for batches in dealt} == {plans[0].batches_per_epoch}
        rows = [row for batches in dealt for batch in batches for row in batch if row >= 0]
        assert sorted(rows) == list(range(n_rows))
        # the rows of each step are those of one process that computes it alone
        for number, step in enumerate(one.steps(epoch)):
            mine = [
                row for batches in dealt for batch in batches[2 * number : 2 * number + 2] for row in batch
            ]
            assert sorted(row for row in mine if row >= 0) == sorted(step)


def as_rank(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    distributed.world.cache_clear()
    distributed.launcher_wants_fsdp.cache_clear()
    monkeypatch.setattr(distributed, "world", distributed.world.__wrapped__)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU by its number alone; each process its own where there are several."""
    import torch

    assert distributed.own_device("cuda:1") == "cuda:1"
    as_rank(monkeypatch, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1", LOCAL_WORLD_SIZE="4")
    assert distributed.own_device("cuda") == "cuda:1"
    assert distributed.own_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert distributed.own_device("auto") == "cuda:1"
    with pytest.raises(InputError, match="one device, and 4 processes"):
        distributed.own_device("cuda:0")


def test_the_trainer_stays_on_the_gpu_it_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """transformers takes the first GPU; here there is none, so only what the trainer is told is looked at."""
    import torch

    from tunesmith.train.trainer import training_arguments

    chosen: list[Any] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    device = torch.device("cuda:1")
    arguments = training_arguments(TrainOptions(), BatchPlan([5] * 8, 4, 1, 0), tmp_path, 2, device)
    assert arguments.device == device
    assert chosen[-1] == device


def test_launchers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="there is one"):
        distributed.wants_fsdp(TrainOptions(fsdp=True))
    as_rank(monkeypatch, RANK="0", WORLD_SIZE="2", ACCELERATE_USE_FSDP="true")
    assert distributed.launcher_wants_fsdp.__wrapped__()
    monkeypatch.setattr(distributed, "launcher_wants_fsdp", lambda: True)
    assert distributed.wants_fsdp(TrainOptions())
    assert not distributed.wants_fsdp(TrainOptions(fsdp=False))
    with pytest.raises(InputError, match="adafactor does not work"):
        distributed.wants_fsdp(TrainOptions(optim="adafactor"))
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(InputError, match="DeepSpeed"):
        distributed.world()
