"""Several processes, one run: who each is, how they meet, and what they tell each other while training.

`torchrun` or `accelerate launch` starts the same command in every process. They meet in the launcher's key-value store;
torch's process group is made when training starts, so that no collective call waits while the first process reads or
synthesizes. Who leads and who follows is the business of `following`.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError, MissingError
from tunesmith.train.options import TrainOptions

if TYPE_CHECKING:
    import torch

_COLLECTIVE_PATIENCE = timedelta(hours=2)
"""How long processes wait for each other inside a training: one may be writing a checkpoint to a slow disk."""
_THEIRS = ("ACCELERATE_MIXED_PRECISION", "ACCELERATE_USE_FSDP", "ACCELERATE_TORCH_DEVICE")
"""What `accelerate launch` sets and tunesmith decides by its own options: `dtype`, `fsdp`, `device`."""


@dataclass(frozen=True, slots=True)
class World:
    """The processes of this command."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Number of this process among those of its machine."""
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0


@cache
def world() -> World:
    """What the launcher's environment says; one process where there is no launcher.

    Raises:
        InputError: `accelerate launch` is set to something tunesmith does not do.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    rank, size, local_rank, local_size = (os.environ.get(name, "") for name in names)
    if not (rank.isdigit() and size.isdigit() and int(size) > 1):
        return World()
    for name, what in (
        ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed"),
        ("ACCELERATE_USE_MEGATRON_LM", "Megatron-LM"),
    ):
        if os.environ.get(name, "").lower() == "true":
            raise InputError(
                f"`accelerate launch` is set to {what}, which is not supported",
                do="Launch with --multi_gpu, or with --use_fsdp, or take torchrun.",
            )
    return World(
        int(rank),
        int(size),
        int(local_rank) if local_rank.isdigit() else 0,
        int(local_size) if local_size.isdigit() else 1,
    )


@cache
def launcher_wants_fsdp() -> bool:
    """Whether `accelerate launch --use_fsdp` started this."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def wants_fsdp(options: TrainOptions) -> bool:
    """Whether the weights are to be shared out.

    Raises:
        InputError: they cannot be, with these options or in one process.
    """
    wanted = launcher_wants_fsdp() if options.fsdp is None else options.fsdp
    if not wanted:
        return False
    if world().size == 1:
        if options.fsdp is None:
            return False
        raise InputError(
            "fsdp shares weights between processes, and there is one",
            where="train.fsdp",
            do="Leave it empty, or start several: torchrun --nproc-per-node 2 -m tunesmith run plan.yaml.",
        )
    if options.in_four_bits:
        raise InputError(
            "weights in 4 bits are not shared out",
            where="train.method",
            do="Take fsdp: false, or method: lora.",
        )
    if options.optim != "adamw_torch":
        raise InputError(
            f"optim: {options.optim} does not work on weights that are shared out",
            where="train.optim",
            do="Take adamw_torch, or fsdp: false.",
        )
    return True


def own_device(device: str) -> str:
    """The device of this process: the GPU that has its number on this machine, unless the plan wants another kind.

    Raises:
        InputError: a plan that names one GPU for processes that need one each.
    """
    if world().size == 1 or device in ("cpu", "mps"):
        return device
    if ":" in device:
        if world().local_size > 1:
            raise InputError(
                f"{device} is one device, and {world().local_size} processes need one each",
                where="train.device",
                do="Take `device: auto` or `device: cuda`: each process then takes the GPU of its number.",
            )
        return device
    import torch

    if device == "auto" and not torch.cuda.is_available():
        return device
    return f"cuda:{world().local_rank}"


@cache
def store() -> Any:
    """The launcher's key-value store: torchrun's own, or one in the first process."""
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous as rendezvous

    found, _rank, _size = next(rendezvous("env://", timeout=timedelta(minutes=10)))
    return PrefixStore("tunesmith", found)


def join(device: torch.device | str) -> None:
    """Make the process group in which gradients meet: NCCL between GPUs, gloo between CPUs. Once is enough."""
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore

    for name in _THEIRS:
        launcher_wants_fsdp()  # remembered before it is taken out
        os.environ.pop(name, None)
    if world().size == 1 or dist.is_initialized():
        return
    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo",
        store=PrefixStore("group", store()),
        rank=world().rank,
        world_size=world().size,
        timeout=_COLLECTIVE_PATIENCE,
    )


def leave() -> None:
    """Take the process group down."""
    import torch.distributed as dist

    if world().size > 1 and dist.is_initialized():
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


def wait_for_all() -> None:
    """Every process gets here before any goes on."""
    if world().size > 1:
        import torch
        import torch.distributed as dist

        # Not dist.barrier(): with NCCL that would need the GPU, and a sum on the CPU says the same.
        dist.all_reduce(torch.zeros(1))


def from_first(value: Any) -> Any:
    """The first process's value, in every process."""
    if world().size == 1:
        return value
    import torch
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def of_all(value: Any) -> list[Any]:
    """The values of all processes, by rank, in every process."""
    if world().size == 1:
        return [value]
    import torch.distributed as dist

    # Through the store's group on the CPU: an object gather with NCCL would go through the GPU.
    values: list[Any] = []
    for rank in range(world().size):
        box = [value]
        import torch

        dist.broadcast_object_list(box, src=rank, device=torch.device("cpu"))
        values.append(box[0])
    return values


def check_same_folder(folder: Path) -> None:
    """Raise `MissingError` where a process cannot see what the first one writes: checkpoints are read by all."""
    token = folder / ".seen-by-all"
    if world().is_first:
        token.touch()
    wait_for_all()
    deadline = time.monotonic() + 20  # a network disk may show a new file late
    while not (seen := token.exists()) and time.monotonic() < deadline:
        time.sleep(0.2)
    blind = [rank for rank, sees in enumerate(of_all(seen)) if not sees]
    if world().is_first:
        token.unlink()
    if blind:
        raise MissingError(
            f"process {blind[0]} cannot see the folder the first one writes to",
            where=str(folder),
            do="Put the run folder on a disk that all machines share (--out).",
        )
