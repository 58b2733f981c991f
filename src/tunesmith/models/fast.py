"""Faster forms of what peft and transformers compute: the one place where loaded models are patched.

Each patch computes the same formula as what it replaces, and steps aside for anything it was not written for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_LONGEST_WRITTEN_OUT = 1024
"""Beyond this many positions the T x T matrix of attention weights costs more memory than its speed is worth."""

_ATTENTION = "tunesmith_cpu"
_NOT_WRITTEN_OUT = ("position_bias", "softcap", "s_aux", "cache")
"""Variants of attention that are left to transformers."""


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
    out = layer.base_layer(x)
    narrow = linear(layer.lora_dropout[name](x), layer.lora_A[name].weight.to(x.dtype))
    widen = layer.lora_B[name].weight.to(x.dtype).t()
    wide = torch.addmm(out.flatten(0, -2), narrow.flatten(0, -2), widen, alpha=layer.scaling[name])
    return wide.view(out.shape)


def speed_up_attention(model: Any) -> bool:
    """On a CPU, write attention out as two products and a softmax while training; say whether that was done.

    With matrix units for bfloat16 that is faster than torch's fused kernel, above all backward.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if model.device.type != "cpu" or model.config._attn_implementation != "sdpa":
        return False
    AttentionInterface.register(_ATTENTION, _attend)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
    model.set_attn_implementation(_ATTENTION)
    return True


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **keywords: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of query (B, H, T, D) to key and value (B, K, S, D), K dividing H; gives (B, T, H, D)."""
    import torch
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    length, seen = query.shape[2], key.shape[2]
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    written_out = (
        torch.is_grad_enabled()
        and 1 < length == seen <= _LONGEST_WRITTEN_OUT
        and dropout == 0.0
        and (attention_mask is None or attention_mask.dtype == torch.bool)
        and not any(keywords.get(name) is not None for name in _NOT_WRITTEN_OUT)
    )
    if not written_out:
        out: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            is_causal=is_causal,
            **keywords,
        )
        return out
    if attention_mask is None and causal:
        attention_mask = torch.ones(length, seen, dtype=torch.bool).tril()
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scores = torch.matmul(
        query * (query.shape[-1] ** -0.5 if scaling is None else scaling), key.transpose(2, 3)
    )
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(query.dtype).min)
    return torch.matmul(scores.softmax(dim=-1), value).transpose(1, 2).contiguous(), None
