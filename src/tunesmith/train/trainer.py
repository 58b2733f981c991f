"""The one trainer: transformers' loop with our batches, our loss, our checkpoints, and no noise.

This module imports transformers at its top, since it subclasses it; it is itself imported only when training starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from tunesmith.errors import TunesmithError
from tunesmith.tasks.base import Rendered, Task
from tunesmith.train.adapters import save_trained
from tunesmith.train.batches import BatchPlan, EpochSampler
from tunesmith.train.checkpoints import mark_complete
from tunesmith.train.layout import Layout
from tunesmith.train.options import Progress, TrainOptions

BEST = "best"
_SECONDS_BETWEEN_CHECKPOINTS = 60.0


class AnswerTrainer(Trainer):
    """Trains on the answers' tokens: each counts the same, whatever batch it is in.

    Args:
        model: base with adapter, or a whole model.
        layout: how rows of a batch lie before the model.
        rows: rendered rows; `plan` gives their order.
        validation: rendered rows for the validation loss; may be empty.
        total_steps: where the learning-rate schedule ends.
        key: names the run in its checkpoints.
        seconds_before: training time of earlier sittings.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: Any,
        task: Task,
        layout: Layout,
        rows: Sequence[Rendered],
        validation: Sequence[Rendered],
        plan: BatchPlan,
        options: TrainOptions,
        checkpoints: Path,
        *,
        total_steps: int,
        key: str,
        seconds_before: float,
        progress: Progress,
    ) -> None:
        self.task = task
        self.layout = layout
        self.rows = rows
        self.validation = validation
        self.sampler = EpochSampler(plan)
        self.checkpoints = checkpoints
        self.key = key
        self.started = time.monotonic() - seconds_before
        flow = _Flow(
            options,
            total_steps,
            plan.steps_per_epoch,
            bool(validation),
            self.sampler,
            self._keep_best,
            progress,
        )
        super().__init__(
            model=model,
            args=training_arguments(options, plan, checkpoints, total_steps, next(model.parameters()).device),
            train_dataset=rows,
            callbacks=[flow],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = (
            True  # makes the trainer count the labels of a step for `compute_loss`
        )
        self.args._n_gpu = min(self.args.n_gpu, 1)  # DataParallel would split batches behind our back

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.rows, batch_sampler=self.sampler, collate_fn=self.layout.collate)  # type: ignore[arg-type]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        losses, _rows = self.layout.losses(model, inputs)
        total = losses.sum()
        if not torch.isfinite(total):
            raise TunesmithError(
                f"the loss is not a number at step {self.state.global_step + 1}",
                where=f"rows {', '.join(inputs['row_ids'])}",
                do="Lower learning_rate, or look at these rows.",
            )
        # Divided by the labels of the whole step, so that 8 x 1 and 1 x 8 give the same gradient.
        return total / (num_items_in_batch if num_items_in_batch is not None else max(len(losses), 1))

    def validate(self) -> dict[str, float]:
        """Loss per trained token over all validation rows together, and what else the task measures."""
        model: Any = self.model
        model.eval()
        size = 2 * self.sampler.plan.batch_size  # no gradients are kept, so twice as many fit
        ordered = sorted(self.validation, key=lambda row: row.n_tokens)
        starts = range(0, len(ordered), size)
        batches = (self.task.collate(ordered[at : at + size]).to(self.args.device) for at in starts)
        return self.task.measure(model, batches)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        metrics = {f"eval_{name}": value for name, value in self.validate().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        folder = self.checkpoints / f"checkpoint-{self.state.global_step}"
        mark_complete(folder, key=self.key, seconds=self.seconds, threads=torch.get_num_threads())

    def _keep_best(self) -> None:
        save_trained(self.model, self.checkpoints / BEST)


class _Flow(TrainerCallback):
    """When to validate, save and stop. It keeps nothing but the clock: all else is read from the log, which a
    checkpoint holds, so that a resumed run decides as the uninterrupted one."""

    def __init__(
        self,
        options: TrainOptions,
        total_steps: int,
        steps_per_epoch: int,
        has_validation: bool,
        sampler: EpochSampler,
        keep_best: Callable[[], None],
        progress: Progress,
    ) -> None:
        self.options = options
        self.total_steps = total_steps
        self.steps_per_epoch = steps_per_epoch
        self.has_validation = has_validation
        self.sampler = sampler
        self.keep_best = keep_best
        self.progress = progress
        self.saved_at = time.monotonic()

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.sampler.epoch = state.global_step // self.steps_per_epoch

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        step = state.global_step
        is_last = step >= self.total_steps
        every = self.options.eval_steps or self.steps_per_epoch
        control.should_log = True
        control.should_evaluate = self.has_validation and (is_last or step % every == 0)
        control.should_training_stop = is_last
        if self.options.save_steps is not None:
            control.should_save = is_last or step % self.options.save_steps == 0
        elif is_last or time.monotonic() - self.saved_at >= _SECONDS_BETWEEN_CHECKPOINTS:
            control.should_save = True

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.saved_at = time.monotonic()

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        if logs and "loss" in logs:
            self.progress(state.global_step, self.total_steps, f"training, loss {logs['loss']:.3f}")

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if best_step(state, self.options.metric_for_best_model) == state.global_step:
            self.keep_best()
        if is_exhausted(state, self.options):
            control.should_training_stop = True
            control.should_save = True


def loss_curve(state: TrainerState, name: str) -> tuple[tuple[int, float], ...]:
    """(step, value) of everything logged as `name`."""
    return tuple((int(entry["step"]), float(entry[name])) for entry in state.log_history if name in entry)


def best_step(state: TrainerState, metric: str = "loss") -> int | None:
    """The step with the lowest validation loss, or the highest value of another metric; the first of equals."""
    curve = loss_curve(state, f"eval_{metric}")
    sign = 1 if metric == "loss" else -1
    return min(curve, key=lambda point: sign * point[1])[0] if curve else None


def is_exhausted(state: TrainerState, options: TrainOptions) -> bool:
    """Whether the last `early_stopping_patience` validations all failed to beat the best before them."""
    steps = [step for step, _ in loss_curve(state, "eval_loss")]
    best, patience = best_step(state, options.metric_for_best_model), options.early_stopping_patience
    return patience is not None and best is not None and len(steps) - 1 - steps.index(best) >= patience


def training_arguments(
    options: TrainOptions, plan: BatchPlan, checkpoints: Path, total_steps: int, device: torch.device
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=total_steps,
        per_device_train_batch_size=plan.batch_size,
        gradient_accumulation_steps=plan.accumulation,
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.lr_scheduler_type,
        lr_scheduler_kwargs=options.schedule_arguments(total_steps),
        warmup_steps=options.n_warmup(total_steps),
        adam_beta1=options.adam_beta1,
        adam_beta2=options.adam_beta2,
        adam_epsilon=options.adam_epsilon,
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        optim=options.optim,
        activation_checkpointing=options.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if options.gradient_checkpointing else None,
        seed=options.seed,
        use_cpu=device.type == "cpu",
        report_to=options.report_to,
        # `_Flow` decides about these three
        logging_strategy="no",
        eval_strategy="no",
        save_strategy="no",
        save_total_limit=options.save_total_limit,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        log_level="error",
        bf16=False,
        fp16=False,
    )
