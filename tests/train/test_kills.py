"""Real processes killed with SIGKILL, again and again, at steps drawn by chance and in the middle of checkpoints.

They are forked from one process that has imported everything, so that each costs its training only.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import io, json, os, signal, sys
from pathlib import Path

import peft, torch, transformers.trainer
from tests.tiny import make_rows
from tunesmith.train import trainer
from tunesmith.train.stage import TrainOptions, train_adapter

settings, launches = json.loads(sys.argv[1])
save = torch.save


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def train(folder, kill):
    counted = {"writes": 0}

    def half_written(what, place, **keywords):
        counted["writes"] += 1
        if counted["writes"] != kill.get("write"):
            return save(what, place, **keywords)
        whole = io.BytesIO()
        save(what, whole, **keywords)
        Path(place).write_bytes(whole.getvalue()[: whole.tell() // 2])
        die()

    def progress(done, total, what):
        if done == kill.get("step"):
            die()

    torch.save = half_written
    rows, validation = make_rows(20), make_rows(6, split="validation")
    log = train_adapter(rows, validation, folder, TrainOptions.model_validate(settings), progress=progress)
    (folder / "resumed.json").write_text(json.dumps([log.resumed_from_step, counted["writes"]]))


codes = []
for folder, kill in launches:
    pid = os.fork()
    if pid == 0:
        train(Path(folder), kill)
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(json.dumps(codes))
"""
STEPS = 9
WRITES = 3
"""Files of a checkpoint that torch writes: of the optimiser, the schedule, and the random numbers."""


@pytest.mark.slow
def test_killed_at_steps_and_in_checkpoints_drawn_by_chance(tiny_base: Path, tmp_path: Path) -> None:
    draw = random.Random(20)
    # Each start of the same run gets further than the one before it: a checkpoint follows every step.
    at_steps = [{"step": step} for step in sorted(draw.sample(range(2, STEPS + 1), 3))]
    in_writes = [{"write": WRITES * draw.randint(1, 2) + draw.randint(1, WRITES)} for _ in range(3)]
    runs: dict[str, list[dict[str, Any]]] = {
        "whole": [{}],
        "steps": [*at_steps, {}],
        "writes": [*in_writes, {}],
    }
    settings = {
        "base": str(tiny_base),
        "dtype": "float32",
        "device": "cpu",
        "threads": 1,
        "lora_r": 4,
        "lora_dropout": 0.1,
        "learning_rate": 5e-3,
        "max_steps": STEPS,
        "per_device_train_batch_size": 4,
        "eval_steps": 2,
        "save_steps": 1,
    }
    launches = [(str(tmp_path / name), kill) for name, kills in runs.items() for kill in kills]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([settings, launches])],
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
    killed = [-signal.SIGKILL] * 3
    assert json.loads(done.stdout) == [0, *killed, 0, *killed, 0]
    resumed = {
        name: json.loads((tmp_path / name / "resumed.json").read_text(encoding="utf-8")) for name in runs
    }
    assert resumed["whole"] == [None, WRITES * STEPS]
    assert resumed["steps"][0] == at_steps[-1]["step"] - 1
    # A start that is killed in its n-th write has completed (n - 1) // 3 checkpoints.
    assert resumed["writes"][0] == sum((kill["write"] - 1) // WRITES for kill in in_writes)
    files = {(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in runs}
    assert len(files) == 1
