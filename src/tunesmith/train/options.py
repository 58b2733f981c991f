"""Options of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from tunesmith.models.load import BUILTIN, ComputeOptions
from tunesmith.tasks.base import Truncate

Progress = Callable[[int, int | None, str], None]
"""Called with (done, total, what)."""


ONLY_FOR = {
    "max_target_length": "seq2seq",
    "labels": "classify",
    "class_weights": "classify",
    "metric_for_best_model": "classify",
}
"""Options that do nothing in other tasks."""


class TrainOptions(ComputeOptions):
    """Options of training, named as in transformers and peft."""

    base: str = Field(BUILTIN, description="Model to tune: builtin, a folder, or a hub id.")
    method: Literal["lora", "dora", "rslora", "full"] = Field(
        "lora", description="What is trained: an adapter, or all."
    )
    lora_r: int = Field(16, ge=1, description="Rank of the adapter.")
    lora_alpha: float = Field(
        32, gt=0, description="Scale of the adapter: its output is multiplied by alpha / r."
    )
    lora_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of adapter inputs set to zero while training."
    )
    target_modules: str | list[str] = Field("all-linear", description="Layers that get an adapter.")
    learning_rate: float = Field(5e-4, gt=0, description="Highest learning rate.")
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = Field(
        "cosine", description="Course of the learning rate after warm-up."
    )
    warmup_ratio: float = Field(
        0.03, ge=0, lt=1, description="Share of the steps in which the learning rate rises."
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay.")
    max_grad_norm: float = Field(
        1.0, ge=0, description="Gradients longer than this are shortened to it; 0 for never."
    )
    optim: Literal["adamw_torch", "adafactor"] = Field("adamw_torch", description="Optimiser.")
    per_device_train_batch_size: int = Field(8, ge=1, description="Rows that go through the model at once.")
    gradient_accumulation_steps: int = Field(1, ge=1, description="Batches per step.")
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
    save_steps: int | None = Field(
        None, ge=1, description="Steps between checkpoints; empty for about once a minute."
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="Seed of the adapter's first weights, the order of rows, and dropout."
    )
    report_to: str | list[str] = Field(
        "none", description="Trackers that are told the losses: tensorboard, mlflow, …."
    )

    @model_validator(mode="after")
    def _warm_up_has_an_effect(self) -> TrainOptions:
        if (
            self.lr_scheduler_type == "constant"
            and "warmup_ratio" in self.model_fields_set
            and self.warmup_ratio > 0
        ):
            raise ValueError(
                "warmup_ratio has no effect with lr_scheduler_type: constant; take constant_with_warmup"
            )
        return self

    def idle(self, task: str) -> list[str]:
        """What was asked for and does nothing in this task, each with the task it is for."""
        return [
            f"{name} has no effect with task: {task}; it is for task: {only}"
            for name, only in ONLY_FOR.items()
            if task != only and getattr(self, name) != type(self).model_fields[name].default
        ]
