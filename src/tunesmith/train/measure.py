"""What a run takes from the machine: memory, and room on the disk."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import MissingError

if TYPE_CHECKING:
    import torch

    from tunesmith.tasks.base import Rendered
    from tunesmith.train.layout import Layout

_MIB = 1 << 20


def forget_peak_memory(device: torch.device) -> None:
    """Start measuring anew, so that the peak is that of the work to come."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    else:
        # Linux resets VmHWM, the peak of resident memory, when 5 is written here (proc(5)).
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mb(device: torch.device) -> float:
    """Most memory in MiB since `forget_peak_memory`: of the GPU's tensors, or resident in the whole process.

    Where the system keeps no peak that can be reset, it is the peak since the process began.
    """
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / _MIB
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return _peak_since_start_mb()


def _peak_since_start_mb() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MIB if sys.platform == "darwin" else peak / 1024  # bytes on macOS, KiB on Linux


def check_disk(folder: Path, trainable: int, n_checkpoints: int = 2) -> None:
    """Refuse to start a run that would fill the disk.

    `n_checkpoints` are kept and one more is written before one goes: each holds the trained weights and AdamW's two
    moments in float32 (12 bytes a number). The best and the final weights come on top.

    Raises:
        MissingError: there is not that much room.
    """
    needed = trainable * ((n_checkpoints + 1) * 12 + 2 * 4) + 16 * _MIB
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MissingError(
            f"the disk has {free // _MIB} MiB left, and training may need {needed // _MIB} MiB for its checkpoints",
            where=str(folder),
            do="Free some room, or lower save_total_limit or lora_r.",
        )


def try_largest_batch(model: Any, layout: Layout, rows: Sequence[Rendered], batch_size: int) -> None:
    """Forward and backward through the longest rows, so that memory runs out now or never; nothing is learnt."""
    longest = sorted(rows, key=lambda row: row.n_tokens)[-batch_size:]
    device = next(model.parameters()).device
    model.train()
    try:
        inputs = {
            name: part.to(device) if hasattr(part, "to") else part
            for name, part in layout.collate(longest).items()
        }
        total: Any = layout.losses(model, inputs)[0].sum()
        total.backward()
    finally:
        model.zero_grad(set_to_none=True)
