"""Checkpoints of a joint training: all members between two passes, so that it goes on to the same weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerState

from tunesmith import errors
from tunesmith.records import TrainingLog, as_row, from_row
from tunesmith.train.checkpoints import Checkpoint, mark_complete
from tunesmith.train.members import Member
from tunesmith.train.together import JointTraining

_FILE = "jobs.pt"


def save_state(training: JointTraining, folder: Path, *, key: str, keep: int) -> None:
    """Write `folder/checkpoint-PASSES`, and remove all but the newest `keep`."""
    place = folder / f"checkpoint-{training.passes}"
    place.mkdir(parents=True, exist_ok=True)
    torch.save({"most": training.most, "members": [_pack(one) for one in training.members]}, place / _FILE)
    mark_complete(place, key=key, seconds=training.seconds, threads=torch.get_num_threads())
    older = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))[:-keep]
    for path in older:
        shutil.rmtree(path)


def load_state(training: JointTraining, checkpoint: Checkpoint) -> None:
    content = torch.load(checkpoint.folder / _FILE, weights_only=True)
    training.most, training.passes = content["most"], checkpoint.step
    training.seconds = checkpoint.seconds
    runs = {member.number: member for member in training.members}
    training.members = [
        runs[packed["number"]].branch_off(packed["branch"][0]) if packed["branch"] else runs[packed["number"]]
        for packed in content["members"]
    ]
    for member, packed in zip(training.members, content["members"], strict=True):
        _unpack(member, packed)


def _pack(member: Member) -> dict[str, Any]:
    error = member.error
    packed: dict[str, Any] = {
        "number": member.number,
        "branch": member.branch,
        "step": member.state.global_step,
        "history": member.state.log_history,
        "last": member.last,
        "seconds": member.seconds,
        "joules": member.joules,
        "notes": member.notes,
        "at_once": member.at_once,
        "logs": {stop: as_row(log) for stop, log in member.logs.items()},
        "error": None if error is None else [type(error).__name__, error.what, error.where, error.do],
    }
    if member.done:
        return packed
    return packed | {
        "cursor": member.cursor,
        "loss": member.loss,
        "factors": [factor.detach() for factor in member.parameters],
        "gradients": [factor.grad for factor in member.parameters],
        "best": member.best,
        "optimizer": member.optimizer.state_dict(),
        "scheduler": member.scheduler.state_dict(),
    }


def _unpack(member: Member, packed: dict[str, Any]) -> None:
    member.state = TrainerState(global_step=packed["step"], log_history=packed["history"])
    member.last, member.seconds, member.notes = packed["last"], packed["seconds"], packed["notes"]
    member.branch = packed["branch"]
    member.joules, member.at_once = packed["joules"], packed["at_once"]
    member.logs = {stop: from_row(TrainingLog, row) for stop, row in packed["logs"].items()}
    if packed["error"] is not None:
        name, what, where, do = packed["error"]
        member.error = getattr(errors, name)(what, where=where, do=do)
    if member.done:
        return
    member.resumed = packed["step"] or None
    member.cursor, member.loss, member.best = packed["cursor"], packed["loss"], packed["best"]
    with torch.no_grad():
        for factor, saved, gradient in zip(
            member.parameters, packed["factors"], packed["gradients"], strict=True
        ):
            factor.copy_(saved)
            factor.grad = None if gradient is None else gradient.to(factor.device)
    member.optimizer.load_state_dict(packed["optimizer"])
    member.scheduler.load_state_dict(packed["scheduler"])
