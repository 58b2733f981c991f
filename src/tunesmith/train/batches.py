"""Which rows go through the model together: an order fixed by the seed, with little padding.

Rows are grouped by length into steps of `batch_size x accumulation` rows, and each step is then cut into batches. So a
step holds the same rows whether it is 8 x 1 or 1 x 8, and a run can be taken up at any step without replaying it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Number = TypeVar("Number", int, float)

_STEPS_SORTED_TOGETHER = 16
"""Rows of this many steps are sorted by length at a time: enough to make rows of a step alike, while which rows meet
still changes from epoch to epoch. transformers' length grouping sorts 50 batches at a time."""


@dataclass(frozen=True)
class BatchPlan:
    """The order of one training run."""

    lengths: Sequence[int]
    """Tokens of each row."""
    batch_size: int
    """Rows that go through the model at once."""
    accumulation: int
    """Batches per step."""
    seed: int
    processes: int = 1
    rank: int = 0
    """Which of the processes this is: `batches` are those it computes, all else is about the run."""

    @property
    def rows_per_step(self) -> int:
        return self.batch_size * self.accumulation * self.processes

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.lengths) // self.rows_per_step)

    @property
    def batches_per_epoch(self) -> int:
        full, rest = divmod(len(self.lengths), self.rows_per_step)
        return full * self.accumulation + -(-rest // (self.batch_size * self.processes))

    def steps(self, epoch: int) -> list[list[int]]:
        """The rows of each step of an epoch (counted from 0). Only the last step may hold fewer rows."""
        order = list(range(len(self.lengths)))
        generator = random.Random(f"{self.seed}/{epoch}")
        generator.shuffle(order)
        # The short step is made of rows drawn by chance, not of the longest: it comes last, whatever its length.
        n_full = len(order) - len(order) % self.rows_per_step
        full, rest = order[:n_full], order[n_full:]
        steps: list[list[int]] = []
        for start in range(0, n_full, self.rows_per_step * _STEPS_SORTED_TOGETHER):
            together = full[start : start + self.rows_per_step * _STEPS_SORTED_TOGETHER]
            together.sort(key=lambda row: self.lengths[row])
            steps += [
                together[at : at + self.rows_per_step] for at in range(0, len(together), self.rows_per_step)
            ]
        generator.shuffle(steps)
        return [*steps, sorted(rest, key=lambda row: self.lengths[row])] if rest else steps

    def batches(self, epoch: int) -> Iterator[list[int]]:
        """The rows of each batch of an epoch that this process computes.

        Batches of like length go to the processes at the same time, and each has as many. Where a short step leaves
        nothing for a process, its batch is one row that does not count: `~row`, a negative number.
        """
        for step in self.steps(epoch):
            cut = [step[start : start + self.batch_size] for start in range(0, len(step), self.batch_size)]
            for start in range(self.rank, -(-len(cut) // self.processes) * self.processes, self.processes):
                yield cut[start] if start < len(cut) else [~step[0]]

    def count(self, weights: Sequence[Number], n_steps: int) -> Number:
        """The sum of `weights` (one for each row) over all rows of the first `n_steps` steps."""
        epochs, rest = divmod(n_steps, self.steps_per_epoch)
        begun = [weights[row] for step in self.steps(epochs)[:rest] for row in step] if rest else []
        return epochs * sum(weights, weights[0] * 0) + sum(begun, weights[0] * 0)


class EpochSampler:
    """A `BatchPlan` as the batch sampler of a torch DataLoader; the trainer tells it the epoch."""

    def __init__(self, plan: BatchPlan) -> None:
        self.plan = plan
        self.epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        return self.plan.batches(self.epoch)

    def __len__(self) -> int:
        return self.plan.batches_per_epoch
