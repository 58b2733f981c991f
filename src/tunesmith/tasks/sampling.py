"""Draws of tokens in which every row of a batch has a generator of its own.

So a row's answer hangs neither on its neighbours in the batch, nor on what was drawn before it. The largest of
`log p + Gumbel noise` is a draw from p (Gumbel 1954; Maddison et al. 2014, "A* Sampling").

torch and transformers are imported at the top: import this only when something is generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor


class RowSampler(LogitsProcessor):
    """Sampling as greedy search: each row adds Gumbel noise of its own to its logits."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.generators = generators(seeds)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:
        return scores.float() + gumbel(self.generators, scores.shape[-1]).to(scores.device)


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def gumbel(generators: Sequence[torch.Generator], width: int) -> torch.Tensor:
    """Gumbel noise (rows, width), each row from its own generator."""
    noise = torch.stack([torch.empty(width).exponential_(generator=generator) for generator in generators])
    # -ln of an Exp(1) variable is a Gumbel variable.
    return -noise.clamp_min(1e-30).log()
