"""The log of a training, made in one place for runs alone and together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.records import Energy, TrainingLog
from tunesmith.train.arithmetic import Arithmetic, arithmetic_of, total
from tunesmith.train.batches import BatchPlan
from tunesmith.train.course import loss_curve, step_to_keep
from tunesmith.train.jobs import Prepared

if TYPE_CHECKING:
    from transformers import TrainerState


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is to compute."""

    trainable: int
    total: int
    costs: Arithmetic | None


def sizes_of(model: Any) -> Sizes:
    """Of a model with what is trained on it."""
    from tunesmith.train.adapters import count_parameters

    return Sizes(*count_parameters(model), arithmetic_of(model))


@dataclass(frozen=True, slots=True)
class Took:
    """What a run took from the machine."""

    seconds: float
    peak_memory_mb: float
    energy: Energy
    matrix_speed: float | None = None


def training_log(
    job: Prepared,
    plan: BatchPlan,
    state: TrainerState,
    base: Any,
    sizes: Sizes,
    took: Took,
    *,
    resumed: int | None,
    notes: Sequence[str],
) -> TrainingLog:
    """What the run that `state` tells of did."""
    rows, steps = job.data.train, state.global_step
    curves = {name: loss_curve(state, f"eval_{name}") for name in job.task.measures}
    return TrainingLog(
        adapter=job.folder.name,
        steps=steps,
        epochs=steps / plan.steps_per_epoch,
        train_loss=loss_curve(state, "loss"),
        validation_loss=loss_curve(state, "eval_loss"),
        validation_metrics={name: curve for name, curve in curves.items() if curve},
        best_by=job.options.metric_for_best_model,
        trained_tokens=plan.count([row.n_trained for row in rows], steps),
        total_tokens=plan.count(plan.lengths, steps),
        seconds=took.seconds,
        peak_memory_mb=took.peak_memory_mb,
        processes=plan.processes,
        rows_per_step=plan.rows_per_step,
        energy=took.energy,
        operations=plan.count(total(sizes.costs, rows), steps) if sizes.costs else None,
        matrix_speed=took.matrix_speed,
        trainable_parameters=sizes.trainable,
        total_parameters=sizes.total,
        n_truncated=sum(row.n_cut > 0 for row in rows),
        dtype=str(base.dtype).removeprefix("torch."),
        device=str(base.device),
        first_example=job.task.pieces(rows[0]),
        best_step=step_to_keep(state, job.options),
        resumed_from_step=resumed,
        refused=job.data.refused,
        notes=tuple(notes),
    )
