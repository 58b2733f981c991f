"""One model over several processes: a copy in each (DDP), or a part of the weights in each (FSDP2).

Accelerate would wrap the model's own forward. The loss is not computed there, so a module of ours is wrapped: it is
called with a question (`layout.losses`, or a validation) and asks it of the model inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor, distribute_tensor

from tunesmith.train.distributed import world


class Whole(torch.nn.Module):
    """A model whose call is a question asked of it, so that what wraps it sees forward begin and end."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, question: Callable[[Any], Any]) -> Any:
        return question(self.model)


def share_out(whole: Whole, layers: list[Any], device: torch.device) -> None:
    """Keep a part of each weight in each process; a layer's weights come together while it is computed."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (world().size,))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(whole, mesh=mesh)


def hand_back(whole: Whole) -> None:
    """Let every process keep its part only, as after a backward pass; all have to call.

    What is outside of the layers stays together after a forward pass. A process that saves would hand its copy back by
    itself (`state_dict` does), and would then wait alone for the others' parts in the next pass.
    """
    from torch.distributed.fsdp import FSDPModule

    for part in whole.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def layers_of(model: Any) -> list[Any]:
    """The blocks of a transformers model, by what it says of itself."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    names = set(getattr(base, "_no_split_modules", None) or ())
    return [part for part in base.modules() if type(part).__name__ in names]


def copies(whole: Whole) -> Any:
    """The same model in each process; gradients are averaged as backward computes them."""
    # Buffers are the same everywhere, and every trained weight has its share in every loss.
    return torch.nn.parallel.DistributedDataParallel(whole, broadcast_buffers=False)


def full(tensor: Any) -> Any:
    """The whole of a tensor that is shared out; every process has to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(model: Any) -> dict[str, Any]:
    """The trained weights by name, whole, on the CPU of the first process (nothing in the others)."""
    state = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        if weight.requires_grad:
            whole = full(weight.detach())
            if world().is_first:
                state[name] = whole.cpu()
    return state


@contextmanager
def trained_weights_whole(model: Any) -> Iterator[None]:
    """Inside, what saves the model finds whole tensors in place of shares, in the first process."""
    state = gathered(model)
    owners = []
    for module in model.modules():
        for name, weight in list(module._parameters.items()):
            if isinstance(weight, DTensor):
                owners.append((module, name, weight))
    names = {id(weight): name for name, weight in model.named_parameters()}
    try:
        for module, name, weight in owners:
            found = state.get(names[id(weight)])
            if found is not None:
                module._parameters[name] = torch.nn.Parameter(found)
        yield
    finally:
        for module, name, weight in owners:
            module._parameters[name] = weight


def optimizer_state(optimizer: Any) -> dict[str, Any]:
    """The optimiser's state as one process alone would have it."""
    state: dict[str, Any] = optimizer.state_dict()
    moments = {
        number: {name: full(value) for name, value in one.items()} for number, one in state["state"].items()
    }
    return {**state, "state": moments}


def load_optimizer_state(optimizer: Any, state: dict[str, Any]) -> None:
    """Share the state of `optimizer_state` out as the weights are."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    moments = {
        number: {
            name: _like(value, weights[number]) if torch.is_tensor(value) and value.dim() else value
            for name, value in one.items()
        }
        for number, one in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": moments})


def _like(value: torch.Tensor, weight: Any) -> Any:
    if not isinstance(weight, DTensor):
        return value
    return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements)


def agreed(value: bool) -> bool:
    """The first process's answer, in all of them."""
    if world().size == 1:
        return value
    answer = torch.tensor([float(value)])
    dist.broadcast(answer, src=0)
    return bool(answer.item())
