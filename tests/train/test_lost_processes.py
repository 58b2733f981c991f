"""A run of two processes that loses one ends, says why once, and goes on to the same weights when it is started again.

The two are forked from one process that has imported everything and, like torchrun, holds their key-value store. Unless
it is said otherwise, nobody ends the one that is left: it has to find out by itself.
"""

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

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path

import peft, torch, transformers.trainer
from torch.distributed import TCPStore
from tunesmith.cli import main
from tunesmith.errors import TunesmithError
from tunesmith.train import trainer

PATIENCE = 90.0


def lose(rank, step, how):
    usual = trainer.AnswerTrainer.training_step

    def training_step(self, *arguments, **keywords):
        if self.state.global_step == step - 1:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise TunesmithError("no luck today", do="Wait for tomorrow.")
        return usual(self, *arguments, **keywords)

    if os.environ["RANK"] == str(rank):
        trainer.AnswerTrainer.training_step = training_step


def launch(folder, loss):
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    said = [folder / f"said-{rank}" for rank in range(2)]
    pids = []
    for rank in range(2):
        pid = os.fork()
        if pid == 0:
            with said[rank].open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
            os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
            if loss:
                lose(*loss[:3])
            code = main(["run", str(folder / "plan.yaml"), "--until", "train"])
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        pids.append(pid)
    codes, deadline = [None, None], time.monotonic() + PATIENCE
    while None in codes and time.monotonic() < deadline:
        for rank, pid in enumerate(pids):
            if codes[rank] is None and (ended := os.waitpid(pid, os.WNOHANG))[0]:
                codes[rank] = os.waitstatus_to_exitcode(ended[1])
                if loss and loss[3] and codes[1 - rank] is None:
                    os.kill(pids[1 - rank], signal.SIGTERM)
        time.sleep(0.02)
    for rank, pid in enumerate(pids):
        if codes[rank] is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return {"codes": codes, "said": [file.read_text() for file in said]}


print(json.dumps([launch(Path(folder), loss) for folder, loss in json.loads(sys.argv[1])]))
"""
PLAN = """
name: two
prepare: {{data: rows.jsonl, split: {{test: 0.3, validation: 0.2}}, leaks: allow, leak_meaning: 0}}
train: {{base: {base}, dtype: float32, device: cpu, threads: 1, lora_r: 4, learning_rate: 5.0e-3, max_steps: 6,
  per_device_train_batch_size: 2, save_steps: 1}}
"""
LOSSES: dict[str, list[Any] | None] = {
    "the second is killed": [1, 2, "killed", False],
    "the second is killed, and the first is told to end": [1, 3, "killed", True],
    "the first is killed": [0, 4, "killed", False],
    "the second fails": [1, 5, "fails", False],
    "the first fails": [0, 6, "fails", False],
    "none": None,
}
"""Which process, at which step, how, and whether the other one is then told to end (SIGTERM), as torchrun does."""


@pytest.fixture(scope="module")
def ends(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """How each launch ended: one without a loss, and one after the other those of the same command that did."""
    root = Path(__file__).resolve().parents[2]
    top = tmp_path_factory.mktemp("lost")
    for name in ("whole", "lost"):
        (top / name).mkdir()
        (top / name / "plan.yaml").write_text(PLAN.format(base=tiny_base), encoding="utf-8")
        rows = [{"prompt": row.prompt, "completion": row.completion} for row in make_rows(30)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (top / name / "rows.jsonl").write_text(lines, encoding="utf-8")
    launches = [(str(top / "whole"), None), *((str(top / "lost"), loss) for loss in LOSSES.values())]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(launches)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")]),
            "OMP_NUM_THREADS": "1",
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return top, dict(zip(("whole", *LOSSES), json.loads(done.stdout), strict=True))


def messages(said: list[str]) -> list[str]:
    """What tunesmith said in all processes together: lines that begin a message of an error."""
    return [line for text in said for line in text.splitlines() if line.startswith("tunesmith: ")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "codes", "message"),
    [
        ("the second is killed", [1, -signal.SIGKILL], "another process of this run ended without a word"),
        (
            "the second is killed, and the first is told to end",
            [1, -signal.SIGKILL],
            "another process of this run ended without a word",
        ),
        ("the first is killed", [-signal.SIGKILL, 1], "the first process ended without a word"),
        ("the second fails", [1, 1], "process 1: no luck today"),
        ("the first fails", [1, 1], "no luck today"),
    ],
)
def test_all_end_and_one_says_why(
    ends: tuple[Path, dict[str, dict[str, Any]]], loss: str, codes: list[int], message: str
) -> None:
    end = ends[1][loss]
    assert end["codes"] == codes, end["said"]
    (line,) = messages(end["said"])
    assert message in line
    assert "Traceback" not in "".join(end["said"])


@pytest.mark.slow
def test_started_again_it_comes_to_the_same_weights(ends: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    top, found = ends
    assert found["whole"]["codes"] == found["none"]["codes"] == [0, 0]
    ours, theirs = (
        (top / name / "runs/two/train/tuned/adapter_model.safetensors").read_bytes()
        for name in ("lost", "whole")
    )
    assert ours == theirs
    log = json.loads((top / "lost/runs/two/train/log.json").read_text(encoding="utf-8"))
    assert (log["resumed_from_step"], log["steps"], log["processes"]) == (5, 6, 2)
