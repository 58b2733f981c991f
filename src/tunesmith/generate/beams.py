"""Beam search that draws by chance, with the draws of every row its own.

transformers draws the continuations of all rows of a batch from one generator, so that a row's answer hangs on its
neighbours. Here each row brings a generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from tunesmith.errors import TunesmithError
from tunesmith.tasks.sampling import gumbel

_METHOD = "_get_top_k_continuations"
"""Where transformers' beam search picks continuations. It is not part of its public interface, so its absence is told;
pyproject.toml bounds the version."""


@contextmanager
def rows_draw_alone(model: Any, generators: Sequence[torch.Generator]) -> Iterator[None]:
    """While the block runs, the beam search of `model` draws each row's continuations from that row's generator.

    The k largest of `log p + Gumbel noise`, in their order, are k draws from p without replacement (Vieira 2014;
    Kool et al. 2019, "Stochastic Beams and Where to Find Them"), which is what `torch.multinomial` draws.

    Raises:
        TunesmithError: the installed transformers searches in another way.
    """
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    usual: Callable[..., Any] | None = getattr(bare, _METHOD, None)
    if usual is None:
        raise TunesmithError(
            "with this version of transformers, do_sample with num_beams above 1 would depend on the batch",
            do="leave one of the two out, or install the version that tunesmith asks for",
        )

    def pick(
        *, accumulated_log_probs: torch.Tensor, do_sample: bool, beams_to_keep: int, **others: Any
    ) -> Any:
        noise = gumbel(generators, accumulated_log_probs.shape[-1]).to(accumulated_log_probs.device)
        noisy = accumulated_log_probs.float() + noise
        _, sequences, beams = usual(
            accumulated_log_probs=noisy, do_sample=False, beams_to_keep=beams_to_keep, **others
        )
        # The search goes on with the probabilities of what was drawn, without the noise.
        drawn = torch.topk(noisy, k=beams_to_keep)[1]
        return torch.gather(accumulated_log_probs, 1, drawn), sequences, beams

    vars(bare)[_METHOD] = pick
    try:
        yield
    finally:
        del vars(bare)[_METHOD]
