"""A run that was killed goes on and ends where it would have ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows, save_tiny_model
from tunesmith.records import TrainingLog
from tunesmith.train import checkpoints
from tunesmith.train.stage import TrainOptions, train_adapter

SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from tests.tiny import make_rows
from tunesmith.records import as_row
from tunesmith.train.stage import TrainOptions, train_adapter

folder, options, kill_at = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])

def progress(done, total, what):
    if done == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

log = train_adapter(
    make_rows(20), make_rows(6, split="validation"), folder, TrainOptions.model_validate(options), progress=progress
)
print(json.dumps(as_row(log)))
"""


@pytest.fixture(scope="module")
def settings(tiny_base: Path) -> dict[str, Any]:
    return {
        "base": str(tiny_base),
        "dtype": "float32",
        "device": "cpu",
        "threads": 1,
        "lora_r": 4,
        "lora_dropout": 0.1,  # draws random numbers at every step: their state has to come back too
        "learning_rate": 5e-3,
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "eval_steps": 2,
        "save_steps": 2,
    }


def train(folder: Path, settings: dict[str, Any]) -> TrainingLog:
    return train_adapter(
        make_rows(20), make_rows(6, split="validation"), folder, TrainOptions.model_validate(settings)
    )


def adapter(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


def run_script(folder: Path, settings: dict[str, Any], kill_at: int) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), json.dumps(settings), str(kill_at)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")]),
            "OMP_NUM_THREADS": "1",
        },
    )


def test_kill_dash_nine(tmp_path: Path, settings: dict[str, Any]) -> None:
    """9 steps; the process kills itself in the middle of the sixth, after the checkpoint of the fourth."""
    whole = train(tmp_path / "whole", settings)
    killed = run_script(tmp_path / "killed", settings, kill_at=6)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "killed" / "adapter_model.safetensors").exists()
    again = run_script(tmp_path / "killed", settings, kill_at=-1)
    assert again.returncode == 0, again.stderr
    log = json.loads(again.stdout)
    assert log["resumed_from_step"] == 4
    assert log["steps"] == whole.steps == 9
    assert adapter(tmp_path / "killed") == adapter(tmp_path / "whole")
    assert [tuple(point) for point in log["train_loss"]] == list(whole.train_loss)
    assert [tuple(point) for point in log["validation_loss"]] == list(whole.validation_loss)
    assert log["best_step"] == whole.best_step
    assert not (tmp_path / "killed" / "checkpoints").exists()


class _Killed(BaseException):
    """Stands for the kill in the tests below, which run in one process."""


def interrupt(folder: Path, settings: dict[str, Any], at: int) -> None:
    def progress(done: int, total: int | None, what: str) -> None:
        if done == at:
            raise _Killed

    with pytest.raises(_Killed):
        train_adapter(
            make_rows(20),
            make_rows(6, split="validation"),
            folder,
            TrainOptions.model_validate(settings),
            progress=progress,
        )


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any]) -> bytes:
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(folder, settings)
    return adapter(folder)


@pytest.mark.parametrize("step", [3, 4, 9])
def test_any_step(tmp_path: Path, settings: dict[str, Any], expected: bytes, step: int) -> None:
    """Inside an epoch, after its end (3 steps to an epoch), and at the last step."""
    settings = settings | {"save_steps": 1}
    interrupt(tmp_path / "killed", settings, step)
    log = train(tmp_path / "killed", settings)
    assert log.resumed_from_step == step - 1
    assert adapter(tmp_path / "killed") == expected


@pytest.mark.parametrize("before", ["optimizer", "random numbers", "mark"])
def test_killed_while_a_checkpoint_is_written(
    tmp_path: Path, settings: dict[str, Any], expected: bytes, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """The third checkpoint is there in part, and the second one is what counts."""
    from tunesmith.train import trainer

    names = {"optimizer": "_save_optimizer_and_scheduler", "random numbers": "_save_rng_state"}
    owner: Any = checkpoints if before == "mark" else trainer.AnswerTrainer
    name = names.get(before, "mark_complete")
    usual, calls = getattr(owner, name), []

    def killed(*arguments: Any, **keywords: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise _Killed
        usual(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(_Killed):
            train(tmp_path / "killed", settings)
    assert (tmp_path / "killed" / "checkpoints" / "checkpoint-6").exists()
    log = train(tmp_path / "killed", settings)
    assert log.resumed_from_step == 4
    assert adapter(tmp_path / "killed") == expected


def test_killed_between_the_last_step_and_the_end(
    tmp_path: Path, settings: dict[str, Any], expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.models import cards

    def killed(*_: Any) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(cards, "write_card", killed)
        with pytest.raises(_Killed):
            train(tmp_path / "killed", settings)
    log = train(tmp_path / "killed", settings)
    assert (log.resumed_from_step, log.steps) == (9, 9)
    assert adapter(tmp_path / "killed") == expected


@pytest.mark.parametrize("damage", ["cut", "flipped", "unmarked", "gone"])
def test_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, settings: dict[str, Any], expected: bytes, damage: str
) -> None:
    folder = tmp_path / "killed"
    interrupt(folder, settings, 7)
    newest = folder / "checkpoints" / "checkpoint-6"
    if damage == "cut":
        optimizer = newest / "optimizer.pt"
        optimizer.write_bytes(optimizer.read_bytes()[:-100])
    elif damage == "flipped":
        weights = newest / "adapter_model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
    elif damage == "unmarked":
        (newest / checkpoints.MARK).unlink()
    else:
        (newest / "trainer_state.json").unlink()
    log = train(folder, settings)
    assert log.resumed_from_step == 4
    assert adapter(folder) == expected


def test_another_run_does_not_go_on_from_these_checkpoints(tmp_path: Path, settings: dict[str, Any]) -> None:
    interrupt(tmp_path / "killed", settings, 7)
    kept = Path(shutil.copytree(tmp_path / "killed", tmp_path / "kept"))
    assert train(tmp_path / "killed", settings | {"learning_rate": 1e-3}).resumed_from_step is None
    # how often it is saved, or how a step is cut into batches, does not make it another run
    same = settings | {"save_steps": 3, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}
    assert train(kept, same).resumed_from_step == 6


def test_seconds_add_up_over_sittings(tmp_path: Path, settings: dict[str, Any]) -> None:
    interrupt(tmp_path, settings, 7)
    mark = tmp_path / "checkpoints" / "checkpoint-6" / checkpoints.MARK
    content = json.loads(mark.read_text(encoding="utf-8"))
    mark.write_text(json.dumps(content | {"seconds": 1000.0}), encoding="utf-8")
    started = time.monotonic()
    log = train(tmp_path, settings)
    assert 1000 < log.seconds < 1001 + time.monotonic() - started


@pytest.mark.parametrize("changes", [{"optim": "adamw_8bit"}, {"method": "qlora"}])
def test_four_and_eight_bits_go_on_to_the_same_weights(
    tmp_path: Path, settings: dict[str, Any], changes: dict[str, Any]
) -> None:
    pytest.importorskip("bitsandbytes")
    base = save_tiny_model(tmp_path / "base", hidden=64)
    settings = settings | {"base": str(base)} | changes
    train(tmp_path / "whole", settings)
    interrupt(tmp_path / "killed", settings, 7)
    assert train(tmp_path / "killed", settings).resumed_from_step == 6
    assert adapter(tmp_path / "killed") == adapter(tmp_path / "whole")
