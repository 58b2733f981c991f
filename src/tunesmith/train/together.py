"""Several adapters trained in one pass over a frozen base: its weights are multiplied once for the rows of all jobs.

Each job keeps its own data order, learning rate, schedule, rank, clipping, optimiser and end. Its rows meet its own
adapter only, so its losses are those of a run alone, up to the rounding of products of another size.

This module imports torch at its top; it is itself imported only when training starts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import TrainerState

from tunesmith.errors import MissingError
from tunesmith.models import fast
from tunesmith.tasks.base import Rendered
from tunesmith.train import measure
from tunesmith.train.course import (
    best_step,
    is_due,
    is_exhausted,
    not_a_number,
    step_to_keep,
    validation_batches,
)
from tunesmith.train.energy import EnergyMeter
from tunesmith.train.layout import EndToEnd
from tunesmith.train.logs import Took, training_log
from tunesmith.train.members import Member, copy_of, n_learnt, save_factors
from tunesmith.train.options import Progress

_TOKENS_PER_PASS = {"cpu": 2048}
_TOKENS_PER_PASS_ELSEWHERE = 16384
"""Jobs go through together up to so many tokens. On a CPU that fills the matrix units; more only costs memory."""


class JointTraining:
    """Trains members until each is done or failed. Between two passes its members' state is all there is of it."""

    def __init__(self, base: Any, members: Sequence[Member], progress: Progress) -> None:
        self.base = base
        self.members = list(members)
        self.n_jobs = len(members)
        self.progress = progress
        self.layout = EndToEnd()
        self.budget = float(_TOKENS_PER_PASS.get(base.device.type, _TOKENS_PER_PASS_ELSEWHERE))
        self.most = len(members)
        """Jobs in a pass at most: fewer after memory ran out."""
        self.shared = fast.SharedBase()
        self.passes = 0
        self.meter = EnergyMeter(base.device)
        self.charged = (time.monotonic(), 0.0)
        """Time and joules up to which all is charged to some member."""
        self.seconds = 0.0
        """All that was charged, over all sittings."""

    def begin(self) -> None:
        """Before the first pass of the first sitting."""
        for member in list(self.members):
            self._branch_off(member)

    def live(self) -> list[Member]:
        """Who takes part in the next pass: the first that are not done, as many as fill it."""
        chosen: list[Member] = []
        tokens = 0.0
        for member in self.members:
            if member.done:
                continue
            tokens += member.mean_tokens
            if chosen and (tokens > self.budget or len(chosen) == self.most):
                break
            chosen.append(member)
        return chosen

    def one_pass(self) -> None:
        live = self.live()
        try:
            self._one_pass(live)
        except torch.OutOfMemoryError:
            self._take_less(live)
        self.passes += 1

    def _one_pass(self, live: list[Member]) -> None:
        steps = [member.step_rows() for member in live]
        parts = [
            rows[member.cursor : member.cursor + member.at_once]
            for member, rows in zip(live, steps, strict=True)
        ]
        counts = [sum(row.n_tokens for row in rows) for rows in parts]
        self.shared.adapters = []
        for member, count in zip(live, counts, strict=True):
            start = self.shared.adapters[-1][1] if self.shared.adapters else 0
            self.shared.adapters.append((start, start + count, member.factors))
        inputs = self.layout.collate([row for rows in parts for row in rows])
        inputs = {
            name: part.to(self.base.device) if isinstance(part, torch.Tensor) else part
            for name, part in inputs.items()
        }
        self.base.train()
        losses: Any = self.layout.losses(self.base, inputs)[0]
        sums = torch.stack([part.sum() for part in losses.split([n_learnt(rows) for rows in parts])])
        found = sums.detach().tolist()
        weights = [
            1.0 / max(n_learnt(rows), 1) if math.isfinite(value) else 0.0
            for rows, value in zip(steps, found, strict=True)
        ]
        # Rows of a job whose loss is no number reach nobody else's: each row is computed by itself.
        kept = [at for at, weight in enumerate(weights) if weight]
        if kept:
            total: Any = (sums[kept] * sums.new_tensor([weights[at] for at in kept])).sum()
            total.backward()
        self._charge(live, counts)
        for at, member in enumerate(live):
            if not weights[at]:
                self._set_aside(member, parts[at])
                continue
            member.loss += found[at] * weights[at]
            member.cursor += len(parts[at])
            if member.cursor >= len(steps[at]):
                self._end_step(member)

    def _charge(self, members: Sequence[Member], counts: Sequence[int]) -> None:
        """Time and energy since the last charge, shared out by tokens."""
        now = (time.monotonic(), self.meter.energy().joules)
        seconds, joules = (new - old for new, old in zip(now, self.charged, strict=True))
        for member, count in zip(members, counts, strict=True):
            member.seconds += seconds * count / sum(counts)
            member.joules += joules * count / sum(counts)
        self.charged = now
        self.seconds += seconds

    def _take_less(self, live: list[Member]) -> None:
        for member in live:
            member.forget_step()
        self.shared.adapters = []
        if len(live) > 1:
            self.most = len(live) // 2
            for member in live:
                member.notes.append(
                    f"memory ran out with {len(live)} jobs in a pass; went on with {self.most}"
                )
        elif live[0].at_once > 1:
            live[0].at_once = (live[0].at_once + 1) // 2
            live[0].notes.append(
                f"memory ran out; went on with {live[0].at_once} rows at once, and the same steps"
            )
        else:
            live[0].error = MissingError(
                "the device has too little memory even for one row at a time",
                where="train.per_device_train_batch_size",
                do="Set gradient_checkpointing: true, a smaller max_length, or a smaller base.",
            )
        if self.base.device.type == "cuda":
            torch.cuda.empty_cache()

    def _set_aside(self, member: Member, rows: Sequence[Rendered]) -> None:
        member.error = not_a_number(member.state.global_step + 1, [row.row_id for row in rows])
        member.forget_step()

    def _end_step(self, member: Member) -> None:
        options, state = member.options, member.state
        self._report(member)
        member.learn()
        step = state.global_step
        is_time = is_due(options, member.plan, step)
        exhausted = False
        if member.entry.job.data.validation and (is_time or step in member.stops):
            metrics = self._validate(member)
            if is_time:
                state.log_history.append({**metrics, "step": step})
                exhausted = is_exhausted(state, options)
                if best_step(state, options.metric_for_best_model) == step:
                    member.best = copy_of(member.factors)
            else:
                member.last[step] = metrics
        for stop in list(member.stops):
            if stop not in member.logs and (stop == step or (exhausted and stop > step)):
                self._finish(member, stop)
        self._branch_off(member)
        if member.done:
            member.optimizer.state.clear()

    def _branch_off(self, member: Member) -> None:
        """Begin the branches that leave a run here. They go through first, so that few are in memory at a time."""
        for stop in list(member.stops):
            if stop not in member.logs and member.leaves.get(stop) == member.state.global_step:
                self.members.insert(self.members.index(member), member.branch_off(stop))

    def _report(self, member: Member) -> None:
        """Say that this member ends a step now."""
        done, total = (sum(part) for part in zip(*(one.work for one in self.members), strict=True))
        together = len(self.shared.adapters)
        what = f"training {together} adapters together" if together > 1 else "training"
        self.progress(done + 1, total, f"{what}, loss {member.loss:.3f}")

    def _validate(self, member: Member) -> dict[str, float]:
        task = member.entry.job.task
        self.shared.adapters = [(0, 1 << 40, member.factors)]
        self.base.eval()
        rows = member.entry.job.data.validation
        batches = validation_batches(task, rows, member.at_once, self.base.device)
        measured = task.measure(self.base, batches)
        self._charge([member], [1])
        return {f"eval_{name}": value for name, value in measured.items()}

    def _finish(self, member: Member, stop: int) -> None:
        """Write the adapter of `stop` steps and its log, as the run of so many steps would have."""
        step, job = member.state.global_step, member.entry.job
        last = [{**member.last[step], "step": step}] if step in member.last else []
        state = TrainerState(global_step=step, log_history=member.state.log_history + last)
        best = step_to_keep(state, job.options)
        factors = member.best if best is not None and best != step else member.factors
        assert factors is not None
        save_factors(self.base, member.entry, factors, member.stops[stop])
        energy = replace(self.meter.energy(), joules=member.joules)
        if self.n_jobs > 1:
            energy = replace(energy, how=f"{energy.how}; shared out by tokens among the jobs of a pass")
        member.logs[stop] = training_log(
            replace(job, folder=member.stops[stop]),
            member.plan,
            state,
            self.base,
            member.sizes,
            Took(member.seconds, measure.peak_memory_mb(self.base.device), energy),
            resumed=member.resumed,
            notes=[*self._how(member), *member.notes],
        )

    def _how(self, member: Member) -> list[str]:
        notes = []
        if self.n_jobs > 1:
            notes.append(
                f"one of {self.n_jobs} adapters trained together, sharing the base's forward and backward; "
                "its seconds and energy are its share of the passes by tokens"
            )
        counts = [stop for stop in member.entry.stops if stop is not None]
        if len(counts) > 1:
            leaves = {stop: member.options.departs_at(stop) for stop in counts}
            step = member.branch[1] if member.branch else member.state.global_step
            cost = max(leaves.values()) + sum(stop - left for stop, left in leaves.items())
            notes.append(f"taken after {step} steps from one run of {max(leaves.values())}")
            if member.branch:
                notes[-1] += (
                    f", and decayed in {member.branch[0] - step} steps of its own; "
                    f"all {len(counts)} together take {cost} steps"
                )
        return notes
