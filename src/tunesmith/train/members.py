"""A job while it is trained with others: its adapter's numbers, its optimiser, and how far it is.

This module imports torch at its top; it is itself imported only when training starts.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerState, get_scheduler, set_seed

from tunesmith.errors import TunesmithError
from tunesmith.models import cards
from tunesmith.models.load import quiet
from tunesmith.records import TrainingLog
from tunesmith.tasks.base import IGNORED, Rendered
from tunesmith.train import adapters, measure
from tunesmith.train.batches import BatchPlan
from tunesmith.train.course import plan_of, planned_steps
from tunesmith.train.jobs import Prepared
from tunesmith.train.logs import Sizes, sizes_of
from tunesmith.train.options import TrainOptions
from tunesmith.train.trainer import training_arguments

Factors = dict[str, tuple[float, torch.Tensor, torch.Tensor]]
"""Layer name -> (scaling, A (r, in), B (out, r))."""


@dataclass(frozen=True)
class Entry:
    """One job, prepared, and what is wanted of it."""

    job: Prepared
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


@dataclass(eq=False)
class Member:
    """A job while it is trained."""

    entry: Entry
    number: int
    """Of its job."""
    factors: Factors
    plan: BatchPlan
    stops: dict[int, Path]
    """Where its adapters go, after so many steps. Those that a branch reaches are that branch's."""
    at_once: int
    """Rows of this job in a pass: fewer after memory ran out."""
    optimizer: torch.optim.Optimizer
    scheduler: Any
    sizes: Sizes
    leaves: Mapping[int, int] = field(default_factory=dict)
    """Of a run with branches, for each number of steps: after how many its branch begins."""
    branch: tuple[int, int] | None = None
    """Of a branch: its number of steps, and after how many of them it began."""
    state: TrainerState = field(default_factory=TrainerState)
    cursor: int = 0
    """Rows of the present step that went through already."""
    loss: float = 0.0
    seconds: float = 0.0
    """Its share of the run's time."""
    joules: float = 0.0
    """Its share of the run's energy."""
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
        return self.entry.job.options

    @property
    def done(self) -> bool:
        return self.error is not None or len(self.logs) == len(self.stops)

    @property
    def work(self) -> tuple[int, int]:
        """Steps that are done, and in all, with those of branches that are still to come."""
        begun = self.branch[1] if self.branch else 0
        if self.leaves:
            n_steps = max(self.leaves.values()) + sum(stop - self.leaves[stop] for stop in self.stops)
        else:
            n_steps = max(self.stops) - begun
        return n_steps if self.done else self.state.global_step - begun, n_steps

    @property
    def parameters(self) -> list[torch.Tensor]:
        return _tensors(self.factors)

    @property
    def mean_tokens(self) -> float:
        return sum(self.plan.lengths) / len(self.plan.lengths) * min(self.at_once, len(self.plan.lengths))

    def step_rows(self) -> list[Rendered]:
        """All rows of the present step."""
        epoch, within = divmod(self.state.global_step, self.plan.steps_per_epoch)
        if self.plan_of is None or self.plan_of[0] != epoch:
            self.plan_of = (epoch, self.plan.steps(epoch))
        return [self.entry.job.data.train[row] for row in self.plan_of[1][within]]

    def forget_step(self) -> None:
        """Begin the present step anew."""
        self.cursor, self.loss = 0, 0.0
        for factor in self.parameters:
            factor.grad = None

    def learn(self) -> None:
        """End the present step: clip its gradients, and let optimiser and schedule take it."""
        if self.options.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.options.max_grad_norm)
        self.optimizer.step()
        self.scheduler.step()
        self.state.global_step += 1
        self.state.log_history.append({"loss": self.loss, "step": self.state.global_step})
        self.forget_step()

    def branch_off(self, stop: int) -> Member:
        """The end of the run of `stop` steps, from here on: a copy of all there is, with that run's learning rates."""
        factors = copy_of(self.factors, learnt=True)
        device = next(iter(self.parameters)).device
        optimizer, scheduler = _optimiser(self.options, self.plan, factors, stop, device)
        optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        scheduler.load_state_dict(self.scheduler.state_dict())
        step = self.state.global_step
        for group, rate, course in zip(
            optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
        ):
            group["lr"] = rate * course(step)
        return replace(
            self,
            factors=factors,
            stops={stop: self.stops.pop(stop)},
            leaves={},
            branch=(stop, step),
            optimizer=optimizer,
            scheduler=scheduler,
            state=TrainerState(global_step=step, log_history=list(self.state.log_history)),
            last={},
            logs={},
            notes=list(self.notes),
        )


def make_member(base: Any, number: int, entry: Entry) -> Member | str:
    """The job with the first weights it would have alone; or, in words, why it cannot share a base."""
    options = entry.job.options
    if entry.job.task.new_ids:
        return "embeddings of new tokens are trained, too"
    set_seed(options.seed)
    model = adapters.put_adapter(base, options, entry.job.task.adapter_type)
    try:
        found = _factors_of(model)
        if found is None:
            return "its adapter trains more than plain LoRA layers"
        sizes = sizes_of(model)
        factors = copy_of(found, learnt=True)
    finally:
        adapters.take_adapter_off(model)
    plan = plan_of(options, entry.job.data.train)
    planned = planned_steps(options, plan)
    stops = dict(sorted((steps or planned, folder) for steps, folder in entry.stops.items()))
    for folder in stops.values():
        folder.mkdir(parents=True, exist_ok=True)
    measure.check_disk(next(iter(stops.values())), sizes.trainable)
    leaves = {stop: options.departs_at(stop) for stop in stops}
    total_steps = max(stops)
    if len(stops) > 1 and any(step < stop for stop, step in leaves.items()):
        # At its constant rate until the last branch is off.
        told = {**options.lr_scheduler_kwargs, "num_decay_steps": 1}
        options, total_steps = options.model_copy(update={"lr_scheduler_kwargs": told}), total_steps + 1
    else:
        leaves = {}
    optimizer, scheduler = _optimiser(options, plan, factors, total_steps, base.device)
    return Member(entry, number, factors, plan, stops, plan.batch_size, optimizer, scheduler, sizes, leaves)


def _optimiser(
    options: TrainOptions, plan: BatchPlan, factors: Factors, total_steps: int, device: torch.device
) -> tuple[torch.optim.Optimizer, Any]:
    """Optimiser and schedule as transformers' Trainer makes them."""
    with quiet():
        arguments = training_arguments(options, plan, Path(), total_steps, device)
    kind, settings = Trainer.get_optimizer_cls_and_kwargs(arguments)
    schedule: Any = get_scheduler
    optimizer = kind([{"params": _tensors(factors), "weight_decay": options.weight_decay}], **settings)
    return optimizer, schedule(
        arguments.lr_scheduler_type,
        optimizer,
        num_warmup_steps=arguments.get_warmup_steps(total_steps),
        num_training_steps=total_steps,
        scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,
    )


def _tensors(factors: Factors) -> list[torch.Tensor]:
    return [factor for _, down, up in factors.values() for factor in (down, up)]


def copy_of(factors: Factors, *, learnt: bool = False) -> Factors:
    def copied(part: torch.Tensor) -> torch.Tensor:
        return part.detach().clone().requires_grad_(learnt)

    return {name: (scaling, copied(down), copied(up)) for name, (scaling, down, up) in factors.items()}


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


def n_learnt(rows: Sequence[Rendered]) -> int:
    """Positions that are learnt where rows lie end to end."""
    return sum(label != IGNORED for row in rows for label in row.labels[1:])


def save_factors(base: Any, entry: Entry, factors: Factors, folder: Path) -> None:
    """Write an adapter as `save_trained` does, through peft."""
    model = adapters.put_adapter(base, entry.job.options, entry.job.task.adapter_type)
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
