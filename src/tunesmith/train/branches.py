"""Runs of several numbers of steps as branches of the longest: each goes on from a checkpoint of it, to its own end.

This is for what cannot be trained together with others (`members.why_alone`): dropout, whole models, other tasks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.records import TrainingLog, as_row, from_row
from tunesmith.train.alone import key_of, train_alone, train_up_to
from tunesmith.train.checkpoints import hand_over, newest_complete
from tunesmith.train.course import plan_of
from tunesmith.train.jobs import Prepared
from tunesmith.train.options import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def train_branches(
    load: Callable[[], PreTrainedModel], jobs: Mapping[int, Prepared], progress: Progress
) -> dict[int, TrainingLog]:
    """Train the job of each number of steps, alike but for that number, and return their logs.

    The longest run pauses where another's learning rate departs from its own (at the latest one step before that one's
    end, which is validated and weighed as an end), and goes on when that one is done. Killed and called again, all goes
    on: what is done is noted among the longest run's checkpoints.

    Args:
        load: the base as the task loads it, whatever was trained on it before.
    """
    longest = max(jobs)
    stem = jobs[longest]
    leaves = {
        steps: min(jobs[steps].options.departs_at(steps), steps - 1)
        for steps in sorted(jobs)
        if steps != longest
    }
    cost = longest + sum(steps - left for steps, left in leaves.items())
    together = f"all {len(jobs)} together take {cost} steps"
    checkpoints = stem.folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    logs: dict[int, TrainingLog] = {}
    for steps, left in leaves.items():
        job, done = jobs[steps], checkpoints / f"done-{steps}.json"
        key = key_of(job, plan_of(job.options, job.data.train))
        known = _read(done, key)
        if known is None:
            if left and newest_complete(job.folder / "checkpoints", key=key) is None:
                train_up_to(load(), stem, left, progress)
                reached = newest_complete(
                    checkpoints, key=key_of(stem, plan_of(stem.options, stem.data.train))
                )
                assert reached is not None
                hand_over(reached, job.folder / "checkpoints", key=key)
            note = f"taken after {left} of {steps} steps from the run of {longest}; {together}"
            known = train_alone(load(), job, [note], progress)
            _write(done, key, known)
        logs[steps] = known
    note = f"the run that others branched off; {together}"
    logs[longest] = train_alone(load(), stem, [note] if leaves else [], progress)
    # Where a branch, or the run that others wait for, begins is no interruption.
    pauses = {0, *leaves.values()}
    return {
        steps: replace(log, resumed_from_step=None) if log.resumed_from_step in pauses else log
        for steps, log in logs.items()
    }


def _read(done: Path, key: str) -> TrainingLog | None:
    try:
        content = json.loads(done.read_text(encoding="utf-8"))
        return from_row(TrainingLog, content["log"]) if content["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(done: Path, key: str, log: TrainingLog) -> None:
    unfinished = done.with_suffix(".tmp")
    unfinished.write_text(json.dumps({"key": key, "log": as_row(log)}), encoding="utf-8")
    os.replace(unfinished, done)
