"""Dropout whose random numbers are drawn sixteen bits at a time: on a CPU, drawing them is most of its cost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def speed_up_dropout(model: Any) -> int:
    """On a CPU, make the dropout layers of a model draw their numbers faster, and return how many were changed."""
    import torch

    if model.device.type != "cpu":
        return 0
    changed = 0
    for layer in model.modules():
        if type(layer) is torch.nn.Dropout and "forward" not in vars(layer):
            vars(layer)["forward"] = partial(_drop, layer)
            changed += 1
    return changed


def _drop(layer: Any, x: torch.Tensor) -> torch.Tensor:
    import torch

    if not layer.training or layer.p == 0.0:
        return x
    if layer.inplace or layer.p >= 1.0 or not x.is_floating_point():
        return torch.nn.functional.dropout(x, layer.p, True, layer.inplace)
    from tunesmith.models import kernels

    return kernels.drop(x, layer.p)
