"""How many multiplications and additions a training takes, and how many the machine does in a second.

The count, in floating-point operations, for each row of S tokens of which A are learnt (a matrix of n numbers takes
2 n for each token it multiplies, once forward, once for the gradient of its input, once for its own gradient):

    base      4 n S          frozen matrices: forward and the input's gradient;  6 n S where they are trained
    adapters  6 a S          a: numbers of the adapters
    head      4 v A          v: numbers of the head, at learnt positions only;   6 v A where it is trained
    attention 6 w S^2 l      w: width of all heads, l: layers, half of it masked;  12 w S^2 l where nothing is masked

What a method computes twice to save memory, norms, activations, optimiser and validation are not counted, so the share
of the machine's speed is that of useful work ("model FLOPs utilisation", Chowdhery et al. 2022, appendix B, for
training of all weights). Windows of attention are counted as if they were whole rows. The gradient of the first frozen
layer's input is counted and not always computed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from tunesmith.tasks.base import Rendered


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What a row costs, for one model and method."""

    body: tuple[float, float]
    """Operations for each token of the text, and for each token a decoder of its own reads."""
    head: float
    """For each learnt position."""
    attention: tuple[float, float, float]
    """Times S^2 of the text, U^2 of a decoder's own tokens, and S x U between them."""

    def of(self, row: Rendered) -> float:
        """Operations of one row, forward and backward."""
        text, target = len(row.input_ids), row.n_target
        whole, own, across = self.attention
        return (
            self.body[0] * text
            + self.body[1] * target
            + self.head * row.n_trained
            + whole * text**2
            + own * target**2
            + across * text * target
        )


def arithmetic_of(model: Any) -> Arithmetic | None:
    """The count for a model as it is trained, adapters and all; `None` where this formula does not hold (mixtures of
    experts use a part of their matrices only; packed 4-bit weights hide their size; layers without attention)."""
    import torch

    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    if any(
        getattr(config, name, None) for name in ("num_experts_per_tok", "num_local_experts", "num_experts")
    ):
        return None
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    head_weight = getattr(head, "weight", None)
    encoder, decoder = _halves(model)
    in_decoder = {id(weight) for weight in decoder.parameters()} if encoder is not None else set()
    looked_up = {
        id(part.weight)
        for part in model.modules()
        if isinstance(part, torch.nn.Embedding) and part is not head
    }
    body, target = 0.0, 0.0
    for weight in model.parameters():
        if weight.dim() != 2 or id(weight) in looked_up or weight is head_weight:
            continue
        if not weight.is_floating_point():
            return None
        cost = (6.0 if weight.requires_grad else 4.0) * weight.numel()
        if id(weight) in in_decoder:
            target += cost
        else:
            body += cost
    attention = _attention(config, both=encoder is not None, causal=head is not None and encoder is None)
    if attention is None:
        return None
    head_cost = 0.0
    if head_weight is not None:
        head_cost = (6.0 if head_weight.requires_grad else 4.0) * head_weight.numel()
    return Arithmetic((body, target), head_cost, attention)


def _halves(model: Any) -> tuple[Any, Any]:
    """Encoder and decoder of a model that has both, else nothing."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not getattr(base.config, "is_encoder_decoder", False):
        return None, None
    return base.get_encoder(), base.get_decoder()


def _attention(config: Any, *, both: bool, causal: bool) -> tuple[float, float, float] | None:
    layers, heads = getattr(config, "num_hidden_layers", None), getattr(config, "num_attention_heads", None)
    width = getattr(config, "hidden_size", None)
    if not (layers and heads and width):
        return None
    wide = heads * (getattr(config, "head_dim", None) or getattr(config, "d_kv", None) or width // heads)
    if not both:
        return (6.0 if causal else 12.0) * wide * layers, 0.0, 0.0
    above = getattr(config, "num_decoder_layers", None) or getattr(config, "decoder_layers", None) or layers
    return 12.0 * wide * layers, 6.0 * wide * above, 12.0 * wide * above


def total(arithmetic: Arithmetic, rows: Sequence[Rendered]) -> list[float]:
    """The operations of each row."""
    return [arithmetic.of(row) for row in rows]


def matrix_speed(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of a square matrix product in `dtype`, as this process does it with its threads: the fastest
    of several, which takes about a quarter of a second."""
    import torch

    side = 4096 if device.type == "cuda" else 1024
    left, right = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(2))

    def seconds() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        started = time.perf_counter()
        torch.mm(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    seconds()  # the first one loads kernels
    fastest, begun = seconds(), time.perf_counter()
    while time.perf_counter() - begun < 0.25:
        fastest = min(fastest, seconds())
    return 2.0 * side**3 / fastest
