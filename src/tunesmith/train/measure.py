"""What a run takes from the machine: memory, and room on the disk."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import MissingError

if TYPE_CHECKING:
    import torch

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


def check_disk(folder: Path, trainable: int) -> None:
    """Refuse to start a run that would fill the disk.

    Two checkpoints are kept and a third is written before one goes: each holds the trained weights and AdamW's two
    moments in float32 (12 bytes a number). The best and the final weights come on top.

    Raises:
        MissingError: there is not that much room.
    """
    needed = trainable * (3 * 12 + 2 * 4) + 16 * _MIB
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MissingError(
            f"the disk has {free // _MIB} MiB left, and training may need {needed // _MIB} MiB for its checkpoints",
            where=str(folder),
            do="Free some room, or lower lora_r.",
        )
