"""Where and how exactly a model computes: device, precision, threads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from tunesmith.errors import MissingError, first_line
from tunesmith.options import Options, changed

if TYPE_CHECKING:
    import torch

DtypeName = Literal["auto", "float32", "bfloat16", "float16"]


class ComputeOptions(Options):
    """Where and how exactly a model computes: the part that training and generation share."""

    dtype: DtypeName = Field(
        "auto", description="Precision of the weights; auto takes the fastest the device is good at."
    )
    device: str = Field("auto", description="Device: auto, cpu, cuda, cuda:1, mps.")
    threads: int | None = Field(
        None, ge=1, description="CPU threads; empty takes the cores that are free at the start."
    )
    trust_remote_code: bool = Field(False, description="Run Python code that comes with a model from a hub.")
    load_in_4bit: bool | None = Field(
        None,
        description="Hold the weights in 4 bits (bitsandbytes); empty: in training with method: qlora, in use as in"
        " training.",
    )
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = Field("nf4", description="Kind of 4-bit numbers.")
    bnb_4bit_use_double_quant: bool = Field(
        True, description="Hold the scales of the 4-bit numbers in 8 bits."
    )
    bnb_4bit_compute_dtype: DtypeName = Field(
        "auto", description="Precision of products with 4-bit weights; auto is that of dtype."
    )

    @property
    def in_four_bits(self) -> bool:
        return bool(self.load_in_4bit)

    @model_validator(mode="after")
    def _four_bits_have_an_effect(self) -> Self:
        idle = changed(self, "bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "bnb_4bit_compute_dtype")
        if idle and not self.in_four_bits:
            raise ValueError(f"{', '.join(idle)} has no effect without load_in_4bit: true")
        return self


def choose_device(device: str) -> torch.device:
    """The device called `device`; `auto` is the GPU if there is one.

    Raises:
        MissingError: the device is not there.
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise MissingError(
            f"the device {device!r} cannot be used ({first_line(error)})",
            do="Take `device: auto` or `device: cpu`.",
        ) from error
    return place


def choose_dtype(dtype: DtypeName, device: torch.device) -> torch.dtype:
    """The precision called `dtype`; `auto` is bfloat16 where the device multiplies it in hardware, else float32."""
    import torch

    if dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu" and cpu_multiplies_bfloat16():
        return torch.bfloat16
    return torch.float32


def cpu_multiplies_bfloat16() -> bool:
    """Whether this CPU has AMX tiles for bfloat16: without them bfloat16 is slower than float32 on a CPU."""
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    return bool(torch.cpu._is_amx_tile_supported())  # torch 2.6 to 2.9 have no public question for it


def set_threads(threads: int | None) -> int:
    """Give torch that many CPU threads and return the number; `None` takes the cores that are free now.

    More OpenMP threads than free cores make them wait for each other: two threads on two busy cores are several times
    slower than one. `OMP_NUM_THREADS` in the environment is obeyed when no number is given.
    """
    import torch

    if threads is None:
        asked = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(asked) if asked.isdigit() and int(asked) > 0 else free_cores()
    torch.set_num_threads(threads)
    return threads


def free_cores() -> int:
    """Cores this process may use, less what ran on the machine during the last minute; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, min(allowed, round(allowed - busy)))
