"""The arithmetic behind `fast`: forward and backward written out, so that nothing is computed, cast or kept in vain.

This module imports torch at its top, since it subclasses torch's classes; `fast` imports it when a model is patched.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd import Function
from torch.nn.functional import linear

Segment = tuple[int, int, float, torch.Tensor, torch.Tensor]
"""(first token, one past the last, scaling, A (r, in), B (out, r)): the adapter of these tokens."""

_LOGITS_AT_ONCE = 1 << 24
"""Logits held at a time (64 MiB in float32): enough rows for a full-speed product with any vocabulary in use."""

_QUERIES_AT_ONCE = 256
"""Attention of longer rows is computed in blocks of so many queries, and keys after a block are not looked at."""


def _apply(function: Any, *arguments: Any) -> Any:
    return function.apply(*arguments)  # torch leaves this method without types


class _AdaptedLinear(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        spans: tuple[tuple[int, int, float], ...],
        *factors: torch.Tensor,
    ) -> torch.Tensor:
        out = linear(x, weight, bias)
        narrow = []
        for at, (start, stop, scaling) in enumerate(spans):
            down, up = (factor.to(x.dtype) for factor in factors[2 * at : 2 * at + 2])
            narrow.append(x[start:stop] @ down.t())
            out[start:stop].addmm_(narrow[-1], up.t(), alpha=scaling)
        ctx.spans = spans
        ctx.save_for_backward(x, weight, *factors, *narrow)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (d_out,) = gradients
        x, weight, *rest = ctx.saved_tensors
        n = len(ctx.spans)
        factors, narrow = rest[: 2 * n], rest[2 * n :]
        d_x = d_out @ weight if ctx.needs_input_grad[0] else None
        d_factors: list[torch.Tensor] = []
        for at, (start, stop, scaling) in enumerate(ctx.spans):
            down, up = factors[2 * at : 2 * at + 2]
            d_part = d_out[start:stop]
            d_narrow = (d_part @ up.to(x.dtype)).mul_(scaling)
            if d_x is not None:
                d_x[start:stop].addmm_(d_narrow, down.to(x.dtype))
            d_factors.append((d_narrow.t() @ x[start:stop]).to(down.dtype))
            # this way round the product is faster than d_part^T @ narrow
            d_factors.append((narrow[at].t() @ d_part).t().to(up.dtype).mul_(scaling))
        return d_x, None, None, None, *d_factors


def adapted_linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, segments: Sequence[Segment]
) -> torch.Tensor:
    """`x W^T + bias`, and on the tokens of each segment `+ scaling x A^T B^T`; W and bias get no gradient.

    Args:
        x: (…, in), whose leading dimensions are counted as one row of tokens.
        weight: (out, in).
        bias: (out,) or None.
        segments: which tokens have which adapter. Float32 factors are rounded to the precision of x.
    """
    spans = tuple((start, stop, scaling) for start, stop, scaling, _, _ in segments)
    factors = [factor for segment in segments for factor in segment[3:]]
    out: torch.Tensor = _apply(_AdaptedLinear, x.reshape(-1, x.shape[-1]), weight, bias, spans, *factors)
    return out.view(*x.shape[:-1], weight.shape[0])


class _Dropped(Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, p: float) -> torch.Tensor:
        keep = _kept(x, p)
        ctx.save_for_backward(keep)
        ctx.scale = 1 / (1 - p)
        return (x * keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (keep,) = ctx.saved_tensors
        return (gradients[0] * keep).mul_(ctx.scale), None


def _kept(like: torch.Tensor, p: float) -> torch.Tensor:
    """0 with chance p (to 1/65536), else 1, shaped and typed as `like`.

    Four numbers come of each 64 bits that torch's generator draws; `bernoulli_` draws as many for each number.
    """
    n = like.numel()
    drawn = torch.empty(-(-n // 4), dtype=torch.int64, device=like.device).random_(-(1 << 63), None)
    keep = torch.empty(like.shape, dtype=like.dtype, device=like.device)
    return torch.ge(drawn.view(torch.int16)[:n].view(like.shape), round(p * 65536) - 32768, out=keep)


def drop(x: torch.Tensor, p: float) -> torch.Tensor:
    """Dropout: each number is set to 0 with chance p < 1, and what is left is multiplied by 1 / (1 - p)."""
    out: torch.Tensor = _apply(_Dropped, x, p)
    return out


class _Attention(Function):
    """softmax(scaling Q K^T + bias), dropped out, times V."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor | None,
        scaling: float,
        dropout: float,
    ) -> torch.Tensor:
        query = query * scaling
        scores = torch.matmul(query, key.transpose(-2, -1))
        if bias is not None:
            scores.add_(bias)
        weight = torch.softmax(scores, dim=-1)
        kept = [_kept(weight, dropout)] if dropout else []
        used = weight * kept[0] if kept else weight
        ctx.save_for_backward(query, key, value, weight, *kept)
        ctx.scaling, ctx.scale = scaling, 1 / (1 - dropout)
        return torch.matmul(used, value).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, weight, *kept = ctx.saved_tensors
        d_out = gradients[0] * ctx.scale
        used = weight * kept[0] if kept else weight
        d_value = torch.matmul(used.transpose(-2, -1), d_out)
        d_weight = torch.matmul(d_out, value.transpose(-2, -1))
        if kept:
            d_weight.mul_(kept[0])
        d_scores = torch._softmax_backward_data(d_weight, weight, -1, weight.dtype)
        d_query = torch.matmul(d_scores, key).mul_(ctx.scaling)
        d_key = torch.matmul(d_scores.transpose(-2, -1), query)
        return d_query, d_key, d_value, None, None, None


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    seen: torch.Tensor | None,
    *,
    scaling: float,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attention of query (B, H, T, D) to key and value (B, H, S, D), as (B, H, T, D).

    Args:
        seen: true where a query may look at a key, of a shape that broadcasts to (B, H, T, S); `None` for everywhere.
        dropout: share of the attention weights that is set to 0.
    """
    bias = None
    if seen is not None:
        low = torch.finfo(query.dtype).min / 2  # leaves room for a score to be added
        bias = torch.zeros(seen.shape, dtype=query.dtype, device=query.device).masked_fill_(~seen, low)
    out: torch.Tensor = _apply(_Attention, query, key, value, bias, scaling, dropout)
    return out


class _RowAttention(Function):
    """Causal attention inside each row, for rows laid end to end."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bounds: tuple[int, ...],
        scaling: float,
        window: int | None,
    ) -> torch.Tensor:
        heads, total, _ = query.shape
        groups = heads // key.shape[0]
        out = query.new_empty(total, heads, value.shape[2])
        weights = []
        longest = max(stop - start for start, stop in itertools.pairwise(bounds))
        bias = _causal_bias(longest, window, query)
        for first, last, start in _blocks(bounds):
            low, high = first - start, last - start
            q = _grouped(query[:, first:last], groups).mul(scaling)
            scores = torch.bmm(q, key[:, start:last].transpose(1, 2))
            scores.view(-1, groups, high - low, high).add_(bias[low:high, :high])
            weight = torch.softmax(scores, dim=-1)
            out[first:last] = (
                torch.bmm(weight, value[:, start:last]).view(heads, high - low, -1).transpose(0, 1)
            )
            weights.append(weight)
        ctx.save_for_backward(query, key, value, *weights)
        ctx.bounds, ctx.scaling = bounds, scaling
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, *weights = ctx.saved_tensors
        d_out = gradients[0].transpose(0, 1)  # (heads, total, width)
        groups = query.shape[0] // key.shape[0]
        d_query = torch.empty_like(query)
        d_key, d_value = torch.zeros_like(key), torch.zeros_like(value)
        for weight, (first, last, start) in zip(weights, _blocks(ctx.bounds), strict=True):
            d = _grouped(d_out[:, first:last], groups)
            d_value[:, start:last] += torch.bmm(weight.transpose(1, 2), d)
            d_weight = torch.bmm(d, value[:, start:last].transpose(1, 2))
            d_scores = torch._softmax_backward_data(d_weight, weight, -1, weight.dtype).mul_(ctx.scaling)
            d_query[:, first:last] = torch.bmm(d_scores, key[:, start:last]).view(
                query.shape[0], last - first, -1
            )
            d_key[:, start:last] += torch.bmm(
                d_scores.transpose(1, 2), _grouped(query[:, first:last], groups)
            )
        return d_query, d_key, d_value, None, None, None


def _blocks(bounds: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """(first query, one past the last, start of its row) of each block."""
    return [
        (first, min(first + _QUERIES_AT_ONCE, stop), start)
        for start, stop in itertools.pairwise(bounds)
        for first in range(start, stop, _QUERIES_AT_ONCE)
    ]


def _grouped(part: torch.Tensor, groups: int) -> torch.Tensor:
    """(heads, T, D) as (key heads, groups x T, D): the queries that share a key head, one after another."""
    return part.reshape(part.shape[0] // groups, groups * part.shape[1], part.shape[2])


def _causal_bias(length: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
    """(length, length) 0 where position i may look at j, the lowest number where not."""
    seen = torch.ones(length, length, dtype=torch.bool, device=like.device).tril()
    if window is not None and window < length:
        seen = seen.triu(1 - window)
    return torch.zeros(length, length, dtype=like.dtype, device=like.device).masked_fill(
        ~seen, torch.finfo(like.dtype).min / 2
    )


def row_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bounds: Sequence[int],
    *,
    scaling: float,
    window: int | None = None,
) -> torch.Tensor:
    """Causal attention of rows laid end to end, none of which sees another.

    Args:
        query: (H, N, D).
        key: (K, N, D), K dividing H.
        value: (K, N, D).
        bounds: where rows begin, from 0, and at last N.
        window: how many positions back a position sees, itself included; `None` for all.

    Returns:
        (N, H, D).
    """
    out: torch.Tensor = _apply(_RowAttention, query, key, value, tuple(bounds), scaling, window)
    return out


class _HeadLosses(Function):
    """Cross-entropy of a frozen head. The gradient is finished forward, chunk by chunk: logits are computed once and
    never kept. It is exact for any weighting of the losses, since a row's gradient is its loss's weight times a row."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, at_once: int
    ) -> torch.Tensor:
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        slopes = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden), at_once):
            part = slice(start, start + at_once)
            wanted = targets[part, None]
            chances = torch.log_softmax(linear(hidden[part], weight), dim=-1, dtype=torch.float32)
            losses[part] = -chances.gather(1, wanted)[:, 0]
            if slopes is not None:
                chances.exp_()
                chances.scatter_add_(1, wanted, chances.new_full(wanted.shape, -1.0))
                torch.mm(chances.to(weight.dtype), weight, out=slopes[part])
        if slopes is not None:
            ctx.save_for_backward(slopes)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return (slopes * gradients[0][:, None]).to(slopes.dtype), None, None, None


def head_losses(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    *,
    logits_at_once: int = _LOGITS_AT_ONCE,
) -> torch.Tensor:
    """-ln p of each target, float32 (N,): softmax cross-entropy of `hidden` (N, D) times `weight` (V, D) transposed.

    No more than `logits_at_once` logits exist at a time. A head that is trained computes them a second time, backward.
    """
    at_once = max(1, logits_at_once // weight.shape[0])
    if not weight.requires_grad:
        out: torch.Tensor = _apply(_HeadLosses, hidden, weight, targets, at_once)
        return out
    from torch.nn.functional import cross_entropy
    from torch.utils.checkpoint import checkpoint

    def part_losses(part: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return cross_entropy(linear(part, weight).float(), wanted, reduction="none")

    parts = [
        checkpoint(
            part_losses,
            hidden[start : start + at_once],
            targets[start : start + at_once],
            use_reentrant=False,
        )
        for start in range(0, len(hidden), at_once)
    ]
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)
