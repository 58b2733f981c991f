"""Options of training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from tunesmith.models.load import BUILTIN, ComputeOptions
from tunesmith.options import changed
from tunesmith.tasks.base import Truncate
from tunesmith.tasks.templates import TemplateOptions

Progress = Callable[[int, int | None, str], None]
"""Called with (done, total, what)."""


Method = Literal["lora", "dora", "rslora", "qlora", "full"]
Optimiser = Literal["adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor"]
Schedule = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "cosine_with_min_lr",
    "polynomial",
    "inverse_sqrt",
    "constant",
    "constant_with_warmup",
    "warmup_stable_decay",
]
SCHEDULES: dict[str, set[str]] = {
    "linear": set(),
    "cosine": {"num_cycles"},
    "cosine_with_restarts": {"num_cycles"},
    "cosine_with_min_lr": {"num_cycles", "min_lr", "min_lr_rate"},
    "polynomial": {"lr_end", "power"},
    "inverse_sqrt": {"timescale"},
    "constant": set(),
    "constant_with_warmup": set(),
    "warmup_stable_decay": {"num_decay_steps", "num_cycles", "min_lr_ratio", "warmup_type", "decay_type"},
}
"""What each course can be told, as in `transformers.optimization`."""


ONLY_FOR = {
    "system_prompt": "causal",
    "thinking": "causal",
    "added_tokens": "causal",
    "max_target_length": "seq2seq",
    "labels": "classify",
    "class_weights": "classify",
    "metric_for_best_model": "classify",
}
"""Options that do nothing in other tasks."""


class TrainOptions(ComputeOptions, TemplateOptions):
    """Options of training, named as in transformers and peft."""

    base: str = Field(BUILTIN, description="Model to tune: builtin, a folder, or a hub id.")
    continue_from: str | None = Field(
        None,
        description="Folder of an adapter of this base; it is merged into the base before the new one is trained.",
    )
    method: Method = Field(
        "lora", description="What is trained: an adapter (qlora: on a base in 4 bits), or all."
    )
    lora_r: int = Field(16, ge=1, description="Rank of the adapter.")
    lora_alpha: float = Field(
        32, gt=0, description="Scale of the adapter: its output is multiplied by alpha / r."
    )
    lora_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of adapter inputs set to zero while training."
    )
    target_modules: str | list[str] = Field(
        "all-linear",
        description="Layers that get an adapter: all-linear, attention, query_value, feed_forward, or a list of names.",
    )
    modules_to_save: list[str] = Field(
        [], description="Layers that are trained as a whole and saved with the adapter, by name."
    )
    learning_rate: float = Field(5e-4, gt=0, description="Highest learning rate.")
    lr_scheduler_type: Schedule = Field("cosine", description="Course of the learning rate after warm-up.")
    lr_scheduler_kwargs: dict[str, float | str] = Field(
        {},
        description="What the course is told beside the steps, named as in transformers: num_cycles, power, min_lr, ….",
    )
    warmup_ratio: float = Field(
        0.03, ge=0, lt=1, description="Share of the steps in which the learning rate rises."
    )
    warmup_steps: int | None = Field(
        None, ge=0, description="Number of steps in which the learning rate rises, instead of warmup_ratio."
    )
    decay_ratio: float = Field(
        0.1,
        gt=0,
        le=1,
        description="With warmup_stable_decay: share of the steps, the last, in which it falls; for a number of steps"
        " set lr_scheduler_kwargs: {num_decay_steps: …}.",
    )
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of the optimiser.")
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's decay of the mean gradient.")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="AdamW's decay of the mean squared gradient.")
    adam_epsilon: float = Field(1e-8, gt=0, description="AdamW's floor of the divisor.")
    max_grad_norm: float = Field(
        1.0, ge=0, description="Gradients longer than this are shortened to it; 0 for never."
    )
    optim: Optimiser = Field(
        "adamw_torch", description="Optimiser; those in 8 bits and paged ones come from bitsandbytes."
    )
    per_device_train_batch_size: int = Field(8, ge=1, description="Rows that go through the model at once.")
    gradient_accumulation_steps: int = Field(1, ge=1, description="Batches per step.")
    auto_find_batch_size: bool = Field(
        False,
        description="Try all rows of a step at once and halve until memory suffices, instead of starting with"
        " per_device_train_batch_size.",
    )
    num_train_epochs: float = Field(3.0, gt=0, description="Passes over the rows.")
    max_steps: int | None = Field(None, ge=1, description="Number of steps; overrides num_train_epochs.")
    max_length: int | None = Field(
        None, ge=8, description="Most tokens of a row; empty for what the model can see."
    )
    truncate: Truncate = Field(
        "refuse",
        description="What is done with longer rows: refuse them, or cut beginning, end or middle of their prompt.",
    )
    max_target_length: int | None = Field(
        None,
        ge=2,
        description="seq2seq: most tokens of an answer; longer ones are refused; empty for what the model can see.",
    )
    labels: list[str] | None = Field(
        None,
        min_length=2,
        description="classify: the labels in their order; empty for those of the training rows.",
    )
    class_weights: Literal["balanced"] | dict[str, float] | None = Field(
        None,
        description="classify: what a row of each label counts: balanced, or {label: weight}; empty for all alike.",
    )
    max_lost_answers: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Largest share of the answers' tokens that may be lost in rows too long.",
    )
    gradient_checkpointing: bool = Field(False, description="Save memory by computing activations twice.")
    packing: bool | None = Field(
        None,
        description="Rows of a batch end to end without padding, each seeing only itself; empty for where that pays.",
    )
    attn_implementation: Literal["auto", "sdpa", "flash_attention_2", "eager"] = Field(
        "auto", description="Who computes attention; auto takes flash-attention where it is installed."
    )
    use_liger_kernel: bool | None = Field(
        None, description="Liger's kernels for norms, rotation and MLP on a GPU; empty for where installed."
    )
    eval_steps: int | None = Field(
        None, ge=1, description="Steps between validations; empty for once per epoch."
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, description="Stop after this many validations without a new best; empty for never."
    )
    load_best_model_at_end: bool = Field(
        True, description="Keep the weights of the best validation, not the last."
    )
    metric_for_best_model: Literal["loss", "accuracy", "precision", "recall", "f1", "mcc"] = Field(
        "loss",
        description="What makes a validation the best: the loss, or with task: classify a metric of labels.",
    )
    keep_last: bool = Field(
        False, description="Keep the weights of the last step too, in last/, where the best are others."
    )
    save_total_limit: int = Field(
        2, ge=1, description="Checkpoints kept while training; with 2 one may be damaged."
    )
    save_steps: int | None = Field(
        None, ge=1, description="Steps between checkpoints; empty for about once a minute."
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="Seed of the adapter's first weights, the order of rows, and dropout."
    )
    fsdp: bool | None = Field(
        None,
        description="Several processes: each keeps a part of the weights; empty for what accelerate launch says.",
    )
    report_to: str | list[str] = Field(
        "none", description="Trackers that are told the losses: tensorboard, mlflow, …."
    )

    @property
    def in_four_bits(self) -> bool:
        return self.method == "qlora" or bool(self.load_in_4bit)

    def n_warmup(self, total_steps: int) -> int:
        """Steps in which the learning rate rises; transformers rounds up, too."""
        if self.lr_scheduler_type == "constant":
            return 0
        return (
            self.warmup_steps if self.warmup_steps is not None else math.ceil(self.warmup_ratio * total_steps)
        )

    def n_decay(self, total_steps: int) -> int:
        """Steps, the last, in which the learning rate of warmup_stable_decay falls."""
        told = self.lr_scheduler_kwargs.get("num_decay_steps")
        return int(told) if told is not None else math.ceil(self.decay_ratio * total_steps)

    def schedule_arguments(self, total_steps: int) -> dict[str, float | str]:
        if self.lr_scheduler_type != "warmup_stable_decay":
            return dict(self.lr_scheduler_kwargs)
        return {**self.lr_scheduler_kwargs, "num_decay_steps": self.n_decay(total_steps)}

    def too_few_steps(self, total_steps: int) -> str | None:
        """What is wrong where warm-up and a decay of so many steps do not fit into the run."""
        if "num_decay_steps" not in self.lr_scheduler_kwargs:
            return None
        warmup, decay = self.n_warmup(total_steps), self.n_decay(total_steps)
        if warmup + decay <= total_steps:
            return None
        return f"a warm-up of {warmup} steps and num_decay_steps: {decay} do not fit into {total_steps} steps"

    @property
    def knows_its_end(self) -> bool:
        """Whether the first steps of a run depend on how many there will be, beside a decay at the end."""
        by_ratio = self.warmup_steps is None and self.warmup_ratio > 0
        if self.lr_scheduler_type == "constant":
            return False
        return by_ratio or self.lr_scheduler_type not in ("constant_with_warmup", "warmup_stable_decay")

    def departs_at(self, total_steps: int) -> int:
        """After how many steps the learning rate of a run is no longer that of a longer one (`knows_its_end` is
        false): where the decay begins, or the end."""
        if self.lr_scheduler_type != "warmup_stable_decay":
            return total_steps
        return max(total_steps - self.n_decay(total_steps), min(self.n_warmup(total_steps), total_steps))

    @model_validator(mode="after")
    def _everything_has_an_effect(self) -> TrainOptions:
        problems = [*_of_method(self), *_of_schedule(self)]
        if self.optim == "adafactor" and (idle := changed(self, "adam_beta1", "adam_beta2", "adam_epsilon")):
            problems.append(f"{', '.join(idle)} has no effect with optim: adafactor")
        if self.keep_last and not self.load_best_model_at_end:
            problems.append(
                "keep_last has no effect with load_best_model_at_end: false: the last weights are kept"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def idle(self, task: str) -> list[str]:
        """What was asked for and does nothing in this task, each with the task it is for."""
        return [
            f"{name} has no effect with task: {task}; it is for task: {only}"
            for name, only in ONLY_FOR.items()
            if task != only and getattr(self, name) != type(self).model_fields[name].default
        ]


def _of_method(options: TrainOptions) -> list[str]:
    problems = []
    if options.method == "qlora" and options.load_in_4bit is False:
        problems.append("method: qlora is an adapter on a base in 4 bits, and load_in_4bit is false")
    if options.method == "full":
        if options.in_four_bits:
            problems.append("method: full trains the weights, and weights in 4 bits cannot be trained")
        idle = changed(options, "lora_r", "lora_alpha", "lora_dropout", "target_modules", "modules_to_save")
        if idle:
            problems.append(f"{', '.join(idle)} has no effect with method: full")
    return problems


def _of_schedule(options: TrainOptions) -> list[str]:
    problems = []
    name = options.lr_scheduler_type
    if name == "constant" and (idle := changed(options, "warmup_ratio", "warmup_steps")):
        idle = [one for one in idle if getattr(options, one)]
        if idle:
            problems.append(
                f"{', '.join(idle)} has no effect with lr_scheduler_type: constant; take constant_with_warmup"
            )
    if options.warmup_steps is not None and changed(options, "warmup_ratio"):
        problems.append("warmup_ratio has no effect beside warmup_steps; leave one of them out")
    if name != "warmup_stable_decay" and changed(options, "decay_ratio"):
        problems.append(f"decay_ratio has no effect with lr_scheduler_type: {name}; take warmup_stable_decay")
    told, known = set(options.lr_scheduler_kwargs), SCHEDULES[name]
    if told - known:
        takes = ", ".join(sorted(known)) or "nothing"
        problems.append(f"lr_scheduler_kwargs: {name} takes {takes}, not {', '.join(sorted(told - known))}")
    problems += _of_decay(options)
    if name == "cosine_with_min_lr" and not told & {"min_lr", "min_lr_rate"}:
        problems.append("lr_scheduler_kwargs: cosine_with_min_lr needs min_lr or min_lr_rate")
    if float(options.lr_scheduler_kwargs.get("lr_end", 0)) >= options.learning_rate:
        problems.append("lr_scheduler_kwargs: lr_end has to be below learning_rate")
    return problems


_SHAPES = ("linear", "cosine", "1-sqrt")


def _of_decay(options: TrainOptions) -> list[str]:
    """What is wrong with the settings of warmup_stable_decay."""
    if options.lr_scheduler_type != "warmup_stable_decay":
        return []
    told, problems = options.lr_scheduler_kwargs, []
    for name in ("warmup_type", "decay_type"):
        if name in told and told[name] not in _SHAPES:
            problems.append(f"lr_scheduler_kwargs: {name} is one of {', '.join(_SHAPES)}, not {told[name]}")
    if "warmup_type" in told and not (
        options.warmup_steps if options.warmup_steps is not None else options.warmup_ratio
    ):
        problems.append("lr_scheduler_kwargs: warmup_type has no effect without a warm-up")
    if "num_cycles" in told and told.get("decay_type", "cosine") != "cosine":
        problems.append(
            f"lr_scheduler_kwargs: num_cycles has no effect with decay_type: {told['decay_type']}"
        )
    steps = told.get("num_decay_steps")
    if steps is None:
        return problems
    if not isinstance(steps, float) or not steps.is_integer() or steps < 1:
        return [*problems, f"lr_scheduler_kwargs: num_decay_steps is a whole number from 1 on, not {steps}"]
    if changed(options, "decay_ratio"):
        problems.append(
            "decay_ratio has no effect beside lr_scheduler_kwargs: num_decay_steps; leave one of them out"
        )
    if options.max_steps and (short := options.too_few_steps(options.max_steps)):
        problems.append(short)
    return problems
