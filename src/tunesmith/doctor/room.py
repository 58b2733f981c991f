"""Whether memory and disk are large enough for the training a plan asks for."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.doctor.check import Check
from tunesmith.doctor.machine import GIB, available_memory, total_memory
from tunesmith.doctor.memory import estimate_training_bytes
from tunesmith.forecast import count_weights
from tunesmith.models.load import choose_device, choose_dtype
from tunesmith.plan import Plan
from tunesmith.tasks.base import Rendered
from tunesmith.train.options import TrainOptions

_DO = "Take a smaller per_device_train_batch_size or max_length, gradient_checkpointing: true, or method: qlora."


def memory(options: TrainOptions, config: Any, whole: Sequence[Rendered]) -> Check:
    """The estimate against what the machine has, and what of it is free now.

    More than the machine has in all fails: on a CPU the system would end the process. On a GPU a batch that does not
    fit is halved while training, so there only a single row that does not fit fails.
    """
    import torch

    weights = count_weights(options.base) or 0
    device = choose_device(options.device)
    size = 4 if choose_dtype(options.dtype, device) == torch.float32 else 2
    on_cpu = device.type == "cpu"
    one_row = options.model_copy(update={"per_device_train_batch_size": 1})
    needed, least = (
        estimate_training_bytes(config, weights, one, whole, size, keeps_attention=on_cpu)
        for one in (options, one_row)
    )
    free: int | None
    total: int | None
    free, total = (
        torch.cuda.mem_get_info(device) if device.type == "cuda" else (available_memory(), total_memory())
    )
    return judge_memory(needed, least, free, total, can_halve=not on_cpu or options.auto_find_batch_size)


def judge_memory(needed: int, least: int, free: int | None, total: int | None, *, can_halve: bool) -> Check:
    """What the estimates mean: `needed` for a batch, `least` for one row; bytes.

    Args:
        free: what is free now.
        total: what the machine has.
        can_halve: whether a batch that is too large is made smaller while training.
    """
    words = f"about {_gib(needed)} for weights, optimiser and a batch (an estimate)"
    if free is None or total is None:
        return Check("memory", "note", f"{words}; what the machine has is not known here")
    has = f"{words}; the machine has {_gib(total)}, {_gib(free)} of it free now"
    if (least if can_halve else needed) > total:
        alone = f", and about {_gib(least)} for a single row" if can_halve else ""
        return Check("memory", "failed", f"{has}: too little{alone}", _DO)
    if needed > total:
        return Check("memory", "note", f"{has}: batches will be halved until they fit", _DO)
    if needed > free:
        return Check("memory", "note", f"{has}: too little is free", f"End other programs. {_DO}")
    return Check("memory", "ok", has)


def _gib(n: float) -> str:
    if n < GIB / 10:
        return f"{n / (1 << 20):.0f} MiB"
    return f"{n / GIB:.2f} GiB" if n < 10 * GIB else f"{n / GIB:,.0f} GiB"


def disk(plan: Plan, base: str, folder: Path) -> Check:
    weights = count_weights(base) or 0
    # An adapter is small beside its base; a whole model is kept with its moments in each checkpoint.
    trained = weights if plan.train.method == "full" else weights // 10
    needed = trained * ((plan.train.save_total_limit + 1) * 12 + 8)
    place = next(one for one in (folder, *folder.resolve().parents) if one.exists())
    free = shutil.disk_usage(place).free
    words = f"at most {_gib(needed)} for checkpoints; {_gib(free)} free"
    if needed > free:
        return Check("disk", "failed", words, "Free some room, or lower save_total_limit or lora_r.")
    return Check("disk", "ok", words)
