"""What makes two runs, or two bases in memory, the same; and the card that tells what an adapter was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from tunesmith.tasks.base import Task
from tunesmith.train.batches import BatchPlan
from tunesmith.train.jobs import as_loaded
from tunesmith.train.options import TrainOptions
from tunesmith.train.rows import Data

_HOW_ONLY = {
    "threads",
    "save_steps",
    "report_to",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "packing",
    "attn_implementation",
    "use_liger_kernel",
    "auto_find_batch_size",
    "save_total_limit",
    "keep_last",
    "continue_from",  # its weights count, not where they lie
    "fsdp",
}
"""Options that change how a run is done but not what comes out, beyond rounding."""


_OF_THE_BASE = (
    "base",
    "continue_from",
    "added_tokens",
    "dtype",
    "device",
    "trust_remote_code",
    "in_four_bits",
    "bnb_4bit_quant_type",
    "bnb_4bit_use_double_quant",
    "bnb_4bit_compute_dtype",
    "attn_implementation",
    "use_liger_kernel",  # its kernels stay in a base that got them
)
"""Options that make the base in memory what it is: jobs that agree in them share it."""

_OF_THE_PASSES = ("threads", "save_steps", "save_total_limit")
"""Options of how that can only be the same for all jobs of a pass."""


def base_key(options: TrainOptions) -> tuple[str, ...]:
    """Equal for two jobs whose base in memory is the same."""
    loaded = as_loaded(options)
    return tuple(repr(getattr(loaded, name)) for name in _OF_THE_BASE)


def passes_key(options: TrainOptions) -> tuple[str, ...]:
    """Equal for two jobs that can go through the base together, if their methods allow it."""
    return (*base_key(options), *(repr(getattr(options, name)) for name in _OF_THE_PASSES))


def run_key(options: TrainOptions, plan: BatchPlan, data: Data, weights: Sequence[str]) -> str:
    """Equal for two calls that train the same weights."""
    digest = hashlib.sha256()
    fixed = options.model_dump(mode="json", exclude=_HOW_ONLY)
    digest.update(json.dumps([fixed, plan.rows_per_step, *weights], sort_keys=True).encode())
    for rows in (data.train, data.validation):
        for row in rows:
            digest.update(repr((row.row_id, row.input_ids, row.labels)).encode())
        digest.update(b"/")
    return digest.hexdigest()


def card_of(
    task: Task, options: TrainOptions, base_sha256: str, before: Sequence[dict[str, str]]
) -> dict[str, Any]:
    """`continues`: the adapters that were merged into the base before, the first of them first."""
    return {
        "base": options.base,
        "base_sha256": base_sha256,
        "task": task.name,
        "template_sha256": task.template_sha256,
        **task.card(),
        "continues": list(before),
        "train": options.model_dump(mode="json") | {"load_in_4bit": options.in_four_bits},
    }
