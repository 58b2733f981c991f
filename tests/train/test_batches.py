"""The order of rows: complete, fixed by the seed, and the same steps however they are cut into batches."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.train.batches import BatchPlan, EpochSampler

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=70)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 9), st.integers(1, 4), st.integers(0, 5), st.integers(0, 3))
def test_every_row_once_an_epoch(
    lengths: list[int], batch: int, accumulation: int, seed: int, epoch: int
) -> None:
    plan = BatchPlan(lengths, batch, accumulation, seed)
    steps = plan.steps(epoch)
    assert sorted(row for step in steps for row in step) == list(range(len(lengths)))
    assert len(steps) == plan.steps_per_epoch
    assert all(len(step) == plan.rows_per_step for step in steps[:-1])
    batches = list(plan.batches(epoch))
    assert [row for rows in batches for row in rows] == [row for step in steps for row in step]
    assert len(batches) == plan.batches_per_epoch == len(EpochSampler(plan))
    assert max(map(len, batches)) <= batch
    # transformers counts `accumulation` batches to a step, and fewer only at the end of an epoch
    for number, step in enumerate(steps):
        of_step = batches[number * accumulation : (number + 1) * accumulation]
        assert sorted(row for rows in of_step for row in rows) == sorted(step)


def test_eight_times_one_is_one_times_eight() -> None:
    lengths = [random.Random(1).randint(10, 300) for _ in range(50)]
    assert BatchPlan(lengths, 8, 1, 3).steps(2) == BatchPlan(lengths, 1, 8, 3).steps(2)
    assert BatchPlan(lengths, 8, 1, 3).steps(2) == BatchPlan(lengths, 4, 2, 3).steps(2)


def test_seed_and_epoch_change_the_order() -> None:
    lengths = list(range(1, 65))
    orders = {str(BatchPlan(lengths, 8, 1, seed).steps(epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4
    assert BatchPlan(lengths, 8, 1, 0).steps(1) == BatchPlan(lengths, 8, 1, 0).steps(1)


def test_little_padding() -> None:
    """In the order they come, rows of these lengths need a third more positions than they have tokens."""
    generator = random.Random(0)
    lengths = [generator.randint(60, 400) for _ in range(280)]

    def waste(batches: list[list[int]]) -> float:
        return sum(len(rows) * max(lengths[row] for row in rows) for rows in batches) / sum(lengths)

    in_order = [list(range(start, min(start + 8, 280))) for start in range(0, 280, 8)]
    assert waste(in_order) > 1.3
    assert waste(list(BatchPlan(lengths, 8, 1, 0).batches(0))) < 1.07


def test_count_adds_up_the_steps_done() -> None:
    lengths = [3, 5, 7, 11, 13]
    plan = BatchPlan(lengths, 2, 1, 0)
    assert plan.count(lengths, 0) == 0
    assert plan.count(lengths, 3) == sum(lengths)
    first = sum(lengths[row] for row in plan.steps(1)[0])
    assert plan.count(lengths, 4) == sum(lengths) + first
    assert plan.count(lengths, 6) == 2 * sum(lengths)


def test_the_short_step_is_not_made_of_the_longest_rows() -> None:
    lengths = list(range(1, 20))
    rests = [BatchPlan(lengths, 8, 1, seed).steps(0)[-1] for seed in range(8)]
    assert all(len(rest) == 3 for rest in rests)
    assert len({tuple(rest) for rest in rests}) > 4
