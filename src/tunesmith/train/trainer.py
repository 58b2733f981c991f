"""The one trainer: transformers' loop with our batches, our loss, our checkpoints, and no noise.

This module imports transformers at its top, since it subclasses it; it is itself imported only when training starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
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

from tunesmith.tasks.base import IGNORED, Rendered, Task
from tunesmith.train import checkpoints as saved
from tunesmith.train import distributed, parallel
from tunesmith.train.adapters import save_trained
from tunesmith.train.batches import BatchPlan, EpochSampler
from tunesmith.train.course import best_step, is_due, is_exhausted, not_a_number, validation_batches
from tunesmith.train.distributed import world
from tunesmith.train.energy import EnergyMeter, add_energies
from tunesmith.train.layout import Layout
from tunesmith.train.options import Progress, TrainOptions

BEST = "best"


class AnswerTrainer(Trainer):
    """Trains on the answers' tokens: each counts the same, whatever batch it is in.

    Args:
        model: base with adapter, or a whole model.
        layout: how rows of a batch lie before the model.
        rows: rendered rows; `plan` gives their order.
        validation: rendered rows for the validation loss; may be empty.
        total_steps: where the learning-rate schedule ends.
        halt_at: training pauses after this step, with a checkpoint, as if it had been stopped there from outside.
        key: names the run in its checkpoints.
        seconds_before: training time of earlier sittings.
        meter: what the energy is read from.
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
        halt_at: int | None = None,
        key: str,
        seconds_before: float,
        meter: EnergyMeter,
        progress: Progress,
    ) -> None:
        self.task = task
        self.layout = layout
        self.is_shared_out = distributed.wants_fsdp(options)
        self.whole = parallel.Whole(model)
        device = next(model.parameters()).device
        if self.is_shared_out:
            parallel.share_out(self.whole, parallel.layers_of(model), device)
        self.rows = rows
        self.validation = validation
        self.sampler = EpochSampler(plan)
        self.checkpoints = checkpoints
        self.key = key
        self.started = time.monotonic() - seconds_before
        self.meter = meter
        flow = _Flow(
            options,
            total_steps,
            halt_at,
            bool(validation),
            self.sampler,
            self._keep_best,
            meter,
            progress,
        )
        super().__init__(
            model=model,
            args=training_arguments(options, plan, checkpoints, total_steps, device),
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
        return DataLoader(_Marked(self.rows), batch_sampler=self.sampler, collate_fn=self._collate)  # type: ignore[arg-type]

    def _collate(self, marked: Sequence[tuple[Rendered, bool]]) -> dict[str, Any]:
        inputs = self.layout.collate([row for row, _ in marked])
        if not all(counts for _, counts in marked):
            inputs["shift_labels"] = torch.full_like(inputs["shift_labels"], IGNORED)
            inputs["counts"] = False
        return inputs

    def _wrap_model(self, model: Any, training: bool = True, dataloader: Any = None) -> Any:
        """What training calls. It is not the model itself, so the trainer leaves it as it is."""
        if model is not self.model:
            return model
        several = world().size > 1 and not self.is_shared_out
        return parallel.copies(self.whole) if several else self.whole

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        counts = inputs.pop("counts", True)
        losses, _rows = model(partial(self.layout.losses, inputs=inputs))
        # A row that does not count goes through all the same: the other processes wait for its gradients.
        total = losses.sum() * float(counts)
        if not torch.isfinite(total):
            raise not_a_number(self.state.global_step + 1, inputs["row_ids"])
        # Divided by the labels of the whole step, so that 8 x 1 and 1 x 8 give the same gradient.
        # Gradients are averaged over the processes, and have to be summed.
        labels = num_items_in_batch if num_items_in_batch is not None else max(len(losses), 1)
        return total * world().size / labels

    def validate(self) -> dict[str, float]:
        """Loss per trained token over all validation rows together, and what else the task measures."""
        model: Any = self.model
        model.eval()
        batches = validation_batches(
            self.task, self.validation, self.sampler.plan.batch_size, self.args.device
        )
        if not self.is_shared_out:  # every process measures all rows: they come to the same numbers
            return self.task.measure(model, batches)
        with torch.no_grad():
            measured: dict[str, float] = self.whole(lambda inner: self.task.measure(inner, batches))
        parallel.hand_back(self.whole)
        return measured

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        metrics = {f"eval_{name}": value for name, value in self.validate().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        folder = self.checkpoints / f"checkpoint-{self.state.global_step}"
        energies = distributed.of_all(self.meter.energy())  # now every process has written its part
        if world().is_first:
            saved.mark_complete(
                folder,
                key=self.key,
                seconds=self.seconds,
                threads=torch.get_num_threads(),
                energy=add_energies(energies),
            )
        distributed.wait_for_all()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        self.save_to(Path(output_dir or self.checkpoints))

    def save_to(self, folder: Path) -> None:
        """Write what is trained, from the first process; all have to call."""
        parallel.hand_back(self.whole)
        with parallel.trained_weights_whole(self.model):
            if world().is_first:
                save_trained(self.model, folder)
        distributed.wait_for_all()

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.is_shared_out:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        optimizer: Any = self.optimizer
        scheduler: Any = self.lr_scheduler
        state = parallel.optimizer_state(optimizer.optimizer)
        if world().is_first:
            torch.save(state, Path(output_dir) / "optimizer.pt")
            torch.save(scheduler.state_dict(), Path(output_dir) / "scheduler.pt")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        optimizer: Any = self.optimizer
        scheduler: Any = self.lr_scheduler
        if not self.is_shared_out or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
        else:
            state = torch.load(Path(checkpoint) / "optimizer.pt", map_location="cpu", weights_only=True)
            parallel.load_optimizer_state(optimizer.optimizer, state)
            scheduler.load_state_dict(torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True))
        if checkpoint is not None:  # it may be that of a longer run, whose rate is still another one
            rates = zip(optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
            for group, rate, course in rates:
                group["lr"] = rate * course(scheduler.last_epoch)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not self.is_shared_out:  # else it was done before the weights were shared out
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _keep_best(self) -> None:
        self.save_to(self.checkpoints / BEST)


class _Marked:
    """The rows as a data set: `~row` is the row, marked as one that does not count."""

    def __init__(self, rows: Sequence[Rendered]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[Rendered, bool]:
        return self.rows[number if number >= 0 else ~number], number >= 0


class _Flow(TrainerCallback):
    """When to validate, save and stop. It keeps nothing but the clock: all else is read from the log, which a
    checkpoint holds, so that a resumed run decides as the uninterrupted one."""

    def __init__(
        self,
        options: TrainOptions,
        total_steps: int,
        halt_at: int | None,
        has_validation: bool,
        sampler: EpochSampler,
        keep_best: Callable[[], None],
        meter: EnergyMeter,
        progress: Progress,
    ) -> None:
        self.options = options
        self.total_steps = total_steps
        self.halt_at = halt_at
        self.has_validation = has_validation
        self.sampler = sampler
        self.keep_best = keep_best
        self.meter = meter
        self.progress = progress
        self.saved_at = time.monotonic()

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.sampler.epoch = state.global_step // self.sampler.plan.steps_per_epoch

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        step = state.global_step
        is_last = step >= self.total_steps
        is_over = is_last or step == self.halt_at
        is_time = is_last or is_due(self.options, self.sampler.plan, step)
        control.should_log = True
        control.should_evaluate = self.has_validation and is_time
        control.should_training_stop = is_over
        if self.options.save_steps is not None:
            control.should_save = is_over or step % self.options.save_steps == 0
        elif is_over or parallel.agreed(time.monotonic() - self.saved_at >= saved.SECONDS_BETWEEN):
            control.should_save = True

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.saved_at = time.monotonic()

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        self.meter.look()
        if logs and "loss" in logs:
            self.progress(state.global_step, self.total_steps, f"training, loss {logs['loss']:.3f}")

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if best_step(state, self.options.metric_for_best_model) == state.global_step:
            self.keep_best()
        if is_exhausted(state, self.options):
            control.should_training_stop = True
            control.should_save = True


def training_arguments(
    options: TrainOptions, plan: BatchPlan, checkpoints: Path, total_steps: int, device: torch.device
) -> TrainingArguments:
    if device.type == "cpu" and world().size > 1:
        backend: str | None = "gloo"
    else:
        backend = None
    arguments = _Arguments(
        ddp_backend=backend,
        average_tokens_across_devices=True,
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
    arguments.place = device
    if device.type == "cuda":
        torch.cuda.set_device(device)  # the arguments' own choice is the first GPU
    return arguments


class _Arguments(TrainingArguments):
    """transformers' arguments for the device the model is on, where they would take the first GPU."""

    place: torch.device | None = None

    @property
    def device(self) -> torch.device:
        device: torch.device = super().device
        return self.place or device
