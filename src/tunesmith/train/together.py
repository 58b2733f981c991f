"""Several adapters trained in one pass over a frozen base: its weights are multiplied once for the rows of all jobs.

Each job keeps its own data order, learning rate, schedule, rank, clipping, optimiser and end. Its rows meet its own
adapter only, so its losses are those of a run alone, up to the rounding of products of another size.

This module imports torch at its top; it is itself imported only when training starts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerState, get_scheduler, set_seed

from tunesmith.errors import MissingError, TunesmithError
from tunesmith.models import cards, fast
from tunesmith.models.load import quiet
from tunesmith.records import Refused, TrainingLog
from tunesmith.tasks.base import IGNORED, Rendered, Task
from tunesmith.train import adapters, measure
from tunesmith.train.batches import BatchPlan
from tunesmith.train.layout import EndToEnd
from tunesmith.train.options import Progress, TrainOptions
from tunesmith.train.trainer import best_step, is_exhausted, loss_curve, training_arguments

Factors = dict[str, tuple[float, torch.Tensor, torch.Tensor]]
"""Layer name -> (scaling, A (r, in), B (out, r))."""

_TOKENS_PER_PASS = {"cpu": 2048}
_TOKENS_PER_PASS_ELSEWHERE = 16384
"""Jobs go through together up to so many tokens. On a CPU that fills the matrix units; more only costs memory."""


@dataclass(frozen=True)
class Entry:
    """One job, its rows rendered and checked."""

    task: Task
    train: Sequence[Rendered]
    validation: Sequence[Rendered]
    refused: tuple[Refused, ...]
    options: TrainOptions
    stops: Mapping[int | None, Path]
    """Where the adapter goes after so many steps; `None` for the number that the options give."""
    card: Mapping[str, Any]


def why_alone(task: str, options: TrainOptions) -> str | None:
    """Why a job cannot share a pass with others; `None` when it can, as far as its options say."""
    reasons = {
        f"task: {task}": task != "causal",
        f"method: {options.method}": options.method not in ("lora", "rslora"),
        "lora_dropout": options.lora_dropout > 0,  # random numbers would depend on who is in the pass
        "packing: false": options.packing is False,
        "gradient_checkpointing": options.gradient_checkpointing,
        "continue_from": options.continue_from is not None,
        "load_in_4bit": options.in_four_bits,
        "modules_to_save": bool(options.modules_to_save),
        "added_tokens": bool(options.added_tokens),
        "auto_find_batch_size": options.auto_find_batch_size,
        "keep_last": options.keep_last,
        f"optim: {options.optim}": options.optim not in ("adamw_torch", "adafactor"),
        "report_to": options.report_to not in ("none", [], ["none"]),
    }
    return next((name for name, holds in reasons.items() if holds), None)


@dataclass
class Member:
    """A job while it is trained."""

    entry: Entry
    factors: Factors
    plan: BatchPlan
    stops: dict[int, Path]
    at_once: int
    """Rows of this job in a pass: fewer after memory ran out."""
    optimizer: torch.optim.Optimizer
    scheduler: Any
    total_parameters: int
    state: TrainerState = field(default_factory=TrainerState)
    cursor: int = 0
    """Rows of the present step that went through already."""
    loss: float = 0.0
    seconds: float = 0.0
    """Time of its passes, shared out by tokens."""
    best: Factors | None = None
    last: dict[int, dict[str, float]] = field(default_factory=dict)
    """Validations at the end of a number of steps, where none would be otherwise."""
    logs: dict[int, TrainingLog] = field(default_factory=dict)
    error: TunesmithError | None = None
    notes: list[str] = field(default_factory=list)
    resumed: int | None = None
    plan_of: tuple[int, list[list[int]]] | None = None

    @property
    def options(self) -> TrainOptions:
        return self.entry.options

    @property
    def done(self) -> bool:
        return self.error is not None or len(self.logs) == len(self.stops)

    @property
    def parameters(self) -> list[torch.Tensor]:
        return [factor for _, down, up in self.factors.values() for factor in (down, up)]

    @property
    def mean_tokens(self) -> float:
        return sum(self.plan.lengths) / len(self.plan.lengths) * min(self.at_once, len(self.plan.lengths))

    def step_rows(self) -> list[Rendered]:
        """All rows of the present step."""
        epoch, within = divmod(self.state.global_step, self.plan.steps_per_epoch)
        if self.plan_of is None or self.plan_of[0] != epoch:
            self.plan_of = (epoch, self.plan.steps(epoch))
        return [self.entry.train[row] for row in self.plan_of[1][within]]

    def forget_step(self) -> None:
        """Begin the present step anew."""
        self.cursor, self.loss = 0, 0.0
        for factor in self.parameters:
            factor.grad = None


def make_member(base: Any, entry: Entry) -> Member | str:
    """The job with the first weights it would have alone; or, in words, why it cannot share a base."""
    options = entry.options
    if entry.task.new_ids:
        return "embeddings of new tokens are trained, too"
    set_seed(options.seed)
    model = adapters.put_adapter(base, options, entry.task.adapter_type)
    try:
        found = _factors_of(model)
        if found is None:
            return "its adapter trains more than plain LoRA layers"
        total_parameters = adapters.count_parameters(model)[1]
        factors: Factors = {
            name: (scaling, down.detach().clone().requires_grad_(), up.detach().clone().requires_grad_())
            for name, (scaling, down, up) in found.items()
        }
    finally:
        adapters.take_adapter_off(model)
    plan = BatchPlan(
        [row.n_tokens for row in entry.train],
        options.per_device_train_batch_size,
        options.gradient_accumulation_steps,
        options.seed,
    )
    planned = options.max_steps or math.ceil(options.num_train_epochs * plan.steps_per_epoch - 1e-9)
    stops = {steps or planned: folder for steps, folder in entry.stops.items()}
    total = max(stops)
    for folder in stops.values():
        folder.mkdir(parents=True, exist_ok=True)
    measure.check_disk(next(iter(stops.values())), sum(part.numel() for part in _tensors(factors)))
    with quiet():
        arguments = training_arguments(options, plan, next(iter(stops.values())), total, base.device)
    kind, settings = Trainer.get_optimizer_cls_and_kwargs(arguments)
    schedule: Any = get_scheduler
    optimizer = kind([{"params": _tensors(factors), "weight_decay": options.weight_decay}], **settings)
    scheduler = schedule(
        arguments.lr_scheduler_type,
        optimizer,
        num_warmup_steps=arguments.get_warmup_steps(total),
        num_training_steps=total,
        scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,
    )
    return Member(
        entry,
        factors,
        plan,
        dict(sorted(stops.items())),
        plan.batch_size,
        optimizer,
        scheduler,
        total_parameters,
    )


def _tensors(factors: Factors) -> list[torch.Tensor]:
    return [factor for _, down, up in factors.values() for factor in (down, up)]


def _factors_of(model: Any) -> Factors | None:
    """The LoRA layers of a model just wrapped; `None` when anything else is trained too."""
    import peft.tuners.lora.layer

    found: Factors = {}
    layer: Any
    for name, layer in model.get_base_model().named_modules():
        is_lora = type(layer) is peft.tuners.lora.layer.Linear
        if is_lora:
            plain = type(layer.base_layer) is torch.nn.Linear and not layer.lora_variant
            if not plain or layer.lora_B["default"].bias is not None:
                return None
            found[name] = (
                layer.scaling["default"],
                layer.lora_A["default"].weight,
                layer.lora_B["default"].weight,
            )
        elif isinstance(layer, torch.nn.Dropout) and layer.p > 0:
            return None
    trained = sum(part.requires_grad for part in model.parameters())
    return found if found and trained == 2 * len(found) else None


class JointTraining:
    """Trains members until each is done or failed. `state` and `restore` are for checkpoints between two passes."""

    def __init__(self, base: Any, members: Sequence[Member], progress: Progress) -> None:
        self.base = base
        self.members = members
        self.progress = progress
        self.layout = EndToEnd()
        self.budget = float(_TOKENS_PER_PASS.get(base.device.type, _TOKENS_PER_PASS_ELSEWHERE))
        self.most = len(members)
        """Jobs in a pass at most: fewer after memory ran out."""
        self.shared = fast.SharedBase()
        self.passes = 0

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
        started = time.monotonic()
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
        sums = torch.stack([part.sum() for part in losses.split([_n_learnt(rows) for rows in parts])])
        found = sums.detach().tolist()
        weights = [
            1.0 / max(_n_learnt(rows), 1) if math.isfinite(value) else 0.0
            for rows, value in zip(steps, found, strict=True)
        ]
        # Rows of a job whose loss is no number reach nobody else's: each row is computed by itself.
        kept = [at for at, weight in enumerate(weights) if weight]
        if kept:
            total: Any = (sums[kept] * sums.new_tensor([weights[at] for at in kept])).sum()
            total.backward()
        seconds = time.monotonic() - started
        for at, member in enumerate(live):
            member.seconds += seconds * counts[at] / sum(counts)
            if not weights[at]:
                self._set_aside(member, parts[at])
                continue
            member.loss += found[at] * weights[at]
            member.cursor += len(parts[at])
            if member.cursor >= len(steps[at]):
                self._end_step(member)

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
        member.error = TunesmithError(
            f"the loss is not a number at step {member.state.global_step + 1}",
            where=f"rows {', '.join(row.row_id for row in rows)}",
            do="Lower learning_rate, or look at these rows.",
        )
        member.forget_step()

    def _end_step(self, member: Member) -> None:
        options, state = member.options, member.state
        if options.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(member.parameters, options.max_grad_norm)
        member.optimizer.step()
        member.scheduler.step()
        state.global_step += 1
        step = state.global_step
        state.log_history.append({"loss": member.loss, "step": step})
        self._report(member)
        member.forget_step()
        every = options.eval_steps or member.plan.steps_per_epoch
        exhausted = False
        if member.entry.validation and (step % every == 0 or step in member.stops):
            metrics = self._validate(member)
            if step % every == 0:
                state.log_history.append({**metrics, "step": step})
                exhausted = is_exhausted(state, options)
                if best_step(state, options.metric_for_best_model) == step:
                    member.best = _copy(member.factors)
            else:
                member.last[step] = metrics
        for stop in list(member.stops):
            if stop not in member.logs and (stop == step or (exhausted and stop > step)):
                self._finish(member, stop)
        if member.done:
            member.optimizer.state.clear()

    def _report(self, member: Member) -> None:
        done = sum(max(one.stops) if one.done else one.state.global_step for one in self.members)
        total = sum(max(one.stops) for one in self.members)
        together = len(self.shared.adapters)
        what = f"training {together} adapters together" if together > 1 else "training"
        self.progress(done, total, f"{what}, loss {member.loss:.3f}")

    def _validate(self, member: Member) -> dict[str, float]:
        task, size = member.entry.task, 2 * member.at_once
        self.shared.adapters = [(0, 1 << 40, member.factors)]
        self.base.eval()
        ordered = sorted(member.entry.validation, key=lambda row: row.n_tokens)
        batches = (
            task.collate(ordered[at : at + size]).to(self.base.device) for at in range(0, len(ordered), size)
        )
        return {f"eval_{name}": value for name, value in task.measure(self.base, batches).items()}

    def _finish(self, member: Member, stop: int) -> None:
        """Write the adapter of `stop` steps and its log, as the run of so many steps would have."""
        options, step = member.options, member.state.global_step
        history = member.state.log_history + [
            {**metrics, "step": at} for at, metrics in member.last.items() if at == step
        ]
        state = TrainerState(global_step=step, log_history=history)
        best = best_step(state, options.metric_for_best_model) if options.load_best_model_at_end else None
        factors = member.best if best is not None and best != step else member.factors
        assert factors is not None
        folder = member.stops[stop]
        save_factors(self.base, member.entry, factors, folder)
        rows = member.entry.train
        member.logs[stop] = TrainingLog(
            adapter=folder.name,
            steps=step,
            epochs=step / member.plan.steps_per_epoch,
            train_loss=loss_curve(state, "loss"),
            validation_loss=loss_curve(state, "eval_loss"),
            validation_metrics={
                name: curve
                for name in member.entry.task.measures
                if (curve := loss_curve(state, f"eval_{name}"))
            },
            best_by=options.metric_for_best_model,
            trained_tokens=member.plan.count([row.n_trained for row in rows], step),
            total_tokens=member.plan.count(member.plan.lengths, step),
            seconds=member.seconds,
            peak_memory_mb=measure.peak_memory_mb(self.base.device),
            trainable_parameters=sum(part.numel() for part in member.parameters),
            total_parameters=member.total_parameters,
            n_truncated=sum(row.n_cut > 0 for row in rows),
            dtype=str(self.base.dtype).removeprefix("torch."),
            device=str(self.base.device),
            first_example=member.entry.task.pieces(rows[0]),
            best_step=best,
            resumed_from_step=member.resumed,
            refused=member.entry.refused,
            notes=(*self._how(member, stop), *member.notes),
        )

    def _how(self, member: Member, stop: int) -> list[str]:
        notes = []
        if len(self.members) > 1:
            notes.append(
                f"one of {len(self.members)} adapters trained together, sharing the base's forward and backward; "
                "its seconds are its share of the passes by tokens"
            )
        if len(member.stops) > 1:
            notes.append(f"taken after {stop} steps from one run of {max(member.stops)}")
        return notes


def _n_learnt(rows: Sequence[Rendered]) -> int:
    return sum(label != IGNORED for row in rows for label in row.labels[1:])


def _copy(factors: Factors) -> Factors:
    return {
        name: (scaling, down.detach().clone(), up.detach().clone())
        for name, (scaling, down, up) in factors.items()
    }


def save_factors(base: Any, entry: Entry, factors: Factors, folder: Path) -> None:
    """Write an adapter as `save_trained` does, through peft."""
    model = adapters.put_adapter(base, entry.options, entry.task.adapter_type)
    try:
        places = _factors_of(model)
        assert places is not None
        with torch.no_grad():
            for name, (_, down, up) in factors.items():
                places[name][1].copy_(down)
                places[name][2].copy_(up)
        adapters.save_trained(model, folder)
        cards.write_card(folder, entry.card)
    finally:
        adapters.take_adapter_off(model)
