"""Losses against TRL's SFTTrainer: same adapter at the start, same batches, same schedule."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows
from tunesmith.tasks.base import Rendered, open_task
from tunesmith.train.adapters import put_adapter
from tunesmith.train.batches import BatchPlan
from tunesmith.train.stage import TrainOptions, train_adapter

STEPS = 15


def trl_losses(options: TrainOptions, folder: Path) -> list[float]:
    """TRL is given our rows in our order; its own tokenising, masking and sampling are left out of the comparison."""
    from datasets import Dataset
    from transformers import set_seed
    from trl import SFTConfig, SFTTrainer

    task = open_task("causal", options.base, options)
    rendered = [row for row in map(task.render, make_rows(24)) if isinstance(row, Rendered)]
    plan = BatchPlan([len(row.input_ids) for row in rendered], 8, 1, options.seed)
    ordered = [rendered[row] for epoch in range(5) for step in plan.steps(epoch) for row in step]
    model: Any = task.load(options.base, options)
    set_seed(options.seed)
    model = put_adapter(model, options)
    arguments = SFTConfig(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=8,
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.lr_scheduler_type,
        warmup_steps=2,
        train_sampling_strategy="sequential",
        activation_checkpointing=False,
        bf16=False,
        use_cpu=True,
        max_length=None,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=options.seed,
    )
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(
            [{"input_ids": list(row.input_ids), "labels": list(row.labels)} for row in ordered]
        ),
        processing_class=getattr(task, "tokenizer"),  # noqa: B009
    )
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_losses_equal_those_of_trl(tiny_base: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    options = TrainOptions(
        base=str(tiny_base),
        dtype="float32",
        device="cpu",
        lora_r=4,
        learning_rate=5e-3,
        max_steps=STEPS,
        warmup_ratio=2 / STEPS,
    )
    ours = [loss for _, loss in train_adapter(make_rows(24), [], tmp_path / "ours", options).train_loss]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = trl_losses(options, tmp_path / "trl")
    assert len(ours) == len(theirs) == STEPS
    assert ours[-1] < ours[0] - 1
    worst = max(abs(one - other) for one, other in zip(ours, theirs, strict=True))
    assert worst < 2e-5  # 1.4e-6 when this was written
