"""Run a joint training to its end: what was killed goes on, what fails is set aside, what cannot join is said."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.models import fast
from tunesmith.models.load import quiet, set_threads
from tunesmith.records import TrainingLog
from tunesmith.train import arithmetic, checkpoints, measure
from tunesmith.train.checkpoints import newest_complete
from tunesmith.train.joint_state import load_state, save_state
from tunesmith.train.members import Entry, Member, make_member
from tunesmith.train.options import Progress
from tunesmith.train.together import JointTraining

Outcome = dict[int, TrainingLog] | TunesmithError | str
"""The logs by number of steps; what went wrong; or, in words, why the job has to be trained alone."""


def train_together(
    base: Any, entries: Sequence[Entry], keys: Sequence[str], folder: Path, progress: Progress
) -> list[Outcome]:
    """Train the jobs in common passes over `base`, and write each adapter where its entry says.

    Args:
        keys: one for each entry, equal for two calls that train the same weights.
        folder: where checkpoints of all jobs together lie meanwhile; the same call goes on from the last whole one.
    """
    attention = base.config._attn_implementation
    fast.choose_attention(base, entries[0].job.options.attn_implementation)
    fast.use_liger(base, entries[0].job.options.use_liger_kernel)
    if not fast.use_row_attention(base):
        return ["this model mixes rows that lie end to end"] * len(entries)
    try:
        outcomes: list[Outcome | None] = [None] * len(entries)
        members: dict[int, Member] = {}
        for at, entry in enumerate(entries):
            try:
                made = make_member(base, at, entry)
            except TunesmithError as error:
                outcomes[at] = error
                continue
            if isinstance(made, str):
                outcomes[at] = made
            else:
                members[at] = made
        if members:
            key = hashlib.sha256("\n".join(keys[at] for at in members).encode()).hexdigest()
            for at, logs in _run(base, list(members.values()), key, folder, progress).items():
                outcomes[at] = logs
        return [outcome for outcome in outcomes if outcome is not None]
    finally:
        base.set_attn_implementation(attention)


def _run(
    base: Any, members: list[Member], key: str, folder: Path, progress: Progress
) -> dict[int, dict[int, TrainingLog] | TunesmithError]:
    """By the number of its job: the logs, or what went wrong with it or a branch of it."""
    folder.mkdir(parents=True, exist_ok=True)
    options = members[0].options
    checkpoint = newest_complete(folder, key=key)
    set_threads(options.threads or (checkpoint.threads if checkpoint else None))
    measure.forget_peak_memory(base.device)
    training = JointTraining(base, members, progress)
    if checkpoint:
        load_state(training, checkpoint)
    else:
        training.begin()
    saved = time.monotonic()
    names = list(dict.fromkeys(name for member in members for name in member.factors))
    with quiet(), fast.shared_base(base, names) as shared:
        training.shared = shared
        while live := training.live():
            before = live[0].state.global_step
            training.one_pass()
            if options.save_steps is None:
                due = time.monotonic() - saved >= checkpoints.SECONDS_BETWEEN
            else:
                now = live[0].state.global_step
                due = now > before and now % options.save_steps == 0
            if due:
                save_state(training, folder, key=key, keep=options.save_total_limit)
                saved = time.monotonic()
    base.eval()
    speed = arithmetic.matrix_speed(base.dtype, base.device)
    found: dict[int, dict[int, TrainingLog] | TunesmithError] = {}
    for member in training.members:
        so_far = found.get(member.number, {})
        if member.error is not None:
            found[member.number] = member.error
        elif not isinstance(so_far, TunesmithError):
            ours = {stop: replace(log, matrix_speed=speed) for stop, log in member.logs.items()}
            found[member.number] = dict(sorted((so_far | ours).items()))
    shutil.rmtree(folder)
    return found
