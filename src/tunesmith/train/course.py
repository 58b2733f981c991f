"""The course of a run, alone or with others: its steps, when it validates, what is best, when it stops."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError, TunesmithError
from tunesmith.tasks.base import Batch, Rendered, Task
from tunesmith.train.batches import BatchPlan
from tunesmith.train.options import TrainOptions

if TYPE_CHECKING:
    from transformers import TrainerState


def plan_of(options: TrainOptions, rows: Sequence[Rendered]) -> BatchPlan:
    """The order of the rows in one process, with the batches that were asked for."""
    return BatchPlan(
        [row.n_tokens for row in rows],
        options.per_device_train_batch_size,
        options.gradient_accumulation_steps,
        options.seed,
    )


def planned_steps(options: TrainOptions, plan: BatchPlan) -> int:
    """How many steps there are to be. Raises `InputError` where warm-up and decay do not fit into them."""
    steps = options.max_steps or math.ceil(options.num_train_epochs * plan.steps_per_epoch - 1e-9)
    if short := options.too_few_steps(steps):
        raise InputError(short, where="train.lr_scheduler_kwargs", do="Lower it, or set decay_ratio instead.")
    return steps


def is_due(options: TrainOptions, plan: BatchPlan, step: int) -> bool:
    """Whether the validation rows are measured after this step, be it the last or not."""
    return step % (options.eval_steps or plan.steps_per_epoch) == 0


def validation_batches(task: Task, rows: Sequence[Rendered], size: int, device: Any) -> Iterator[Batch]:
    """The validation rows by length, as tensors on `device`, twice `size` at a time: no gradients are kept."""
    ordered = sorted(rows, key=lambda row: row.n_tokens)
    return (task.collate(ordered[at : at + 2 * size]).to(device) for at in range(0, len(ordered), 2 * size))


def not_a_number(step: int, row_ids: Sequence[str]) -> TunesmithError:
    """What is said when the loss of a step (counted from 1) is not a number."""
    return TunesmithError(
        f"the loss is not a number at step {step}",
        where=f"rows {', '.join(row_ids)}",
        do="Lower learning_rate, or look at these rows.",
    )


def loss_curve(state: TrainerState, name: str) -> tuple[tuple[int, float], ...]:
    """(step, value) of everything logged as `name`."""
    return tuple((int(entry["step"]), float(entry[name])) for entry in state.log_history if name in entry)


def best_step(state: TrainerState, metric: str = "loss") -> int | None:
    """The step with the lowest validation loss, or the highest value of another metric; the first of equals."""
    curve = loss_curve(state, f"eval_{metric}")
    sign = 1 if metric == "loss" else -1
    return min(curve, key=lambda point: sign * point[1])[0] if curve else None


def step_to_keep(state: TrainerState, options: TrainOptions) -> int | None:
    """The step whose weights are the run's result, where that is the best one; `None` for the last."""
    return best_step(state, options.metric_for_best_model) if options.load_best_model_at_end else None


def is_exhausted(state: TrainerState, options: TrainOptions) -> bool:
    """Whether the last `early_stopping_patience` validations all failed to beat the best before them."""
    steps = [step for step, _ in loss_curve(state, "eval_loss")]
    best, patience = best_step(state, options.metric_for_best_model), options.early_stopping_patience
    return patience is not None and best is not None and len(steps) - 1 - steps.index(best) >= patience
