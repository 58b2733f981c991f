"""Attention written out for a CPU, and attention row by row for rows laid end to end."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.models.fast.asking import asked

if TYPE_CHECKING:
    import torch

_LONGEST_WRITTEN_OUT = 1024
"""Beyond this many positions the T x T matrix of attention weights costs more memory than its speed is worth."""

_ATTENTION = "tunesmith_cpu"
_ROW_ATTENTION = "tunesmith_rows"
_NOT_WRITTEN_OUT = ("position_bias", "softcap", "s_aux", "cache")
"""Variants of attention that are left to transformers."""


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
        and dropout < 1.0
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
    from tunesmith.models import kernels

    if attention_mask is None and causal:
        attention_mask = torch.ones(length, seen, dtype=torch.bool).tril()
    groups = query.shape[1] // key.shape[1]
    answer = kernels.attention(
        query,
        repeat_kv(key, groups),
        repeat_kv(value, groups),
        attention_mask,
        scaling=query.shape[-1] ** -0.5 if scaling is None else scaling,
        dropout=dropout,
    )
    return answer.transpose(1, 2).contiguous(), None


def use_row_attention(model: Any) -> bool:
    """Let the model take rows laid end to end, none of which sees another; say whether it can.

    With flash-attention that is its own doing. Otherwise attention is computed row by row, from the bounds that
    `rows_end_to_end` passes; a model that keeps them from its attention, or mixes tokens in another way, cannot.
    Nothing is left changed when the answer is no.
    """
    from transformers import AttentionInterface

    before = model.config._attn_implementation
    if before == "flash_attention_2":
        return _keeps_rows_apart(model)
    if before not in ("sdpa", _ATTENTION) or vars(model.config).get("attention_dropout"):
        return False
    AttentionInterface.register(_ROW_ATTENTION, _attend_rows)
    # It is not registered for masks: transformers then makes none.
    model.set_attn_implementation(_ROW_ATTENTION)
    if _keeps_rows_apart(model):
        return True
    model.set_attn_implementation(before)
    return False


def rows_end_to_end(bounds: Sequence[int], device: Any) -> dict[str, Any]:
    """What a model is told besides the tokens (1, N) of rows that begin at `bounds`, which ends with N.

    These are transformers' names for flash-attention's variable-length form, which every model hands on.
    """
    import torch

    lengths = [stop - start for start, stop in itertools.pairwise(bounds)]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    edges = torch.tensor(bounds, dtype=torch.int32, device=device)
    return {
        "position_ids": positions.to(device),
        "cu_seq_lens_q": edges,
        "cu_seq_lens_k": edges,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
    }


def _keeps_rows_apart(model: Any) -> bool:
    """Whether two short rows laid end to end get the logits that each gets alone."""
    import torch

    vocabulary = model.get_input_embeddings().weight.shape[0]
    rows = [
        torch.arange(length, device=model.device) * 7919 % vocabulary for length in (5, 9)
    ]  # any tokens will do
    try:
        with asked(model):
            alone = [model(input_ids=row[None], use_cache=False).logits[0] for row in rows]
            together = model(
                input_ids=torch.cat(rows)[None],
                use_cache=False,
                **rows_end_to_end([0, 5, 14], model.device),
            ).logits[0]
    except (TypeError, ValueError, RuntimeError, NotImplementedError, IndexError):
        return False
    expected = torch.cat(alone).float()
    tolerance = {torch.float32: 1e-4}.get(model.dtype, 5e-2) * expected.abs().max().item()
    return bool((together.float() - expected).abs().max().item() <= tolerance)


def _attend_rows(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    sliding_window: int | None = None,
    **keywords: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of query (B, H, T, D) to key and value (B, K, S, D); rows are laid end to end when B is 1."""
    import torch

    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    strange = [name for name in _NOT_WRITTEN_OUT if keywords.get(name) is not None]
    if not causal or strange or dropout or query.shape[2] != key.shape[2] or attention_mask is not None:
        raise NotImplementedError("this kind of attention is not computed row by row")
    if scaling is None:
        scaling = query.shape[-1] ** -0.5
    from tunesmith.models import kernels

    length = query.shape[2]
    bounds = [0, length] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
    longest = max(stop - start for start, stop in itertools.pairwise(bounds))
    write_out = query.device.type == "cpu" and longest <= _LONGEST_WRITTEN_OUT
    window = sliding_window if sliding_window is not None and sliding_window < longest else None
    if query.shape[0] > 1 and bounds != [0, length]:
        raise NotImplementedError("rows laid end to end are one sequence")
    parts = []
    for q, k, v in zip(query, key, value, strict=True):
        if write_out or window is not None:
            parts.append(kernels.row_attention(q, k, v, bounds, scaling=scaling, window=window))
        else:
            parts.append(
                torch.cat(
                    [
                        torch.nn.functional.scaled_dot_product_attention(
                            q[None, :, start:stop],
                            k[None, :, start:stop],
                            v[None, :, start:stop],
                            is_causal=True,
                            scale=scaling,
                            enable_gqa=q.shape[0] != k.shape[0],
                        )[0].transpose(0, 1)
                        for start, stop in itertools.pairwise(bounds)
                    ]
                )
            )
    return (parts[0][None] if len(parts) == 1 else torch.stack(parts)), None
