"""LoRA layers that compute in the precision of the base, and a base that serves several adapters in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def speed_up_adapters(model: Any) -> int:
    """Make plain LoRA layers compute in the precision of the base, and return how many were changed.

    peft casts each input of a layer to the adapter's float32, multiplies there, scales, adds and casts back: over a
    bfloat16 base that is most of the work. Here the float32 weights are rounded to the base's precision instead, as
    autocast would, and one product adds to the base's output. Gradients still reach the float32 weights.
    """
    import peft.tuners.lora.layer

    changed = 0
    layer: Any
    for layer in model.modules():
        if type(layer) is peft.tuners.lora.layer.Linear and "forward" not in vars(layer):
            vars(layer)["forward"] = partial(_lora_forward, layer, layer.forward)
            changed += 1
    return changed


def _lora_forward(
    layer: Any, usual: Callable[..., Any], x: torch.Tensor, *arguments: Any, **keywords: Any
) -> Any:
    """`base(x) + scaling * dropout(x) A^T B^T` for x (…, in), A (r, in), B (out, r)."""
    import torch
    from torch.nn.functional import linear

    names = [name for name in layer.active_adapters if name in layer.lora_A]
    is_plain = (
        len(names) == 1
        and not (arguments or keywords or layer.disable_adapters or layer.merged)
        and names[0] not in layer.lora_variant
        and layer.lora_B[names[0]].bias is None
    )
    if not is_plain:
        return usual(x, *arguments, **keywords)
    name = names[0]
    base, down, up = layer.base_layer, layer.lora_A[name].weight, layer.lora_B[name].weight
    if (
        type(base) is torch.nn.Linear
        and "forward" not in vars(base)
        and not base.weight.requires_grad
        and type(layer.lora_dropout[name]) is torch.nn.Identity
    ):
        from tunesmith.models import kernels

        segment = (0, x.shape[:-1].numel(), layer.scaling[name], down, up)
        return kernels.adapted_linear(x, base.weight, base.bias, [segment])
    out = base(x)
    narrow = linear(layer.lora_dropout[name](x), down.to(x.dtype))
    wide = torch.addmm(
        out.flatten(0, -2), narrow.flatten(0, -2), up.to(x.dtype).t(), alpha=layer.scaling[name]
    )
    return wide.view(out.shape)


@dataclass
class SharedBase:
    """A base whose linear layers serve several adapters in one pass: which tokens have which is set before each."""

    adapters: list[tuple[int, int, dict[str, tuple[float, torch.Tensor, torch.Tensor]]]] = field(
        default_factory=list
    )
    """(first token, one past the last, layer name -> (scaling, A, B))."""

    def forward(self, name: str, layer: Any, usual: Callable[..., Any], x: torch.Tensor) -> Any:
        from tunesmith.models import kernels

        segments = [
            (start, stop, *factors[name]) for start, stop, factors in self.adapters if name in factors
        ]
        return kernels.adapted_linear(x, layer.weight, layer.bias, segments) if segments else usual(x)


@contextmanager
def shared_base(base: Any, names: Sequence[str]) -> Iterator[SharedBase]:
    """Let the linear layers called `names` look up their adapters in what is yielded, while the block runs."""
    shared = SharedBase()
    layers = [(name, base.get_submodule(name)) for name in names]
    for name, layer in layers:
        vars(layer)["forward"] = partial(shared.forward, name, layer, layer.forward)
    try:
        yield shared
    finally:
        for _, layer in layers:
            del vars(layer)["forward"]
