"""Joules that a run took: read from the machine's own counters where it has them, else estimated and called so.

- NVIDIA GPUs (Volta and later) count the energy of the whole board; NVML reads it out in millijoules.
- Intel and AMD processors count that of each package and often of the memory; Linux shows it in microjoules under
  /sys/class/powercap (RAPL), mostly to root only. What else ran on the machine is in it.
- Otherwise: 12 W for each core that was busy and 0.3725 W for each GB of memory in use, and 200 W for a GPU: the
  averages of Green Algorithms (Lannelongue, Grealey and Inouye 2021, doi:10.1002/advs.202100707; its table of
  processors, line "Any"), without its factor for the building's cooling.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.records import Energy

POWERCAP = Path("/sys/class/powercap")
WATTS_PER_CORE = 12.0
WATTS_PER_GB = 0.3725
WATTS_PER_GPU = 200.0
_SECONDS_BETWEEN_READINGS = 20.0
"""A counter of a package starts again from 0 every few minutes to hours, so it is looked at now and then."""


@dataclass
class _Counter:
    """One RAPL domain: energy since some time in microjoules, starting again from 0 after `span`."""

    file: Path
    span: int
    last: int
    total: int = 0

    def look(self) -> None:
        now = int(self.file.read_text(encoding="ascii"))
        self.total += now - self.last if now >= self.last else self.span - self.last + now
        self.last = now


def rapl_counters(folder: Path = POWERCAP) -> list[_Counter]:
    """The packages, and the memory beside them; empty where they cannot be read. Domains inside a package (cores) are
    part of its figure and left out, as is `psys`, which holds everything once more."""
    found = []
    for domain in sorted(folder.glob("intel-rapl:*")):
        try:
            name = (domain / "name").read_text(encoding="ascii").strip()
            if name.startswith("package") or name == "dram":
                file = domain / "energy_uj"
                span = int((domain / "max_energy_range_uj").read_text(encoding="ascii"))
                found.append(_Counter(file, span, int(file.read_text(encoding="ascii"))))
        except (OSError, ValueError):
            continue
    return found if any("package" in (counter.file.parent / "name").read_text() for counter in found) else []


def nvml_counter(device: Any) -> Callable[[], float] | None:
    """A function that gives the joules the GPU has taken since its driver was loaded; `None` where it does not say."""
    if device.type != "cuda":
        return None
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handle = _nvml_handle(device, nvml)
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # no package, no driver, a card that does not count: pynvml has an error class for each
        return None
    return lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000


def _nvml_handle(device: Any, nvml: Any) -> Any:
    """NVML counts all cards of the machine, torch those that CUDA_VISIBLE_DEVICES shows, by number or by name."""
    import torch

    index = device.index if device.index is not None else torch.cuda.current_device()
    shown = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    name = shown[index] if index < len(shown) else str(index)
    return (
        nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else nvml.nvmlDeviceGetHandleByUUID(name)
    )


class EnergyMeter:
    """Measures from when it is made.

    Args:
        device: where the work is done.
        counts_machine: whether this process reads the counters of the machine; one of each machine does.
        before: joules of earlier sittings, and whether those were read.
    """

    def __init__(
        self,
        device: Any,
        *,
        counts_machine: bool = True,
        before: Energy | None = None,
        powercap: Path = POWERCAP,
    ) -> None:
        self.device = device
        self.before = before
        self._gpu = nvml_counter(device)
        self._gpu_at_start = self._gpu() if self._gpu else 0.0
        can_read = rapl_counters(powercap)
        self._has_rapl = bool(can_read)
        self._counters = can_read if counts_machine else []
        self._wall = time.monotonic()
        self._cpu = time.process_time()
        self._looked = self._wall

    def look(self) -> None:
        """To be called now and then."""
        if time.monotonic() - self._looked >= _SECONDS_BETWEEN_READINGS:
            self._read()

    def _read(self) -> None:
        self._looked = time.monotonic()
        try:
            for counter in self._counters:
                counter.look()
        except (OSError, ValueError):  # the right to read can be taken away
            self._counters, self._has_rapl = [], False

    def energy(self) -> Energy:
        """What was taken so far, over all sittings."""
        self._read()
        wall, cpu = time.monotonic() - self._wall, time.process_time() - self._cpu
        joules, read, guessed = 0.0, [], []
        if self._has_rapl:
            joules += sum(counter.total for counter in self._counters) / 1e6
            read.append("the processors' counters (RAPL), with all else that ran on the machine")
        else:
            joules += cpu * WATTS_PER_CORE + wall * resident_gb() * WATTS_PER_GB
            guessed.append(f"{WATTS_PER_CORE:g} W a busy core and {WATTS_PER_GB:g} W a GB of memory")
        if self._gpu:
            joules += self._gpu() - self._gpu_at_start
            read.append("the GPU's counter (NVML)")
        elif self.device.type == "cuda":
            joules += wall * WATTS_PER_GPU
            guessed.append(f"{WATTS_PER_GPU:g} W a GPU")
        now = Energy(joules, bool(guessed), _in_words(read, guessed))
        return add_energies([self.before, now]) if self.before else now


def _in_words(read: list[str], guessed: list[str]) -> str:
    parts = []
    if read:
        parts.append(f"read from {' and '.join(read)}")
    if guessed:
        parts.append(f"estimated from {' and '.join(guessed)}, averages of Green Algorithms (2021)")
    return "; ".join(parts)


def add_energies(energies: list[Energy]) -> Energy:
    """The sum, estimated where one of them is; each way of knowing is said once."""
    ways = list(dict.fromkeys(energy.how for energy in energies))
    return Energy(
        sum(energy.joules for energy in energies),
        any(energy.estimated for energy in energies),
        "; ".join(ways),
    )


def resident_gb() -> float:
    """Memory of this process that is in use now."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
