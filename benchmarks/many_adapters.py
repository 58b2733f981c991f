"""How fast several adapters are trained together over one base, against one after another: same jobs, same machine.

    OMP_NUM_THREADS=1 python benchmarks/many_adapters.py [--jobs 16] [--batch 1] [--steps 8] [--rounds 2]

Each way runs in a process of its own, in turn, for several rounds: a Llama of 30 million parameters (`llama30m.py`),
jobs that differ in learning rate, seed and rows. Compared are CPU seconds from the first step of the first job to the
end of the last, over one loaded base both ways, and the losses of each job.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from llama30m import cpu_seconds, make_rows, peak_memory_mb, save_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--way", choices=["together", "one by one"], help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print("RESULT " + json.dumps(train(options)))
        return
    results: dict[str, list[dict[str, Any]]] = {"together": [], "one by one": []}
    with tempfile.TemporaryDirectory() as folder:
        model = save_model(Path(folder) / "model")
        for _ in range(options.rounds):
            for way, runs in results.items():
                runs.append(run(way, model, options))
    print(f"{options.jobs} jobs, batch {options.batch}, {options.steps} steps each")
    for way, runs in results.items():
        speeds = [found["tokens"] / found["cpu"] for found in runs]
        listed = " ".join(f"{speed:.0f}" for speed in speeds)
        print(f"{way:12}{statistics.median(speeds):>8.0f} tokens per CPU second ({listed}), ", end="")
        print(f"peak {max(found['peak_mb'] for found in runs):.0f} MB")
    speed = {
        way: statistics.median(one["tokens"] / one["cpu"] for one in runs) for way, runs in results.items()
    }
    print(f"together / one by one: {speed['together'] / speed['one by one']:.2f}x")
    both = [runs[0]["losses"] for runs in results.values()]
    pairs = [pair for one, other in zip(*both, strict=True) for pair in zip(one, other, strict=True)]
    print(f"largest difference of a loss: {max(abs(one - other) for one, other in pairs):.4f}")


def run(way: str, model: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--way", way, "--model", str(model), "--jobs", str(options.jobs)]
    command += ["--batch", str(options.batch), "--steps", str(options.steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            print(f"{way}: {found['tokens'] / found['cpu']:.0f}", file=sys.stderr, flush=True)
            return found
    raise SystemExit(f"{way} failed:\n{done.stderr[-3000:]}")


def train(options: argparse.Namespace) -> dict[str, Any]:
    from tunesmith.train import stage
    from tunesmith.train.stage import Job, TrainingLog, TrainOptions, train_adapters

    if options.way == "one by one":
        stage._partners = lambda *_: []
    started: list[float] = []

    def progress(done: int, total: int | None, what: str) -> None:
        if not started:
            started.append(cpu_seconds())

    rows = make_rows(400)
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            Job(
                rows[at:],
                [],
                Path(folder) / str(at),
                TrainOptions(
                    base=str(options.model),
                    device="cpu",
                    learning_rate=1e-4 * (1 + at),
                    seed=at,
                    per_device_train_batch_size=options.batch,
                    max_steps=options.steps,
                    save_steps=100_000,
                ),
            )
            for at in range(options.jobs)
        ]
        logs = list(train_adapters(jobs, progress=progress))
        end = cpu_seconds()
    good = [log for log in logs if isinstance(log, TrainingLog)]
    assert len(good) == options.jobs, logs
    return {
        "tokens": sum(log.total_tokens for log in good),
        "cpu": end - started[0],
        "peak_mb": peak_memory_mb(),
        "losses": [[loss for _, loss in log.train_loss] for log in good],
    }


if __name__ == "__main__":
    main()
